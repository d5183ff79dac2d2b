"""Normalisation over batches, layers, groups, instances and neighbouring channels."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from lampas.engine.numeric_limits import finfo
from lampas.engine.tensor import Tensor, no_grad
from lampas.engine.tensor import neural_normalization as operations
from lampas.engine.tensor.neural_normalization import normalized, normalized_by, rms_normalized
from lampas.nn.functional.padding import pad

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "normalize",
    "rms_norm",
]  # fmt: skip


def _channel_shape(input: Tensor) -> tuple[int, ...]:
    return (1, input.size(1)) + (1,) * (input.dim() - 2)


def _check_channels(name: str, tensor: Tensor | None, expected: int) -> None:
    if tensor is not None and tensor.numel() != expected:
        raise RuntimeError(f"{name} should contain {expected} elements not {tensor.numel()}")


def _need_more_than_one(input: Tensor) -> None:
    values = input._shape[0]
    for size in input._shape[2:]:
        values *= size
    if values == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.size()}"
        )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean)/√(var + eps)·weight + bias for each channel (dimension 1).

    Training takes the statistics of the batch and moves the running ones towards them (with the
    unbiased variance); otherwise the running statistics are used. Ioffe & Szegedy (2015).
    """
    return count_and_normalize(
        input, running_mean, running_var, weight, bias, training, momentum, eps, None
    )


def count_and_normalize(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    count: Tensor | None,
) -> Tensor:
    """As `batch_norm`; `count` goes up by one where both running statistics are moved."""
    size: tuple[int, ...] = input._shape
    if input.dim() < 2 and input.numel() == 0:
        return input.clone()
    if training:
        _need_more_than_one(input)
    channels = size[1]
    given = running_mean, running_var, weight, bias
    for number, each in enumerate(given):
        if each is not None and each._shape != (channels,):
            _check_channels(_GIVEN[number], each, channels)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "Expected running_mean and running_var to be defined when training=False"
            )
        attributes = _fixed_attributes(
            channels, len(size), eps, weight is not None, bias is not None
        )
        return normalized_by(input, running_mean, running_var, weight, bias, attributes)
    plan = _batch_plan(size, eps, weight is not None, bias is not None)
    result, mean, rate = operations.normalized_as(
        operations.BATCH_NORM, input, weight, bias, plan.attributes
    )
    if running_mean is not None or running_var is not None:
        _move_statistics(running_mean, running_var, mean, rate, momentum, plan.scales, count)
    return result


_GIVEN = ("running_mean", "running_var", "weight", "bias")


@functools.lru_cache(maxsize=1024, typed=True)
def _fixed_attributes(
    channels: int, rank: int, eps: float, weighted: bool, biased: bool
) -> tuple[Any, ...]:
    """What the operation with given statistics gets: made once, so that it is known again by its identity."""
    return eps, (weighted, biased), (1, channels) + (1,) * (rank - 2)


class _BatchPlan(NamedTuple):
    """What batch norm's operations get for a shape: made once, so that it is known again by its identity."""

    attributes: tuple[Any, ...]
    scales: tuple[float, float]  # eps, and what makes the variance unbiased


@functools.lru_cache(maxsize=1024, typed=True)
def _batch_plan(size: tuple[int, ...], eps: float, weighted: bool, biased: bool) -> _BatchPlan:
    dims = (0, *range(2, len(size)))
    shape = (1, size[1]) + (1,) * (len(size) - 2)
    count = math.prod(size) // max(size[1], 1)
    attributes = (size, dims, eps, (weighted, biased), shape)
    return _BatchPlan(attributes, (eps, count / max(count - 1, 1)))


