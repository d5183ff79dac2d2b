"""Compiled passes over the alignments of one sequence with its labels (Graves et al., 2006).

Forwards: the logarithms of the sums over all beginnings, for every time and state. Backwards: those
of all endings, a row at a time, from which the share of each alignment leaves the gradient at once.
A state is a label or a blank beside one; states lie in vectors. Two elements before each row and a
vector behind it may be read.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, Final

from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.target import host
from lampas.engine.llvm.text import Builder, Value, constant, vector
from lampas.engine.llvm.vector_math_exponential import exp_plain, log
from lampas.engine.llvm.vector_math_parts import TargetModule, clamp_low

if TYPE_CHECKING:
    from collections.abc import Callable

LOWEST: Final = -1e30  # the logarithm of nothing: sums of a few stay finite
LANES: Final = 8
BEFORE: Final = 2  # a state is reached from two before it
KINDS: Final = {"f4": "float", "f8": "double"}
POINTERS: Final = {
    "forwards": ("scores", "labels", "skips", "emitted", "sums", "loss"),
    "backwards": ("labels", "skips", "emitted", "sums", "loss", "endings", "gradient"),
}
SIZES: Final = ("step", "times", "width", "row")


def row_size(width: int) -> int:
    """Elements from one row of states to the next."""
    return -(-width // LANES) * LANES + LANES + 2 * BEFORE


@functools.cache
def alignment_kernel(direction: str, kind: str) -> Callable[..., Any]:
    """The function of one direction for numpy's "f4" or "f8": `POINTERS`, then `SIZES`."""
    module = TargetModule(host())
    name = f"lampas_alignment_{direction}_{kind}"
    arguments = [("ptr", each) for each in POINTERS[direction]]
    builder = module.function(name, [*arguments, *[("i64", each) for each in SIZES]])
    writer = _Writer(builder, KINDS[kind])
    writer.forwards() if direction == "forwards" else writer.backwards()
    pointers = [ctypes.c_void_p] * len(arguments)
    signature = (None, *pointers, *[ctypes.c_int64] * len(SIZES))
    return ctypes.CFUNCTYPE(*signature)(compile_functions(module, [name])[name])


