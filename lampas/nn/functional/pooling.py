"""Pooling: maximum, average, power average; and the adaptive kinds."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lampas.engine.graph.node import Node
from lampas.engine.tensor import Tensor, neural_adaptive_pooling, neural_pooling, zeros
from lampas.engine.tensor.values import node_of
from lampas.nn.functional.convolution_arguments import Sizes, spread
from lampas.nn.functional.precision import rounded_once, writes_out

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool1d_with_indices",
    "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices",
]  # fmt: skip


def _expanded(name: str, argument: str, value: Any, rank: int) -> tuple[int, ...]:
    values = spread(value, rank)
    if len(values) != rank:
        kind = "a single int" if rank == 1 else f"either be a single int, or a tuple of {rank} ints"
        raise RuntimeError(f"{name}: {argument} must {kind}")
    return values


def _check_input(name: str, input: Tensor, rank: int) -> None:
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor for input, "
            f"but got input of size: {list(input.shape)}"
        )
    if any(size == 0 for size in input.shape[-rank - 1 :]):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with optional 0 dim "
            f"batch size for input, but got: {list(input.shape)}"
        )


def _check_window(
    name: str,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> None:
    if any(value <= 0 for value in kernel):
        raise RuntimeError(f"kernel size should be greater than zero, but got {list(kernel)}")
    if any(value <= 0 for value in stride):
        raise RuntimeError(f"stride should not be zero ({name}): got {list(stride)}")
    if any(value <= 0 for value in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    for width, amount in zip(kernel, padding):
        if amount < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {amount}")
        if amount > width // 2:
            raise RuntimeError(
                "pad should be at most half of effective kernel size, but got "
                f"pad={amount}, kernel_size={width} and dilation={dilation[0]}"
            )


def _output_sizes(
    input: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> tuple[int, ...]:
    """How many windows fit; with `ceil_mode` a last one may hang over, if it starts inside."""
    sizes = tuple(input.shape[-len(kernel) :])
    counts = []
    for size, width, step, amount, gap in zip(sizes, kernel, stride, padding, dilation):
        room = size + 2 * amount - gap * (width - 1) - 1
        count = (room + (step - 1 if ceil_mode else 0)) // step + 1
        if ceil_mode and (count - 1) * step >= size + amount:
            count -= 1
        counts.append(count)
    if any(count < 1 for count in counts):
        given = "x".join(map(str, (input.size(-len(kernel) - 1), *sizes)))
        made = "x".join(map(str, (input.size(-len(kernel) - 1), *counts)))
        raise RuntimeError(
            f"Given input size: ({given}). Calculated output size: ({made}). "
            "Output size is too small"
        )
    return tuple(counts)


# Maximum


def _max_pool(
    rank: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Any,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> tuple[Tensor, Tensor]:
    name = f"max_pool{rank}d"
    kernel = _expanded(name, "kernel_size", kernel_size, rank)
    given = stride is not None and stride != [] and stride != ()
    steps = _expanded(name, "stride", stride, rank) if given else kernel
    amounts = _expanded(name, "padding", padding, rank)
    gaps = _expanded(name, "dilation", dilation, rank)
    _check_input(name, input, rank)
    _check_window(name, kernel, steps, amounts, gaps)
    sizes = _output_sizes(input, kernel, steps, amounts, gaps, ceil_mode)
    single = input.dim() == rank + 1
    batch = input.unsqueeze(0) if single else input
    values, index = neural_pooling.max_pool_with_index(batch, kernel, steps, amounts, gaps, sizes)
    return (values.squeeze(0), index.squeeze(0)) if single else (values, index)


def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of ([N,] C, L); NaN wins."""
    values, index = _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)
    return (values, index) if return_indices else values


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of ([N,] C, H, W); NaN wins.

    `return_indices` also gives the places in the flattened plane, for `max_unpool2d`.
    """
    values, index = _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)
    return (values, index) if return_indices else values


def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of ([N,] C, D, H, W); NaN wins."""
    values, index = _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode)
    return (values, index) if return_indices else values