def _move_statistics(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    rate: Tensor,
    momentum: float,
    scales: tuple[float, float],
    counter: Tensor | None = None,
) -> None:
    """Move the running statistics; over several samples' statistics, towards their average."""
    eps, factor = scales
    if running_mean is not None and running_var is not None:
        operations.move_statistics(running_mean, running_var, mean, rate, momentum, scales, counter)
        return
    with no_grad():
        if running_mean is not None:
            running_mean.copy_(operations.moved_mean(running_mean, mean, momentum))
        if running_var is not None:
            moved = operations.moved_variance(running_var, rate, momentum, eps, factor)
            running_var.copy_(moved)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`batch_norm` of every sample by itself: statistics over the spatial dimensions."""
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "Expected running_mean and running_var to be defined when use_input_stats is false"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(input.shape[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.size()}"
        )
    shape = _channel_shape(input)
    dims = tuple(range(2, input.dim()))
    result, mean, rate = normalized(
        operations.INSTANCE_NORM, input, weight, bias, tuple(input.shape), dims, eps, shape
    )
    if running_mean is not None or running_var is not None:
        count = math.prod(input.shape[2:])
        scales = eps, count / max(count - 1, 1)
        _move_statistics(running_mean, running_var, mean, rate, momentum, scales)
    return result


def _check_normalized_shape(
    name: str, input: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None
) -> None:
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least "
            "one element, but got normalized_shape = []"
        )
    for label, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise RuntimeError(
                f"Expected {label} to be of same shape as normalized_shape, but got {label} of "
                f"shape {list(tensor.shape)} and normalized_shape = {list(shape)}"
            )
    if tuple(input.shape[-len(shape) :]) != shape:
        expected = "".join(f", {size}" for size in shape)
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*{expected}], "
            f"but got input of size{list(input.shape)}"
        )


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Standardise over the trailing `normalized_shape`, then scale and shift (Ba et al., 2016)."""
    shape = tuple(normalized_shape)
    _check_normalized_shape("layer_norm", input, shape, weight, bias)
    rank = input.dim()
    dims = tuple(range(rank - len(shape), rank))
    view = tuple(input.shape)
    return normalized(operations.LAYER_NORM, input, weight, bias, view, dims, eps, shape)[0]


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x/√(mean(x²) + eps)·weight over the trailing dimensions (Zhang & Sennrich, 2019)."""
    shape = tuple(normalized_shape)
    _check_normalized_shape("rms_norm", input, shape, weight, None)
    if eps is None:
        eps = finfo(input.dtype).eps
    rank = input.dim()
    return rms_normalized(input, weight, tuple(range(rank - len(shape), rank)), eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Standardise over groups of channels of each sample (Wu & He, 2018)."""
    if input.dim() < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.dim()}"
        )
    batch, channels = input.shape[:2]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input "
            f"of shape {list(input.shape)} and num_groups={num_groups}"
        )
    for label, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and (tensor.dim() != 1 or tensor.numel() != channels):
            raise RuntimeError(
                f"Expected {label} to be a vector of size equal to the number of channels in "
                f"input, but got {label} of shape {list(tensor.shape)} and input of shape "
                f"{list(input.shape)}"
            )
    view = (batch, num_groups, math.prod(input.shape[2:]) * (channels // num_groups))
    shape = _channel_shape(input)
    return normalized(operations.GROUP_NORM, input, weight, bias, view, (2,), eps, shape)[0]


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x/(k + alpha·mean of x² over `size` neighbouring channels)^beta (Krizhevsky et al., 2012)."""
    if input.dim() < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)"
        )
    if input.numel() == 0:
        return input
    # A sum of shifted parts is one pass, forwards and backwards; windows would overlap in memory.
    around = (0, 0) * (input.dim() - 2) + (size // 2, (size - 1) // 2)
    padded = pad(input * input, around)
    channels = input.size(1)
    total = padded.narrow(1, 0, channels)
    for place in range(1, size):
        total = total + padded.narrow(1, place, channels)
    means = total / size if input.is_floating_point() else total.div(size, rounding_mode="trunc")
    return input / (means * alpha + k).pow(beta)


def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """x / max(‖x‖ₚ, eps) along `dim`."""
    result = input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return result if out is None else out.copy_(result)
