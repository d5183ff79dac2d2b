"""Adaptive pooling: means and maxima of windows that share a dimension out.

Window i of `count` covers [⌊i·size/count⌋, ⌈(i+1)·size/count⌉).  The windows are boxes, so each dimension
is reduced by itself, window by window, the slowest first: that pass then runs along whole rows.  The place
of a maximum is the first in row-major order, which the fastest dimension first finds.
"""

from __future__ import annotations

import functools
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_resample import Table, mix_back, table_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node
    from lampas.engine.tensor.core import Tensor

Sizes = tuple[int, ...]
Grads = tuple["Node | None", ...]


def spans(size: int, count: int) -> list[tuple[int, int]]:
    """The windows' ends."""
    return [(i * size // count, -((i + 1) * size // -count)) for i in range(count)]


def _windows(x: Node, dim: int, count: int) -> list[Node]:
    return [g.narrow(x, dim, start, end - start) for start, end in spans(x.shape[dim], count)]


# Means --------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def _table(size: int, count: int, wide: bool) -> Table:
    """Windows as places and weights, for the derivative."""
    ends = spans(size, count)
    widest = max(end - start for start, end in ends)
    places = np.array([[min(a + tap, b - 1) for a, b in ends] for tap in range(widest)], np.int64)
    weights = np.array([[(a + tap < b) / (b - a) for a, b in ends] for tap in range(widest)])
    return table_of(places, weights.astype(np.float64 if wide else np.float32), size)


def _averages(x: Node, *arguments: Any) -> Node:
    """x and, for the derivative alone, a table for each dimension; attributes: dimensions, counts."""
    dims, counts = arguments[-2:]
    for dim, count in zip(dims, counts, strict=True):
        parts = []
        for window in _windows(x, dim, count):
            total = g.sum_dims(window, (dim,))
            parts.append(g.divide(total, g.like(total, window.shape[dim])))
        x = g.concatenate(parts, dim)
    return x


def _averages_vjp(saved: Saved, ct: Node) -> Grads:
    x, *leaves = saved.inputs
    dims, _ = saved.attributes
    for number, dim in reversed(list(enumerate(dims))):
        ct = mix_back(ct, Table(*leaves[4 * number : 4 * number + 4]), dim, x.shape[dim])
    return (ct, *(None,) * len(leaves))


AVERAGES = {
    rank: Operation(
        f"adaptive_avg_pool{rank}d",
        _averages,
        vjp=_averages_vjp,
        grad_name=f"AdaptiveAvgPool{rank}DBackward0",
        saves="inputs",
    )
    for rank in (1, 2, 3)
}


def adaptive_average(x: Tensor, counts: Sizes) -> Tensor:
    """Means of a floating x over windows of its last dimensions."""
    rank = len(counts)
    lead = len(x._shape) - rank
    wide = x.dtype.itemsize == 8
    pairs = [
        (lead + place, count)
        for place, count in enumerate(counts)
        if count != x._shape[lead + place]
    ]
    if not pairs:
        return x
    tables = [_table(x._shape[dim], count, wide) for dim, count in pairs]
    leaves = [leaf for table in tables for leaf in table]
    attributes = (tuple(dim for dim, _ in pairs), tuple(count for _, count in pairs))
    return record(AVERAGES[rank], (x, *leaves), attributes)


# Maxima -------------------------------------------------------------------------------------------


def _largest(x: Node, dim: int, count: int) -> Node:
    return g.concatenate([g.max_dims(part, (dim,)) for part in _windows(x, dim, count)], dim)


def _places(x: Node, dim: int, count: int) -> Node:
    """Where along `dim` the first largest value of each window is."""
    found = []
    for part, (start, _) in zip(_windows(x, dim, count), spans(x.shape[dim], count), strict=True):
        place = g.argmax(part, dim)
        found.append(g.add(place, g.like(place, start)))
    return g.concatenate(found, dim)


def _maxima(x: Node, counts: Sizes) -> tuple[Node, Node]:
    lead = len(x.shape) - len(counts)
    values, rest = x, x
    for place, count in enumerate(counts):
        values = _largest(values, lead + place, count)
    flat: Node | None = None
    step = 1
    for place in reversed(range(len(counts))):
        dim = lead + place
        at = _places(rest, dim, counts[place])
        rest = _largest(rest, dim, counts[place])
        along = g.multiply(at, g.like(at, step))
        flat = along if flat is None else g.add(g.gather(flat, dim, at), along)
        step *= x.shape[dim]
    assert flat is not None
    return values, g.cast(flat, int64)


def _maxima_vjp(saved: Saved, ct: Node | None, _: Node | None) -> Grads:
    if ct is None:
        return (None,)
    x, index = saved.inputs[0], saved.outputs[1]
    lead = len(x.shape) - len(saved.attributes[0])
    outer = x.shape[:lead]
    zeros = g.full((*outer, prod(x.shape[lead:])), 0, x.dtype)
    shape = (*outer, prod(index.shape[lead:]))
    flow = g.scatter(zeros, lead, g.reshape(index, shape), g.reshape(ct, shape), "add")
    return (g.reshape(flow, x.shape),)


MAXIMA = {
    rank: Operation(
        f"adaptive_max_pool{rank}d",
        _maxima,
        vjp=_maxima_vjp,
        grad_name=f"AdaptiveMaxPool{rank}DBackward0",
        multiple=True,
    )
    for rank in (1, 2, 3)
}


def adaptive_maximum(x: Tensor, counts: Sizes) -> tuple[Tensor, Tensor]:
    """The largest values of windows of the last dimensions, and their places in these joined."""
    return record(MAXIMA[len(counts)], (x,), (counts,))
