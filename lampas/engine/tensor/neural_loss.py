"""Losses as operations: negative log likelihood, and the elementwise ones with their reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_activation import log_sigmoid_node, scaled
from lampas.engine.tensor.neural_linear import known_bounds
from lampas.engine.tensor.neural_precision import wide
from lampas.engine.tensor.operands import common_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]
FEW_CLASSES = 1024  # compared one by one in log-softmax's own pass; more are picked from memory


def reduce_node(values: Node, reduction: str) -> Node:
    """All values, their sum or their mean (0-d)."""
    if reduction == "none":
        return values
    total = g.reshape(g.sum_dims(values, tuple(range(len(values.shape)))), ())
    if reduction == "sum":
        return total
    count = values.numel
    return (
        g.divide(total, g.like(total, count))
        if count
        else g.multiply(total, g.like(total, float("nan")))
    )


# Negative log likelihood --------------------------------------------------------------------------


def _class_numbers(x: Node, dim: int) -> Node:
    shape = tuple(size if place == dim else 1 for place, size in enumerate(x.shape))
    return g.reshape(g.iota(x.shape[dim]), shape)


def _at_target(x: Node, target: Node, dim: int) -> Node:
    """x at the target class of each place, with size 1 along `dim`."""
    if x.shape[dim] <= FEW_CLASSES:
        chosen = g.equal(_class_numbers(x, dim), target)
        return g.sum_dims(g.where(chosen, x, g.like(x, 0)), (dim,))
    return g.gather(x, dim, target)


def _likelihood_parts(
    x: Node, target: Node, weight: tuple[Node, ...], ignore: int, dim: int
) -> tuple[Node, Node, Node]:
    """Where targets count, the classes with ignored ones as 0, and the weight of each place."""
    shape = (*target.shape[:dim], 1, *target.shape[dim:])
    classes = g.cast(g.reshape(target, shape), int64)
    counted = g.not_equal(classes, g.constant(ignore, int64))
    safe = g.where(counted, classes, g.constant(0, int64))
    if not weight:
        return counted, safe, g.cast(counted, x.dtype)
    by_class = g.reshape(
        g.cast(weight[0], x.dtype),
        tuple(size if place == dim else 1 for place, size in enumerate(x.shape)),
    )
    picked = _at_target(g.expand(by_class, x.shape), safe, dim)
    return counted, safe, g.where(counted, picked, g.like(picked, 0))


def _nll(x: Node, target: Node, *rest: Any) -> Node:
    *weight, reduction, ignore, dim = rest
    value = wide(x)
    counted, safe, scale = _likelihood_parts(value, target, tuple(weight), ignore, dim)
    picked = g.negative(_at_target(value, safe, dim))
    losses = g.where(counted, g.multiply(picked, scale), g.like(picked, 0))
    if reduction == "none":
        result = g.reshape(losses, target.shape)
    else:
        result = reduce_node(losses, "sum")
        if reduction == "mean":
            result = g.divide(result, reduce_node(scale, "sum"))
    return g.cast(result, x.dtype)


def _nll_vjp(saved: Saved, ct: Node) -> Grads:
    """−scale·ct at the target class, zeros elsewhere: one pass that fuses with log-softmax's."""
    x, target, *weight = saved.inputs
    reduction, ignore, dim = saved.attributes
    value = wide(x)
    counted, safe, scale = _likelihood_parts(value, target, tuple(weight), ignore, dim)
    flow = wide(ct)
    if reduction == "none":
        flow = g.reshape(flow, scale.shape)
    elif reduction == "mean":
        flow = g.divide(flow, reduce_node(scale, "sum"))
    flow = g.where(counted, g.negative(g.multiply(flow, scale)), g.like(scale, 0))
    chosen = g.equal(_class_numbers(x, dim), safe)
    spread = g.where(chosen, flow, g.like(flow, 0))
    return (g.cast(spread, x.dtype), None, *(None for _ in weight))


NLL_LOSS = Operation("nll_loss", _nll, vjp=_nll_vjp, saves="inputs")
NLL_LOSS_PLANES = Operation(
    "nll_loss2d", _nll, vjp=_nll_vjp, grad_name="NllLoss2DBackward0", saves="inputs"
)


def negative_log_likelihood(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    ignore: int,
    dim: int,
) -> Tensor:
    """−weight[y]·x[y] of log-probabilities along `dim`. IndexError for a class out of range."""
    classes = x._shape[dim]
    bounds = known_bounds(target, classes)
    if bounds is not None and not (bounds[0] >= 0 and bounds[1] < classes):
        for bound in bounds:
            if bound != ignore and not 0 <= bound < classes:
                raise IndexError(f"Target {bound} is out of bounds.")
    operands = (x, target) if weight is None else (x, target, weight)
    operation = NLL_LOSS if len(x._shape) <= 2 else NLL_LOSS_PLANES
    return record(operation, operands, (reduction, ignore, dim))


# Elementwise losses -------------------------------------------------------------------------------


def _elementwise(name: str, build: Callable[..., Node], grad_name: str | None = None) -> Operation:
    """A loss of two operands: attributes are the reduction, the dtype, and the loss's own."""

    def forward(x: Node, y: Node, reduction: str, kind: Any, *rest: Any) -> Node:
        values = build(wide(g.cast(x, kind)), wide(g.cast(y, kind)), *rest)
        return g.cast(reduce_node(values, reduction), kind)

    return Operation(name, forward, grad_name=grad_name, saves="inputs")


def _squared(x: Node, y: Node) -> Node:
    gap = g.subtract(x, y)
    return g.multiply(gap, gap)


def _smooth(x: Node, y: Node, beta: float) -> Node:
    gap = g.absolute(g.subtract(x, y))
    if beta == 0:
        return gap
    near = scaled(g.multiply(gap, gap), 0.5 / beta)
    far = g.subtract(gap, g.like(gap, 0.5 * beta))
    return g.where(g.less(gap, g.like(gap, beta)), near, far)


def _huber(x: Node, y: Node, delta: float) -> Node:
    gap = g.absolute(g.subtract(x, y))
    far = scaled(g.subtract(gap, g.like(gap, 0.5 * delta)), delta)
    return g.where(g.less_equal(gap, g.like(gap, delta)), scaled(g.multiply(gap, gap), 0.5), far)


def _with_logits(x: Node, y: Node) -> Node:
    """(1 − y)·x − log(sigmoid(x))."""
    return g.subtract(g.multiply(g.subtract(g.like(y, 1), y), x), log_sigmoid_node(x))


MSE_LOSS = _elementwise("mse_loss", _squared)
SMOOTH_L1_LOSS = _elementwise("smooth_l1_loss", _smooth, "SmoothL1LossBackward0")
HUBER_LOSS = _elementwise("huber_loss", _huber)
BINARY_CROSS_ENTROPY_WITH_LOGITS = _elementwise("binary_cross_entropy_with_logits", _with_logits)


def elementwise_loss(
    operation: Operation, x: Tensor, y: Tensor, reduction: str, *rest: float
) -> Tensor:
    """Record an elementwise loss in the common dtype of its operands."""
    kind = common_dtype(operation.name, x, y)
    return record(operation, (x, y), (reduction, kind, *rest))
