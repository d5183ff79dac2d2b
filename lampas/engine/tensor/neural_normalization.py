"""Normalisation as operations that also give their statistics, which the derivative reads again.

With x̂ = (x − mean)·r and r = 1/√(variance + eps), the derivative over the reduced dimensions is
r·(ct − mean(ct) − x̂·mean(ct·x̂)) (Ioffe & Szegedy, 2015, and alike for the other kinds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved, distinct_inputs
from lampas.engine.derive.pullback import pull_back
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor, rebind
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_precision import wide
from lampas.engine.tensor.operands import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Dims = tuple[int, ...]
Shape = tuple[int, ...]
Grads = tuple["Node | None", ...]


def mean_node(x: Node, dims: Dims) -> Node:
    """The mean over `dims`, kept with size 1."""
    count = 1
    for dim in dims:
        count *= x.shape[dim]
    total = g.sum_dims(x, dims)
    return g.multiply(total, g.like(total, 1.0 / count if count else float("nan")))


def _statistics(x: Node, dims: Dims, eps: float) -> tuple[Node, Node, Node, Node]:
    """x − mean, mean, variance and r."""
    mean = mean_node(x, dims)
    centred = g.subtract(x, mean)
    variance = mean_node(g.multiply(centred, centred), dims)
    return centred, mean, variance, g.rsqrt(g.add(variance, g.like(variance, eps)))


def _affine(x: Node, parameters: tuple[Node, ...], has: tuple[bool, bool], shape: Shape) -> Node:
    given = iter(parameters)
    if has[0]:
        x = g.multiply(x, g.cast(g.reshape(next(given), shape), x.dtype))
    if has[1]:
        x = g.add(x, g.cast(g.reshape(next(given), shape), x.dtype))
    return x


def _normalize(x: Node, *rest: Any) -> tuple[Node, Node, Node]:
    """(result, mean, r): standardise `view` of x over `dims`, then scale and shift in x's shape."""
    *parameters, view, dims, eps, has, shape = rest
    centred, mean, _, rate = _statistics(g.reshape(wide(x), view), dims, eps)
    made = g.reshape(g.multiply(centred, rate), x.shape)
    return g.cast(_affine(made, tuple(parameters), has, shape), x.dtype), mean, rate


def _parameter_grads(
    saved: Saved, ct: Node, standard: Node, has: tuple[bool, bool], shape: Shape
) -> list[Node | None]:
    """Cotangents of weight and bias: sums over what broadcasting repeated."""
    grads: list[Node | None] = []
    place = 1
    for present, value in zip(has, (standard, None), strict=True):
        if not present:
            continue
        if saved.needed[place]:
            parameter = saved.inputs[place]
            flow = ct if value is None else g.multiply(ct, value)
            summed = g.sum_to(flow, shape)
            grads.append(g.cast(g.reshape(summed, parameter.shape), parameter.dtype))
        else:
            grads.append(None)
        place += 1
    return grads


def _normalize_vjp(
    saved: Saved, ct: Node | None, ct_mean: Node | None, ct_rate: Node | None
) -> Grads:
    if ct_mean is not None or ct_rate is not None or ct is None:
        return _general_vjp(saved, (ct, ct_mean, ct_rate))
    x = saved.inputs[0]
    view, dims, _, has, shape = saved.attributes
    _, mean, rate = saved.outputs
    ct = wide(ct)
    centred = g.subtract(g.reshape(wide(x), view), mean)
    standard = g.multiply(centred, rate)
    to_x = None
    if saved.needed[0]:
        # A weight that is the same along the means comes in at the end: the sums are then its own derivative's.
        alike = has[0] and view == x.shape and len(shape) == len(view)
        outside = alike and all(shape[dim] == 1 for dim in dims)
        weight = saved.inputs[1:2]
        flow = ct if outside else _affine(ct, weight, (has[0], False), shape)
        flow = g.reshape(flow, view)
        average = mean_node(flow, dims)
        along = mean_node(g.multiply(flow, standard), dims)
        rest = g.subtract(g.subtract(flow, average), g.multiply(standard, along))
        rate = _affine(rate, weight, (True, False), shape) if outside else rate
        to_x = g.cast(g.reshape(g.multiply(rest, rate), x.shape), x.dtype)
    parameters = _parameter_grads(saved, ct, g.reshape(standard, x.shape), has, shape)
    return (to_x, *parameters)


def _general_vjp(saved: Saved, cotangents: tuple[Node | None, ...]) -> Grads:
    inputs = distinct_inputs(saved.inputs)
    outputs = _normalize(*inputs, *saved.attributes)
    return pull_back(outputs, cotangents, inputs, saved.needed)


def _normalization(name: str, grad_name: str) -> Operation:
    return Operation(name, _normalize, vjp=_normalize_vjp, grad_name=grad_name, multiple=True)


LAYER_NORM = _normalization("layer_norm", "NativeLayerNormBackward0")
GROUP_NORM = _normalization("group_norm", "NativeGroupNormBackward0")
BATCH_NORM = _normalization("batch_norm", "NativeBatchNormBackward0")
INSTANCE_NORM = _normalization("instance_norm", "NativeBatchNormBackward0")


def normalized(
    operation: Operation,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    view: Shape,
    dims: Dims,
    eps: float,
    shape: Shape,
) -> tuple[Tensor, Tensor, Tensor]:
    """(result, mean, 1/√(variance + eps)) of x read as `view`, reduced over `dims`.

    Weight and bias are read in `shape`, which broadcasts to x's.
    """
    has = (weight is not None, bias is not None)
    return normalized_as(operation, x, weight, bias, (view, dims, eps, has, shape))


