"""Maximum pooling by small windows that lie inside the image: all taps of a window at once, without loops over them.

Where windows neither hang over an edge nor overlap, each place belongs to one of them or to none: the gradient goes from the
windows to their places ("back"), and each place is written once.  Parts, operands and what they yield: image_pooling.py.
A unit is one row of windows; for "back" it writes the image's rows down to the next one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lampas.engine.llvm.text import Module, Value, constant
from lampas.engine.loops.brgemm_store import read_vector, write_vector
from lampas.engine.loops.image_pooling import ImagePoolInteger, ImagePoolKernel, PoolWriter


@dataclass(frozen=True)
class WindowPoolKernel(ImagePoolKernel):
    """With the height and the width of the windows compiled in."""

    height: int = 2
    width: int = 2

    @property
    def name(self) -> str:
        return f"window_pool_{self.part}_{self.element}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        WindowPoolWriter(module, self).write()
        return module


class WindowPoolWriter(PoolWriter):
    """Writes the kernel's function."""

    kernel: WindowPoolKernel

    def write(self) -> None:
        b, i = self.b, ImagePoolInteger
        back = self.kernel.part == "back"
        width = self.got[i.SIZE_W]
        with b.loop(self.begin, self.end) as unit:
            rows = self.got[i.PLACES_H]
            above, row = b.divide(unit, rows), b.remainder(unit, rows)
            down = b.multiply(row, self.got[i.STRIDE_H])
            plane = b.multiply(self.got[i.SIZE_H], width)
            base = b.add(b.multiply(above, plane), b.multiply(down, width))
            depth = b.remainder(above, self.got[i.SIZE_D])
            top = b.add(b.multiply(depth, plane), b.multiply(down, width))
            if back:
                self.clear(down, base, b.compare("eq", b.add(row, 1), rows))
            first = b.multiply(unit, self.got[i.PLACES_W])
            with b.loop(0, self.got[i.PLACES_W]) as column:
                left = b.multiply(column, self.got[i.STRIDE_W])
                at = b.add(base, left), b.add(top, left), b.add(first, column)
                self.channels(partial(self.spread_flow if back else self.find, at))
        b.ret()

    def taps(self) -> list[tuple[int, int]]:
        """Down and across, in the order of places."""
        height, width = self.kernel.height, self.kernel.width
        return [(y, x) for y in range(height) for x in range(width)]

    def tap(self, base: Value, y: int, x: int) -> Value:
        """The number of a tap's place, from that of the window's first."""
        b = self.b
        return b.add(base, b.add(b.multiply(self.got[ImagePoolInteger.SIZE_W], y), x))

    def find(
        self, at: tuple[Value, Value, Value], channel: Value, count: int, mask: Value | None
    ) -> None:
        """The largest value of a window and its place: the first of equals, the last NaN."""
        b, (base, here, row) = self.b, at
        for n in range(count):
            own = b.add(channel, n * self.lanes)
            numbers = [self.tap(base, y, x) for y, x in self.taps()]
            spots = [self.at(self.operands[0], each, own, self.element) for each in numbers]
            best, *values = [read_vector(b, self.kind, spot, mask) for spot in spots]
            known, *places = [self.spread(self.tap(here, y, x)) for y, x in self.taps()]
            for value, place in zip(values, places, strict=True):
                wins = b.bit_or(b.compare("ogt", value, best), b.compare("uno", value, value))
                best, known = b.select(wins, value, best), b.select(wins, place, known)
            self.put(row, own, {"value": best, "index": known}, mask)

    # ---- backward -------------------------------------------------------------------------------------------

    def clear(self, down: Value, base: Value, last: Value) -> None:
        """Zeros in the rows down to the next windows, or to the end, where some places belong to no window."""
        b, i = self.b, ImagePoolInteger
        height, width = self.kernel.height, self.kernel.width
        rows = b.select(last, b.subtract(self.got[i.SIZE_H], down), self.got[i.STRIDE_H])
        across = b.multiply(self.got[i.PLACES_W], width)
        sparse = b.bit_or(
            b.compare("ne", rows, height), b.compare("ne", across, self.got[i.SIZE_W])
        )
        with b.when(sparse):
            width_of_image, channels = self.got[i.SIZE_W], self.got[i.CHANNELS]
            count = b.multiply(b.multiply(rows, width_of_image), channels)
            start = self.at(self.operands[2], base, b.value(0), self.element)
            whole = b.bit_and(count, -self.lanes)
            with b.loop(0, whole, self.lanes) as place:
                b.store(constant(0, self.kind), b.element_pointer(start, place, self.element))
            with b.loop(whole, count) as place:
                b.store(constant(0, self.element), b.element_pointer(start, place, self.element))

    def spread_flow(
        self, at: tuple[Value, Value, Value], channel: Value, count: int, mask: Value | None
    ) -> None:
        """The gradient of a window where its maximum lies, zeros at its other taps."""
        b, (base, here, row) = self.b, at
        index, grad, target = self.operands
        for n in range(count):
            own = b.add(channel, n * self.lanes)
            found = read_vector(b, self.places, self.at(index, row, own, "i32"), mask)
            flow = read_vector(b, self.kind, self.at(grad, row, own, self.element), mask)
            for y, x in self.taps():
                same = b.compare("eq", found, self.spread(self.tap(here, y, x)))
                value = b.select(same, flow, constant(0, self.kind))
                spot = self.at(target, self.tap(base, y, x), own, self.element)
                write_vector(b, value, spot, mask)
