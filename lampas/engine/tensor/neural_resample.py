"""Resampling along one dimension from a table of source places and weights.

result[o] = Σₜ weights[t, o]·x[places[t, o]]. The derivative has the same form with the transposed
table, which says for every source which results it went into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.door import record

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]


def _mix(x: Node, places: Node, weights: Node, dim: int) -> Node:
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


def _resample(
    x: Node, places: Node, weights: Node, back_places: Node, back_weights: Node, dim: int
) -> Node:
    return _mix(x, places, weights, dim)


def _resample_vjp(saved: Saved, ct: Node) -> Grads:
    places, weights = saved.inputs[3:]
    return (_mix(ct, places, weights, saved.attributes[0]), None, None, None, None)


RESAMPLE = Operation("upsample", _resample, vjp=_resample_vjp, saves="inputs")


def transposed_table(
    places: np.ndarray, weights: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """For every source, the results it goes into, and its weights there; padded with weight 0."""
    into: list[list[tuple[int, float]]] = [[] for _ in range(size)]
    for tap in range(places.shape[0]):
        for result, (source, weight) in enumerate(zip(places[tap], weights[tap], strict=True)):
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


def resample(x: Tensor, dim: int, tables: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """x resampled along `dim` by (places, weights) and their transposed table."""
    return record(RESAMPLE, (x, *tables), (dim,))
