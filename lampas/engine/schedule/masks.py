"""Masks of a rectifier are made of what its operand is made of, where that is read anyway.

The derivative of max(v, 0) asks where the result is 0.  Behind a normalisation v is a few operations on a value that lies in
memory and that the normalisation's own derivative reads too: the mask is then computed again from it, on the way, and the
result need not be read.

    %4 add %3 %1                                    v, of %0 and of means
    %5 maximum %4 0                           =>    %5 maximum %4 0
    %6 less_equal %5 0                              %6 less_equal %4 0

NaN is in neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import LinearGraph
from lampas.engine.schedule.kinds import CHEAP, is_elementwise
from lampas.engine.schedule.paths import MANY_TIMES

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry

MASKS = frozenset({p.LESS_EQUAL, p.GREATER})  # the same of v and of max(v, c), beside c


def remake_masks(graph: LinearGraph) -> LinearGraph:
    """The settled graph with such masks made of the rectifiers' operands."""
    finder = MaskFinder(graph)
    entries = [
        entry
        if (operand := finder.operand(number, entry)) is None
        else entry._replace(sources=(operand, entry.sources[1]))
        for number, entry in enumerate(graph.entries)
    ]
    return LinearGraph(tuple(entries), graph.leaves, graph.outputs, graph.origins)


@final
class MaskFinder:
    """Answers for the entries of one graph."""

    def __init__(self, graph: LinearGraph) -> None:
        self.entries = graph.entries
        self.bases: list[int] = []
        self.users: list[set[int]] = [set() for _ in graph.entries]
        for number, entry in enumerate(graph.entries):
            viewed = entry.op.kind == "view"
            self.bases.append(self.bases[entry.sources[0]] if viewed else number)
            if not viewed:
                for source in entry.sources:
                    self.users[self.bases[source]].add(number)

    def operand(self, number: int, entry: Entry) -> int | None:
        """What a mask had better compare; None where it is no mask, or is better left as it is."""
        if entry.op not in MASKS:
            return None
        bound = self.bases[entry.sources[1]]
        result = entry.sources[0]
        rectifier = self.entries[result]
        if rectifier.op is not p.MAXIMUM or self.entries[bound].op is not p.CONSTANT:
            return None
        operands = [s for s in rectifier.sources if self.bases[s] != bound]
        if len(operands) != 1 or self.entries[operands[0]].shape != rectifier.shape:
            return None
        found = self.chain(self.bases[operands[0]])
        return operands[0] if found and self.is_read(number, *found) else None

    def chain(self, number: int) -> tuple[set[int], int] | None:
        """Cheap operations that lead to a value from one other that is as large, and that one."""
        chain: set[int] = set()
        entry = self.entries[number]
        while is_elementwise(entry) and entry.op in CHEAP:
            large = {
                self.bases[source]
                for source in entry.sources
                if self.entries[self.bases[source]].numel * MANY_TIMES > entry.numel
            }
            if len(large) != 1:
                return None
            chain.add(number)
            (number,) = large
            entry = self.entries[number]
        return (chain, number) if chain else None

    def is_read(self, mask: int, chain: set[int], source: int) -> bool:
        """Whether the source lies in memory for others, and is read where the mask is used."""
        known = {*chain, source}
        if self.users[source] <= known:
            return False
        followers = {follower for user in self.users[mask] for follower in self.users[user]}
        return any(
            self.bases[operand] in known
            for follower in followers
            for operand in self.entries[follower].sources
        )
