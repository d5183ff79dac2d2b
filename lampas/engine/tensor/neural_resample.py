"""Resampling of images: from a table of source places and weights, and by the nearest place.

result[o] = Σₜ weights[t, o]·x[places[t, o]] along one dimension. The derivative has the same form with
the transposed table, which says for every source which results it went into. Where either table has
many entries a place, a product with the matrix of all weights, or a scattered sum, is the shorter way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.graph import build as g
from lampas.engine.tensor.contraction import stacked_product
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.door import record
from lampas.engine.tensor.values import node_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]

# Terms that one kernel adds up: beyond it, recording and compiling them costs more than they save.
MOST_TAPS = 24


class Table(NamedTuple):
    """Leaves of a resampling of `size` places: (taps, results), and transposed (taps, sources)."""

    places: Node
    weights: Node
    back_places: Node
    back_weights: Node


def mix(x: Node, places: Node, weights: Node, dim: int) -> Node:
    """Σₜ weights[t, o]·x[places[t, o]] along `dim`."""
    taps, count = places.shape
    after = (1,) * (len(x.shape) - dim - 1)
    total = None
    for tap in range(taps):
        row = g.reshape(g.narrow(places, 0, tap, 1), (count,))
        factors = g.reshape(g.narrow(weights, 0, tap, 1), (count, *after))
        part = g.multiply(g.index_select(x, dim, row), factors)
        total = part if total is None else g.add(total, part)
    assert total is not None
    return total


def mix_back(ct: Node, table: Table, dim: int, size: int) -> Node:
    """The cotangent of the source of `mix`, which has `size` places along `dim`."""
    if table.back_places.shape[0] <= MOST_TAPS:
        return mix(ct, table.back_places, table.back_weights, dim)
    shape = (*ct.shape[:dim], size, *ct.shape[dim + 1 :])
    total = g.full(shape, 0, ct.dtype)
    taps, count = table.places.shape
    for tap in range(taps):
        row = g.reshape(g.narrow(table.places, 0, tap, 1), (count,))
        factors = g.narrow(table.weights, 0, tap, 1)
        after = (1,) * (len(ct.shape) - dim - 1)
        part = g.multiply(ct, g.reshape(factors, (count, *after)))
        total = g.index_add(total, dim, row, part)
    return total


def _resample(x: Node, *arguments: object) -> Node:
    places, weights, _, _, dim = arguments
    return mix(x, places, weights, dim)  # type: ignore[arg-type]


def _resample_vjp(saved: Saved, ct: Node) -> Grads:
    (dim,) = saved.attributes
    table = Table(*saved.inputs[1:])
    return (mix_back(ct, table, dim, saved.inputs[0].shape[dim]), None, None, None, None)


RESAMPLE = Operation("upsample", _resample, vjp=_resample_vjp, saves="inputs")


def transposed_table(
    places: np.ndarray, weights: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """For every source, the results it goes into, and its weights there; padded with weight 0."""
    into: list[list[tuple[int, float]]] = [[] for _ in range(size)]
    for row, factors in zip(places.tolist(), weights.tolist(), strict=True):
        for result, (source, weight) in enumerate(zip(row, factors, strict=True)):
            into[source].append((result, weight))
    width = max(1, max(len(entries) for entries in into))
    back_places = np.zeros((width, size), np.int64)
    back_weights = np.zeros((width, size), weights.dtype)
    for source, entries in enumerate(into):
        for tap in range(width):
            # A padded tap reads a result that counts anyway: no foreign NaN comes in.
            result, weight = entries[tap] if tap < len(entries) else ((*entries, (0, 0))[0][0], 0)
            back_places[tap, source] = result
            back_weights[tap, source] = weight
    return back_places, back_weights


def table_of(places: np.ndarray, weights: np.ndarray, size: int) -> Table:
    """The leaves for places and weights (taps, results) into `size` sources."""
    arrays = (places, weights, *transposed_table(places, weights, size))
    return Table(*[node_of(array) for array in arrays])


def resample(x: Tensor, dim: int, table: Table) -> Tensor:
    """x resampled along `dim`."""
    return record(RESAMPLE, (x, *table), (dim,))


# By a matrix --------------------------------------------------------------------------------------


def _product(x: Node, matrix: Node, dim: int) -> Node:
    """x with `dim` multiplied by a (size, results) matrix."""
    size, count = matrix.shape
    lead, after = x.shape[:dim], x.shape[dim + 1 :]
    outer = inner = 1
    for n in lead:
        outer *= n
    for n in after:
        inner *= n
    if inner == 1:
        made = stacked_product(g.reshape(x, (outer, size)), matrix)
    else:
        turned = g.expand(g.transpose(matrix), (outer, count, size))
        made = stacked_product(turned, g.reshape(x, (outer, size, inner)))
    return g.reshape(made, (*lead, count, *after))


PRODUCT = Operation("upsample", _product, saves="inputs")


def resample_densely(x: Tensor, dim: int, matrix: Node) -> Tensor:
    """x resampled along `dim` by a (size, results) matrix of weights."""
    return record(PRODUCT, (x, matrix), (dim,))


# By the nearest place -----------------------------------------------------------------------------


def _nearest(x: Node, *arguments: object) -> Node:
    *leaves, dims = arguments
    for number, dim in enumerate(dims):  # type: ignore[var-annotated,arg-type]
        places: Node = leaves[4 * number]  # type: ignore[assignment]
        x = g.index_select(x, dim, g.reshape(places, (places.numel,)))
    return x


def _nearest_vjp(saved: Saved, ct: Node) -> Grads:
    x, *leaves = saved.inputs
    (dims,) = saved.attributes
    for number, dim in reversed(list(enumerate(dims))):
        ct = mix_back(ct, Table(*leaves[4 * number : 4 * number + 4]), dim, x.shape[dim])
    return (ct, *(None,) * len(leaves))


NEAREST = {
    rank: Operation(
        f"upsample_nearest{rank}d",
        _nearest,
        vjp=_nearest_vjp,
        grad_name=f"UpsampleNearest{rank}DBackward0",
        saves="inputs",
    )
    for rank in (1, 2, 3)
}


def nearest(x: Tensor, dims: tuple[int, ...], tables: tuple[Table, ...]) -> Tensor:
    """The values at the places of one-tap tables, each along its dimension."""
    leaves = [leaf for table in tables for leaf in table]
    return record(NEAREST[len(x._shape) - 2], (x, *leaves), (dims,))
