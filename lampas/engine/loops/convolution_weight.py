"""The kernel of a convolution's derivative by the weight, over channels-last images.

    c[tap and channel, k] = Σ over positions:   image[position at the tap, channel] · grad[position, k]

A unit is a span of rows of the result with a range of filters, and a list of blocks of positions.  Of each block the
input values are gathered into one panel (positions × span), the gradient's rows into another (positions × a tile's
columns), and the tiles of the span add their products to the result.  Many channels: a span is of one tap, over all
positions that meet it.  Few channels: a span is all taps, the positions are cut into chunks, and each chunk has a
partial result of its own, to be added up later (`PartialSumKernel`); inputs are then mostly read where they lie
(convolution_weight_points.py).  The order of sums follows from the sizes alone.

Operands: image (N, D, H, W, channels), grad (positions, filters), c (groups, filters/lanes, taps, channels/groups,
lanes), scratch.  Integers: `WeightInteger`, then the tables of units, blocks, classes and runs
(convolution_weight_plan.py); a run's second word is its place in the panel's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS, Operand
from lampas.engine.loops.brgemm_tile import (
    TileShape,
    tile_shape,
)
from lampas.engine.loops.convolution_kernel import ClassWord, tile_heights, write_tiles
from lampas.engine.loops.convolution_panel import Steps, copy_elements, list_places, table_of
from lampas.engine.loops.convolution_tile import RUN_WORDS
from lampas.engine.loops.convolution_weight_points import PointSpanTile
from lampas.engine.loops.convolution_weight_tile import (
    NOTHING,
    FlowSpanTile,
    SpanTile,
    SpanTileValues,
)


class WeightInteger(IntEnum):
    """Places of the integers; steps in elements, of the gradient in positions.

    BY_ROWS tells that each position's values follow those of the one before, and that they and the gradient are read there.
    """

    # fmt: off
    (UNITS, UNIT_TABLE, GROUP_IMAGE, GROUP_FILTERS, GROUP_C, IN_IMAGE, IN_D, IN_H, IN_W, OUT_IMAGE, OUT_D, OUT_H, OUT_W,
     GRAD_ROW, PITCH, VECTOR_STEP, GRAD_PANEL, SCRATCH_STRIDE, BY_ROWS) = range(19)
    # fmt: on


class SpanWord(IntEnum):
    """Words of a unit: rows of the result, its blocks (their place among the integers), filters in panels, where in c."""

    ROW, SPAN, BLOCKS, BLOCK_COUNT, FIRST_PANEL, LAST_PANEL, PARTIAL = range(7)


class BlockWord(IntEnum):
    """Words of a block: its class and positions of that."""

    CLASS, FIRST, COUNT = range(3)


MOST_BLOCK = 256  # positions of a block


@dataclass(frozen=True)
class ConvolutionWeightKernel:
    """What is compiled in: the machine, the element type, how many vectors a tile is wide, and whether inputs are gathered or
    read where they lie (convolution_weight_points.py)."""

    target: Target
    element: str
    vectors: int = 2
    gathers: bool = True

    @property
    def shape(self) -> TileShape:
        return tile_shape(self.target, self.element, self.vectors)

    @property
    def name(self) -> str:
        return f"convolution_weight_{self.element}"

    def module(self) -> Module:
        """The module with the kernel and its tile functions."""
        module = Module()
        WeightWriter(module, self).write()
        return module


class WeightWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: ConvolutionWeightKernel) -> None:
        self.kernel, self.shape = kernel, kernel.shape
        heights = sorted(set(tile_heights(kernel.shape)), reverse=True)
        self.tiles = [self.tile(module, height) for height in heights]
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, self.worker = self.b.arguments

    def tile(self, module: Module, height: int) -> SpanTile:
        """The tile function of a height."""
        kernel = self.kernel
        if kernel.gathers:
            return FlowSpanTile(module, self.shape, height)
        return PointSpanTile(module, self.shape, height, kernel.target.scarce_registers)

    def integer(self, place: Value | int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def write(self) -> None:
        b, i = self.b, WeightInteger
        self.image, self.grad, self.c, scratch = (
            b.load_element("ptr", self.operands, place) for place in Operand
        )
        own = b.multiply(self.worker, self.integer(i.SCRATCH_STRIDE))
        self.panel = b.element_pointer(scratch, own, self.shape.element)
        grads = self.integer(i.GRAD_PANEL)
        self.grad_panel = b.element_pointer(self.panel, grads, self.shape.element)
        self.sources, self.flows = table_of(b, MOST_BLOCK), table_of(b, MOST_BLOCK)
        units = self.integer(i.UNITS)
        with b.loop(self.begin, self.end) as unit:
            group, number = b.divide(unit, units), b.remainder(unit, units)
            words = b.add(self.integer(i.UNIT_TABLE), b.multiply(number, len(SpanWord)))
            self.write_unit(group, {word: self.integer(b.add(words, word)) for word in SpanWord})
        b.ret()

    def write_unit(self, group: Value, unit: dict[SpanWord, Value]) -> None:
        """Walk the blocks of a unit; there is at least one, which may be empty."""
        b, i = self.b, WeightInteger
        self.from_group = b.multiply(group, self.integer(i.GROUP_IMAGE))
        self.filters = self.integer(i.GROUP_FILTERS)
        self.flow_group = b.multiply(group, self.filters)
        start = b.add(
            b.add(b.multiply(group, self.integer(i.GROUP_C)), unit[SpanWord.PARTIAL]),
            b.multiply(unit[SpanWord.ROW], self.shape.lanes),
        )
        self.own_c = b.element_pointer(self.c, start, self.shape.element)
        if not self.kernel.gathers:
            self.clear(unit)
        with b.loop(0, unit[SpanWord.BLOCK_COUNT]) as number:
            words = b.add(unit[SpanWord.BLOCKS], b.multiply(number, len(BlockWord)))
            block = {word: self.integer(b.add(words, word)) for word in BlockWord}
            known = {word: self.integer(b.add(block[BlockWord.CLASS], word)) for word in ClassWord}
            count = block[BlockWord.COUNT]
            with b.when(b.compare("sgt", count, 0)):
                self.list_block(block, known)
                if self.kernel.gathers:
                    with b.when(b.compare("eq", self.integer(i.BY_ROWS), 0)):
                        self.gather(unit, count, known)
            first = b.cast("zext", b.compare("eq", number, 0), "i64")
            self.multiply(unit, count, known, first)

    def clear(self, unit: dict[SpanWord, Value]) -> None:
        """Zeros where the sums of a unit will be added: not every block meets every row."""
        b, shape = self.b, self.shape
        step = self.integer(WeightInteger.VECTOR_STEP)
        zero = constant(0, shape.kind)
        first = b.multiply(unit[SpanWord.FIRST_PANEL], shape.vectors)
        vectors = b.divide(b.add(self.filters, shape.lanes - 1), shape.lanes)
        last = b.minimum(b.multiply(unit[SpanWord.LAST_PANEL], shape.vectors), vectors)
        stop = b.multiply(unit[SpanWord.SPAN], shape.lanes)
        with b.loop(first, last) as number, b.loop(0, stop, shape.lanes) as place:
            offset = b.add(b.multiply(number, step), place)
            b.store(zero, b.element_pointer(self.own_c, offset, shape.element))

    def list_block(self, block: dict[BlockWord, Value], known: dict[ClassWord, Value]) -> None:
        """List the places of a block's positions."""
        b, i, k = self.b, WeightInteger, ClassWord
        in_steps = Steps(*(self.integer(s) for s in (i.IN_IMAGE, i.IN_D, i.IN_H, i.IN_W)))
        out_steps = Steps(*(self.integer(s) for s in (i.OUT_IMAGE, i.OUT_D, i.OUT_H, i.OUT_W)))
        tables = [
            (self.sources, b.add(known[k.IN_BASE], self.from_group), in_steps),
            (self.flows, known[k.OUT_BASE], out_steps),
        ]
        sizes = known[k.SIZE_D], known[k.SIZE_H], known[k.SIZE_W]
        list_places(b, block[BlockWord.FIRST], block[BlockWord.COUNT], sizes, tables)

    def gather(
        self, unit: dict[SpanWord, Value], count: Value, known: dict[ClassWord, Value]
    ) -> None:
        """Copy the input values of a block's positions into the panel."""
        b, i, k = self.b, WeightInteger, ClassWord
        element, kind, pitch = self.shape.element, self.shape.kind, self.integer(i.PITCH)
        filled = b.multiply(known[k.RUN_COUNT], known[k.RUN_LENGTH])
        narrow = b.compare("slt", filled, unit[SpanWord.SPAN])
        with b.loop(0, count) as row:
            line = b.element_pointer(self.panel, b.multiply(row, pitch), element)
            with b.when(narrow), b.loop(0, pitch, self.shape.lanes) as place:
                b.store(constant(0, kind), b.element_pointer(line, place, element))
            begin = b.load_element("i64", self.sources, row)
            with b.loop(0, known[k.RUN_COUNT]) as number:
                words = b.add(known[k.RUNS], b.multiply(number, RUN_WORDS))
                moved = b.add(begin, self.integer(words))
                source = b.element_pointer(self.image, moved, element, inside=False)
                into = b.element_pointer(line, self.integer(b.add(words, 1)), element)
                copy_elements(b, source, into, known[k.RUN_LENGTH], kind)

    def multiply(
        self,
        unit: dict[SpanWord, Value],
        count: Value,
        known: dict[ClassWord, Value],
        first: Value,
    ) -> None:
        """Add the products of a block: for each panel of filters, copy the gradient's rows, then all tiles."""
        b, shape, i = self.b, self.shape, WeightInteger
        with b.loop(unit[SpanWord.FIRST_PANEL], unit[SpanWord.LAST_PANEL]) as panel:
            column = b.multiply(panel, shape.columns)
            left = b.subtract(self.filters, column)
            step = self.integer(i.VECTOR_STEP)
            moved = b.multiply(b.multiply(panel, shape.vectors), step)
            c = b.element_pointer(self.own_c, moved, shape.element)
            call = SpanTileValues(
                self.panel, self.integer(i.PITCH), NOTHING, NOTHING, self.grad_panel, count, c, step,
                unit[SpanWord.SPAN], left, first,
            )  # fmt: skip
            own_column = b.add(self.flow_group, column)
            if self.kernel.gathers:
                call = self.by_rows(call, own_column, known)
            else:
                self.copy_flows(own_column, left, count)
                call = self.by_points(call, known)
            write_tiles(b, self.tiles, call)

    def by_points(self, call: SpanTileValues, known: dict[ClassWord, Value]) -> SpanTileValues:
        """The arguments of tiles that read inputs where they lie: they do the rows that the block's class meets."""
        table = self.b.element_pointer(self.integers, known[ClassWord.RUNS], "i64")
        rows = known[ClassWord.RUN_COUNT]
        return call._replace(panel=self.image, values=table, places=self.sources, rows=rows)

    def by_rows(
        self, call: SpanTileValues, column: Value, known: dict[ClassWord, Value]
    ) -> SpanTileValues:
        """The arguments of tiles that read inputs and gradient in place, or else copies of both; the gradient of a panel that is
        not full is copied always.
        """
        b, shape, i = self.b, self.shape, WeightInteger
        direct = b.compare("ne", self.integer(i.BY_ROWS), 0)
        moved = self.integer(known[ClassWord.RUNS])
        start = b.add(b.load_element("i64", self.sources, 0), moved)
        panel = b.element_pointer(self.image, start, shape.element, inside=False)
        full = b.bit_and(direct, b.compare("sge", call.columns, shape.columns))
        with b.when(b.bit_xor(full, constant(True, "i1"))):
            self.copy_flows(column, call.columns, call.depth)
        row = self.integer(i.GRAD_ROW)
        place = b.add(b.multiply(b.load_element("i64", self.flows, 0), row), column)
        grad = b.element_pointer(self.grad, place, shape.element, inside=False)
        return call._replace(
            panel=b.select(direct, panel, call.panel),
            pitch=b.select(direct, self.integer(i.IN_W), call.pitch),
            grad=b.select(full, grad, call.grad),
            grad_step=b.select(full, row, b.value(shape.columns)),
        )

    def copy_flows(self, column: Value, left: Value, count: Value) -> None:
        """Copy the gradient's rows, as wide as a tile; zeros beyond the last filter."""
        b, shape = self.b, self.shape
        kind = vector(shape.element, shape.lanes)
        for v in range(shape.vectors):
            mask = b.lane_mask(shape.lanes, b.subtract(left, v * shape.lanes))
            with b.loop(0, count) as row:
                position = b.load_element("i64", self.flows, row)
                flow = b.add(b.multiply(position, self.integer(WeightInteger.GRAD_ROW)), column)
                place = b.element_pointer(self.grad, flow, shape.element, inside=False)
                place = b.element_pointer(place, v * shape.lanes, shape.element, inside=False)
                into = b.add(b.multiply(row, shape.columns), v * shape.lanes)
                value = b.masked_load(kind, place, mask)
                b.store(value, b.element_pointer(self.grad_panel, into, shape.element))


