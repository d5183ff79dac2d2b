"""Writing a graph again with some of its entries made of several others: for passes that insert."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lampas.engine.graph.linear import Entry, LinearGraph

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype
    from lampas.engine.graph.linear import Origin
    from lampas.engine.graph.primitives import Primitive

Shape = tuple[int, ...]


class GraphCopy:
    """The entries written so far; `places` has the new number of each old one."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.origins: list[Origin] = []
        self.places: list[int] = []
        self.origin: Origin = ("", ())

    def append(self, entry: Entry) -> int:
        """The number of an entry whose sources are new numbers."""
        self.entries.append(entry)
        self.origins.append(self.origin)
        return len(self.entries) - 1

    def add(
        self,
        op: Primitive,
        sources: tuple[int, ...],
        shape: Shape,
        kind: dtype,
        *attributes: object,
    ) -> int:
        """The number of `op` applied to earlier entries."""
        return self.append(Entry(op, attributes, sources, shape, kind))

    def write(
        self, graph: LinearGraph, replacement: Callable[[int, Entry], int | None]
    ) -> LinearGraph:
        """The whole graph; `replacement` writes what stands for an old entry, or gives None for one that stays as it is.

        An entry comes to `replacement` with the new numbers of its sources.
        """
        for number, (entry, origin) in enumerate(zip(graph.entries, graph.origins, strict=True)):
            self.origin = origin
            moved = entry._replace(sources=tuple([self.places[s] for s in entry.sources]))
            made = replacement(number, moved)
            self.places.append(self.append(moved) if made is None else made)
        leaves = tuple([self.places[leaf] for leaf in graph.leaves])
        outputs = tuple([self.places[output] for output in graph.outputs])
        return LinearGraph(tuple(self.entries), leaves, outputs, tuple(self.origins))
