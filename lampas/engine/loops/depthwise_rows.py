"""Depthwise convolutions row by row: of positions that follow each other in the image and meet whole rows of taps.

For one vector of channels all taps' weights (or their sums) lie in registers while a stretch of such a row goes by, so that a
product costs little more than one instruction.  Stretches are short: what they read stays in the first cache until all
channels are done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lampas.engine.llvm.text import Value, constant
from lampas.engine.loops.channels import walk_channels
from lampas.engine.loops.convolution_kernel import ClassWord
from lampas.engine.loops.convolution_panel import walk_stretches
from lampas.engine.loops.convolution_weight import BlockWord

if TYPE_CHECKING:
    from enum import IntEnum

    from lampas.engine.loops.depthwise import DepthwiseWriter

STRETCH = 8  # positions
TOGETHER = 4  # positions whose results are found side by side

Words = dict["IntEnum", Value]


class RowWriter:
    """Writes the blocks of a class whose positions meet so many whole rows of taps."""

    def __init__(self, writer: DepthwiseWriter, height: int) -> None:
        self.writer, self.b, self.kernel = writer, writer.b, writer.kernel
        self.height, self.width, self.step = height, writer.kernel.width, writer.kernel.step
        self.known: Words = {}

    def suits(self, known: Words) -> Value:
        """Whether a class meets just these taps, in rows that are worth it."""
        b, k = self.b, ClassWord
        across = b.compare("eq", known[k.RUN_LENGTH], self.width)
        down = b.compare("eq", known[k.RUN_COUNT], self.width * self.height)
        wide = b.compare("sge", known[k.SIZE_W], TOGETHER)
        return b.bit_and(b.bit_and(across, down), wide)

    def write(
        self, block: Words, known: Words, body: Callable[[Value, Value, Value], None]
    ) -> None:
        """Call `body(first input, first position, positions)` for each stretch of a block."""
        k, (in_steps, out_steps) = ClassWord, self.writer.steps()
        self.known = known
        sizes = known[k.SIZE_D], known[k.SIZE_H], known[k.SIZE_W]
        walked = [(known[k.IN_BASE], in_steps), (known[k.OUT_BASE], out_steps)]
        first, count = block[BlockWord.FIRST], block[BlockWord.COUNT]
        with walk_stretches(self.b, first, count, sizes, walked, STRETCH) as (_, stretch, starts):
            body(starts[0], starts[1], stretch)

    def rows(self, start: Value, channel: Value) -> list[Value]:
        """Where each row of taps begins to read, from a position's first input on."""
        b, writer = self.b, self.writer
        found: list[Value] = []
        for r in range(self.height):
            offset, _ = writer.run(self.known, b.value(r * self.width))
            moved = b.add(b.add(start, offset), channel)
            found.append(b.element_pointer(writer.image, moved, writer.element, inside=False))
        return found

    def moved(self, places: list[Value], by: int) -> list[Value]:
        """Rows of inputs, and behind them a place in the result, so many positions on."""
        b, writer = self.b, self.writer
        steps = [writer.along[0]] * self.height + [writer.line]
        return [
            b.element_pointer(place, b.multiply(step, by), writer.element, inside=False)
            for place, step in zip(places, steps, strict=True)
        ]

    def taps(self, channel: Value) -> list[list[Value]]:
        """The places of the taps' weights (or sums) of a channel."""
        b, writer = self.b, self.writer
        found: list[list[Value]] = []
        for r in range(self.height):
            _, tap = writer.run(self.known, b.value(r * self.width))
            line = b.add(b.multiply(tap, writer.channels), channel)
            found.append([b.add(line, b.multiply(writer.channels, s)) for s in range(self.width)])
        return found

    def input(self, row: Value, column: int, mask: Value | None) -> Value:
        """A vector so many inputs on in a row."""
        writer = self.writer
        return writer.read(row, self.b.multiply(writer.column, column), 0, mask)

    # ---- forward --------------------------------------------------------------------------------------------

    def forward(self, start: Value, position: Value, count: Value) -> None:
        """The results of a stretch."""
        b, writer = self.b, self.writer
        whole = b.bit_and(count, -TOGETHER)

        def write(channel: Value, vectors: int, mask: Value | None) -> None:
            weights = [
                [writer.read(writer.other, place, 0, mask) for place in line]
                for line in self.taps(channel)
            ]
            places = [*self.rows(start, channel), writer.place(writer.c, position, channel)]
            for first, stop, together in ((b.value(0), whole, TOGETHER), (whole, count, 1)):
                with b.carrying_loop(first, stop, together, places) as loop:
                    *rows, target = loop.values
                    for each, total in enumerate(self.sums(rows, weights, together, mask)):
                        number = b.multiply(b.add(loop.index, each), writer.along[1])
                        spot = self.moved([*rows, target], each)[-1]
                        writer.put_at(spot, total, b.add(position, number), channel, mask)
                    loop.carry(self.moved(list(loop.values), together))
                places = list(loop.results)

        walk_channels(b, writer.channels, writer.lanes, 1, write)

    def sums(
        self, rows: list[Value], weights: list[list[Value]], count: int, mask: Value | None
    ) -> list[Value]:
        """The results of some positions: an input is loaded once for all that it is part of."""
        b = self.b
        sums = [constant(0, self.writer.kind)] * count
        for row, line in zip(rows, weights, strict=True):
            for column in range((count - 1) * self.step + self.width):
                value = self.input(row, column, mask)
                for n in range(count):
                    tap = column - n * self.step
                    if 0 <= tap < self.width:
                        sums[n] = b.multiply_add(value, line[tap], sums[n])
        return sums

    # ---- the derivative by the weight -----------------------------------------------------------------------

    def add(self, sums: Value, start: Value, position: Value, count: Value) -> None:
        """Add a stretch's products to the sums of all taps."""
        b, writer = self.b, self.writer

        def write(channel: Value, vectors: int, mask: Value | None) -> None:
            zeros = [constant(0, writer.kind)] * (self.height * self.width)
            places = [*self.rows(start, channel), writer.place(writer.other, position, channel)]
            with b.carrying_loop(0, count, 1, [*places, *zeros]) as loop:
                *rows, line = loop.values[: self.height + 1]
                before = loop.values[self.height + 1 :]
                flow = writer.read(line, b.value(0), 0, mask)
                totals: list[Value] = []
                for r, row in enumerate(rows):
                    for tap in range(self.width):
                        value = self.input(row, tap, mask)
                        totals.append(b.multiply_add(value, flow, before[r * self.width + tap]))
                loop.carry([*self.moved([*rows, line], 1), *totals])
            found = loop.results[self.height + 1 :]
            places = [place for line in self.taps(channel) for place in line]
            for place, total in zip(places, found, strict=True):
                writer.add_to(sums, place, total, mask)

        walk_channels(b, writer.channels, writer.lanes, 1, write)
