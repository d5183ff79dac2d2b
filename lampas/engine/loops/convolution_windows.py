"""Windows over a padded image: the right operand of a convolution's matrix product, never stored.

The image of one group is (C, D, H, W), row-major; fewer spatial dimensions have sizes 1 in front.  Two indices run over
it, a *tap* (c, a, b, e), the place inside the window and the channel, and a *position* (d, h, w) of the window:

    element(tap, position) = image[c, d·stride + a·dilation, h·stride + b·dilation, w·stride + e·dilation]

Positions may go on from image to image.  The forward product has columns = positions, depth = taps; the derivative by the weight has columns = taps, depth =
positions of all images.  `PanelWriter` copies a panel of either into scratch memory, k-major, as wide as a tile.

A copy may write up to `slack` elements behind the panel.  Columns beyond the last one hold any numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Loop, Module, Value, undefined, vector
from lampas.engine.loops.brgemm_tile import transpose

Columns = Literal["positions", "taps"]
Step = Literal["one", "two", "any"]


class WindowInteger(IntEnum):
    """Places of the windows' integers, after those of the product and its epilogue; strides in elements."""

    # fmt: off
    (PLACES_D, PLACES_H, PLACES_W, JUMP_IMAGE, JUMP_D, JUMP_H, JUMP_W, TAPS_D, TAPS_H, TAPS_W, TAP_D, TAP_H, TAP_W, CHANNEL,
     IMAGES, A_IMAGE, B_IMAGE) = range(17)
    # fmt: on


@dataclass(frozen=True)
class PanelKind:
    """What is compiled into the copy of a panel: `step` is the stride between neighbouring positions in memory."""

    target: Target
    element: str
    width: int
    columns: Columns
    step: Step

    @property
    def lanes(self) -> int:
        return self.target.lanes(self.element)

    @property
    def pitch(self) -> int:
        """Elements between rows of the panel: a piece of positions may write a vector beyond the last column."""
        return self.width + (self.lanes if self.columns == "positions" else 0)

    @property
    def slack(self) -> int:
        """Elements that a copy may write behind the panel."""
        return self.lanes * (self.width if self.columns == "taps" else 1)


def step_word(jump: int) -> Step:
    """The class of a stride."""
    return "one" if jump == 1 else "two" if jump == 2 else "any"


PANEL_PARAMETERS = (
    ("ptr", "image"),
    ("ptr", "sizes"),
    ("i64", "column"),
    ("i64", "columns"),
    ("i64", "k"),
    ("i64", "depth"),
    ("ptr", "target"),
)