def normalized_as(
    operation: Operation,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    attributes: tuple[Any, ...],
) -> tuple[Tensor, Tensor, Tensor]:
    """As `normalized`, with (view, dims, eps, (is there a weight, a bias), shape) as one tuple."""
    parameters = [given for given in (weight, bias) if given is not None]
    return record(operation, (x, *parameters), attributes)


def _with_statistics(x: Node, mean: Node, variance: Node, *rest: Any) -> Node:
    *parameters, eps, has, shape = rest
    value = wide(x)
    centred = g.subtract(value, g.cast(g.reshape(mean, shape), value.dtype))
    spread = g.cast(g.reshape(variance, shape), value.dtype)
    rate = g.rsqrt(g.add(spread, g.like(spread, eps)))
    return g.cast(_affine(g.multiply(centred, rate), tuple(parameters), has, shape), x.dtype)


FIXED_BATCH_NORM = Operation(
    "batch_norm", _with_statistics, grad_name="NativeBatchNormBackward0", saves="inputs"
)


def normalized_by(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    attributes: tuple[Any, ...],
) -> Tensor:
    """(x − mean)/√(variance + eps)·weight + bias with given statistics.

    `attributes`: eps, (is there a weight, a bias), and the shape in which all but x are read.
    """
    operands = [each for each in (x, mean, variance, weight, bias) if each is not None]
    return record(FIXED_BATCH_NORM, tuple(operands), attributes)


def _rms_norm(x: Node, *rest: Any) -> Node:
    *weight, dims, eps = rest
    value = wide(x)
    square = mean_node(g.multiply(value, value), dims)
    result = g.multiply(value, g.rsqrt(g.add(square, g.like(square, eps))))
    if weight:
        result = g.multiply(result, g.cast(weight[0], value.dtype))
    return g.cast(result, x.dtype)


RMS_NORM = Operation("rms_norm", _rms_norm, grad_name="FusedRmsNormBackward0", saves="inputs")


def rms_normalized(x: Tensor, weight: Tensor | None, dims: Dims, eps: float) -> Tensor:
    """x/√(mean(x²) + eps)·weight."""
    operands = (x,) if weight is None else (x, weight)
    return record(RMS_NORM, operands, (dims, eps))


# Running statistics -------------------------------------------------------------------------------


def _moved(running: Node, latest: Node, momentum: Node) -> Node:
    """running·(1 − momentum) + the average of the samples' statistics·momentum."""
    channels = running.shape[0]
    rows = g.reshape(latest, (latest.numel // max(channels, 1), channels))
    average = g.reshape(mean_node(rows, (0,)), (channels,))
    share = g.cast(momentum, latest.dtype)
    kept = g.multiply(g.cast(running, latest.dtype), g.subtract(g.like(share, 1), share))
    return g.cast(g.add(kept, g.multiply(average, share)), running.dtype)


def _moved_variance(running: Node, rate: Node, momentum: Node, eps: float, factor: float) -> Node:
    """The same for the unbiased variance, got back from 1/√(variance + eps)."""
    spread = g.subtract(g.reciprocal(g.multiply(rate, rate)), g.like(rate, eps))
    return _moved(running, g.multiply(spread, g.like(spread, factor)), momentum)


def _move_statistics(*nodes_and_numbers: Any) -> tuple[Node, Node]:
    mean, variance, latest, rate, momentum, eps, factor = nodes_and_numbers
    return (
        _moved(mean, latest, momentum),
        _moved_variance(variance, rate, momentum, eps, factor),
    )


def _counted(count: Node) -> Node:
    return g.add(count, g.like(count, 1))


def _count_and_move(count: Node, *nodes_and_numbers: Any) -> tuple[Node, Node, Node]:
    return (_counted(count), *_move_statistics(*nodes_and_numbers))


def _inner(name: str, forward: Callable[..., Any]) -> Operation:
    return Operation(name, forward, saves="none", multiple=True, untracked=True)


MOVE_STATISTICS = _inner("running_statistics", _move_statistics)
COUNT_AND_MOVE = _inner("running_statistics", _count_and_move)
COUNT_BATCH = _inner("add", lambda count: (_counted(count),))
MOVE_MEAN = Operation("running_mean", _moved, saves="none")
MOVE_VARIANCE = Operation("running_var", _moved_variance, saves="none")


def moved_mean(running: Tensor, mean: Tensor, momentum: float) -> Tensor:
    """The running mean moved towards the statistics of a batch."""
    return record(MOVE_MEAN, (running, mean, number(momentum)))


def moved_variance(
    running: Tensor, rate: Tensor, momentum: float, eps: float, factor: float
) -> Tensor:
    """The running variance moved towards a batch's; `factor` makes that unbiased."""
    return record(MOVE_VARIANCE, (running, rate, number(momentum)), (eps, factor))


def move_statistics(
    mean: Tensor,
    variance: Tensor,
    latest: Tensor,
    rate: Tensor,
    momentum: float,
    scales: tuple[float, float],
    count: Tensor | None = None,
) -> None:
    """Move both running statistics in place, and count the batch; `scales` are eps and factor."""
    share = number(momentum)
    if count is None:
        made = record(MOVE_STATISTICS, (mean, variance, latest, rate, share), scales)
        rebind((mean, variance), made)
    else:
        made = record(COUNT_AND_MOVE, (count, mean, variance, latest, rate, share), scales)
        rebind((count, mean, variance), made)


def count_batch(count: Tensor) -> None:
    """Add one to a counter of batches, outside of the tape."""
    rebind((count,), record(COUNT_BATCH, (count,)))
