"""Losses that compare a prediction with a target element by element, or by class."""

from __future__ import annotations

import math
import warnings
from typing import Any

from lampas.engine.dtype import int64
from lampas.engine.tensor import (
    Tensor,
    broadcast_tensors,
    full_like,
    where,
    zeros_like,
)
from lampas.engine.tensor import neural_loss as operations
from lampas.engine.tensor.neural_loss import elementwise_loss, negative_log_likelihood
from lampas.nn.functional.activation import logsigmoid
from lampas.nn.functional.precision import rounded_once
from lampas.nn.functional.reduction import legacy_reduction, reduced

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy",
    "gaussian_nll_loss", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
    "poisson_nll_loss", "smooth_l1_loss",
]  # fmt: skip

Flag = bool | None


def _check_reduction(reduction: str) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def _pair(input: Tensor, target: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    if target.size() != input.size():
        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
        if weight is None:
            return input, target
        input, target = broadcast_tensors(input, target)
    if weight is not None and weight.size() != input.size():
        raise ValueError("Weights and input must have the same size.")
    return input, target


def _weighted(values: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Reduce with optional weights; the mean divides by the sum of the weights."""
    if weight is None:
        return reduced(values, reduction)
    values = values * weight
    if reduction == "mean":
        return values.sum() / weight.sum()
    return reduced(values, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x − y)²; warns when the shapes differ and broadcast.

    >>> mse_loss(tensor([1.0, 2.0]), tensor([1.0, 4.0]))
    tensor(2.)
    """
    reduction = legacy_reduction(reduction, size_average, reduce)
    input, target = _pair(input, target, weight)
    if weight is None:
        _check_reduction(reduction)
        return elementwise_loss(operations.MSE_LOSS, input, target, reduction)
    gap = input - target
    return _weighted(gap * gap, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|x − y|."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    input, target = _pair(input, target, weight)
    return _weighted((input - target).abs(), weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """(x − y)²/(2·beta) where |x − y| < beta, else |x − y| − beta/2 (Girshick, 2015)."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    input, target = _pair(input, target)
    _check_reduction(reduction)
    return elementwise_loss(operations.SMOOTH_L1_LOSS, input, target, reduction, float(beta))


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """(x − y)²/2 where |x − y| ≤ delta, else delta·(|x − y| − delta/2) (Huber, 1964)."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = _pair(input, target, weight)
    if weight is None:
        _check_reduction(reduction)
        return elementwise_loss(operations.HUBER_LOSS, input, target, reduction, float(delta))
    values = elementwise_loss(operations.HUBER_LOSS, input, target, "none", float(delta))
    return _weighted(values, weight, reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """−(y·log x + (1 − y)·log(1 − x)), the logarithms held above −100.

    Raises ValueError where the sizes differ.
    """
    reduction = legacy_reduction(reduction, size_average, reduce)
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}) is deprecated. Please ensure they have the same size."
        )
    log_input = input.log().clamp_min(-100)
    log_rest = (-input).log1p().clamp_min(-100)
    values = (target - 1) * log_rest - target * log_input
    return reduced(values if weight is None else values * weight, reduction)


@rounded_once
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(x), without forming the sigmoid."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if target.size() != input.size():
        raise ValueError(
            f"Target size ({target.size()}) must be the same as input size ({input.size()})"
        )
    if weight is None and pos_weight is None:
        _check_reduction(reduction)
        operation = operations.BINARY_CROSS_ENTROPY_WITH_LOGITS
        return elementwise_loss(operation, input, target, reduction)
    log_sigmoid = logsigmoid(input)
    values = (1 - target) * input
    if pos_weight is None:
        values = values - log_sigmoid
    else:
        values = values - ((pos_weight - 1) * target + 1) * log_sigmoid
    return reduced(values if weight is None else values * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Flag = None,
    reduce: Flag = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """y·(log y − x) for log-probabilities x; "batchmean" divides the sum by the batch size."""
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support "
            "size. 'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition. 'mean' will be changed to behave the same as 'batchmean' in the next "
            "major release.",
            stacklevel=2,
        )
    reduction = legacy_reduction(reduction, size_average, reduce)
    if log_target:
        values = target.exp() * (target - input)
    else:
        values = _entropy_terms(target) - target * input
    if reduction == "batchmean":
        total = values.sum()
        return total / input.size(0) if input.dim() else total
    return reduced(values, reduction)


def _entropy_terms(target: Tensor) -> Tensor:
    """y·log y, which is 0 at y = 0."""
    zero = target == 0
    safe = where(zero, full_like(target, 1), target)
    return where(zero, zeros_like(target), target * safe.log())


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Flag = None,
    eps: float = 1e-8,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) − y·x (or x − y·log x), plus Stirling's approximation of log y! with `full`."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    values = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + (target * (2 * math.pi)).log() * 0.5
        values = values + where(target <= 1, zeros_like(stirling), stirling)
    return reduced(values, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log var + (x − y)²/var)/2, with var held above eps; `full` adds log(2π)/2."""
    if isinstance(var, int | float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = full_like(input, float(var))
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif not (input.size()[:-1] == var.size()[:-1] and var.size(-1) == 1):
            try:
                broadcastable = broadcast_tensors(input, var)[0].size() == input.size()
            except RuntimeError:
                broadcastable = False
            if not broadcastable:
                raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    held = where(var.detach() < eps, var.detach() * 0 + eps - var.detach() + var, var)
    gap = input - target
    values = (held.log() + gap * gap / held) * 0.5
    if full:
        values = values + 0.5 * math.log(2 * math.pi)
    return reduced(values, reduction)


# By class


def _check_class_target(input: Tensor, target: Tensor) -> None:
    shape, given = input._shape, target._shape
    if len(shape) > 1 and given == shape[:1] + shape[2:] and target._node.dtype is int64:
        return
    kind = str(target.dtype).rpartition(".")[2]
    if kind not in ("int64", "uint8"):
        name = target.type().rpartition(".")[2].removesuffix("Tensor")
        raise RuntimeError(f"expected scalar type Long but found {name}")
    dims = input.dim()
    if dims <= 0:
        raise RuntimeError("input tensor should be 1D or 2D")
    if dims == 1:
        if target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        return
    if dims == 2 and target.dim() != 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input.size(0) != target.size(0):
        raise ValueError(
            f"Expected input batch_size ({input.size(0)}) to match target batch_size "
            f"({target.size(0)})."
        )
    if tuple(target.shape[1:]) != tuple(input.shape[2:]):
        expected = [input.size(0), *input.shape[2:]]
        raise RuntimeError(f"Expected target size {expected}, got {list(target.shape)}")


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    ignore_index: int = -100,
    reduce: Flag = None,
    reduction: str = "mean",
) -> Tensor:
    """−weight[y]·x[y] for log-probabilities x (N, C, …) and classes y (N, …).

    Targets equal to `ignore_index` count for nothing; the mean divides by the weights used.
    """
    reduction = legacy_reduction(reduction, size_average, reduce)
    _check_reduction(reduction)
    _check_class_target(input, target)
    rank = len(input._shape)
    dim = 0 if rank == 1 else 1
    classes = input._shape[dim]
    if weight is not None and (weight.dim() != 1 or weight.numel() != classes):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but "
            f"got weight tensor of shape: {list(weight.shape)}"
        )
    if rank == 1 and target.dim() == 1:
        input, dim = input.unsqueeze(0), 1
    if len(input._shape) > len(target._shape) + 1:
        target = target.reshape(input.shape[:dim] + input.shape[dim + 1 :])
    return negative_log_likelihood(input, target, weight, reduction, ignore_index, dim)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Flag = None,
    ignore_index: int = -100,
    reduce: Flag = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`nll_loss` of `log_softmax`: input (N, C, …), target classes (N, …) or probabilities (N, C, …).

    `label_smoothing` mixes the target with the uniform distribution (Szegedy et al., 2016).
    """
    reduction = legacy_reduction(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    dim = 0 if len(input._shape) == 1 else 1
    probable = target._node.dtype.is_floating_point
    if probable and target._shape == input._shape:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, dim)
    if probable and len(target._shape) == len(input._shape):
        raise RuntimeError(
            f"Expected target with class probabilities to have the input's size {list(input.shape)}, "
            f"got {list(target.shape)}"
        )
    logs = input.log_softmax(dim)
    hard = nll_loss(logs, target, weight, None, ignore_index, None, reduction)
    if label_smoothing == 0.0:
        return hard
    return _smoothed(logs, hard, target, weight, ignore_index, reduction, label_smoothing, dim)


def _smoothed(
    logs: Tensor,
    hard: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
    dim: int,
) -> Tensor:
    classes = logs.size(dim)
    shape = [1] * logs.dim()
    shape[dim] = classes
    scaled = logs if weight is None else logs * weight.reshape(shape)
    ignored = target == ignore_index
    uniform = -scaled.sum(dim)
    uniform = where(ignored, zeros_like(uniform), uniform)
    if reduction == "mean":
        if weight is None:
            count = (~ignored).to(logs.dtype).sum()
        else:
            index = where(ignored, zeros_like(target), target)
            used = weight.index_select(0, index.reshape(-1)).reshape(index.shape)
            count = where(ignored, zeros_like(used), used).sum()
        uniform = uniform.sum() / count
    else:
        uniform = reduced(uniform, reduction)
    return hard * (1 - smoothing) + uniform * (smoothing / classes)


def _soft_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    smoothing: float,
    dim: int,
) -> Tensor:
    classes = input.size(dim)
    if weight is not None and (weight.dim() != 1 or weight.numel() != classes):
        raise RuntimeError(
            "cross_entropy: weight tensor should be defined either for all "
            f"{classes} classes or no classes but got weight tensor of shape: {list(weight.shape)}"
        )
    if smoothing > 0.0:
        target = target * (1 - smoothing) + smoothing / classes
    values = -(input.log_softmax(dim) * target)
    if weight is not None:
        shape = [1] * input.dim()
        shape[dim] = classes
        values = values * weight.reshape(shape)
    if reduction == "mean":
        return values.sum() / max(input.numel() // max(classes, 1), 1)
    if reduction == "none":
        return values.sum(dim)
    return reduced(values, reduction)
