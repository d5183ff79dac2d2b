"""Maximum pooling: for every window the place of its largest value, flat in the spatial dimensions.

A parallel unit is one plane (D, H, W).  Along the last dimension, windows that lie inside the plane are done a vector
at a time, those that reach over its edge one by one.  The first of equal values wins, and the last NaN over all.
A window of which every value is the lowest one yields its first place inside the plane.

Operands: index (int64), plane values.  Integers: `PoolInteger`; fewer spatial dimensions have sizes 1 in front.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value, constant, lane_constants, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS

LOWEST = float("-inf")


class PoolInteger(IntEnum):
    """Places of the integers."""

    # fmt: off
    (PLACES, TAPS, PLACES_D, PLACES_H, PLACES_W, SIZE_D, SIZE_H, SIZE_W, TAPS_D, TAPS_H, TAPS_W,
     STRIDE_D, STRIDE_H, STRIDE_W, PAD_D, PAD_H, PAD_W, GAP_D, GAP_H, GAP_W) = range(20)
    # fmt: on


@dataclass(frozen=True)
class PoolKernel:
    """What is compiled in: the element type, the stride along the last dimension (0: any), windows at a time."""

    target: Target
    element: str
    stride: int
    lanes: int

    @property
    def name(self) -> str:
        return f"max_pool_{self.element}_{self.stride}_{self.lanes}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        PoolWriter(module, self).write()
        return module


def stride_word(stride: int) -> int:
    """The class of a stride: 1 and 2 are read in vectors."""
    return stride if stride in (1, 2) else 0


def lanes_for(target: Target, element: str, windows: int) -> int:
    """How many windows to do at once where a row has so many inside: as many as fit, at least 4."""
    lanes = target.lanes(element)
    while lanes > 4 and lanes > windows:
        lanes //= 2
    return lanes


class Row(NamedTuple):
    """One row of windows: its first place in the plane, per outer dimension, and where its results go."""

    depth: Value
    height: Value
    plane: Value
    target: Value


class Line:
    """A line of a window: where it starts in the plane, the values carried into it and out of it."""

    def __init__(self, start: Value, state: list[Value]) -> None:
        self.start, self.state, self.result = start, state, state


class PoolWriter:
    """Writes the function of one kernel."""

    def __init__(self, module: Module, kernel: PoolKernel) -> None:
        self.kernel, self.lanes, self.element = kernel, kernel.lanes, kernel.element
        self.b: Builder = module.function(kernel.name, KERNEL_PARAMETERS)

    def write(self) -> None:
        b, i = self.b, PoolInteger
        operands, integers, begin, end, _ = b.arguments
        self.got = {key: b.load_element("i64", integers, int(key)) for key in PoolInteger}
        index, values = b.load_element("ptr", operands, 0), b.load_element("ptr", operands, 1)
        cells = b.multiply(b.multiply(self.got[i.SIZE_D], self.got[i.SIZE_H]), self.got[i.SIZE_W])
        first, last = self.inner_columns()
        with b.loop(begin, end) as unit:
            plane = b.element_pointer(values, b.multiply(unit, cells), self.element)
            into = b.multiply(unit, self.got[i.PLACES])
            with (
                b.loop(0, self.got[i.PLACES_D]) as d,
                b.loop(0, self.got[i.PLACES_H]) as h,
            ):
                row = b.add(b.multiply(d, self.got[i.PLACES_H]), h)
                start = b.add(into, b.multiply(row, self.got[i.PLACES_W]))
                target = b.element_pointer(index, start, "i64")
                depth = b.subtract(b.multiply(d, self.got[i.STRIDE_D]), self.got[i.PAD_D])
                height = b.subtract(b.multiply(h, self.got[i.STRIDE_H]), self.got[i.PAD_H])
                self.write_row(Row(depth, height, plane, target), first, last)
        b.ret()

    def inner_columns(self) -> tuple[Value, Value]:
        """The first window along the last dimension inside the plane, and the first after those."""
        b, got, i = self.b, self.got, PoolInteger
        stride, places = got[i.STRIDE_W], got[i.PLACES_W]
        first = b.divide(b.add(got[i.PAD_W], b.subtract(stride, 1)), stride)
        reach = b.multiply(got[i.GAP_W], b.subtract(got[i.TAPS_W], 1))
        room = b.subtract(b.add(got[i.SIZE_W], got[i.PAD_W]), b.add(reach, 1))
        count = b.add(b.divide(room, stride), 1)
        count = b.select(b.compare("slt", room, 0), b.value(0), count)
        first = b.minimum(first, places)
        return first, b.maximum(b.minimum(count, places), first)

    def write_row(self, row: Row, first: Value, last: Value) -> None:
        """The last vector reaches back over the one before, so lanes are never left over."""
        b, lanes = self.b, self.lanes
        with b.loop(0, first) as column:
            self.single(row, column)
        done = first
        if self.kernel.stride:
            enough = b.compare("sge", b.subtract(last, first), lanes)
            done = b.select(enough, last, first)
            with b.loop(first, done, lanes) as column:
                self.several(row, b.minimum(column, b.subtract(last, lanes)))
        with b.loop(done, self.got[PoolInteger.PLACES_W]) as column:
            self.single(row, column)

    @contextmanager
    def each_line(self, row: Row, state: list[Value]) -> Generator[Line, None, None]:
        """Walk the window's lines along the last dimension that lie inside the plane, carrying values."""
        b, got, i = self.b, self.got, PoolInteger
        with b.carrying_loop(0, got[i.TAPS_D], 1, state) as outer:
            depth = b.add(row.depth, b.multiply(outer.index, got[i.GAP_D]))
            deep = self.within(depth, i.SIZE_D)
            with b.carrying_loop(0, got[i.TAPS_H], 1, outer.values) as loop:
                height = b.add(row.height, b.multiply(loop.index, got[i.GAP_H]))
                inside = b.bit_and(deep, self.within(height, i.SIZE_H))
                start = b.add(b.multiply(depth, got[i.SIZE_H]), height)
                line = Line(b.multiply(start, got[i.SIZE_W]), loop.values)
                with b.branch(inside) as (yes, no):
                    with yes:
                        yield line
                    with no:
                        pass
                pairs = zip(line.result, loop.values, strict=True)
                loop.carry([b.phi([(new, yes.end), (old, no.end)]) for new, old in pairs])
            outer.carry(loop.results)
        state[:] = outer.results

    def within(self, place: Value, size: PoolInteger) -> Value:
        b = self.b
        return b.bit_and(b.compare("sge", place, 0), b.compare("slt", place, self.got[size]))

    # ---- one window -----------------------------------------------------------------------------------------

    def single(self, row: Row, column: Value) -> None:
        """One window, whose taps may lie outside."""
        b, got, i = self.b, self.got, PoolInteger
        left = b.subtract(b.multiply(column, got[i.STRIDE_W]), got[i.PAD_W])
        state = [constant(LOWEST, self.element), b.value(-1)]
        with self.each_line(row, state) as line:
            with b.carrying_loop(0, got[i.TAPS_W], 1, line.state) as taps:
                best, place = taps.values
                along = b.add(left, b.multiply(taps.index, got[i.GAP_W]))
                inside = self.within(along, i.SIZE_W)
                here = b.add(line.start, along)
                with b.branch(inside) as (yes, no):
                    with yes:
                        value = b.load_element(self.element, row.plane, here)
                        better = b.bit_or(self.wins(value, best), b.compare("eq", place, -1))
                        taken = b.select(better, value, best), b.select(better, here, place)
                    with no:
                        pass
                taps.carry(
                    [
                        b.phi([(new, yes.end), (old, no.end)])
                        for new, old in zip(taken, taps.values, strict=True)
                    ]
                )
            line.result = taps.results
        b.store(state[1], b.element_pointer(row.target, column, "i64"))

    def wins(self, value: Value, best: Value) -> Value:
        """Whether a value takes the place of the best so far."""
        b = self.b
        return b.bit_or(b.compare("ogt", value, best), b.compare("uno", value, value))

    # ---- several windows ------------------------------------------------------------------------------------

    def several(self, row: Row, column: Value) -> None:
        """As many windows as a vector has lanes, all of them inside along the last dimension."""
        b, got, i, lanes = self.b, self.got, PoolInteger, self.lanes
        integers = "i32" if self.element == "float" else "i64"
        kind = vector(integers, lanes)
        left = b.subtract(b.multiply(column, got[i.STRIDE_W]), got[i.PAD_W])
        steps = lane_constants([self.kernel.stride * lane for lane in range(lanes)], integers)
        state = [constant(LOWEST, vector(self.element, lanes)), constant(-1, kind)]
        with self.each_line(row, state) as line:
            with b.carrying_loop(0, got[i.TAPS_W], 1, line.state) as taps:
                best, place = taps.values
                along = b.add(left, b.multiply(taps.index, got[i.GAP_W]))
                here = b.add(line.start, along)
                value = self.read(b.element_pointer(row.plane, here, self.element))
                lone = b.cast("trunc", here, "i32") if integers == "i32" else here
                spots = b.add(b.splat(lone, kind), steps)
                unset = b.compare("slt", place, constant(0, kind))
                better = b.bit_or(self.wins(value, best), unset)
                taps.carry([b.select(better, value, best), b.select(better, spots, place)])
            line.result = taps.results
        wide = vector("i64", lanes)
        b.store(b.cast("sext", state[1], wide), b.element_pointer(row.target, column, "i64"))

    def read(self, pointer: Value) -> Value:
        """Neighbouring windows' values of one tap; nothing behind the last one is touched."""
        b, lanes, element = self.b, self.lanes, self.element
        kind = vector(element, lanes)
        low = b.load(kind, pointer)
        if self.kernel.stride == 1:
            return low
        high = b.load(kind, b.element_pointer(pointer, lanes - 1, element))
        half = lanes // 2
        odd = [2 * lane + 1 for lane in range(half, lanes)]
        return b.shuffle(low, high, [2 * lane for lane in range(half)] + odd)
