"""Long products of narrow matrices are cut along their depth: parts are products of their own, and then added.

The derivative by a narrow layer's weight has as many terms as the batch has rows, for few results.  Whole, every tile of the
result walks through all of both operands; in parts, each thread reads its rows once, and a part of them lies in its own cache.

    %2 matmul %0 %1 [64, 64] of depth 4096          %2 matmul (4 × [64, 1024]) (4 × [1024, 64])
                                             =>     %3 sum [0] %2

The parts follow from the sizes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.schedule.copying import GraphCopy

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry, LinearGraph

LONG = 8  # times as deep as the result is high and wide
LEAST_PART = 256  # rows
MOST_RESULTS = 1 << 14
PARTS = (4, 5, 6, 8, 7, 3, 2)  # the first that divides the depth


def parts_of(entry: Entry, entries: tuple[Entry, ...]) -> int:
    """Into how many parts a product is cut; 1 for most."""
    if entry.op is not p.MATMUL or entry.attributes or len(entry.shape) != 2:
        return 1
    depth, (m, n) = entries[entry.sources[0]].shape[-1], entry.shape
    narrow = min(m, n) > 1 and m * n <= MOST_RESULTS and depth >= LONG * max(m, n)
    if not narrow or entry.dtype not in (float32, float64):
        return 1
    return next((c for c in PARTS if depth % c == 0 and depth // c >= LEAST_PART), 1)


def split_depths(graph: LinearGraph) -> LinearGraph:
    """The graph with long, narrow products cut."""
    cuts = [parts_of(entry, graph.entries) for entry in graph.entries]
    if max(cuts, default=1) == 1:
        return graph
    copy = GraphCopy()

    def replacement(number: int, entry: Entry) -> int | None:
        return None if cuts[number] == 1 else add_parts(copy, entry, cuts[number])

    return copy.write(graph, replacement)


def add_parts(copy: GraphCopy, entry: Entry, parts: int) -> int:
    """The products of all parts, and their sum."""
    a, b = entry.sources
    kind, (m, n) = entry.dtype, entry.shape
    each = copy.entries[a].shape[-1] // parts
    a = copy.add(p.RESHAPE, (a,), (m, parts, each), kind, (m, parts, each))
    a = copy.add(p.PERMUTE, (a,), (parts, m, each), kind, (1, 0, 2))
    b = copy.add(p.RESHAPE, (b,), (parts, each, n), kind, (parts, each, n))
    product = copy.add(p.MATMUL, (a, b), (parts, m, n), kind)
    total = copy.add(p.SUM, (product,), (1, m, n), kind, (0,))
    return copy.add(p.RESHAPE, (total,), (m, n), kind, (m, n))
