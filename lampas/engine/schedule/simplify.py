"""Simplification of a linear graph: equal nodes become one, needless ones vanish.

Every entry is written again through a `Rewriter`, which numbers equal entries alike (common
subexpressions) and tries the rules of `rewrites.REWRITES` for its primitive; a rule either names an
entry that has the same value, bit for bit, or writes a cheaper one.  What no output needs is left out.

    %0 buffer float32[4]              %0 buffer float32[4]
    %1 constant 1.0                   %1 exp %0
    %2 multiply %0 %1         =>      %2 add %1 %1
    %3 exp %2
    %4 exp %0
    %5 add %3 %4

The leaves keep their order, used or not: run-time data come by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from lampas.engine.graph.linear import Entry, LinearGraph
from lampas.engine.graph.primitives import BUFFER, CONSTANT, EXPAND, MATMUL, PERMUTE, SCALAR
from lampas.engine.graph.shapes import SHAPE_RULES
from lampas.engine.schedule.rewrites import REWRITES, exchanges_last

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lampas.engine.dtype import dtype
    from lampas.engine.graph.linear import Origin
    from lampas.engine.graph.primitives import Primitive

Shape = tuple[int, ...]


@final
class Rewriter:
    """Collects entries; equal ones get one number."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.turned: set[int] = set()
        """Matrix products that are only read transposed."""
        self.origin: Origin = ("", ())
        self.origins: list[Origin] = []

    def add_leaf(self, entry: Entry) -> int:
        """A run-time leaf; never merged with another."""
        self.entries.append(entry)
        self.origins.append(self.origin)
        return len(self.entries) - 1

    def append(self, entry: Entry) -> int:
        """The number of an entry, an earlier one if it is the same."""
        key = (entry.op, entry.sources, entry.attributes, entry.shape, entry.dtype)
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.entries)
            self.entries.append(entry)
            self.origins.append(self.origin)
        return number

    def emit(self, op: Primitive, sources: Iterable[int], *attributes: Any) -> int:
        """The number of `op` applied to earlier entries, after rewriting."""
        sources = tuple(sources)
        given: Any = [self.entries[source] for source in sources]
        shape, kind = SHAPE_RULES[op](given, *attributes)
        return self.write(Entry(op, attributes, sources, shape, kind))

    def constant(self, value: Any, kind: dtype) -> int:
        """The number of a 0-d constant."""
        return self.append(Entry(CONSTANT, (value, repr(value)), (), (), kind))

    def expand(self, source: int, shape: Shape) -> int:
        """The source repeated to `shape`."""
        return (
            source if self.entries[source].shape == shape else self.emit(EXPAND, (source,), shape)
        )

    def write(self, entry: Entry) -> int:
        """Rewrite an entry whose sources are numbers of this rewriter."""
        rule = REWRITES.get(entry.op)
        found = rule(self, entry) if rule is not None else None
        return self.append(entry) if found is None else found


def simplify(graph: LinearGraph) -> LinearGraph:
    """The same outputs from fewer and cheaper entries."""
    rewriter = Rewriter()
    renumbered: list[int] = []
    turned = products_read_transposed(graph)
    for number, entry in enumerate(graph.entries):
        rewriter.origin = graph.origins[number]
        if entry.op is BUFFER or entry.op is SCALAR:
            renumbered.append(rewriter.add_leaf(entry))
            continue
        sources = tuple([renumbered[source] for source in entry.sources])
        moved = Entry(entry.op, entry.attributes, sources, entry.shape, entry.dtype)
        renumbered.append(rewriter.write(moved))
        if number in turned:
            rewriter.turned.add(renumbered[-1])
    leaves = tuple(renumbered[leaf] for leaf in graph.leaves)
    outputs = tuple(renumbered[output] for output in graph.outputs)
    made = LinearGraph(tuple(rewriter.entries), leaves, outputs, tuple(rewriter.origins))
    return drop_unused(made)


def products_read_transposed(graph: LinearGraph) -> set[int]:
    """Matrix products all of whose users exchange the last two dimensions."""
    found = {number for number, entry in enumerate(graph.entries) if entry.op is MATMUL}
    found -= set(graph.outputs)
    for entry in graph.entries:
        if not (entry.op is PERMUTE and exchanges_last(entry.attributes[0])):
            found -= set(entry.sources)
    return found


def drop_unused(graph: LinearGraph) -> LinearGraph:
    """The graph without entries that no output needs; leaves stay."""
    needed = bytearray(len(graph.entries))
    for number in (*graph.leaves, *graph.outputs):
        needed[number] = 1
    for number in range(len(graph.entries) - 1, -1, -1):
        if needed[number]:
            for source in graph.entries[number].sources:
                needed[source] = 1
    renumbered: dict[int, int] = {}
    entries: list[Entry] = []
    for number, entry in enumerate(graph.entries):
        if needed[number]:
            renumbered[number] = len(entries)
            sources = tuple([renumbered[source] for source in entry.sources])
            entries.append(Entry(entry.op, entry.attributes, sources, entry.shape, entry.dtype))
    leaves = tuple(renumbered[leaf] for leaf in graph.leaves)
    outputs = tuple(renumbered[output] for output in graph.outputs)
    origins = tuple(graph.origins[number] for number in renumbered)
    return LinearGraph(tuple(entries), leaves, outputs, origins)
