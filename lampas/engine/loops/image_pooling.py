"""Maximum pooling over channels-last images, lanes along the channels.

    "index"     the place of each window's largest value, flat in the image, int32: the first of equals, the first NaN
    "value"     that value
    "back"      grad of the image: every place adds up the gradients of the windows that found their maximum there

Windows are clipped to the image; one of which every value is the lowest yields its first place inside.  A unit is one row:
of results for the first two, of the image for the last.  Operands: image (index for "back"), for "back" the gradient,
result.  Integers: `ImagePoolInteger`; fewer than three spatial dimensions have sizes 1 in front.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS

LOWEST = float("-inf")
Part = Literal["index", "value", "back"]


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

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        ImagePoolWriter(module, self).write()
        return module


@dataclass(frozen=True)
class Clipped:
    """The numbers first … last - 1 of one dimension."""

    first: Value
    last: Value


class ImagePoolWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: ImagePoolKernel) -> None:
        self.kernel, self.element = kernel, kernel.element
        self.lanes = kernel.target.lanes(self.element)
        self.kind, self.places = vector(self.element, self.lanes), vector("i32", self.lanes)
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)

    def write(self) -> None:
        b, i = self.b, ImagePoolInteger
        operands, integers, begin, end, _ = b.arguments
        self.got = {key: b.load_element("i64", integers, int(key)) for key in i}
        count = 3 if self.kernel.part == "back" else 2
        self.operands = [b.load_element("ptr", operands, place) for place in range(count)]
        back = self.kernel.part == "back"
        rows, planes = (i.SIZE_H, i.SIZE_D) if back else (i.PLACES_H, i.PLACES_D)
        with b.loop(begin, end) as unit:
            above, height = b.divide(unit, self.got[rows]), b.remainder(unit, self.got[rows])
            image, depth = b.divide(above, self.got[planes]), b.remainder(above, self.got[planes])
            if back:
                self.write_back_row(image, depth, height)
            else:
                self.write_row(unit, image, depth, height)
        b.ret()

    def name(self, stem: str, dim: str) -> Value:
        return self.got[ImagePoolInteger[f"{stem}_{dim}"]]

    @contextmanager
    def channels(self) -> Generator[tuple[Value, Value], None, None]:
        """Walk the channels in vectors: yields the first one and the mask."""
        b, total = self.b, self.got[ImagePoolInteger.CHANNELS]
        with b.loop(0, total, self.lanes) as channel:
            yield channel, b.lane_mask(self.lanes, b.subtract(total, channel))

    def at(self, base: Value, row: Value, channel: Value, element: str) -> Value:
        """The address of a place's channel."""
        b = self.b
        moved = b.add(b.multiply(row, self.got[ImagePoolInteger.CHANNELS]), channel)
        return b.element_pointer(base, moved, element, inside=False)

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
        source, target = self.operands
        deep, top = self.taps("D", depth), self.taps("H", height)
        plane = b.multiply(b.multiply(self.got[i.SIZE_D], self.got[i.SIZE_H]), self.got[i.SIZE_W])
        base = b.multiply(image, plane)
        with b.loop(0, self.got[i.PLACES_W]) as column:
            wide = self.taps("W", column)
            row = b.add(b.multiply(unit, self.got[i.PLACES_W]), column)
            with self.channels() as (channel, mask):
                best, place = self.best((deep, top, wide), (source, base, channel), mask)
                if self.kernel.part == "value":
                    spot = self.at(target, row, channel, self.element)
                    b.masked_store(best, spot, mask)
                else:
                    b.masked_store(place, self.at(target, row, channel, "i32"), mask)

    def best(
        self,
        window: tuple[tuple[Clipped, Value], ...],
        read: tuple[Value, Value, Value],
        mask: Value,
    ) -> tuple[Value, Value]:
        """The largest value of a window and its place, for some channels."""
        b, i = self.b, ImagePoolInteger
        source, base, channel = read
        state = [constant(LOWEST, self.kind), constant(-1, self.places)]
        (deep, front), (high, top), (wide, left) = window
        with b.carrying_loop(deep.first, deep.last, 1, state) as planes:
            z = b.add(front, b.multiply(planes.index, self.got[i.GAP_D]))
            with b.carrying_loop(high.first, high.last, 1, planes.values) as rows:
                y = b.add(top, b.multiply(rows.index, self.got[i.GAP_H]))
                line = b.multiply(b.add(b.multiply(z, self.got[i.SIZE_H]), y), self.got[i.SIZE_W])
                with b.carrying_loop(wide.first, wide.last, 1, rows.values) as taps:
                    x = b.add(left, b.multiply(taps.index, self.got[i.GAP_W]))
                    here = b.add(line, x)
                    spot = self.at(source, b.add(base, here), channel, self.element)
                    value = b.masked_load(self.kind, spot, mask)
                    taps.carry(self.better(taps.values, value, here))
                rows.carry(taps.results)
            planes.carry(rows.results)
        return planes.results[0], planes.results[1]

    def better(self, state: list[Value], value: Value, here: Value) -> list[Value]:
        """The state after one more value: it must be larger, or the first one, or the first NaN."""
        b = self.b
        best, place = state
        fresh = b.bit_and(b.compare("uno", value, value), b.compare("ord", best, best))
        unset = b.compare("slt", place, constant(0, self.places))
        wins = b.bit_or(b.bit_or(b.compare("ogt", value, best), fresh), unset)
        spots = b.splat(b.cast("trunc", here, "i32"), self.places)
        return [b.select(wins, value, best), b.select(wins, spots, place)]

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
        target = self.operands[2]
        deep, high = self.windows("D", depth), self.windows("H", height)
        line = b.multiply(b.add(b.multiply(depth, self.got[i.SIZE_H]), height), self.got[i.SIZE_W])
        plane = b.multiply(b.multiply(self.got[i.SIZE_D], self.got[i.SIZE_H]), self.got[i.SIZE_W])
        with b.loop(0, self.got[i.SIZE_W]) as column:
            wide = self.windows("W", column)
            here = b.add(line, column)
            row = b.add(b.multiply(image, plane), here)
            with self.channels() as (channel, mask):
                total = self.gathered((deep, high, wide), image, here, channel, mask)
                b.masked_store(total, self.at(target, row, channel, self.element), mask)

    def gathered(
        self,
        window: tuple[Clipped, Clipped, Clipped],
        image: Value,
        here: Value,
        channel: Value,
        mask: Value,
    ) -> Value:
        """The sum of the gradients of those windows whose maximum lies here."""
        b, i = self.b, ImagePoolInteger
        index, grad, _ = self.operands
        spots = b.splat(b.cast("trunc", here, "i32"), self.places)
        zero = constant(0, self.kind)
        deep, high, wide = window
        with b.carrying_loop(deep.first, deep.last, 1, [zero]) as planes:
            above = b.add(b.multiply(image, self.got[i.PLACES_D]), planes.index)
            with b.carrying_loop(high.first, high.last, 1, planes.values) as rows:
                line = b.add(b.multiply(above, self.got[i.PLACES_H]), rows.index)
                line = b.multiply(line, self.got[i.PLACES_W])
                with b.carrying_loop(wide.first, wide.last, 1, rows.values) as taps:
                    row = b.add(line, taps.index)
                    found = b.masked_load(self.places, self.at(index, row, channel, "i32"), mask)
                    flow = b.masked_load(self.kind, self.at(grad, row, channel, self.element), mask)
                    same = b.compare("eq", found, spots)
                    taps.carry([b.add(taps.values[0], b.select(same, flow, zero))])
                rows.carry(taps.results)
            planes.carry(rows.results)
        return planes.results[0]
