"""The reference of convolutions and max pooling: windows as a strided reading, then a contraction."""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
Arrays = list[np.ndarray]
Shape = tuple[int, ...]


def _padded(x: Array, padding: Shape, fill: Any = 0) -> Array:
    """x with its trailing spatial dimensions padded on both sides."""
    lead = x.ndim - len(padding)
    shape = x.shape[:lead] + tuple(n + 2 * q for n, q in zip(x.shape[lead:], padding, strict=True))
    result = np.full(shape, fill, x.dtype)
    inside = tuple(slice(q, q + n) for n, q in zip(x.shape[lead:], padding, strict=True))
    result[(..., *inside)] = x
    return result


def _windows(x: Array, kernel: Shape, output: Shape, stride: Shape, dilation: Shape) -> Array:
    """(*lead, *output, *kernel) reading of the padded x."""
    lead = x.ndim - len(kernel)
    steps = x.strides[lead:]
    return np.lib.stride_tricks.as_strided(
        x,
        x.shape[:lead] + output + kernel,
        x.strides[:lead]
        + tuple(s * j for s, j in zip(steps, stride, strict=True))
        + tuple(s * d for s, d in zip(steps, dilation, strict=True)),
        writeable=True,
    )


def _output_sizes(
    spatial: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Shape:
    return tuple(
        (n + 2 * q - d * (k - 1) - 1) // j + 1
        for n, k, j, q, d in zip(spatial, kernel, stride, padding, dilation, strict=True)
    )


def _count(sizes: Shape) -> int:
    return int(np.prod(sizes, dtype=np.int64))


def _columns(
    x: Array,
    kernel: Shape,
    output: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
) -> Array:
    """im2col: (N, groups, C/groups·kernel, output)."""
    batch, channels = x.shape[:2]
    count = len(kernel)
    view = _windows(_padded(x, padding), kernel, output, stride, dilation)
    order = (0, 1, *range(2 + count, 2 + 2 * count), *range(2, 2 + count))
    rows = channels // groups * _count(kernel)
    return view.transpose(order).reshape(batch, groups, rows, _count(output))


def _wide(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


def _convolution(
    arrays: Arrays, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    x, weight = _wide(arrays[0]), _wide(arrays[1])
    kernel = weight.shape[2:]
    output = _output_sizes(x.shape[2:], kernel, stride, padding, dilation)
    columns = _columns(x, kernel, output, stride, padding, dilation, groups)
    filters = weight.reshape(groups, weight.shape[0] // groups, -1)
    result = np.matmul(filters, columns)
    return result.reshape(x.shape[0], weight.shape[0], *output).astype(arrays[0].dtype)


def _convolution_backward_input(
    arrays: Arrays, input_shape: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    grad, weight = _wide(arrays[0]), _wide(arrays[1])
    kernel = weight.shape[2:]
    output = grad.shape[2:]
    batch, channels = input_shape[:2]
    filters = weight.reshape(groups, weight.shape[0] // groups, -1)
    flat = grad.reshape(batch, groups, weight.shape[0] // groups, _count(output))
    columns = np.matmul(filters.transpose(0, 2, 1), flat)
    columns = columns.reshape(batch, channels, *kernel, *output)
    spatial = tuple(n + 2 * q for n, q in zip(input_shape[2:], padding, strict=True))
    result = np.zeros((batch, channels, *spatial), grad.dtype)
    for place in np.ndindex(*kernel):
        target = tuple(
            slice(k * d, k * d + (o - 1) * j + 1, j)
            for k, d, o, j in zip(place, dilation, output, stride, strict=True)
        )
        if 0 not in output:
            result[(..., *target)] += columns[(slice(None), slice(None), *place)]
    crop = tuple(slice(q, q + n) for n, q in zip(input_shape[2:], padding, strict=True))
    return result[(..., *crop)].astype(arrays[0].dtype)


def _convolution_backward_weight(
    arrays: Arrays, weight_shape: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    x, grad = _wide(arrays[0]), _wide(arrays[1])
    kernel, output = weight_shape[2:], grad.shape[2:]
    columns = _columns(x, kernel, output, stride, padding, dilation, groups)
    flat = grad.reshape(x.shape[0], groups, weight_shape[0] // groups, _count(output))
    result = np.matmul(flat, columns.transpose(0, 1, 3, 2)).sum(0)
    return result.reshape(weight_shape).astype(arrays[0].dtype)


def _max_pool_index(
    arrays: Arrays, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, output: Shape
) -> Array:
    x = _wide(arrays[0])
    count = len(kernel)
    spatial = x.shape[x.ndim - count :]
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    reach = tuple(
        max((o - 1) * j + d * (k - 1) + 1 - n - q, q)
        for o, j, d, k, n, q in zip(output, stride, dilation, kernel, spatial, padding, strict=True)
    )
    lead = [(0, 0)] * (x.ndim - count)
    edges = lead + [(q, r) for q, r in zip(padding, reach, strict=True)]
    padded = np.pad(x, edges, constant_values=lowest)
    inside = np.pad(
        np.arange(int(np.prod(spatial))).reshape(spatial), edges[len(lead) :], constant_values=-1
    )
    values = _windows(padded, kernel, output, stride, dilation)
    places = np.ascontiguousarray(_windows(inside, kernel, output, stride, dilation))
    cells = int(np.prod(kernel))
    flat = values.reshape(*values.shape[: values.ndim - count], cells)
    places = places.reshape(*output, cells)
    flat = np.where(places >= 0, flat, lowest)
    # The first cell inside the image, should every value of a window be the lowest one.
    best = flat.argmax(-1)
    if flat.dtype.kind == "f":  # the last NaN, where there is one
        missing = np.isnan(flat)
        best = np.where(missing.any(-1), cells - 1 - missing[..., ::-1].argmax(-1), best)
    picked = np.take_along_axis(np.broadcast_to(places, flat.shape), best[..., None], -1)[..., 0]
    first = np.where(places >= 0, np.arange(cells), cells).argmin(-1)
    fallback = np.take_along_axis(places, first[..., None], -1)[..., 0]
    return np.where(picked < 0, fallback, picked).astype(np.int64)


WINDOW_RULES: dict[p.Primitive, Callable[..., Any]] = {
    p.CONVOLUTION: _convolution,
    p.CONVOLUTION_BACKWARD_INPUT: _convolution_backward_input,
    p.CONVOLUTION_BACKWARD_WEIGHT: _convolution_backward_weight,
    p.MAX_POOL_INDEX: _max_pool_index,
}
