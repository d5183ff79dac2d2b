"""Long products of narrow matrices are cut along their depth: parts are products of their own, and then added.

The derivative by a narrow layer's weight has as many terms as the batch has rows, for few results.  Whole, every tile of the
result walks through all of both operands; in parts, each thread reads its rows once, and a part of them lies in its own cache.

    %2 matmul %0 %1 [64, 64] of depth 4096          %2 matmul (4 × [64, 1024]) (4 × [1024, 64])
                                             =>     %3 sum [0] %2

The parts follow from the sizes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import Entry, LinearGraph

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Origin

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
    writer = DepthWriter()
    for entry, origin, parts in zip(graph.entries, graph.origins, cuts, strict=True):
        writer.write(entry, origin, parts)
    places = writer.places
    leaves = tuple([places[leaf] for leaf in graph.leaves])
    outputs = tuple([places[output] for output in graph.outputs])
    return LinearGraph(tuple(writer.entries), leaves, outputs, tuple(writer.origins))


@final
class DepthWriter:
    """Writes the entries again, some as several."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.origins: list[Origin] = []
        self.places: list[int] = []

    def write(self, entry: Entry, origin: Origin, parts: int) -> None:
        """One entry of the old graph."""
        sources = tuple([self.places[source] for source in entry.sources])
        if parts == 1:
            self.append(entry._replace(sources=sources), origin)
        else:
            self.write_parts(entry, sources, origin, parts)
        self.places.append(len(self.entries) - 1)

    def append(self, entry: Entry, origin: Origin) -> int:
        self.entries.append(entry)
        self.origins.append(origin)
        return len(self.entries) - 1

    def write_parts(
        self, entry: Entry, sources: tuple[int, ...], origin: Origin, parts: int
    ) -> None:
        """The products of all parts, and their sum."""
        a, b = sources
        kind, (m, n) = entry.dtype, entry.shape
        each = self.entries[a].shape[-1] // parts

        def add(
            op: p.Primitive, attributes: tuple[object, ...], made: tuple[int, ...], *shape: int
        ) -> int:
            return self.append(Entry(op, attributes, made, shape, kind), origin)

        a = add(p.RESHAPE, ((m, parts, each),), (a,), m, parts, each)
        a = add(p.PERMUTE, ((1, 0, 2),), (a,), parts, m, each)
        b = add(p.RESHAPE, ((parts, each, n),), (b,), parts, each, n)
        product = add(p.MATMUL, (), (a, b), parts, m, n)
        total = add(p.SUM, ((0,),), (product,), 1, m, n)
        add(p.RESHAPE, ((m, n),), (total,), m, n)
