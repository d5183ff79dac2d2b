"""Columns that are wider than a few vectors, summed row by row as memory lies; the states wait on the stack meanwhile.

Column mode keeps its states in registers and goes down a few vectors of columns at a time.  In arrays that no cache holds, the
other columns of each page are then asked for long after the first ones, which neither the memory nor its prefetchers like.
Here a unit goes through all columns of its stretch, row by row: three times the instructions, at the speed of a copy.

A streamed nest is blocked, its blocks are no longer than a stretch of `COLUMN_CHAIN` rows, and it stores nothing along the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lampas.engine.llvm.text import Value, constant, element_of
from lampas.engine.loops.emit_passes import ReductionPass
from lampas.engine.loops.emit_reductions import Reduction, State

if TYPE_CHECKING:
    from lampas.engine.loops.emit_loops import KernelWriter
    from lampas.engine.loops.emit_scope import Scope

STRIPS = 128  # vectors side by side, so many times, are the columns of a unit

Body = Callable[["Strip"], None]


class Strip:
    """A few vectors of a unit's columns: their scope, and where their states lie in each array."""

    def __init__(self, unit: StreamedUnit, scope: Scope, place: Value, copies: int) -> None:
        self.unit, self.scope, self.place, self.copies = unit, scope, place, copies
        self.pass_ = ReductionPass(unit.writer, unit.found, scope, copies, False, ())
        scope.prepare(self.pass_.needed, copies)

    def starts(self) -> list[State]:
        """The states before the first row, copy by copy of each reduction."""
        lanes = self.scope.lanes
        return [r.start(lanes) for r in self.unit.found for _ in range(self.copies)]

    def spots(self) -> list[list[Value]]:
        """Where the values of the states lie."""
        b, lanes = self.unit.b, self.scope.lanes
        found: list[list[Value]] = []
        for arrays in self.unit.arrays:
            for copy in range(self.copies):
                at = b.add(self.place, copy * lanes)
                found.append([b.element_pointer(array, at, kind) for array, kind in arrays])
        return found

    def load(self) -> list[State]:
        b, like = self.unit.b, self.starts()
        pairs = zip(like, self.spots(), strict=True)
        return [
            [b.load(value.type, spot) for value, spot in zip(state, spots, strict=True)]
            for state, spots in pairs
        ]

    def store(self, states: list[State]) -> None:
        for state, spots in zip(states, self.spots(), strict=True):
            for value, spot in zip(state, spots, strict=True):
                self.unit.b.store(value, spot)


class StreamedUnit:
    """Writes one unit, a block of rows by a stretch of columns: the states of no row, then those after each row, at last the
    results.
    """

    def __init__(self, writer: KernelWriter, found: list[Reduction]) -> None:
        self.writer, self.b, self.found = writer, writer.b, found
        self.arrays = [
            [self.room(element_of(value.type)) for value in reduction.start(writer.lanes)]
            for reduction in found
        ]

    def room(self, kind: str) -> tuple[Value, str]:
        """An array for one value of the states of all columns."""
        return self.b.allocate(kind, self.writer.stretch), kind

    def write(self, scope: Scope, start: Value) -> None:
        b, writer = self.b, self.writer
        down = writer.nest.kept
        stop = b.minimum(b.add(start, writer.stretch), writer.plan.sizes[writer.plan.lane])
        self.each(scope, start, stop, lambda strip: strip.store(strip.starts()))
        with b.loop(0, writer.extents[down]) as row:
            self.each(scope.enter(down, row), start, stop, self.take)
        self.each(scope, start, stop, self.finish)

    def take(self, strip: Strip) -> None:
        strip.store(strip.pass_.take(strip.scope, strip.load(), strip.copies))

    def finish(self, strip: Strip) -> None:
        """The results of a strip, and what is stored once a column."""
        lanes, pass_ = strip.scope.lanes, strip.pass_
        before = [r.start(lanes, r.staged) for r in self.found for _ in range(strip.copies)]
        states = pass_.joined(before, strip.load(), constant(0, "i64"))
        for reduction in self.found:
            pass_.finish(reduction, [states.pop(0) for _ in range(strip.copies)])
        self.writer.row_values(strip.scope, strip.copies)

    def each(self, scope: Scope, start: Value, stop: Value, body: Body) -> None:
        """Write a body for all strips of whole vectors, then for single vectors and for what is left."""
        b, writer = self.b, self.writer
        lane, lanes = writer.plan.lane, writer.lanes
        for copies in dict.fromkeys((writer.copies, 1)):
            step = lanes * copies
            end = b.add(start, b.bit_and(b.subtract(stop, start), -step))
            self.walk(scope, (start, end, step), copies, body)
            start = end
        step = lanes if writer.masked_tail else 1
        with b.loop(start, stop, step) as position:
            mask = b.lane_mask(lanes, b.subtract(stop, position)) if writer.masked_tail else None
            self.strip(scope.enter(lane, position, step, mask), position, 1, body)

    def walk(self, scope: Scope, bounds: tuple[Value, Value, int], copies: int, body: Body) -> None:
        writer = self.writer
        with self.b.loop(*bounds) as position:
            inner = scope.enter(writer.plan.lane, position, writer.lanes)
            self.strip(inner, position, copies, body)

    def strip(self, scope: Scope, position: Value, copies: int, body: Body) -> None:
        place = self.b.remainder(position, self.writer.stretch)
        body(Strip(self, scope, place, copies))