class SumInteger(IntEnum):
    """Places of the integers of a sum of partial results: how many, elements of each, elements of a unit."""

    PARTIALS, ELEMENTS, UNIT = range(3)


@dataclass(frozen=True)
class PartialSumKernel:
    """Adds partial results that lie one behind the other: operands c, partials."""

    target: Target
    element: str

    @property
    def name(self) -> str:
        return f"partial_sum_{self.element}"

    def module(self) -> Module:
        """The module with the kernel."""
        module, element = Module(), self.element
        b = module.function(self.name, KERNEL_PARAMETERS)
        operands, integers, begin, end, _ = b.arguments
        partials, elements, unit = (b.load_element("i64", integers, place) for place in SumInteger)
        c, parts = b.load_element("ptr", operands, 0), b.load_element("ptr", operands, 1)
        lanes = self.target.lanes(element)
        kind = vector(element, lanes)
        stop = b.minimum(b.multiply(end, unit), elements)
        with b.loop(b.multiply(begin, unit), stop, lanes) as place:
            mask = b.lane_mask(lanes, b.subtract(stop, place))
            first = b.masked_load(kind, b.element_pointer(parts, place, element), mask)
            with b.carrying_loop(1, partials, 1, [first]) as loop:
                moved = b.add(b.multiply(loop.index, elements), place)
                more = b.masked_load(kind, b.element_pointer(parts, moved, element), mask)
                loop.carry([b.add(loop.values[0], more)])
            b.masked_store(loop.results[0], b.element_pointer(c, place, element), mask)
        b.ret()
        return module