class PanelWriter:
    """Writes ``void panel(image, sizes, column, columns, k, depth, target)``; `sizes` are the windows' integers."""

    name = "panel"

    def __init__(self, module: Module, kind: PanelKind) -> None:
        self.kind, self.lanes = kind, kind.lanes
        self.b: Builder = module.function(self.name, PANEL_PARAMETERS, internal=True)
        (self.image, self.sizes, self.column, self.columns, self.k, self.depth, self.target) = (
            self.b.arguments
        )

    def write(self) -> None:
        self.got = {key: self.b.load_element("i64", self.sizes, int(key)) for key in WindowInteger}
        if self.kind.columns == "positions":
            self.copy_positions()
        else:
            self.copy_taps()
        self.b.ret()

    # ---- places ---------------------------------------------------------------------------------------------

    def digits(self, number: Value, sizes: tuple[Value, ...]) -> list[Value]:
        """Split an index into digits, the last one fastest; the first is what is left."""
        found: list[Value] = []
        for size in reversed(sizes):
            found.insert(0, self.b.remainder(number, size))
            number = self.b.divide(number, size)
        return [number, *found]

    def weighed(self, digits: list[Value], *names: WindowInteger) -> Value:
        b, total = self.b, self.b.value(0)
        for digit, name in zip(digits, names, strict=True):
            total = b.add(total, b.multiply(digit, self.got[name]))
        return total

    def tap_digits(self, tap: Value) -> list[Value]:
        i = WindowInteger
        return self.digits(tap, (self.got[i.TAPS_D], self.got[i.TAPS_H], self.got[i.TAPS_W]))

    def tap_offset(self, digits: list[Value]) -> Value:
        i = WindowInteger
        return self.weighed(digits, i.CHANNEL, i.TAP_D, i.TAP_H, i.TAP_W)

    def position_offset(self, position: Value) -> tuple[Value, Value]:
        """The offset of a position, and its place along the last dimension."""
        i = WindowInteger
        sizes = (self.got[i.PLACES_D], self.got[i.PLACES_H], self.got[i.PLACES_W])
        digits = self.digits(position, sizes)
        names = (i.JUMP_IMAGE, i.JUMP_D, i.JUMP_H, i.JUMP_W)
        return self.weighed(digits, *names), digits[-1]

    def place(self, offset: Value) -> Value:
        return self.b.element_pointer(self.image, offset, self.kind.element)

    def put(self, value: Value, index: Value) -> None:
        self.b.store(value, self.b.element_pointer(self.target, index, self.kind.element))

    # ---- reading along positions ----------------------------------------------------------------------------

    def run(self, pointer: Value, count: Value | None) -> Value:
        """Load `count` neighbouring positions (None: a whole vector), any numbers in the other lanes."""
        b, lanes, element = self.b, self.lanes, self.kind.element
        kind = vector(element, lanes)
        if self.kind.step == "one":
            if count is None:
                return b.load(kind, pointer)
            return b.masked_load(kind, pointer, b.lane_mask(lanes, count))
        if self.kind.step == "two":
            return self.every_other(pointer, count, kind)
        value = undefined(kind)
        last = None if count is None else b.subtract(count, 1)
        for lane in range(lanes):
            index = b.value(lane) if last is None else b.minimum(b.value(lane), last)
            spot = b.element_pointer(
                pointer, b.multiply(index, self.got[WindowInteger.JUMP_W]), element
            )
            value = b.insert(value, b.load(element, spot), lane)
        return value

    def every_other(self, pointer: Value, count: Value | None, kind: str) -> Value:
        """Positions two apart: the even lanes of two loads; nothing behind the last one is touched."""
        b, lanes, element = self.b, self.lanes, self.kind.element
        half = lanes // 2
        if count is None:
            low = b.load(kind, pointer)
            high = b.load(kind, b.element_pointer(pointer, lanes - 1, element))
            odd = [lanes + 2 * i - (lanes - 1) for i in range(half, lanes)]
            return b.shuffle(low, high, [2 * i for i in range(half)] + odd)
        reach = b.subtract(b.multiply(count, 2), 1)
        low = b.masked_load(kind, pointer, b.lane_mask(lanes, reach))
        mask = b.lane_mask(lanes, b.subtract(reach, lanes))
        behind = b.element_pointer(pointer, lanes, element, inside=False)
        high = b.masked_load(kind, behind, mask)
        return b.shuffle(low, high, [2 * i for i in range(lanes)])

    # ---- columns are positions ------------------------------------------------------------------------------

    def copy_positions(self) -> None:
        """Copy the rows' pieces that the columns are made of, each for all taps, left to right.

        A piece that is no multiple of the lanes writes beyond its end, where the next piece writes later.
        """
        b, width, lanes = self.b, self.kind.width, self.lanes
        first, place = self.position_offset(self.column)
        inside = b.subtract(self.got[WindowInteger.PLACES_W], place)
        lone = b.bit_and(b.compare("sge", inside, width), b.compare("eq", self.columns, width))
        with b.branch(lone) as (whole, pieces):
            with whole, self.each_tap() as (row, offset):
                start = b.add(offset, first)
                for lane in range(0, width, lanes):
                    moved = b.add(start, b.multiply(self.got[WindowInteger.JUMP_W], lane))
                    self.put(self.run(self.place(moved), None), b.add(row, lane))
            with pieces:
                count, bounds = self.rows(self.column, self.columns)
                with b.loop(0, count) as number:
                    start, length = bounds(number)
                    offset, _ = self.position_offset(b.add(self.column, start))
                    self.copy_piece(start, offset, length)

    def copy_piece(self, column: Value, moved: Value, length: Value) -> None:
        """Copy one piece for all taps, a vector at a time; the last one's lanes are masked."""
        b, lanes = self.b, self.lanes
        jump = self.got[WindowInteger.JUMP_W]
        whole = b.bit_and(length, -lanes)
        with b.loop(0, whole, lanes) as done:
            spot, into = b.add(moved, b.multiply(done, jump)), b.add(column, done)
            with self.each_tap() as (row, offset):
                self.put(self.run(self.place(b.add(offset, spot)), None), b.add(row, into))
        with b.when(b.compare("slt", whole, length)):
            spot, into = b.add(moved, b.multiply(whole, jump)), b.add(column, whole)
            rest = b.subtract(length, whole)
            with self.each_tap() as (row, offset):
                self.put(self.run(self.place(b.add(offset, spot)), rest), b.add(row, into))

    def rows(
        self, first: Value, total: Value
    ) -> tuple[Value, Callable[[Value], tuple[Value, Value]]]:
        """How many rows `total` positions from `first` touch, and where each piece starts and how long it is."""
        b, size = self.b, self.got[WindowInteger.PLACES_W]
        place = b.remainder(first, size)
        count = b.divide(b.add(b.add(place, total), b.subtract(size, 1)), size)

        def bounds(number: Value) -> tuple[Value, Value]:
            ahead = b.subtract(b.multiply(number, size), place)
            start = b.maximum(ahead, 0)
            return start, b.subtract(b.minimum(b.add(ahead, size), total), start)

        return count, bounds

    def copy_segment(self, table: Value, number: Value, row: Value, offset: Value) -> None:
        b = self.b
        words = [
            b.load_element("i64", table, b.add(b.multiply(number, 3), slot)) for slot in range(3)
        ]
        column, moved, length = words
        start, into = b.add(offset, moved), b.add(row, column)
        jump = self.got[WindowInteger.JUMP_W]
        whole = b.bit_and(length, -self.lanes)
        with b.loop(0, whole, self.lanes) as done:
            spot = self.place(b.add(start, b.multiply(done, jump)))
            self.put(self.run(spot, None), b.add(into, done))
        with b.when(b.compare("slt", whole, length)):
            spot = self.place(b.add(start, b.multiply(whole, jump)))
            self.put(self.run(spot, b.subtract(length, whole)), b.add(into, whole))

    @contextmanager
    def each_tap(self) -> Generator[tuple[Value, Value], None, None]:
        """Walk the taps of this block of depth, whole lines of a window: yields the panel's row and the tap's offset."""
        b, got, i = self.b, self.got, WindowInteger
        digits = self.tap_digits(self.k)
        line = b.multiply(self.got[i.TAPS_W], self.kind.pitch)
        lines = b.divide(self.depth, got[i.TAPS_W])
        state = [*digits[1:3], self.tap_offset(digits), b.value(0)]
        with b.carrying_loop(0, lines, 1, state) as loop:
            start, row = loop.values[2:]
            with b.carrying_loop(0, got[i.TAPS_W], 1, [start, row]) as taps:
                yield taps.values[1], taps.values[0]
                taps.carry(
                    [
                        b.add(taps.values[0], got[i.TAP_W]),
                        b.add(taps.values[1], self.kind.pitch),
                    ]
                )
            loop.carry([*self.next_line(loop), b.add(row, line)])

    def next_line(self, loop: Loop) -> list[Value]:
        """The digits and offset of the line of taps that follows."""
        b, got, i = self.b, self.got, WindowInteger
        depth, height, offset = loop.values[:3]
        more = b.add(height, 1)
        ends = b.compare("eq", more, got[i.TAPS_H])
        deeper = b.add(depth, b.cast("zext", ends, "i64"))
        leaves = b.compare("eq", deeper, got[i.TAPS_D])
        offset = b.add(offset, got[i.TAP_H])
        back = b.subtract(got[i.TAP_D], b.multiply(got[i.TAPS_H], got[i.TAP_H]))
        offset = b.add(offset, b.select(ends, back, b.value(0)))
        away = b.subtract(got[i.CHANNEL], b.multiply(got[i.TAPS_D], got[i.TAP_D]))
        offset = b.add(offset, b.select(leaves, away, b.value(0)))
        return [b.select(leaves, b.value(0), deeper), b.select(ends, b.value(0), more), offset]

    # ---- columns are taps -----------------------------------------------------------------------------------

    def copy_taps(self) -> None:
        """For each row of positions, transpose squares of taps × positions."""
        b, width, lanes = self.b, self.kind.width, self.lanes
        table = b.allocate("i64", width)
        last = b.subtract(self.columns, 1)
        with b.loop(0, width) as column:
            tap = b.add(self.column, b.minimum(column, last))
            b.store(self.tap_offset(self.tap_digits(tap)), b.element_pointer(table, column, "i64"))
        count, bounds = self.rows(self.k, self.depth)
        with b.loop(0, count) as number:
            done, length = bounds(number)
            offset, _ = self.position_offset(b.add(self.k, done))
            whole = b.bit_and(length, -lanes)
            with b.loop(0, whole, lanes) as step:
                self.turn_squares(table, offset, step, b.add(done, step), None)
            with b.when(b.compare("slt", whole, length)):
                rest = b.subtract(length, whole)
                self.turn_squares(table, offset, whole, b.add(done, whole), rest)

    def turn_squares(
        self, table: Value, offset: Value, step: Value, row: Value, count: Value | None
    ) -> None:
        """Transpose `lanes` positions of all taps into as many rows of the panel."""
        b, lanes, width = self.b, self.lanes, self.kind.width
        moved = b.add(offset, b.multiply(step, self.got[WindowInteger.JUMP_W]))
        with b.loop(0, width, lanes) as first:
            square: list[Value] = []
            for lane in range(lanes):
                tap = b.load_element("i64", table, b.add(first, lane))
                square.append(self.run(self.place(b.add(moved, tap)), count))
            for lane, column in enumerate(transpose(b, square)):
                into = b.add(b.multiply(b.add(row, lane), width), first)
                self.put(column, into)
