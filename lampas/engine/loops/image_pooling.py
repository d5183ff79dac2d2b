"""Maximum pooling over channels-last images, lanes along the channels.

    "index"     the place of each window's largest value, flat in the image, int32: the first of equals, the last NaN
    "value"     that value
    "both"      the value, and the place
    "back"      grad of the image: every place adds up the gradients of the windows that found their maximum there

Windows are clipped to the image; one of which every value is the lowest yields its first place inside.  A unit is one row:
of results for the first three, of the image for the last.  Operands: image (index for "back"), for "back" the gradient,
result, for "both" the places.  Small windows inside the image: image_windows.py.  Integers: `ImagePoolInteger`; fewer than three spatial dimensions have sizes 1 in front.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Literal, NamedTuple

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_store import read_vector, write_vector
from lampas.engine.loops.channels import walk_channels

TOGETHER = 4  # vectors of channels
LOWEST = float("-inf")
Part = Literal["index", "value", "both", "back"]
Found = dict[Part, Value]  # of a vector of channels


class ImagePoolInteger(IntEnum):
    """Places of the integers."""

    # fmt: off
    (CHANNELS, PLACES_D, PLACES_H, PLACES_W, SIZE_D, SIZE_H, SIZE_W, TAPS_D, TAPS_H, TAPS_W, STRIDE_D, STRIDE_H, STRIDE_W,
     PAD_D, PAD_H, PAD_W, GAP_D, GAP_H, GAP_W) = range(19)
    # fmt: on


@dataclass(frozen=True)
class ImagePoolKernel:
    """What is compiled in: the machine, the element type and the part."""

    target: Target
    element: str
    part: Part

    @property
    def name(self) -> str:
        return f"image_pool_{self.part}_{self.element}"

    @property
    def found(self) -> tuple[Part, ...]:
        """What windows are searched for, in the order of the operands."""
        return ("value", "index") if self.part == "both" else (self.part,)

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        ImagePoolWriter(module, self).write()
        return module


class Clipped(NamedTuple):
    """The numbers first … last - 1 of one dimension."""

    first: Value
    last: Value


Window = tuple[tuple[Clipped, Value], ...]


class Walk:
    """A tap of a window: its number in the image, its row in memory, and the state before and after it."""

    state: list[Value]
    here: Value
    row: Value


class PoolWriter:
    """What the writers of pooling kernels have in common."""

    def __init__(self, module: Module, kernel: ImagePoolKernel) -> None:
        self.kernel, self.element = kernel, kernel.element
        self.lanes = kernel.target.lanes(self.element)
        self.kind, self.places = vector(self.element, self.lanes), vector("i32", self.lanes)
        b = self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        operands, integers, self.begin, self.end, _ = b.arguments
        self.got = {key: b.load_element("i64", integers, int(key)) for key in ImagePoolInteger}
        count = 3 if kernel.part in ("back", "both") else 2
        self.operands = [b.load_element("ptr", operands, place) for place in range(count)]

    def channels(self, write: Callable[[Value, int, Value | None], None]) -> None:
        """Walk the channels, TOGETHER vectors at a time where there are so many."""
        walk_channels(self.b, self.got[ImagePoolInteger.CHANNELS], self.lanes, TOGETHER, write)

    def at(self, base: Value, row: Value, channel: Value, element: str) -> Value:
        """The address of a place's channel."""
        b = self.b
        moved = b.add(b.multiply(row, self.got[ImagePoolInteger.CHANNELS]), channel)
        return b.element_pointer(base, moved, element, inside=False)

    def spread(self, place: Value) -> Value:
        """A place in every lane."""
        return self.b.splat(self.b.cast("trunc", place, "i32"), self.places)

    def put(self, row: Value, channel: Value, found: Found, mask: Value | None) -> None:
        """Store what was found in a window."""
        for part, target in zip(self.kernel.found, self.operands[1:], strict=True):
            element = "i32" if part == "index" else self.element
            write_vector(self.b, found[part], self.at(target, row, channel, element), mask)


