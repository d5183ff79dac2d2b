"""Maximum and average pooling over windows.

The maximum keeps the place of each window's largest value; its gradient adds the cotangent there.
The average is a convolution of every channel with ones; windows that neither overlap nor leave gaps
are a mere reshape, and integers are read as strided windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.shape import contiguous_strides
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_precision import wide

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Sizes = tuple[int, ...]
Grads = tuple["Node | None", ...]


def _flat(x: Node, rank: int) -> Node:
    """The last `rank` dimensions joined."""
    lead = x.shape[: len(x.shape) - rank]
    count = 1
    for size in x.shape[len(x.shape) - rank :]:
        count *= size
    return g.reshape(x, (*lead, count))


def _max_pool(
    x: Node, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, sizes: Sizes
) -> tuple[Node, Node]:
    rank = len(kernel)
    index = g.make(p.MAX_POOL_INDEX, (x,), (kernel, stride, padding, dilation, sizes))
    flat = _flat(x, rank)
    values = g.gather(flat, len(flat.shape) - 1, _flat(index, rank))
    return g.reshape(values, index.shape), index


def _max_pool_vjp(saved: Saved, ct: Node | None, _: Node | None) -> Grads:
    if ct is None:
        return (None,)
    x, index = saved.inputs[0], saved.outputs[1]
    rank = len(saved.attributes[0])
    zeros = _flat(g.full(x.shape, 0, x.dtype), rank)
    last = len(zeros.shape) - 1
    flow = g.scatter(zeros, last, _flat(index, rank), _flat(ct, rank), "add")
    return (g.reshape(flow, x.shape),)


def _max_pool_operation(rank: int) -> Operation:
    return Operation(
        f"max_pool{rank}d_with_indices",
        _max_pool,
        vjp=_max_pool_vjp,
        grad_name=f"MaxPool{rank}DWithIndicesBackward0",
        multiple=True,
    )


MAX_POOLS = {rank: _max_pool_operation(rank) for rank in (1, 2, 3)}


def max_pool_with_index(
    x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, sizes: Sizes
) -> tuple[Tensor, Tensor]:
    """Largest values of (N, C, …) and their places in the joined spatial dimensions."""
    return record(MAX_POOLS[len(kernel)], (x,), (kernel, stride, padding, dilation, sizes))


def _windows(x: Node, kernel: Sizes, stride: Sizes, counts: Sizes) -> Node:
    """(…, *counts, *kernel) reading of x."""
    rank = len(kernel)
    lead = len(x.shape) - rank
    steps = contiguous_strides(x.shape)
    shape = (*x.shape[:lead], *counts, *kernel)
    moves = tuple(step * jump for step, jump in zip(steps[lead:], stride, strict=True))
    return g.as_strided(x, shape, (*steps[:lead], *moves, *steps[lead:]), 0)


def _window_sum(
    x: Node, kernel: Sizes, stride: Sizes, low: Sizes, high: Sizes, counts: Sizes
) -> Node:
    value = wide(x)
    rank = len(kernel)
    lead = len(x.shape) - rank
    floating = value.dtype.is_floating_point
    symmetric = floating and all(after <= before for before, after in zip(low, high, strict=True))
    if (any(low) or any(high)) and not symmetric:
        none = (0,) * lead
        value = g.pad(value, (*none, *low), (*none, *high), g.like(value, 0))
        low = (0,) * rank
    tiled = tuple(n * k for n, k in zip(counts, kernel, strict=True))
    if kernel == stride and value.shape[lead:] == tiled and not any(low):
        total = _tile_sum(value, kernel, counts)
    elif floating and value.numel:
        total = _convolved(value, kernel, stride, low)
    else:
        windows = _windows(value, kernel, stride, counts)
        total = g.sum_dims(windows, tuple(range(lead + rank, lead + 2 * rank)))
    return g.cast(g.reshape(total, (*value.shape[:lead], *counts)), x.dtype)


def _tile_sum(value: Node, kernel: Sizes, counts: Sizes) -> Node:
    """Sums of windows that tile the input exactly."""
    rank = len(kernel)
    lead = len(value.shape) - rank
    split: list[int] = []
    for count, width in zip(counts, kernel, strict=True):
        split += [count, width]
    parts = g.reshape(value, (*value.shape[:lead], *split))
    return g.sum_dims(parts, tuple(range(lead + 1, lead + 2 * rank, 2)))


def _convolved(value: Node, kernel: Sizes, stride: Sizes, padding: Sizes) -> Node:
    """Window sums as a convolution of every channel with ones."""
    rank = len(kernel)
    lead = value.shape[: len(value.shape) - rank]
    channels = lead[-1] if lead else 1
    images = 1
    for size in lead[:-1]:
        images *= size
    shape = (images, channels, *value.shape[len(lead) :])
    ones = g.full((channels, 1, *kernel), 1, value.dtype)
    settings = (stride, padding, (1,) * rank, channels)
    return g.make(p.CONVOLUTION, (g.reshape(value, shape), ones), settings)


def _avg_pool(
    x: Node,
    kernel: Sizes,
    stride: Sizes,
    low: Sizes,
    high: Sizes,
    counts: Sizes,
    divisor: float,
) -> Node:
    total = _window_sum(x, kernel, stride, low, high, counts)
    if divisor == 1:
        return total
    if total.dtype.is_floating_point or total.dtype.is_complex:
        return g.divide(total, g.like(total, divisor))
    count = g.like(total, int(divisor))
    return g.floor_divide(g.subtract(total, g.fmod(total, count)), count)


def _counted_pool(
    x: Node, spans: Node, kernel: Sizes, stride: Sizes, low: Sizes, high: Sizes, counts: Sizes
) -> Node:
    total = _window_sum(x, kernel, stride, low, high, counts)
    spans = g.cast(spans, total.dtype)
    if total.dtype.is_floating_point or total.dtype.is_complex:
        return g.divide(total, spans)
    return g.floor_divide(g.subtract(total, g.fmod(total, spans)), spans)


AVG_POOLS = {
    rank: Operation(
        f"avg_pool{rank}d", _avg_pool, grad_name=f"AvgPool{rank}DBackward0", saves="none"
    )
    for rank in (1, 2, 3)
}


def avg_pool(
    x: Tensor,
    kernel: Sizes,
    stride: Sizes,
    low: Sizes,
    high: Sizes,
    counts: Sizes,
    divisor: float,
) -> Tensor:
    """Window sums of (…, spatial) padded by `low` and `high` with zeros, divided by `divisor`."""
    return record(AVG_POOLS[len(kernel)], (x,), (kernel, stride, low, high, counts, divisor))


COUNTED_POOLS = {
    rank: Operation(
        f"avg_pool{rank}d", _counted_pool, grad_name=f"AvgPool{rank}DBackward0", saves="inputs"
    )
    for rank in (1, 2, 3)
}


def counted_pool(
    x: Tensor, spans: Node, kernel: Sizes, stride: Sizes, low: Sizes, high: Sizes, counts: Sizes
) -> Tensor:
    """`avg_pool` whose windows have divisors of their own: `spans` (counts) of float64."""
    return record(COUNTED_POOLS[len(kernel)], (x, spans), (kernel, stride, low, high, counts))
