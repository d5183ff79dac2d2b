"""Windows as views: convolutions become matrix products, pooling becomes a reduction.

A convolution reads its operand through a strided view with one dimension for each kernel position (and
channel) and one for each place of the window; copied row-major ("im2col") that is the right operand of one
matrix product for all images, whose result is read with the images in front:

    columns[g, (c, k…), (n, o…)] = padded x[n, g·C + c, o·stride + k·dilation]
    out[g] = weight[g] · columns[g]                  grad_weight[g] = grad[g] · columns[g]ᵀ

The derivative by the input is a convolution of the spread gradient with the turned weight.  Sums run in
the order of the product's kernel, as for any matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lampas.engine.dtype import int64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import Entry
from lampas.engine.graph.reference import extreme_value
from lampas.engine.schedule.kinds import NEST_DTYPES
from lampas.engine.schedule.steps import numel
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.schedule.rewrites import Writer

Shape = tuple[int, ...]
Rule = Callable[["Writer", Entry], "int | None"]


def plain(w: Writer, source: int, shape: Shape) -> int:
    """The source as it must lie for the kernels: row-major, in a shape of as many elements."""
    return w.emit(p.AS_STRIDED, (source,), shape, contiguous_strides(shape), 0)


def padded(w: Writer, x: int, low: Shape, high: Shape, fill: Any = 0) -> int:
    """x with its spatial dimensions padded (or cropped) by a number."""
    if not any(low) and not any(high):
        return x
    zeros = (0, 0)
    return w.emit(p.PAD, (x, w.constant(fill, w.entries[x].dtype)), (*zeros, *low), (*zeros, *high))


def window_sizes(shape: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """How many places a window has along each spatial dimension of a padded value."""
    return tuple(
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(shape, kernel, stride, dilation, strict=True)
    )


def columns(
    w: Writer, x: int, kernel: Shape, stride: Shape, dilation: Shape, places: Shape, groups: int
) -> int:
    """(groups, channels·kernel, N·places) read from a padded value."""
    shape = w.entries[x].shape
    strides = contiguous_strides(shape)
    channels = shape[1] // groups
    steps = strides[2:]
    view = w.emit(
        p.AS_STRIDED,
        (x,),
        (groups, channels, *kernel, shape[0], *places),
        (
            channels * strides[1],
            strides[1],
            *(d * s for d, s in zip(dilation, steps, strict=True)),
            strides[0],
            *(j * s for j, s in zip(stride, steps, strict=True)),
        ),
        0,
    )
    folded = (groups, channels * numel(kernel), shape[0] * numel(places))
    return w.emit(p.RESHAPE, (view,), folded)


def windowed_product(
    w: Writer, x: int, weight: int, stride: Shape, dilation: Shape, groups: int
) -> int:
    """The convolution of a padded value."""
    shape, kernel = w.entries[x].shape, w.entries[weight].shape[2:]
    places = window_sizes(shape[2:], kernel, stride, dilation)
    read = columns(w, x, kernel, stride, dilation, places, groups)
    depth = w.entries[read].shape[1]
    out_channels = w.entries[weight].shape[0]
    rows = w.emit(p.RESHAPE, (weight,), (groups, out_channels // groups, depth))
    product = w.emit(p.MATMUL, (rows, read))
    split = w.emit(p.RESHAPE, (product,), (out_channels, shape[0], numel(places)))
    turned = w.emit(p.PERMUTE, (split,), (1, 0, 2))
    return w.emit(p.RESHAPE, (turned,), (shape[0], out_channels, *places))


def is_native(w: Writer, entry: Entry) -> bool:
    return (
        entry.dtype.is_floating_point
        and bool(entry.numel)
        and all(w.entries[source].numel for source in entry.sources)
    )


def convolution(w: Writer, entry: Entry) -> int | None:
    """A convolution as a matrix product."""
    if not is_native(w, entry):
        return None
    stride, padding, dilation, groups = entry.attributes
    x = padded(w, entry.sources[0], padding, padding)
    return windowed_product(w, x, entry.sources[1], stride, dilation, groups)


def convolution_backward_weight(w: Writer, entry: Entry) -> int | None:
    """The gradient by the columns: the sum over images and places is the product's own."""
    if not is_native(w, entry):
        return None
    weight_shape, stride, padding, dilation, groups = entry.attributes
    x, grad = entry.sources
    places = w.entries[grad].shape[2:]
    x = padded(w, x, padding, padding)
    read = columns(w, x, weight_shape[2:], stride, dilation, places, groups)
    count, out_channels = w.entries[grad].shape[:2]
    flat = w.emit(p.RESHAPE, (grad,), (count, out_channels, numel(places)))
    moved = w.emit(p.PERMUTE, (flat,), (1, 0, 2))
    rows = (groups, out_channels // groups, count * numel(places))
    flow = w.emit(p.RESHAPE, (moved,), rows)
    product = w.emit(p.MATMUL, (flow, w.emit(p.PERMUTE, (read,), (0, 2, 1))))
    return w.emit(p.RESHAPE, (product,), weight_shape)


def convolution_backward_input(w: Writer, entry: Entry) -> int | None:
    """A convolution of the gradient, spread by the stride, with the weight turned round."""
    if not is_native(w, entry):
        return None
    input_shape, stride, padding, dilation, groups = entry.attributes
    grad, weight = entry.sources
    kernel = w.entries[weight].shape[2:]
    grad = spread(w, grad, stride)
    shape = w.entries[grad].shape
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    low = tuple(r - q for r, q in zip(reach, padding, strict=True))
    high = tuple(
        n + r - have - below
        for n, r, have, below in zip(input_shape[2:], reach, shape[2:], low, strict=True)
    )
    ones = (1,) * len(kernel)
    turned = turned_weight(w, weight, groups)
    return windowed_product(w, padded(w, grad, low, high), turned, ones, dilation, groups)


def spread(w: Writer, grad: int, stride: Shape) -> int:
    """The gradient with stride - 1 zeros between its elements."""
    if all(s == 1 for s in stride):
        return grad
    shape = w.entries[grad].shape
    wide = (*shape[:2], *((n - 1) * s + 1 for n, s in zip(shape[2:], stride, strict=True)))
    steps = contiguous_strides(wide)
    strides = (*steps[:2], *(a * s for a, s in zip(steps[2:], stride, strict=True)))
    return w.emit(p.AS_STRIDED_ACCUMULATE, (grad,), wide, strides, 0)


def turned_weight(w: Writer, weight: int, groups: int) -> int:
    """(out, in/groups, …) as (in, out/groups, …) with the kernel positions reversed."""
    shape = w.entries[weight].shape
    out_each, kernel = shape[0] // groups, shape[2:]
    rank = len(kernel)
    split = w.emit(p.RESHAPE, (weight,), (groups, out_each, *shape[1:]))
    swapped = w.emit(p.PERMUTE, (split,), (0, 2, 1, *range(3, 3 + rank)))
    turned = w.emit(p.FLIP, (swapped,), tuple(range(3, 3 + rank)))
    return w.emit(p.RESHAPE, (turned,), (groups * shape[1], out_each, *kernel))


def max_pool_index(w: Writer, entry: Entry) -> int | None:
    """The position of each window's maximum, flat in the spatial dimensions.

    Where a whole padded window is -inf the position found may lie in the padding; it is moved to the
    nearest place inside, which for undilated windows is one of the window.
    """
    kernel, stride, padding, dilation, sizes = entry.attributes
    x = w.entries[entry.sources[0]]
    rank = len(kernel)
    lead = x.shape[: len(x.shape) - rank]
    if x.dtype not in NEST_DTYPES or not x.numel or not entry.numel:
        return None
    if any(padding) and any(d != 1 for d in dilation):
        return None
    spatial = x.shape[len(lead) :]
    flat = w.emit(p.RESHAPE, (entry.sources[0],), (numel(lead), 1, *spatial))
    needed = [
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip(sizes, stride, dilation, kernel, strict=True)
    ]
    high = tuple(
        max(need - n - below, 0) for need, n, below in zip(needed, spatial, padding, strict=True)
    )
    lowest = extreme_value(x.dtype.numpy, False)
    source = padded(w, flat, padding, high, lowest)
    strides = contiguous_strides(w.entries[source].shape)
    steps = strides[2:]
    view = w.emit(
        p.AS_STRIDED,
        (source,),
        (numel(lead), *sizes, *kernel),
        (
            strides[0],
            *(j * s for j, s in zip(stride, steps, strict=True)),
            *(d * s for d, s in zip(dilation, steps, strict=True)),
        ),
        0,
    )
    picked = w.emit(p.ARGMAX, (view,), tuple(range(1 + rank, 1 + 2 * rank)))
    picked = w.emit(p.RESHAPE, (picked,), (*lead, *sizes))
    return flat_place(w, picked, entry.attributes, spatial)


def flat_place(w: Writer, picked: int, attributes: tuple[Any, ...], spatial: Shape) -> int:
    """From the position inside each window to the position in the whole."""
    kernel, stride, padding, dilation, sizes = attributes
    rank = len(kernel)
    total = None
    for dim in range(rank):
        inside = divided(w, picked, numel(kernel[dim + 1 :]), kernel[dim] if dim else 0)
        count = w.append(Entry(p.IOTA, (sizes[dim],), (), (sizes[dim],), int64))
        axis = tuple(sizes[dim] if d == dim else 1 for d in range(rank))
        start = times(w, w.emit(p.RESHAPE, (count,), axis), stride[dim])
        start = w.emit(p.SUBTRACT, (start, w.constant(padding[dim], int64)))
        place = w.emit(p.ADD, (times(w, inside, dilation[dim]), start))
        if padding[dim]:
            place = w.emit(p.MAXIMUM, (place, w.constant(0, int64)))
            place = w.emit(p.MINIMUM, (place, w.constant(spatial[dim] - 1, int64)))
        place = times(w, place, numel(spatial[dim + 1 :]))
        total = place if total is None else w.emit(p.ADD, (total, place))
    assert total is not None
    return total


def divided(w: Writer, value: int, by: int, modulus: int) -> int:
    """value // by, modulo `modulus` unless that is 0."""
    if by != 1:
        value = w.emit(p.FLOOR_DIVIDE, (value, w.constant(by, int64)))
    return w.emit(p.REMAINDER, (value, w.constant(modulus, int64))) if modulus else value


def times(w: Writer, value: int, factor: int) -> int:
    return w.emit(p.MULTIPLY, (value, w.constant(factor, int64)))
