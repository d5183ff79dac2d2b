"""Distances between all rows of two sets (`cdist`) and of one (`pdist`).

Euclidean distances of many rows come from the product of matrices, |a|² + |b|² − 2·a·b, as in PyTorch, at
the price of its cancellation for rows that are close to each other; others from the differences.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.graph import build as g
from lampas.engine.realize.bounds import note_bounds
from lampas.engine.shape import broadcast_shapes
from lampas.engine.tensor.contraction import stacked_product, transposed
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.norms import vector_norm
from lampas.engine.tensor.values import node_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node
    from lampas.engine.tensor.core import Tensor

MANY_ROWS = 25  # PyTorch's bound: above, the product of matrices
ALWAYS, IF_MANY, NEVER = (
    "use_mm_for_euclid_dist",
    "use_mm_for_euclid_dist_if_necessary",
    "donot_use_mm_for_euclid_dist",
)


def _spread(a: Node, b: Node) -> tuple[Node, Node]:
    """Both with the batch dimensions that they have together."""
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return g.expand(a, (*lead, *a.shape[-2:])), g.expand(b, (*lead, *b.shape[-2:]))


def _squares(x: Node) -> Node:
    return g.sum_dims(g.multiply(x, x), (len(x.shape) - 1,))


def _euclidean(a: Node, b: Node) -> Node:
    a, b = _spread(a, b)
    both = stacked_product(a, transposed(b))
    sizes = g.add(_squares(a), g.transpose(_squares(b)))
    squares = g.subtract(sizes, g.multiply(both, g.like(both, 2)))
    return g.sqrt(g.maximum(squares, g.like(squares, 0)))


def _euclidean_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    """ct·(a − b)/distance summed over the other rows; nothing where the distance is 0."""
    a, b = _spread(*saved.inputs)
    distance = saved.output
    zero = g.like(distance, 0)
    none = g.equal(distance, zero)
    ratio = g.where(none, _zeros(distance), g.divide(ct, g.where(none, _ones(distance), distance)))
    flows = []
    for mine, other, weight in ((a, b, ratio), (b, a, g.transpose(ratio))):
        total = g.sum_dims(weight, (len(weight.shape) - 1,))
        flows.append(g.subtract(g.multiply(mine, total), stacked_product(weight, other)))
    return tuple(g.sum_to(flow, x.shape) for flow, x in zip(flows, saved.inputs, strict=True))


def _zeros(x: Node) -> Node:
    """Zeros of x's shape."""
    return g.full(x.shape, 0, x.dtype)


def _ones(x: Node) -> Node:
    """Ones of x's shape."""
    return g.full(x.shape, 1, x.dtype)


EUCLIDEAN = Operation("cdist", _euclidean, vjp=_euclidean_vjp)


@public()
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The p-norm distances between each row of x1 and each row of x2: (…, P, M) and (…, R, M)."""
    for name, x in (("X1", x1), ("X2", x2)):
        if not x.dtype.is_floating_point:
            raise RuntimeError(
                f"cdist only supports floating-point dtypes, {name} got: {x.dtype.title}"
            )
        if len(x._shape) < 2:
            raise RuntimeError(
                f"cdist only supports at least 2D tensors, {name} got: {len(x._shape)}D"
            )
    if x1._shape[-1] != x2._shape[-1]:
        raise RuntimeError(
            "X1 and X2 must have the same number of columns. X1: "
            f"{x1._shape[-1]} X2: {x2._shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    mode = IF_MANY if compute_mode is None else compute_mode
    if mode not in (ALWAYS, IF_MANY, NEVER):
        raise ValueError(f"{mode} is not a valid value for compute_mode")
    many = max(x1._shape[-2], x2._shape[-2]) > MANY_ROWS
    whole = x1.dtype is x2.dtype and x1.dtype.itemsize > 2 and bool(x1._shape[-1])
    if p == 2 and whole and (mode == ALWAYS or (mode == IF_MANY and many)):
        return record(EUCLIDEAN, (x1, x2))
    gap = x1.unsqueeze(-2) - x2.unsqueeze(-3)  # type: ignore[attr-defined]
    return vector_norm(gap, p, -1)


# Pairs --------------------------------------------------------------------------------------------


def _differences(x: Node, first: Node, second: Node) -> Node:
    return g.subtract(g.index_select(x, 0, first), g.index_select(x, 0, second))


DIFFERENCES = Operation("pdist", _differences, saves="inputs")


@functools.lru_cache(maxsize=8)
def _pairs(count: int) -> tuple[Node, Node]:
    first, second = np.triu_indices(count, 1)
    return node_of(first.astype(np.int64)), node_of(second.astype(np.int64))


@functools.lru_cache(maxsize=8)
def _upper(count: int) -> Node:
    """The places of the pairs in a whole square."""
    first, second = np.triu_indices(count, 1)
    made = node_of((first * count + second).astype(np.int64))
    note_bounds(made.buffer, 0, count * count - 1)
    return made


def _gaps(x: Node) -> Node:
    """x[i] − x[j] at (i, j): never in memory, since it is reduced where it is made."""
    count, width = x.shape
    whole = (count, count, width)
    mine = g.expand(g.reshape(x, (count, 1, width)), whole)
    return g.subtract(mine, g.expand(g.reshape(x, (1, count, width)), whole))


def _pair_distances(x: Node, places: Node) -> Node:
    square = g.sqrt(_squares(_gaps(x)))
    return g.gather(g.reshape(square, (x.shape[0] ** 2,)), 0, places)


def _pair_distances_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    """The sum over j of weight[i, j]·(x[i] − x[j]), weight = ct/distance; nothing where the distance is 0."""
    (x, places), distance = saved.inputs, saved.output
    count, width = x.shape
    none = g.equal(distance, g.like(distance, 0))
    ratio = g.where(none, _zeros(distance), g.divide(ct, g.where(none, _ones(distance), distance)))
    empty = g.full((count * count,), 0, x.dtype)
    half = g.reshape(g.scatter(empty, 0, places, ratio), (count, count))
    # Read the other way round, which is the same: then vectors run along the rows of x.
    weight = g.transpose(g.add(half, g.transpose(half)))
    spread = g.expand(g.reshape(weight, (count, count, 1)), (count, count, width))
    return g.reshape(g.sum_dims(g.multiply(spread, _gaps(x)), (1,)), x.shape), None


PAIRS = Operation("pdist", _pair_distances, vjp=_pair_distances_vjp)


def pdist(x: Tensor, p: float) -> Tensor:
    """The p-norm distances of all pairs of rows i < j."""
    count, width = x._shape
    if p == 2 and count > 1 and width and x.dtype.itemsize > 2:
        return record(PAIRS, (x, _upper(count)))
    return vector_norm(record(DIFFERENCES, (x, *_pairs(count))), p, -1)
