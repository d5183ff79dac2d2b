"""One pass over a row, or over a few columns at once, that feeds all reductions of one depth.

Float32 sums are cut into stretches whose lanes add up a bounded chain of values before they are joined in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lampas.engine.llvm.text import Value, constant, lane_constants, vector
from lampas.engine.loops.emit_reductions import Reduction, State
from lampas.engine.loops.emit_scope import UNIFORM, Scope
from lampas.engine.loops.nest import Instruction

if TYPE_CHECKING:
    from lampas.engine.loops.emit_loops import KernelWriter

ROW_CHAIN = 64  # values that one float32 lane adds up before joining in float64
COLUMN_CHAIN = 128
LONG_STRETCH = 1 << 30  # elements: positions within a stretch have 32 bits


class ReductionPass:
    """One pass over a row (or over a few columns at once) that feeds all reductions of one depth."""

    def __init__(
        self,
        writer: KernelWriter,
        found: list[Reduction],
        scope: Scope,
        copies: int,
        parks: bool,
        stores: Sequence[int],
    ) -> None:
        self.parks, self.stores = parks, stores
        self.writer, self.b, self.nest = writer, writer.b, writer.nest
        self.found, self.scope, self.copies = found, scope, copies
        self.row = self.nest.mode == "row"
        self.lanes = writer.lanes if self.row else scope.lanes
        self.needed = writer.closure([*[reduction.argument for reduction in found], *stores])
        self.blocks = any(reduction.staged for reduction in found)
        self.short = any(reduction.widened for reduction in found)
        self.stretch: Value = constant(0, "i64")  # where the current one begins

    def accumulators(self, reduction: Reduction) -> int:
        """How many states a reduction keeps in the sweep."""
        if self.row:
            return self.writer.copies
        return self.copies if self.writer.plan.varies(reduction.argument) else 1

    def lanes_of(self, reduction: Reduction) -> int:
        return self.lanes if self.row or self.writer.plan.varies(reduction.argument) else 1

    def write(self) -> None:
        states = [
            state
            for r in self.found
            for state in [r.start(self.lanes_of(r), r.staged)] * self.outer_count(r)
        ]
        results = self.loops(self.nest.kept, self.scope, states)
        for reduction in self.found:
            own = [results.pop(0) for _ in range(self.outer_count(reduction))]
            self.finish(reduction, own)

    def outer_count(self, reduction: Reduction) -> int:
        """A staged reduction in row mode joins its accumulators at the end of each stretch."""
        return 1 if self.row and reduction.staged else self.accumulators(reduction)

    def finish(self, reduction: Reduction, states: list[State]) -> None:
        if self.row:
            state = reduction.across(self.b, reduction.join_all(self.b, states))
            self.scope.known[reduction.number, UNIFORM] = reduction.finish(self.b, state)
            return
        varies = self.writer.plan.varies(reduction.argument)
        for copy, state in enumerate(states):
            key = (reduction.number, copy if varies else UNIFORM)
            self.scope.known[key] = reduction.finish(self.b, state)

    def loops(self, dimension: int, scope: Scope, states: list[State]) -> list[State]:
        """Write scalar loops down to the last reduced dimension, carrying the states."""
        scope.prepare(self.needed, self.copies)
        extent = self.writer.extents[dimension]
        if dimension == self.nest.rank - 1:
            return self.stretches(scope, extent, states)
        with self.b.carrying_loop(0, extent, 1, flat(states)) as loop:
            inner = scope.enter(dimension, loop.index)
            loop.carry(flat(self.loops(dimension + 1, inner, shaped(loop.values, states))))
        return shaped(loop.results, states)

    def stretches(self, scope: Scope, extent: Value, states: list[State]) -> list[State]:
        """Cut the last dimension into stretches short enough for float32, if any reduction needs it."""
        zero = constant(0, "i64")
        if not self.blocks:
            return self.sweep(scope, zero, extent, states)
        length = LONG_STRETCH
        if self.short:
            length = ROW_CHAIN * self.lanes * self.writer.copies if self.row else COLUMN_CHAIN
        with self.b.carrying_loop(0, extent, length, flat(states)) as loop:
            self.stretch = loop.index
            stop = self.b.minimum(self.b.add(loop.index, length), extent)
            outer = shaped(loop.values, states)
            inner = self.sweep(scope, loop.index, stop, self.inner_states(outer))
            loop.carry(flat(self.joined(outer, inner, self.beginning(scope))))
        return shaped(loop.results, states)

    def beginning(self, scope: Scope) -> Value:
        """The position of a stretch's first element in the whole reduction, for those that want it."""
        total = constant(0, "i64")
        if not any(reduction.positional for reduction in self.found):
            return total
        for dimension in range(self.nest.kept, self.nest.rank - 1):
            total = self.b.add(total, scope.positions[dimension])
            total = self.b.multiply(total, self.writer.plan.sizes[dimension + 1])
        return self.b.add(total, self.stretch)

    def inner_states(self, outer: list[State]) -> list[State]:
        """Fresh states for staged reductions, the running ones for the others."""
        left = list(outer)
        chosen: list[State] = []
        for reduction in self.found:
            own = [left.pop(0) for _ in range(self.outer_count(reduction))]
            if reduction.staged:
                fresh = reduction.start(self.lanes_of(reduction))
                own = [fresh] * self.accumulators(reduction)
            chosen.extend(own)
        return chosen

    def joined(self, outer: list[State], inner: list[State], start: Value) -> list[State]:
        """Join the states of a stretch that begins at `start` with those of the ones before."""
        before, after = list(outer), list(inner)
        merged: list[State] = []
        for reduction in self.found:
            old = [before.pop(0) for _ in range(self.outer_count(reduction))]
            new = [after.pop(0) for _ in range(self.accumulators(reduction))]
            if reduction.staged:
                if self.row:
                    new = [reduction.join_all(self.b, new)]
                pairs = zip(old, new, strict=True)
                new = [
                    reduction.join(self.b, o, reduction.widen(self.b, n, start)) for o, n in pairs
                ]
            merged.extend(new)
        return merged

    def sweep(self, scope: Scope, start: Value, stop: Value, states: list[State]) -> list[State]:
        """Walk the last dimension from start to stop."""
        last = self.nest.rank - 1
        if not self.row:
            with self.b.carrying_loop(start, stop, 1, flat(states)) as loop:
                inner = scope.enter(last, loop.index)
                loop.carry(flat(self.take(inner, shaped(loop.values, states), self.copies)))
            return shaped(loop.results, states)
        copies = self.writer.copies
        step = self.lanes * copies
        if self.writer.always_masked:
            return self.masked_tail(scope, start, stop, states)
        middle = self.b.add(start, self.b.bit_and(self.b.subtract(stop, start), -step))
        with self.b.carrying_loop(start, middle, step, flat(states)) as loop:
            inner = scope.enter(last, loop.index, self.lanes)
            loop.carry(flat(self.take(inner, shaped(loop.values, states), copies)))
        states = shaped(loop.results, states)
        if self.writer.masked_tail:
            return self.masked_tail(scope, middle, stop, states)
        return self.single_tail(scope, middle, stop, states)

    def masked_tail(
        self, scope: Scope, start: Value, stop: Value, states: list[State]
    ) -> list[State]:
        with self.b.carrying_loop(start, stop, self.lanes, flat(states)) as loop:
            mask = self.b.lane_mask(self.lanes, self.b.subtract(stop, loop.index))
            inner = scope.enter(self.nest.rank - 1, loop.index, self.lanes, mask)
            loop.carry(flat(self.take(inner, shaped(loop.values, states), 1)))
        return shaped(loop.results, states)

    def single_tail(
        self, scope: Scope, start: Value, stop: Value, states: list[State]
    ) -> list[State]:
        """Walk the rest one by one in scalar states, then join those into lane 0 of the first ones."""
        singles = [reduction.start(1) for reduction in self.found]
        with self.b.carrying_loop(start, stop, 1, flat(singles)) as loop:
            inner = scope.enter(self.nest.rank - 1, loop.index, 1)
            values = shaped(loop.values, singles)
            pairs = zip(self.found, values, strict=True)
            loop.carry(flat([self.take_one(inner, r, s, 0) for r, s in pairs]))
            self.park(inner, 1)
        results = shaped(loop.results, singles)
        merged, place = list(states), 0
        for reduction, single in zip(self.found, results, strict=True):
            first = merged[place]
            lane = [self.b.extract(v, 0) if v.type[0] == "<" else v for v in first]
            both = reduction.join(self.b, lane, single)
            pairs = zip(first, both, strict=True)
            merged[place] = [self.b.insert(v, e, 0) if v.type[0] == "<" else e for v, e in pairs]
            place += self.accumulators(reduction)
        return merged

    def take(self, scope: Scope, states: list[State], copies: int) -> list[State]:
        """Feed the values at this place to all reductions."""
        taken, place = list(states), 0
        for reduction in self.found:
            count = self.accumulators(reduction)
            for copy in range(min(count, copies)):
                taken[place + copy] = self.take_one(scope, reduction, states[place + copy], copy)
            place += count
        self.park(scope, copies)
        return taken

    def park(self, scope: Scope, copies: int) -> None:
        """Store what can be stored here, or leave the costly value in the output's memory, where later passes find it."""
        if self.stores:
            self.writer.write_stores(scope, self.stores, copies)
        if self.parks and self.writer.parking is not None:
            number, operand = self.writer.parking
            kind = self.nest.instructions[number].dtype
            for copy in range(copies):
                scope.store(Instruction("store", (number,), kind, operand), copy)

    def take_one(self, scope: Scope, reduction: Reduction, state: State, copy: int) -> State:
        across = self.row or self.writer.plan.varies(reduction.argument)
        value = (
            scope.spread(reduction.argument, copy) if across else scope.value(reduction.argument)
        )
        position = self.position(scope, copy, across) if reduction.positional else None
        return reduction.take(self.b, state, value, position, scope.mask if across else None)

    def position(self, scope: Scope, copy: int, across: bool) -> Value:
        """Return the position within the stretch, of 32 bits."""
        b, last = self.b, self.nest.rank - 1
        place = b.cast("trunc", b.subtract(scope.positions[last], self.stretch), "i32")
        if not across or scope.lanes <= 1:
            return place
        kind = vector("i32", scope.lanes)
        spread = b.splat(place, kind)
        if not self.row:
            return spread
        first = copy * scope.lanes
        return b.add(spread, lane_constants(range(first, first + scope.lanes), "i32"))


def flat(states: Sequence[State]) -> list[Value]:
    return [value for state in states for value in state]


def shaped(values: Sequence[Value], like: Sequence[State]) -> list[State]:
    """Group values into states as `like` has them."""
    waiting = list(values)
    return [[waiting.pop(0) for _ in state] for state in like]
