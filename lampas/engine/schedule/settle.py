"""Settling of views: after this pass every view can be read in place.

A copy (a cast to the own dtype) is put where a view cannot be a strided reading of stored memory, where
something without memory (a constant) is wanted in memory, and where an output would otherwise be a leaf, a
view, or the same memory as another output.

    %1 permute [1, 0] %0              %1 permute [1, 0] %0
    %2 reshape [6] %1          =>     %2 cast float32 %1
                                      %3 reshape [6] %2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import Entry, LinearGraph
from lampas.engine.schedule.kinds import PICKING, SERIAL, fits_nest
from lampas.engine.schedule.reading import Reading, apply_view, plain_reading
from lampas.engine.shape import is_contiguous

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.linear import Origin

MEMORY_ONLY = SERIAL | {
    p.CONVOLUTION,
    p.CONVOLUTION_BACKWARD_INPUT,
    p.CONVOLUTION_BACKWARD_WEIGHT,
    p.MAX_POOL_INDEX,
}
ROWS_IN_MEMORY = {p.ATTENTION, p.ATTENTION_BACKWARD, p.RECURRENT, p.RECURRENT_BACKWARD}


@final
class Settler:
    """Writes the entries again with copies between them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.bases: list[int] = []
        self.readings: list[Reading] = []
        self.copies: dict[int, int] = {}
        self.origin: Origin = ("", ())
        self.origins: list[Origin] = []

    def append(self, entry: Entry) -> int:
        """Add an entry; a view gets its base and reading, anything else is its own base."""
        number = len(self.entries)
        base, reading = number, plain_reading(entry.shape)
        if entry.op.kind == "view":
            source = entry.sources[0]
            found = apply_view(self.readings[source], entry.op, entry.attributes)
            if found is None:
                copied = self.copy(source)
                return self.append(
                    Entry(entry.op, entry.attributes, (copied,), entry.shape, entry.dtype)
                )
            base, reading = self.bases[source], found
        self.entries.append(entry)
        self.origins.append(self.origin)
        self.bases.append(base)
        self.readings.append(reading)
        return number

    def copy(self, source: int) -> int:
        """The number of a row-major copy."""
        number = self.copies.get(source)
        if number is None:
            entry = self.entries[source]
            number = self.copies[source] = self.append(
                Entry(p.CAST, (entry.dtype,), (source,), entry.shape, entry.dtype)
            )
        return number

    def memory(self, source: int) -> int:
        """The source, or its copy where nothing stands behind it in memory."""
        bare = self.entries[self.bases[source]].op in (p.CONSTANT, p.IOTA)
        return self.copy(source) if bare else source

    def rows(self, source: int, whole: bool = False) -> int:
        """The source, or its copy where the elements of its rows (or of the `whole`) do not lie side by side in memory."""
        source = self.memory(source)
        reading = self.readings[source]
        beside = (
            is_contiguous(reading.shape, reading.strides) if whole else reading.strides[-1] == 1
        )
        return source if beside else self.copy(source)

    def output(self, source: int, taken: set[int]) -> int:
        """The source, or its copy where it has no memory of its own."""
        base, reading = self.bases[source], self.readings[source]
        entry = self.entries[base]
        whole = reading.is_plain and _count(reading.shape) == entry.numel
        if base in taken or not whole or entry.op.kind == "leaf":
            self.copies.pop(source, None)
            self.origin = self.origins[source]
            source = self.copy(source)
            base = source
        taken.add(base)
        return source


def _count(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def settle(graph: LinearGraph) -> LinearGraph:
    """The same outputs with every view readable and every output in memory of its own."""
    settler = Settler()
    renumbered: list[int] = []
    for entry, origin in zip(graph.entries, graph.origins, strict=True):
        settler.origin = origin
        sources = [renumbered[source] for source in entry.sources]
        if (entry.op is p.MATMUL and fits_nest(entry, ())) or entry.op in MEMORY_ONLY:
            sources = [settler.memory(source) for source in sources]
        elif entry.op in ROWS_IN_MEMORY:
            plain = 2 if entry.op is p.RECURRENT_BACKWARD else 0
            sources = [settler.rows(source, n < plain) for n, source in enumerate(sources)]
        elif entry.op in PICKING or entry.op is p.PAD:
            sources[0] = settler.memory(sources[0])
        moved = Entry(entry.op, entry.attributes, tuple(sources), entry.shape, entry.dtype)
        renumbered.append(settler.append(moved))
    taken: set[int] = set()
    outputs = tuple(settler.output(renumbered[output], taken) for output in graph.outputs)
    leaves = tuple(renumbered[leaf] for leaf in graph.leaves)
    return LinearGraph(tuple(settler.entries), leaves, outputs, tuple(settler.origins))
