"""Fractional maximum pooling (Graham, 2015), and the inverse of maximum pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lampas.engine.tensor import Tensor, rand, stack, tensor, zeros
from lampas.nn.functional.pooling import Sizes, _expanded, _with_indices

__all__ = [
    "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip


def _window_maximum(
    input: Tensor, spans: Sequence[list[tuple[int, int]]], rank: int
) -> tuple[Tensor, Tensor]:
    """Largest value and its flat place for windows given by their ends in each dimension."""
    sizes = tuple(input.shape[-rank:])
    counts = tuple(len(ends) for ends in spans)
    if not all(counts) or input.numel() == 0:
        empty = zeros(*input.shape[:-rank], *counts, dtype=input.dtype)
        return empty, empty.long()
    flat: Tensor | None = None
    for place, ends in enumerate(spans):
        widest = max(end - start for start, end in ends)
        table = [[min(start + i, end - 1) for i in range(widest)] for start, end in ends]
        shape = [1] * (2 * rank)
        shape[place], shape[rank + place] = len(ends), widest
        step = math.prod(sizes[place + 1 :])
        part = tensor(table).reshape(shape) * step
        flat = part if flat is None else flat + part
    assert flat is not None
    places = flat.reshape(math.prod(counts), -1)
    windows = input.flatten(-rank).index_select(-1, places.reshape(-1))
    windows = windows.reshape(*input.shape[:-rank], *places.shape)
    inner = windows.detach().argmax(-1, keepdim=True)
    values = windows.gather(-1, inner).squeeze(-1)
    lead = input.shape[:-rank]
    index = places.expand(*lead, *places.shape).gather(-1, inner).squeeze(-1)
    return values.reshape(*lead, *counts), index.reshape(*lead, *counts)


def _starts(sample: float, size: int, count: int, width: int) -> list[int]:
    """Where the windows of a pseudo-random sequence start; the last one ends at the edge."""
    if count == 1:
        return [size - width]
    step = (size - width) / (count - 1)
    first = [int((i + sample) * step) - int(sample * step) for i in range(count - 1)]
    return [*first, size - width]


def _fractional(
    rank: int,
    input: Tensor,
    kernel_size: Sizes,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Tensor | None,
) -> Any:
    name = f"fractional_max_pool{rank}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    sizes = tuple(input.shape[-rank:])
    if output_size is None:
        ratios = (output_ratio,) * rank if isinstance(output_ratio, float | int) else output_ratio
        if len(ratios) > rank:
            raise ValueError(f"{name} requires output_ratio to be of length {rank}")
        counts = tuple(int(size * ratio) for size, ratio in zip(sizes, ratios))
    else:
        counts = _expanded(name, "output_size", output_size, rank)
    kernel = _expanded(name, "kernel_size", kernel_size, rank)
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D tensor, but got: {list(input.shape)}"
        )
    for size, count, width in zip(sizes, counts, kernel):
        if count + width - 1 > size:
            raise RuntimeError(
                f"{name}(): pool size {width} too large relative to input size {size} "
                f"(output size {count})"
            )
    batch = input if input.dim() == rank + 2 else input.unsqueeze(0)
    planes = batch.size(0), batch.size(1)
    if samples is None:
        samples = rand(*planes, rank, dtype=input.dtype)
    values, index = _pool_planes(batch, kernel, counts, samples, rank)
    if input.dim() == rank + 1:
        values, index = values.squeeze(0), index.squeeze(0)
    return (values, index) if return_indices else values


def _pool_planes(
    batch: Tensor, kernel: Sequence[int], counts: Sequence[int], samples: Tensor, rank: int
) -> tuple[Tensor, Tensor]:
    """Every plane of (N, C, …) has windows of its own; samples run from the last dimension."""
    draws = samples.tolist()
    sizes = tuple(batch.shape[-rank:])
    results = []
    for number in range(batch.size(0)):
        for channel in range(batch.size(1)):
            spans = []
            for place in range(rank):
                draw = draws[number][channel][rank - 1 - place if rank == 2 else place]
                starts = _starts(draw, sizes[place], counts[place], kernel[place])
                spans.append([(start, start + kernel[place]) for start in starts])
            results.append(_window_maximum(batch[number, channel], spans, rank))
    if not results:
        empty = zeros(*batch.shape[:2], *counts, dtype=batch.dtype)
        return empty, empty.long()
    shape = (*batch.shape[:2], *counts)
    values = stack([value for value, _ in results]).reshape(shape)
    return values, stack([index for _, index in results]).reshape(shape)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maximum pooling of ([N,] C, H, W) to given sizes over pseudo-random windows."""
    return _fractional(
        2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maximum pooling of ([N,] C, D, H, W) to given sizes over pseudo-random windows."""
    return _fractional(
        3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


fractional_max_pool2d_with_indices = _with_indices(
    fractional_max_pool2d, "fractional_max_pool2d_with_indices", 4
)
fractional_max_pool3d_with_indices = _with_indices(
    fractional_max_pool3d, "fractional_max_pool3d_with_indices", 4
)


def _unpool_sizes(
    input: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    output_size: Any,
) -> tuple[int, ...]:
    rank = len(kernel)
    sizes = input.shape[-rank:]
    default = [
        (size - 1) * step + width - 2 * amount
        for size, step, width, amount in zip(sizes, stride, kernel, padding)
    ]
    if output_size is None:
        return tuple(default)
    chosen = list(output_size)
    if len(chosen) == rank + 2:
        chosen = chosen[2:]
    if len(chosen) != rank:
        raise ValueError(
            "output_size should be a sequence containing "
            f"{rank} or {rank + 2} elements, but it has a length of '{len(chosen)}'"
        )
    for place, size in enumerate(chosen):
        low, high = default[place] - stride[place], default[place] + stride[place]
        if not low < size < high:
            raise ValueError(
                f'invalid output_size "{chosen}" (dim {place} must be between {low} and {high})'
            )
    return tuple(chosen)


def _unpool(
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Any,
    padding: Sizes,
    output_size: Any,
) -> Tensor:
    name = f"max_unpool{rank}d"
    kernel = _expanded(name, "kernel_size", kernel_size, rank)
    steps = kernel if stride is None else _expanded(name, "stride", stride, rank)
    amounts = _expanded(name, "padding", padding, rank)
    sizes = _unpool_sizes(input, kernel, steps, amounts, output_size)
    if str(indices.dtype).rpartition(".")[2] != "int64":
        raise RuntimeError(
            "elements in indices should be type int64 but got: "
            + indices.type().rpartition(".")[2].removesuffix("Tensor")
        )
    if input.shape != indices.shape:
        raise RuntimeError(
            "Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Input to {name} should be a {rank + 1}d or {rank + 2}d Tensor, but got a tensor "
            f"with {input.dim()} dims"
        )
    lead = tuple(input.shape[:-rank])
    plane = zeros(*lead, math.prod(sizes), dtype=input.dtype)
    result = plane.scatter(-1, indices.flatten(-rank), input.flatten(-rank))
    return result.reshape(*lead, *sizes)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """Values of `max_pool1d` put back at their places, zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """Values of `max_pool2d` put back at their places, zeros elsewhere."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """Values of `max_pool3d` put back at their places, zeros elsewhere."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
