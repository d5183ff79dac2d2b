"""Ranges of integer entries: what is known of an index without running anything.

`Ranges.of(number)` is (least, greatest) by interval arithmetic over positions (iota, argmax, sort),
constants and the operations that indices are made of; None where nothing is known.  An index that surely
lies in range needs no guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry

Range = tuple[int, int] | None
POSITIONS = frozenset({p.ARGMAX, p.ARGMIN})


@final
class Ranges:
    """Ranges of the entries of one graph, found on demand."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self.known: dict[int, Range] = {}

    def inside(self, number: int, size: int) -> bool:
        """Whether an index surely lies in [-size, size)."""
        found = self.of(number)
        return found is not None and -size <= found[0] and found[1] < size

    def of(self, number: int) -> Range:
        """The range of an entry's values."""
        if number not in self.known:
            self.known[number] = self.find(self.entries[number])
        return self.known[number]

    def find(self, entry: Entry) -> Range:
        op = entry.op
        if op is p.IOTA:
            return 0, max(entry.attributes[0] - 1, 0)
        if op is p.CONSTANT:
            value = entry.attributes[0]
            return (value, value) if type(value) is int else None
        if op in POSITIONS:
            shape = self.entries[entry.sources[0]].shape
            count = 1
            for dim in entry.attributes[0]:
                count *= shape[dim]
            return 0, max(count - 1, 0)
        if op is p.SORT_INDEX:
            return 0, max(entry.shape[entry.attributes[0]] - 1, 0)
        if op.kind == "view":
            return self.of(entry.sources[0])
        return self.combined(entry)

    def combined(self, entry: Entry) -> Range:
        """The range of an operation's result."""
        if entry.dtype.kind != "signed" or entry.dtype.itemsize < 4:
            return None
        sources = entry.sources[1:] if entry.op is p.WHERE else entry.sources
        given = [self.of(source) for source in sources]
        if not given or any(each is None for each in given):
            return None
        a = given[0] or (0, 0)
        b = given[-1] or (0, 0)
        products = [x * y for x in a for y in b]
        table = {
            p.CAST: a,
            p.ADD: (a[0] + b[0], a[1] + b[1]),
            p.SUBTRACT: (a[0] - b[1], a[1] - b[0]),
            p.MULTIPLY: (min(products), max(products)),
            p.MAXIMUM: (max(a[0], b[0]), max(a[1], b[1])),
            p.MINIMUM: (min(a[0], b[0]), min(a[1], b[1])),
            p.WHERE: (min(a[0], b[0]), max(a[1], b[1])),
        }
        if entry.op in (p.FLOOR_DIVIDE, p.REMAINDER) and b[0] > 0:
            table[p.FLOOR_DIVIDE] = (
                min(a[0] // b[0], a[0] // b[1]),
                max(a[1] // b[0], a[1] // b[1]),
            )
            table[p.REMAINDER] = (0, b[1] - 1)
        found = table.get(entry.op)
        return found if found is not None and max(map(abs, found)) < 2**31 else None