class ImagePoolWriter(PoolWriter):
    """Writes the kernel's function."""

    def write(self) -> None:
        b, i = self.b, ImagePoolInteger
        back = self.kernel.part == "back"
        rows, planes = (i.SIZE_H, i.SIZE_D) if back else (i.PLACES_H, i.PLACES_D)
        with b.loop(self.begin, self.end) as unit:
            above, height = b.divide(unit, self.got[rows]), b.remainder(unit, self.got[rows])
            image, depth = b.divide(above, self.got[planes]), b.remainder(above, self.got[planes])
            if back:
                self.write_back_row(image, depth, height)
            else:
                self.write_row(unit, image, depth, height)
        b.ret()

    def name(self, stem: str, dim: str) -> Value:
        return self.got[ImagePoolInteger[f"{stem}_{dim}"]]

    # ---- forward --------------------------------------------------------------------------------------------

    def taps(self, dim: str, place: Value) -> tuple[Clipped, Value]:
        """The taps of a window that lie inside the image, and where tap 0 would lie."""
        b = self.b
        start = b.subtract(b.multiply(place, self.name("STRIDE", dim)), self.name("PAD", dim))
        gap = self.name("GAP", dim)
        before = b.divide(b.subtract(b.subtract(gap, start), 1), gap)
        after = b.divide(b.add(b.subtract(b.subtract(self.name("SIZE", dim), start), 1), gap), gap)
        first = b.maximum(before, 0)
        last = b.minimum(after, self.name("TAPS", dim))
        return Clipped(first, last), start

    def write_row(self, unit: Value, image: Value, depth: Value, height: Value) -> None:
        b, i = self.b, ImagePoolInteger
        deep, top = self.taps("D", depth), self.taps("H", height)
        plane = b.multiply(b.multiply(self.got[i.SIZE_D], self.got[i.SIZE_H]), self.got[i.SIZE_W])
        base = b.multiply(image, plane)
        with b.loop(0, self.got[i.PLACES_W]) as column:
            wide = self.taps("W", column)
            row = b.add(b.multiply(unit, self.got[i.PLACES_W]), column)
            self.channels(partial(self.write_places, (deep, top, wide), (base, row)))

    def write_places(
        self,
        window: Window,
        at: tuple[Value, Value],
        channel: Value,
        count: int,
        mask: Value | None,
    ) -> None:
        """One window of some vectors of channels; `at` is where image and result begin."""
        base, row = at
        find = self.largest if self.kernel.part == "value" else self.best
        for n, found in enumerate(find(window, base, channel, count, mask)):
            self.put(row, self.b.add(channel, n * self.lanes), found, mask)

    @contextmanager
    def walk(self, window: Window, base: Value, state: list[Value]) -> Generator[Walk, None, None]:
        """Carry a state over the taps of a window."""
        b, i = self.b, ImagePoolInteger
        (deep, front), (high, top), (wide, left) = window
        made = Walk()
        with b.carrying_loop(deep.first, deep.last, 1, state) as planes:
            z = b.add(front, b.multiply(planes.index, self.got[i.GAP_D]))
            with b.carrying_loop(high.first, high.last, 1, planes.values) as rows:
                y = b.add(top, b.multiply(rows.index, self.got[i.GAP_H]))
                line = b.multiply(b.add(b.multiply(z, self.got[i.SIZE_H]), y), self.got[i.SIZE_W])
                with b.carrying_loop(wide.first, wide.last, 1, rows.values) as taps:
                    x = b.add(left, b.multiply(taps.index, self.got[i.GAP_W]))
                    made.state, made.here = taps.values, b.add(line, x)
                    made.row = b.add(base, made.here)
                    yield made
                    taps.carry(made.state)
                rows.carry(taps.results)
            planes.carry(rows.results)
        made.state = planes.results

    def taken(self, walk: Walk, channel: Value, count: int, mask: Value | None) -> list[Value]:
        """The values at a tap."""
        b, source = self.b, self.operands[0]
        places = [b.add(channel, n * self.lanes) for n in range(count)]
        spots = [self.at(source, walk.row, place, self.element) for place in places]
        return [read_vector(b, self.kind, spot, mask) for spot in spots]

    def largest(
        self, window: Window, base: Value, channel: Value, count: int, mask: Value | None
    ) -> list[Found]:
        """The largest values of a window; NaN where there is one."""
        b = self.b
        flags = constant(False, vector("i1", self.lanes))
        state = [constant(LOWEST, self.kind)] * count + [flags] * count
        with self.walk(window, base, state) as walk:
            values = self.taken(walk, channel, count, mask)
            best, blurred = walk.state[:count], walk.state[count:]
            larger = [
                b.select(b.compare("ogt", value, old), value, old)
                for value, old in zip(values, best, strict=True)
            ]
            marks = [
                b.bit_or(mark, b.compare("uno", value, value))
                for value, mark in zip(values, blurred, strict=True)
            ]
            walk.state = [*larger, *marks]
        best, blurred = walk.state[:count], walk.state[count:]
        unknown = constant(float("nan"), self.kind)
        return [
            {"value": b.select(mark, unknown, old)} for mark, old in zip(blurred, best, strict=True)
        ]

    def best(
        self, window: Window, base: Value, channel: Value, count: int, mask: Value | None
    ) -> list[Found]:
        """A window's largest values and their places: the first one inside, unless one is larger or NaN."""
        b, i = self.b, ImagePoolInteger
        places = [b.add(lead, b.multiply(own.first, self.got[gap])) for (own, lead), gap in zip(
            window, (i.GAP_D, i.GAP_H, i.GAP_W), strict=True
        )]  # fmt: skip
        line = b.add(b.multiply(places[0], self.got[i.SIZE_H]), places[1])
        start = b.add(b.multiply(line, self.got[i.SIZE_W]), places[2])
        state = [constant(LOWEST, self.kind)] * count + [self.spread(start)] * count
        with self.walk(window, base, state) as walk:
            values = self.taken(walk, channel, count, mask)
            spots = self.spread(walk.here)
            best, known = walk.state[:count], walk.state[count:]
            wins = [
                b.bit_or(b.compare("ogt", value, old), b.compare("uno", value, value))
                for value, old in zip(values, best, strict=True)
            ]
            walk.state = [
                *map(b.select, wins, values, best),
                *[b.select(win, spots, old) for win, old in zip(wins, known, strict=True)],
            ]
        pairs = zip(walk.state[:count], walk.state[count:], strict=True)
        return [{"value": value, "index": place} for value, place in pairs]

    # ---- backward -------------------------------------------------------------------------------------------

    def windows(self, dim: str, place: Value) -> Clipped:
        """The windows that reach over a place."""
        b, stride = self.b, self.name("STRIDE", dim)
        padded = b.add(place, self.name("PAD", dim))
        reach = b.multiply(self.name("GAP", dim), b.subtract(self.name("TAPS", dim), 1))
        first = b.divide(b.add(b.subtract(padded, reach), b.subtract(stride, 1)), stride)
        last = b.add(b.divide(padded, stride), 1)
        return Clipped(b.maximum(first, 0), b.minimum(last, self.name("PLACES", dim)))

    def write_back_row(self, image: Value, depth: Value, height: Value) -> None:
        b, i = self.b, ImagePoolInteger
        deep, high = self.windows("D", depth), self.windows("H", height)
        line = b.multiply(b.add(b.multiply(depth, self.got[i.SIZE_H]), height), self.got[i.SIZE_W])
        plane = b.multiply(b.multiply(self.got[i.SIZE_D], self.got[i.SIZE_H]), self.got[i.SIZE_W])
        with b.loop(0, self.got[i.SIZE_W]) as column:
            wide = self.windows("W", column)
            here = b.add(line, column)
            row = b.add(b.multiply(image, plane), here)
            self.channels(partial(self.write_gathered, (deep, high, wide), (image, here, row)))

    def write_gathered(
        self,
        window: tuple[Clipped, Clipped, Clipped],
        at: tuple[Value, Value, Value],
        channel: Value,
        count: int,
        mask: Value | None,
    ) -> None:
        """The gradient of some vectors of channels of one place: `at` is its image, its number there, and its row."""
        image, here, row = at
        for n, total in enumerate(self.gathered(window, image, here, channel, count, mask)):
            first = self.b.add(channel, n * self.lanes)
            write_vector(self.b, total, self.at(self.operands[2], row, first, self.element), mask)

    def gathered(
        self,
        window: tuple[Clipped, Clipped, Clipped],
        image: Value,
        here: Value,
        channel: Value,
        count: int,
        mask: Value | None,
    ) -> list[Value]:
        """The sums of the gradients of those windows whose maximum lies here."""
        b, i = self.b, ImagePoolInteger
        spots, zero = self.spread(here), constant(0, self.kind)
        deep, high, wide = window
        with b.carrying_loop(deep.first, deep.last, 1, [zero] * count) as planes:
            above = b.add(b.multiply(image, self.got[i.PLACES_D]), planes.index)
            with b.carrying_loop(high.first, high.last, 1, planes.values) as rows:
                line = b.add(b.multiply(above, self.got[i.PLACES_H]), rows.index)
                line = b.multiply(line, self.got[i.PLACES_W])
                with b.carrying_loop(wide.first, wide.last, 1, rows.values) as taps:
                    row = b.add(line, taps.index)
                    taps.carry(
                        [
                            self.add_flow(total, row, b.add(channel, n * self.lanes), spots, mask)
                            for n, total in enumerate(taps.values)
                        ]
                    )
                rows.carry(taps.results)
            planes.carry(rows.results)
        return planes.results

    def add_flow(
        self, total: Value, row: Value, channel: Value, spots: Value, mask: Value | None
    ) -> Value:
        """Add the gradient of a window if its maximum lies at `spots`."""
        b, (index, grad, _) = self.b, self.operands
        found = read_vector(b, self.places, self.at(index, row, channel, "i32"), mask)
        flow = read_vector(b, self.kind, self.at(grad, row, channel, self.element), mask)
        same = b.compare("eq", found, spots)
        return b.add(total, b.select(same, flow, constant(0, self.kind)))
