"""Losses with a margin: ranking, hinge, triplet and the multi-class and multi-label kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.host.label_margins import label_margins
from lampas.engine.tensor import Tensor, arange, minimum, where, zeros_like
from lampas.engine.tensor.door import record
from lampas.nn.functional.activation import logsigmoid
from lampas.nn.functional.distance import pairwise_distance
from lampas.nn.functional.reduction import legacy_reduction, reduced

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss",
    "triplet_margin_loss", "triplet_margin_with_distance_loss",
]  # fmt: skip

Flag = bool | None
COSINE_EPSILON = 1e-12


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, −y·(x1 − x2) + margin) for y = ±1."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return reduced((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """x where y = 1, max(0, margin − x) where y = −1."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    zero = zeros_like(input)
    far = where(target == 1, zero, (margin - input).clamp_min(0))
    near = where(target == -1, zero, input)
    return reduced(far + near, reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """1 − cos(x1, x2) where y = 1, max(0, cos(x1, x2) − margin) where y = −1."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if target.dim() not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    expected = target.dim() + 1
    if input1.dim() != expected or input2.dim() != expected:
        if target.dim() == 1:
            raise RuntimeError(
                "1D target tensor expects 2D input tensors, but found inputs with sizes "
                f"{list(input1.shape)} and {list(input2.shape)}."
            )
        raise RuntimeError(
            "0D target tensor expects 1D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    dim = target.dim()
    products = (input1 * input2).sum(dim)
    first = (input1 * input1).sum(dim) + COSINE_EPSILON
    second = (input2 * input2).sum(dim) + COSINE_EPSILON
    cosine = products / (first * second).sqrt()
    zero = zeros_like(cosine)
    near = where(target == 1, 1 - cosine, zero)
    far = where(target == -1, (cosine - margin).clamp_min(0), zero)
    return reduced(near + far, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(−y·x)) for y = ±1."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    return reduced((-target * input).exp().log1p(), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the other classes i of max(0, margin − x[y] + x[i])^p, times weight[y]."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    single = input.dim() <= 1
    rows = input.reshape(1, -1) if single else input
    if rows.dim() != 2 or rows.size(1) == 0:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    index = target.reshape(-1)
    if index.numel() != rows.size(0):
        raise RuntimeError(
            f"inconsistent target size, expected {rows.size(0)} but got {list(target.shape)}"
        )
    index = index.unsqueeze(1)
    own = arange(rows.size(1)) == index
    gaps = (margin - rows.gather(1, index) + rows).clamp_min(0)
    values = gaps * gaps if p == 2 else gaps
    if weight is not None:
        values = values * weight.index_select(0, index.reshape(-1)).unsqueeze(1)
    losses = where(own, zeros_like(values), values).sum(1) / rows.size(1)
    if single and reduction == "none":
        return losses.reshape(target.shape)
    return reduced(losses, reduction)


def _margins(scores: Node, labels: Node) -> tuple[Node, ...]:
    kinds = (((scores.shape[0],), scores.dtype), (scores.shape, scores.dtype))
    return g.host("label_margins", (scores, labels), kinds)


def _weighted(gradient: Node, flow: Node | None) -> tuple[Node | None, None]:
    if flow is None:
        return (None, None)
    return (g.multiply(gradient, g.reshape(flow, (flow.shape[0], 1))), None)


@host_vjp("label_margins")
def _margins_rule(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> tuple[Node | None, None]:
    """The gradient itself is constant, but for the margins' edges."""
    return _weighted(outputs[1], cts[0])


host_function("label_margins")(label_margins)
LABEL_MARGINS = Operation(
    "multilabel_margin_loss",
    _margins,
    vjp=lambda saved, flow, _=None: _weighted(saved.outputs[1], flow),
    multiple=True,
)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ max(0, 1 − (x[label] − x[other]))/C; `target` lists the labels of each row, ended by −1."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if input.dim() > 2 or (input.dim() and input.size(-1) == 0):
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    if input.shape != target.shape:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    rows = input.reshape(1, -1) if input.dim() <= 1 else input
    labels = target.reshape(rows.shape).long()
    losses: Tensor = record(LABEL_MARGINS, (rows, labels))[0]
    if reduction == "none" and input.dim() <= 1:
        return losses.reshape(())
    return reduced(losses, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the classes of the binary cross entropy of sigmoid(x) with the labels."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if target.size() != input.size():
        raise ValueError(
            f"Target size ({target.size()}) must be the same as input size ({input.size()})"
        )
    values = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        values = values * weight
    return reduced(values.sum(-1) / input.size(-1), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) − d(anchor, negative) + margin) (Balntas et al., 2016)."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")

    def distance(first: Tensor, second: Tensor) -> Tensor:
        return pairwise_distance(first, second, p, eps)

    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and "
            f"negative {negative.dim()}D inputs"
        )
    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    near = distance(anchor, positive)
    far = distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced((margin + near - far).clamp_min(0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any distance, `pairwise_distance` by default."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)
