"""Accumulators: how a reduction starts, takes a value in, joins another accumulator and ends.

A state is a list of values.  Float32 sums and products run in float32 over short stretches whose results are joined in
float64, so that long sums are exact to the last place or so.  The largest and the smallest of floats have a second value,
bits that are set once a NaN was met: so each value takes one instruction of comparison and not three.  Arg reductions have the best
value and its position: within a stretch one of 32 bits that counts from the stretch's beginning.  Every tree is fixed
by sizes alone: results do not depend on threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lampas.engine.dtype import bool_, dtype
from lampas.engine.llvm.text import Builder, Value, constant, element_of, lanes_of, vector
from lampas.engine.loops.emit_elements import ELEMENT_RULES, greater_word, less_word
from lampas.engine.loops.emit_types import identity, register_type, round_half

State = list[Value]
COMBINERS = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


class Reduction(NamedTuple):
    """One reduction of a nest: the instruction's number, its argument, its kind and the argument's dtype."""

    number: int
    argument: int
    kind: str
    dtype: dtype

    @property
    def positional(self) -> bool:
        return self.kind in ("argmax", "argmin")

    @property
    def sticky(self) -> bool:
        """Whether NaNs are noted beside the best value."""
        return self.kind in ("max", "min") and self.dtype.is_floating_point

    @property
    def staged(self) -> bool:
        """Whether a stretch has states of its own, which are widened when they join those before."""
        return self.widened or self.positional

    @property
    def widened(self) -> bool:
        """Whether stretches are joined in float64."""
        single = self.dtype.is_floating_point and self.dtype.itemsize <= 4
        return single and self.kind in ("sum", "prod")

    def start(self, lanes: int, wide: bool = False) -> State:
        """Return the empty state; `wide` asks for the one in which stretches are joined."""
        kind = (
            vector("double", lanes) if wide and self.widened else register_type(self.dtype, lanes)
        )
        first = identity(self.dtype, self.kind, kind)
        if self.positional:
            return [first, constant(0, vector("i64" if wide else "i32", lanes))]
        return [first, constant(0, bits_like(first))] if self.sticky else [first]

    def take(
        self, b: Builder, state: State, value: Value, position: Value | None, mask: Value | None
    ) -> State:
        """Return the state after one more value in each lane (where the mask is true)."""
        if self.positional:
            assert position is not None
            best, where = state
            better = self.is_better(b, value, best)
            new = [b.select(better, value, best), b.select(better, position, where)]
        elif self.sticky:
            missing = b.cast("sext", b.compare("uno", value, value), state[1].type)
            new = [self.beyond(b, state[0], value), b.bit_or(state[1], missing)]
        else:
            new = [self.apply(b, state[0], value)]
        if mask is None:
            return new
        return [b.select(mask, after, before) for after, before in zip(new, state, strict=True)]

    def apply(self, b: Builder, left: Value, right: Value) -> Value:
        return ELEMENT_RULES[COMBINERS[self.kind]](b, [left, right], self.dtype)

    def beyond(self, b: Builder, left: Value, right: Value) -> Value:
        """The larger or the smaller of floats, the first one where the second is NaN."""
        better = b.compare("ogt" if self.kind == "max" else "olt", right, left)
        return b.select(better, right, left)

    def is_better(self, b: Builder, value: Value, best: Value) -> Value:
        """Whether a later value replaces the best one: strictly beyond it, or the first NaN."""
        largest = self.kind == "argmax"
        if not self.dtype.is_floating_point:
            return b.compare(
                greater_word(self.dtype) if largest else less_word(self.dtype), value, best
            )
        beyond = b.compare("ugt" if largest else "ult", value, best)
        return b.bit_and(beyond, b.compare("ord", best, best))

    def join(self, b: Builder, left: State, right: State) -> State:
        """Return the state of both together; of equals the lower position stays."""
        if self.sticky:
            return [self.beyond(b, left[0], right[0]), b.bit_or(left[1], right[1])]
        if not self.positional:
            return [self.apply(b, left[0], right[0])]
        better = self.is_better(b, right[0], left[0])
        worse = self.is_better(b, left[0], right[0])
        neither = b.bit_xor(b.bit_or(better, worse), constant(True, better.type))
        taken = b.bit_or(better, b.bit_and(neither, b.compare("slt", right[1], left[1])))
        return [b.select(taken, after, before) for before, after in zip(left, right, strict=True)]

    def join_all(self, b: Builder, states: Sequence[State]) -> State:
        """Join states pairwise, neighbours first."""
        listed = list(states)
        while len(listed) > 1:
            pairs = [self.join(b, *listed[i : i + 2]) for i in range(0, len(listed) - 1, 2)]
            listed = pairs + listed[len(pairs) * 2 :]
        return listed[0]

    def widen(self, b: Builder, state: State, start: Value) -> State:
        """Convert the state of a stretch: sums to float64, positions to those that count from the row's beginning."""
        lanes = lanes_of(state[0].type)
        if not self.positional:
            return [b.cast("fpext", state[0], vector("double", lanes))]
        kind = vector("i64", lanes)
        place = b.cast("zext", state[1], kind)
        return [state[0], b.add(place, b.splat(start, kind) if kind[0] == "<" else start)]

    def across(self, b: Builder, state: State) -> State:
        """Join the lanes of a state by halves."""
        lanes = lanes_of(state[0].type)
        while lanes > 2:
            lanes //= 2
            low = [b.shuffle(v, v, range(lanes)) for v in state]
            high = [b.shuffle(v, v, range(lanes, 2 * lanes)) for v in state]
            state = self.join(b, low, high)
        if lanes == 1:
            return state
        low, high = ([b.extract(v, lane) for v in state] for lane in (0, 1))
        return self.join(b, low, high)

    def finish(self, b: Builder, state: State) -> Value:
        """Return the result of a joined state, in the instruction's register type."""
        if self.positional:
            return state[1]
        value = state[0]
        if self.sticky:
            value = b.select(b.compare("ne", state[1], 0), constant(math.nan, value.type), value)
        if self.widened and element_of(value.type) == "double":
            value = b.cast("fptrunc", value, vector("float", lanes_of(value.type)))
        return value if self.dtype is bool_ else round_half(b, value, self.dtype)


def bits_like(value: Value) -> str:
    """The type of integers as wide as floats."""
    return vector("i64" if element_of(value.type) == "double" else "i32", lanes_of(value.type))
