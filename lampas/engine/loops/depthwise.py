"""Depthwise convolutions over channels-last images: every channel has a filter of its own; lanes along the channels.

    "forward"   c[position, k] = epilogue(Σ over the taps it meets:  image[tap, k] · weight[tap, k])
    "weight"    c[tap, k] (a partial result for each chunk of positions) = Σ over positions: image[tap, k] · grad[position, k]

Positions come class by class (convolution_geometry.py), so all of a block meet the same taps.  Those of the classes that meet
whole rows of taps go row by row (depthwise_rows.py).  Of others a few positions are done together, for the sake of one load
of the weight (or of the sums).  Operands: image, weight (taps, channels) or
gradient (positions, channels), c, then the epilogue's.  Integers: `DepthwiseInteger`, the epilogue's, then the tables:
units, classes with their runs (one tap each), and for "weight" blocks (depthwise_plan.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER, KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_store import Epilogue, Place, read_vector, write_vector
from lampas.engine.loops.channels import walk_channels
from lampas.engine.loops.convolution_kernel import ClassWord
from lampas.engine.loops.convolution_panel import Steps, list_places, table_of
from lampas.engine.loops.convolution_tile import RUN_WORDS
from lampas.engine.loops.convolution_weight import BlockWord
from lampas.engine.loops.depthwise_rows import RowWriter

Part = Literal["forward", "weight"]
TOGETHER = 4  # positions
VECTORS = 2  # of channels
MOST_ROWS = 128
Lanes = tuple[
    Value, int, Value | None
]  # the first channel, vectors of them, a mask where they do not fill one


class DepthwiseInteger(IntEnum):
    """Places of the integers; steps in elements, of the result in positions."""

    # fmt: off
    (UNIT_TABLE, CHANNELS, IN_IMAGE, IN_D, IN_H, IN_W, OUT_IMAGE, OUT_D, OUT_H, OUT_W, TAPS) = range(11)
    # fmt: on


class ChunkWord(IntEnum):
    """Words of a unit of "weight": its blocks; its number is that of its partial result."""

    BLOCKS, BLOCK_COUNT = range(2)


@dataclass(frozen=True)
class DepthwiseKernel:
    """What is compiled in: the machine, the element type, the part, the epilogue, how many neighbouring inputs a row of taps
    meets, how many rows there are, and from position to position how many inputs (no width: no rows).
    """

    target: Target
    element: str
    part: Part
    epilogue: Epilogue | None = None
    width: int = 0
    height: int = 0
    step: int = 1

    @property
    def first_table(self) -> int:
        """Where the tables may begin."""
        return FIRST_INTEGER + (self.epilogue.integers if self.epilogue else 0)

    @property
    def name(self) -> str:
        return f"depthwise_{self.part}_{self.element}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        DepthwiseWriter(module, self).write()
        return module


class DepthwiseWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: DepthwiseKernel) -> None:
        self.kernel, self.element = kernel, kernel.element
        self.lanes = kernel.target.lanes(self.element)
        self.kind = vector(self.element, self.lanes)
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, _ = self.b.arguments

    def integer(self, place: Value | int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def words(self, start: Value, names: type[IntEnum]) -> dict[IntEnum, Value]:
        return {word: self.integer(self.b.add(start, word)) for word in names}

    def write(self) -> None:
        b, i = self.b, DepthwiseInteger
        self.image, self.other, self.c = (
            b.load_element("ptr", self.operands, place) for place in range(3)
        )
        self.channels = self.integer(i.CHANNELS)
        self.sources, self.positions = table_of(b, MOST_ROWS), table_of(b, MOST_ROWS)
        self.along = self.integer(i.IN_W), self.integer(i.OUT_W)
        self.line = b.multiply(self.along[1], self.channels)
        self.column = b.divide(self.along[0], self.kernel.step)
        with b.loop(self.begin, self.end) as unit:
            if self.kernel.part == "forward":
                start = b.add(self.integer(i.UNIT_TABLE), b.multiply(unit, len(BlockWord)))
                self.write_block(self.words(start, BlockWord))
            else:
                start = b.add(self.integer(i.UNIT_TABLE), b.multiply(unit, len(ChunkWord)))
                self.write_chunk(unit, self.words(start, ChunkWord))
        b.ret()

    def list_block(self, block: dict[IntEnum, Value]) -> dict[IntEnum, Value]:
        """Write down where a block's positions read and write; returns the words of its class."""
        b, k = self.b, ClassWord
        known = self.words(block[BlockWord.CLASS], k)
        in_steps, out_steps = self.steps()
        sizes = known[k.SIZE_D], known[k.SIZE_H], known[k.SIZE_W]
        tables = [
            (self.sources, known[k.IN_BASE], in_steps),
            (self.positions, known[k.OUT_BASE], out_steps),
        ]
        list_places(b, block[BlockWord.FIRST], block[BlockWord.COUNT], sizes, tables)
        return known

    def steps(self) -> tuple[Steps, Steps]:
        """Of the image and of the result."""
        i = DepthwiseInteger
        return (
            Steps(*(self.integer(s) for s in (i.IN_IMAGE, i.IN_D, i.IN_H, i.IN_W))),
            Steps(*(self.integer(s) for s in (i.OUT_IMAGE, i.OUT_D, i.OUT_H, i.OUT_W))),
        )

    def by_rows(
        self,
        block: dict[IntEnum, Value],
        body: Callable[[RowWriter, Value, Value, Value], None],
        otherwise: Callable[[], None],
    ) -> None:
        """Write a block row by row where its class meets whole rows of taps: all of them, or all but one."""
        heights = [
            h for h in (self.kernel.height, self.kernel.height - 1) if h and self.kernel.width
        ]
        self.choose(heights, block, body, otherwise)

    def choose(
        self,
        heights: list[int],
        block: dict[IntEnum, Value],
        body: Callable[[RowWriter, Value, Value, Value], None],
        otherwise: Callable[[], None],
    ) -> None:
        if not heights:
            otherwise()
            return
        rows = RowWriter(self, heights[0])
        known = self.words(block[BlockWord.CLASS], ClassWord)
        with self.b.branch(rows.suits(known)) as (suits, other):
            with suits:
                rows.write(block, known, partial(body, rows))
            with other:
                self.choose(heights[1:], block, body, otherwise)

    def run(self, known: dict[IntEnum, Value], number: Value) -> tuple[Value, Value]:
        """A run's offset in the image and its tap."""
        place = self.b.add(known[ClassWord.RUNS], self.b.multiply(number, RUN_WORDS))
        return self.integer(place), self.integer(self.b.add(place, 1))

    def read(self, base: Value, offset: Value, number: int, mask: Value | None) -> Value:
        """A vector of channels, `number` vectors on."""
        moved = self.b.add(offset, number * self.lanes)
        place = self.b.element_pointer(base, moved, self.element, inside=False)
        return read_vector(self.b, self.kind, place, mask)

    # ---- forward --------------------------------------------------------------------------------------------

    def write_block(self, block: dict[IntEnum, Value]) -> None:
        """All positions of a block."""

        def write() -> None:
            known = self.list_block(block)
            self.walk_rows(block[BlockWord.COUNT], partial(self.write_rows, known))

        self.by_rows(block, RowWriter.forward, write)

    def walk_rows(self, count: Value, write: Callable[[Value, int, Lanes], None]) -> None:
        """Call `write(first position, positions, channels)` for all positions, all channels of a few before the next.

        Along the channels memory is read as it lies.
        """
        b = self.b
        whole = b.bit_and(count, -TOGETHER)
        for first, stop, together in ((b.value(0), whole, TOGETHER), (whole, count, 1)):
            with b.loop(first, stop, together) as row:

                def at_row(
                    channel: Value,
                    vectors: int,
                    mask: Value | None,
                    row: Value = row,
                    together: int = together,
                ) -> None:
                    write(row, together, (channel, vectors, mask))

                walk_channels(b, self.channels, self.lanes, VECTORS, at_row)

    def write_rows(
        self,
        known: dict[IntEnum, Value],
        row: Value,
        count: int,
        lanes: Lanes,
    ) -> None:
        """A few positions of some vectors of channels."""
        b, (channel, vectors, mask) = self.b, lanes
        starts = [
            b.add(b.load_element("i64", self.sources, b.add(row, n)), channel) for n in range(count)
        ]
        zeros = [constant(0, self.kind)] * (count * vectors)
        with b.carrying_loop(0, known[ClassWord.RUN_COUNT], 1, zeros) as loop:
            offset, tap = self.run(known, loop.index)
            line = b.add(b.multiply(tap, self.channels), channel)
            weights = [self.read(self.other, line, v, mask) for v in range(vectors)]
            moved = [b.add(start, offset) for start in starts]
            values = [
                self.read(self.image, place, v, mask) for place in moved for v in range(vectors)
            ]
            pairs = zip(values, weights * count, loop.values, strict=True)
            loop.carry([b.multiply_add(value, weight, total) for value, weight, total in pairs])
        for n in range(count):
            position = b.load_element("i64", self.positions, b.add(row, n))
            for v, total in enumerate(loop.results[n * vectors : (n + 1) * vectors]):
                self.put(total, position, b.add(channel, v * self.lanes), mask)

    def put(self, total: Value, position: Value, channel: Value, mask: Value | None) -> None:
        self.put_at(self.place(self.c, position, channel), total, position, channel, mask)

    def put_at(
        self, spot: Value, total: Value, position: Value, channel: Value, mask: Value | None
    ) -> None:
        """Store a vector of results, whose place is known."""
        b = self.b
        if self.kernel.epilogue is not None:
            zeros = b.value(0), b.value(0)
            place = Place(position, channel, mask, zeros, self.operands, self.integers)
            total = self.kernel.epilogue.emit(b, total, place)
        write_vector(b, total, spot, mask)

    def place(self, base: Value, position: Value, channel: Value) -> Value:
        """Where a position's channel lies in the result, or in its gradient."""
        b = self.b
        offset = b.add(b.multiply(position, self.channels), channel)
        return b.element_pointer(base, offset, self.element)

    # ---- the derivative by the weight -----------------------------------------------------------------------

    def write_chunk(self, unit: Value, chunk: dict[IntEnum, Value]) -> None:
        """The partial result of a chunk of positions: zeros, then block by block."""
        b = self.b
        size = b.multiply(self.integer(DepthwiseInteger.TAPS), self.channels)
        sums = b.element_pointer(self.c, b.multiply(unit, size), self.element)
        with b.loop(0, size) as place:
            b.store(constant(0, self.element), b.element_pointer(sums, place, self.element))
        with b.loop(0, chunk[ChunkWord.BLOCK_COUNT]) as number:
            start = b.add(chunk[ChunkWord.BLOCKS], b.multiply(number, len(BlockWord)))
            self.add_block(sums, self.words(start, BlockWord))

    def add_block(self, sums: Value, block: dict[IntEnum, Value]) -> None:
        """Add the products of a block."""

        def add() -> None:
            known = self.list_block(block)
            self.walk_rows(block[BlockWord.COUNT], partial(self.add_rows, sums, known))

        def add_row(rows: RowWriter, start: Value, position: Value, count: Value) -> None:
            rows.add(sums, start, position, count)

        self.by_rows(block, add_row, add)

    def add_to(self, sums: Value, place: Value, total: Value, mask: Value | None) -> None:
        """Add a vector to what lies among the sums."""
        b = self.b
        spot = b.element_pointer(sums, place, self.element)
        write_vector(b, b.add(read_vector(b, self.kind, spot, mask), total), spot, mask)

    def add_rows(
        self, sums: Value, known: dict[IntEnum, Value], row: Value, count: int, lanes: Lanes
    ) -> None:
        """Add the products of a few positions for all taps of some vectors of channels."""
        b, (channel, vectors, mask) = self.b, lanes
        rows = [b.add(row, n) for n in range(count)]
        flows: list[Value] = []
        for n in rows:
            position = b.load_element("i64", self.positions, n)
            line = b.add(b.multiply(position, self.channels), channel)
            flows += [self.read(self.other, line, v, mask) for v in range(vectors)]
        starts = [b.add(b.load_element("i64", self.sources, n), channel) for n in rows]
        with b.loop(0, known[ClassWord.RUN_COUNT]) as number:
            offset, tap = self.run(known, number)
            moved = [b.add(start, offset) for start in starts]
            line = b.add(b.multiply(tap, self.channels), channel)
            for v in range(vectors):
                values = [self.read(self.image, place, v, mask) for place in moved]
                pairs = list(zip(values, flows[v::vectors], strict=True))
                total = b.multiply(*pairs[0])
                for value, flow in pairs[1:]:
                    total = b.multiply_add(value, flow, total)
                self.add_to(sums, b.add(line, v * self.lanes), total, mask)