def _with_indices(function: Any, name: str, position: int) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs["return_indices"] = True
        return function(*args[:position], **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`{function.__name__}` with the places of the values."
    return call


max_pool1d_with_indices = _with_indices(max_pool1d, "max_pool1d_with_indices", 6)
max_pool2d_with_indices = _with_indices(max_pool2d, "max_pool2d_with_indices", 6)
max_pool3d_with_indices = _with_indices(max_pool3d, "max_pool3d_with_indices", 6)


# Average


@functools.lru_cache(maxsize=64)
def _window_counts(
    sizes: tuple[int, ...],
    counts: tuple[int, ...],
    kernel: tuple[int, ...],
    steps: tuple[int, ...],
    amounts: tuple[int, ...],
    include_pad: bool,
) -> Node:
    """How many elements each window averages over."""
    lines = []
    for size, count, width, step, amount in zip(sizes, counts, kernel, steps, amounts):
        starts = np.arange(count) * step - amount
        ends = np.minimum(starts + width, size + amount)
        if not include_pad:
            starts, ends = np.maximum(starts, 0), np.minimum(ends, size)
        lines.append(ends - starts)
    return node_of(functools.reduce(np.multiply.outer, lines).astype(np.float64))


def _avg_pool(
    rank: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Any,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    name = f"avg_pool{rank}d"
    kernel = _expanded(name, "kernel_size", kernel_size, rank)
    given = stride is not None and stride != [] and stride != ()
    steps = _expanded(name, "stride", stride, rank) if given else kernel
    amounts = _expanded(name, "padding", padding, rank)
    _check_input(name, input, rank)
    _check_window(name, kernel, steps, amounts, (1,) * rank)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    sizes = tuple(input.shape[-rank:])
    counts = _output_sizes(input, kernel, steps, amounts, (1,) * rank, ceil_mode)
    high = []
    uniform = True
    for place in range(rank):
        reach = (counts[place] - 1) * steps[place] + kernel[place]
        after = reach - sizes[place] - amounts[place]
        high.append(after)
        uniform &= after <= amounts[place] and (count_include_pad or amounts[place] == 0)
    if divisor_override is None and not uniform:
        spans = _window_counts(sizes, counts, kernel, steps, amounts, count_include_pad)
        return neural_pooling.counted_pool(
            input, spans, kernel, steps, amounts, tuple(high), counts
        )
    divisor = math.prod(kernel) if divisor_override is None else divisor_override
    return neural_pooling.avg_pool(input, kernel, steps, amounts, tuple(high), counts, divisor)


def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of ([N,] C, L)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@writes_out
def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of ([N,] C, H, W); `divisor_override` divides the sum instead."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@writes_out
def avg_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of ([N,] C, D, H, W)."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _lp_pool(
    rank: int,
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Any,
    ceil_mode: bool,
) -> Tensor:
    kernel = _expanded(f"lp_pool{rank}d", "kernel_size", kernel_size, rank)
    means = _avg_pool(rank, input.pow(norm_type), kernel, stride, 0, ceil_mode, True, None)
    positive = means.abs().relu() * means.sign()
    return (positive.relu() * math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ x^p)^(1/p) over each window of ([N,] C, L)."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ x^p)^(1/p) over each window of ([N,] C, H, W)."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ x^p)^(1/p) over each window of ([N,] C, D, H, W)."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# Adaptive


def _adaptive_sizes(name: str, input: Tensor, output_size: Any, rank: int) -> tuple[int, ...]:
    _check_input(name, input, rank)
    if not input.is_floating_point():
        raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.title}'")
    if isinstance(output_size, int):
        return (output_size,) * rank
    values = tuple(output_size)
    if len(values) == 1 and rank == 1:
        pass
    elif len(values) != rank:
        raise RuntimeError(f"{name}: output_size must be {rank}")
    sizes = input.shape[-rank:]
    chosen = tuple(size if value is None else int(value) for value, size in zip(values, sizes))
    if any(value < 0 for value in chosen):
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0")
    return chosen


@rounded_once
def _adaptive_avg_pool(input: Tensor, name: str, output_size: Any, rank: int) -> Tensor:
    counts = _adaptive_sizes(name, input, output_size, rank)
    lead = input.dim() - rank
    if all(count == 1 for count in counts):
        return input.mean(tuple(range(lead, lead + rank)), keepdim=True)
    if not all(counts):
        return input.flatten(lead).narrow(lead, 0, 0).reshape(*input.shape[:lead], *counts)
    return neural_adaptive_pooling.adaptive_average(input, counts)


def adaptive_avg_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """Mean pooling of ([N,] C, L) to a given length."""
    return _adaptive_avg_pool(input, "adaptive_avg_pool1d", output_size, 1)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Mean pooling of ([N,] C, H, W) to given sizes; None keeps a size."""
    return _adaptive_avg_pool(input, "adaptive_avg_pool2d", output_size, 2)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Mean pooling of ([N,] C, D, H, W) to given sizes; None keeps a size."""
    return _adaptive_avg_pool(input, "adaptive_avg_pool3d", output_size, 3)


def _adaptive_max_pool(rank: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    counts = _adaptive_sizes(f"adaptive_max_pool{rank}d", input, output_size, rank)
    if not all(counts) or input.numel() == 0:
        values = zeros(*input.shape[:-rank], *counts, dtype=input.dtype)
        index = values.long()
    else:
        values, index = neural_adaptive_pooling.adaptive_maximum(input, counts)
    return (values, index) if return_indices else values


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum pooling of ([N,] C, L) to a given length."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum pooling of ([N,] C, H, W) to given sizes."""
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum pooling of ([N,] C, D, H, W) to given sizes."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


adaptive_max_pool1d_with_indices = _with_indices(
    adaptive_max_pool1d, "adaptive_max_pool1d_with_indices", 2
)
adaptive_max_pool2d_with_indices = _with_indices(
    adaptive_max_pool2d, "adaptive_max_pool2d_with_indices", 2
)
adaptive_max_pool3d_with_indices = _with_indices(
    adaptive_max_pool3d, "adaptive_max_pool3d_with_indices", 2
)