class _Writer:
    """The writing of both passes; offsets count elements from the start of a row of states."""

    def __init__(self, builder: Builder, kind: str) -> None:
        self.builder, self.kind = builder, kind
        self.lanes = vector(kind, LANES)
        self.times, self.width, self.row = builder.arguments[-3:]
        self.step = builder.arguments[-4]

    def at(self, base: Value, offset: Value | int) -> Value:
        """The address of a state's element: rows start behind the elements before them."""
        return self.builder.element_pointer(base, self.builder.add(offset, BEFORE), self.kind)

    def fill(self, base: Value, size: Value) -> None:
        b = self.builder
        with b.loop(0, size) as place:
            b.store(constant(LOWEST, self.kind), b.element_pointer(base, place, self.kind))

    def not_below_lowest(self, value: Value) -> Value:
        """NaN stays NaN."""
        below = self.builder.compare("olt", value, LOWEST)
        return self.builder.select(below, constant(LOWEST, value.type), value)

    def exp(self, value: Value) -> Value:
        """e^x of numbers that are not above 0, 0 where it is hardly a normal number; NaN stays NaN."""
        b = self.builder
        low = -87.0 if self.kind == "float" else -708.0
        found = exp_plain(b, clamp_low(b, value, low))
        return b.select(b.compare("olt", value, low), constant(0.0, value.type), found)

    def log_sum(self, values: list[Value]) -> Value:
        b = self.builder
        top = constant(LOWEST, values[0].type)
        for value in values:
            top = b.select(b.compare("ogt", value, top), value, top)
        total = self.exp(b.subtract(values[0], top))
        for value in values[1:]:
            total = b.add(total, self.exp(b.subtract(value, top)))
        # The largest term is 1, unless all are nothing: then it is nothing, too.
        return b.add(log(b, total), top)

    def within(self, value: Value, state: Value) -> Value:
        """The value of states that there are, LOWEST behind the last."""
        b = self.builder
        mask = b.lane_mask(LANES, b.subtract(self.width, state))
        return b.select(mask, value, constant(LOWEST, value.type))

    def forwards(self) -> None:
        """sums[t, s] = emitted[t, s] + log Σ exp of sums[t - 1] at s, s - 1 and, if it may, s - 2."""
        b = self.builder
        scores, labels, skips, emitted, sums, loss = b.arguments[:6]
        with b.loop(0, self.times) as time:
            source = b.element_pointer(scores, b.multiply(time, self.step), self.kind)
            target = b.element_pointer(emitted, b.multiply(time, self.row), self.kind)
            self.gather(source, labels, target)
        self.fill(sums, self.row)
        self.begin(emitted, sums)
        with b.loop(1, self.times) as time:
            place = b.multiply(time, self.row)
            before = b.element_pointer(sums, b.subtract(place, self.row), self.kind)
            own, here = (b.element_pointer(base, place, self.kind) for base in (emitted, sums))
            self.advance(before, skips, own, here)
        last = b.element_pointer(sums, b.multiply(b.subtract(self.times, 1), self.row), self.kind)
        ends = [
            b.load(self.kind, self.at(last, b.subtract(self.width, number))) for number in (1, 2)
        ]
        b.store(b.negative(self.log_sum(ends)), loss)
        b.ret()

    def gather(self, scores: Value, labels: Value, emitted: Value) -> None:
        b = self.builder
        with b.loop(0, self.width) as state:
            label = b.load_element("i64", labels, state)
            b.store(b.load_element(self.kind, scores, label), self.at(emitted, state))

    def begin(self, emitted: Value, sums: Value) -> None:
        """An alignment begins with a blank or the first label."""
        b = self.builder
        with b.loop(0, b.minimum(self.width, 2)) as state:
            score = b.load(self.kind, self.at(emitted, state))
            b.store(self.not_below_lowest(score), self.at(sums, state))

    def advance(self, before: Value, skips: Value, emitted: Value, sums: Value) -> None:
        b = self.builder
        with b.carrying_loop(0, self.width, LANES, [constant(LOWEST, self.lanes)]) as built:
            state = built.index
            # Loaded as stored a moment ago, and shifted in registers: other loads would wait.
            own = b.load(self.lanes, self.at(before, state))
            values = [own, *(self.shifted(built.values[0], own, LANES - by) for by in (1, 2))]
            values[2] = b.add(values[2], b.load(self.lanes, self.at(skips, state)))
            total = b.add(self.log_sum(values), b.load(self.lanes, self.at(emitted, state)))
            # What lies behind the last state is never read: alignments only move up.
            b.store(self.not_below_lowest(total), self.at(sums, state))
            built.carry([own])

    def shifted(self, left: Value, right: Value, by: int) -> Value:
        return self.builder.shuffle(left, right, range(by, by + LANES))

    def backwards(self) -> None:
        """From the last time to the first: gradient[t, label] -= exp(sums + endings + loss)."""
        b = self.builder
        labels, skips, emitted, sums, loss, endings, gradient = b.arguments[:7]
        following = b.element_pointer(endings, self.row, self.kind)
        shares = b.element_pointer(following, self.row, self.kind)
        self.fill(endings, b.multiply(self.row, 2))
        with b.loop(b.subtract(self.width, b.minimum(self.width, 2)), self.width) as state:
            b.store(constant(0.0, self.kind), self.at(endings, state))
        total = b.splat(b.load(self.kind, loss), self.lanes)
        with b.loop(0, self.times) as number:
            time = b.subtract(b.subtract(self.times, 1), number)
            place = b.multiply(time, self.row)
            with b.when(b.compare("sgt", number, 0)):
                self.retreat(following, skips, endings)
            rows = [b.element_pointer(base, place, self.kind) for base in (emitted, sums)]
            self.share(rows, total, endings, following, shares)
            target = b.element_pointer(gradient, b.multiply(time, self.step), self.kind)
            self.take(shares, labels, target)
        b.ret()

    def retreat(self, following: Value, skips: Value, endings: Value) -> None:
        b = self.builder
        first = b.load(self.lanes, self.at(following, 0))
        with b.carrying_loop(0, self.width, LANES, [first]) as built:
            state, own = built.index, built.values[0]
            after = b.load(self.lanes, self.at(following, b.add(state, LANES)))
            values = [own, *(self.shifted(own, after, by) for by in (1, 2))]
            values[2] = b.add(values[2], b.load(self.lanes, self.at(skips, b.add(state, 2))))
            ending = self.not_below_lowest(self.log_sum(values))
            b.store(self.within(ending, state), self.at(endings, state))
            built.carry([after])

    def share(
        self, rows: list[Value], total: Value, endings: Value, following: Value, shares: Value
    ) -> None:
        b = self.builder
        with b.loop(0, self.width, LANES) as state:
            emitted, sums = (b.load(self.lanes, self.at(base, state)) for base in rows)
            ending = b.load(self.lanes, self.at(endings, state))
            b.store(self.exp(b.add(b.add(sums, ending), total)), self.at(shares, state))
            score = self.not_below_lowest(b.add(ending, emitted))
            b.store(self.within(score, state), self.at(following, state))

    def take(self, shares: Value, labels: Value, target: Value) -> None:
        """Blanks, every other state, are summed first: they would wait for each other in memory."""
        b = self.builder
        start = b.load(self.kind, self.at(shares, 0))
        with b.carrying_loop(1, self.width, 2, [start]) as built:
            state = built.index
            blank = b.load(self.kind, self.at(shares, b.add(state, 1)))
            built.carry([b.add(built.values[0], blank)])
            self.reduce(
                target,
                b.load_element("i64", labels, state),
                b.load(self.kind, self.at(shares, state)),
            )
        self.reduce(target, b.load_element("i64", labels, 0), built.results[0])

    def reduce(self, target: Value, label: Value, share: Value) -> None:
        b = self.builder
        place = b.element_pointer(target, label, self.kind)
        b.store(b.subtract(b.load(self.kind, place), share), place)
