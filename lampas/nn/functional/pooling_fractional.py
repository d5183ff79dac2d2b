"""Fractional maximum pooling (Graham, 2015), and the inverse of maximum pooling.

The windows of all planes are searched at once on the host; picking their largest elements, and giving
gradients back to them, is the graph's.
"""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.host.corners import greatest_in_windows
from lampas.engine.tensor import Tensor, rand, zeros
from lampas.engine.tensor.door import record
from lampas.nn.functional.pooling import Sizes, _expanded, _with_indices

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

__all__ = [
    "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip


@host_function("fractional_max_pool_index")
def _greatest_places(
    x: np.ndarray, samples: np.ndarray, kernel: Sequence[int], counts: Sequence[int]
) -> np.ndarray:
    """Where in its plane each window's largest element lies; a NaN is greater than all."""
    sizes = x.shape[2:]
    planes = np.ascontiguousarray(x).reshape(-1, math.prod(sizes))
    planes = planes.astype(np.float32) if x.dtype.itemsize == 2 else planes
    draws = samples.reshape(len(planes), len(sizes))
    draws = draws[:, ::-1] if len(sizes) == 2 else draws
    whole = np.int32 if planes.shape[1] < 1 << 31 else np.int64
    steps = np.cumprod((1, *sizes[:0:-1]), dtype=whole)[::-1]
    offsets = np.indices(kernel).reshape(len(kernel), -1).T @ steps
    corners = np.zeros([1] * (len(sizes) + 1), whole)
    for dim, (size, count, width) in enumerate(zip(sizes, counts, kernel, strict=True)):
        starts = _starts(draws[:, dim], size, count, width).astype(whole) * steps[dim]
        shape = [count if d == dim else 1 for d in range(len(sizes))]
        corners = corners + starts.reshape(-1, *shape)
    found = greatest_in_windows(planes, corners.reshape(len(planes), -1), offsets)
    return found.reshape(*x.shape[:2], *counts)


def _starts(draws: np.ndarray, size: int, count: int, width: int) -> np.ndarray:
    """Where the windows of pseudo-random sequences start, a row for each; the last ends at the edge.

    PyTorch counts in the draws' own dtype.
    """
    starts = np.full((len(draws), count), size - width, np.int64)
    if count > 1:
        step = draws.dtype.type(size - width) / draws.dtype.type(count - 1)
        numbers = np.arange(count - 1).astype(draws.dtype)
        ends = ((numbers + draws[:, None]) * step).astype(np.int64)
        starts[:, :-1] = ends - (draws * step).astype(np.int64)[:, None]
    return starts


def _places_node(x: Node, samples: Node, kernel: Sequence[int], counts: Sequence[int]) -> Node:
    kind = ((*x.shape[:2], *counts), int64)
    return g.host("fractional_max_pool_index", (x, samples), (kind,), (kernel, counts))[0]


PLACES = Operation("fractional_max_pool_index", _places_node, saves="none")


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
    elif samples.size(0) > planes[0]:
        samples = samples[: planes[0]]
    values, index = _pool_planes(batch, kernel, counts, samples, rank)
    if input.dim() == rank + 1:
        values, index = values.squeeze(0), index.squeeze(0)
    return (values, index) if return_indices else values


def _pool_planes(
    batch: Tensor, kernel: Sequence[int], counts: Sequence[int], samples: Tensor, rank: int
) -> tuple[Tensor, Tensor]:
    """Every plane of (N, C, …) has windows of its own; samples run from the last dimension."""
    if not batch.size(0) * batch.size(1) * math.prod(counts):
        empty = zeros(*batch.shape[:2], *counts, dtype=batch.dtype)
        return empty, empty.long()
    index = record(PLACES, (batch.detach(), samples), (tuple(kernel), tuple(counts)))
    values = batch.flatten(-rank).gather(-1, index.flatten(-rank))
    return values.reshape(index.shape), index


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
