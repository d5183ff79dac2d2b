"""Winograd's convolution F(m×m, 3×3) over channels-last images, a block of tiles at a time.

A result is cut into tiles of m×m, each of which reads (m + 2)×(m + 2) inputs.  A unit is a block of tiles with a part of
the filters: the thread transforms the inputs of all channels into its scratch memory, multiplies each of the (m + 2)²
elements' matrices (tiles × channels) by the transformed weight's (channels × filters; winograd_tile.py), and transforms the
products back: a quarter of the multiplications of the direct way for m = 4.  The block stays in the second cache.  Matrices:
winograd_matrices.py.  Weights that no near cache would hold once they are transformed: winograd_panel.py.

Operands: image (N, H, W, channels), transformed weight (elements, filters/lanes, channels, lanes), c (N, H, W, filters),
scratch, then the epilogue's or the target of moments (moments.py).  Channels and filters are multiples of the lanes.
Integers: `WinogradInteger`, the epilogue's behind `FIRST_INTEGER`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import FIRST_OPERAND, KERNEL_PARAMETERS, Operand
from lampas.engine.loops.brgemm_store import Epilogue, Place
from lampas.engine.loops.brgemm_tile import TileShape, tile_shape
from lampas.engine.loops.convolution_kernel import write_tiles
from lampas.engine.loops.moments import Body, Results, Walks, write_moments
from lampas.engine.loops.winograd_matrices import (
    SINGLE,
    elements_of,
    input_steps,
    inputs_of,
    outputs_of,
    result_steps,
)
from lampas.engine.loops.winograd_tile import RowsValues, rows_tiles
from lampas.engine.loops.winograd_transform import transform
from lampas.engine.loops.winograd_window import Extents, Tile, WindowReader


class WinogradInteger(IntEnum):
    """Places of the integers; BLOCK counts the tiles of a unit, PART its filters, BLOCKS the units of one part, ZEROS the
    elements of a row of a tile's inputs."""

    # fmt: off
    (TILES, BLOCK, TILES_DOWN, TILES_ACROSS, HEIGHT, WIDTH, CHANNELS, OUT_HEIGHT, OUT_WIDTH, FILTERS, PAD_H, PAD_W,
     ZEROS, SCRATCH_STRIDE, BLOCKS, PART) = range(16)
    # fmt: on


MOST_BLOCK = 64
SKEW = 16  # elements between planes of a transform, lest all of them fall into the same cache sets
CHAIN = 64  # channels summed before the sum is put by


@dataclass(frozen=True)
class WinogradKernel:
    """What is compiled in: the machine, the element type, the way, the epilogue, and whether moments are found in its place."""

    target: Target
    element: str
    way: int
    epilogue: Epilogue | None = None
    moments: bool = False

    @property
    def shape(self) -> TileShape:
        return tile_shape(self.target, self.element)

    @property
    def name(self) -> str:
        return f"winograd{self.way}_{self.element}"

    def module(self) -> Module:
        """The module with the kernel and its tile functions."""
        module = Module()
        WinogradWriter(module, self).write()
        return module


class TileOwner:
    """What the writers of kernels that walk tiles have in common: builder, integers and shape."""

    def __init__(self, module: Module, name: str, shape: TileShape) -> None:
        self.shape = shape
        self.b = module.function(name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, self.worker = self.b.arguments

    def integer(self, place: Value | int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def tile(self, number: Value, way: int) -> Tile:
        """Where a tile lies, by its number."""
        b, i, outputs = self.b, WinogradInteger, outputs_of(way)
        across, down = self.integer(i.TILES_ACROSS), self.integer(i.TILES_DOWN)
        above, column = b.divide(number, across), b.remainder(number, across)
        image, row = b.divide(above, down), b.remainder(above, down)
        top = b.subtract(b.multiply(row, outputs), self.integer(i.PAD_H))
        left = b.subtract(b.multiply(column, outputs), self.integer(i.PAD_W))
        return Tile(image, top, left)

    def input_reader(self, way: int, zeros: Value) -> WindowReader:
        """What reads the inputs of tiles; `zeros` is room for a row of a window."""
        i = WinogradInteger
        extents = Extents(*(self.integer(each) for each in (i.HEIGHT, i.WIDTH, i.CHANNELS)))
        reader = WindowReader(self.b, self.shape, extents, inputs_of(way), zeros, way == SINGLE)
        reader.clear()
        return reader


class WinogradWriter(TileOwner):
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: WinogradKernel) -> None:
        self.kernel, self.size = kernel, elements_of(kernel.way)
        self.tiles = rows_tiles(module, kernel.shape)
        super().__init__(module, kernel.name, kernel.shape)

    def write(self) -> None:
        b, i, element = self.b, WinogradInteger, self.shape.element
        self.image, self.weight, self.c, scratch = (
            b.load_element("ptr", self.operands, place) for place in Operand
        )
        self.channels, self.filters = self.integer(i.CHANNELS), self.integer(i.FILTERS)
        self.block, self.part = self.integer(i.BLOCK), self.integer(i.PART)
        own = b.multiply(self.worker, self.integer(i.SCRATCH_STRIDE))
        self.room = b.element_pointer(scratch, own, element)
        self.inputs = b.element_pointer(self.room, self.integer(i.ZEROS), element)
        self.reader = self.input_reader(self.kernel.way, self.room)
        self.in_plane = b.add(b.multiply(self.block, self.channels), SKEW)
        self.out_plane = b.add(b.multiply(self.block, self.part), SKEW)
        self.weight_plane = b.add(b.multiply(self.channels, self.filters), SKEW)
        whole = b.multiply(self.in_plane, self.size**2)
        self.products = b.element_pointer(self.inputs, whole, element)
        with b.loop(self.begin, self.end) as unit:
            blocks = self.integer(i.BLOCKS)
            self.first_filter = b.multiply(b.divide(unit, blocks), self.part)
            first = b.multiply(b.remainder(unit, blocks), self.block)
            count = b.minimum(self.block, b.subtract(self.integer(i.TILES), first))
            with b.loop(0, count) as number:
                self.transform_input(b.add(first, number), number)
            self.multiply(count)
            with b.loop(0, count) as number:
                self.transform_result(b.add(first, number), number)
            if self.kernel.moments:
                self.find_moments(first, count, b.remainder(unit, blocks))
        b.ret()

    def transform_input(self, number: Value, slot: Value) -> None:
        """Bᵀ · tile · B, a vector of channels at a time."""
        b, shape, size = self.b, self.shape, self.size
        self.reader.enter(self.tile(number, self.kernel.way), self.image)
        target = b.element_pointer(self.inputs, b.multiply(slot, self.channels), shape.element)
        with b.loop(0, self.channels, shape.lanes) as channel:

            def write(y: int, x: int, value: Value) -> None:
                offset = b.add(b.multiply(self.in_plane, size * y + x), channel)
                b.store(value, b.element_pointer(target, offset, shape.element))

            steps = input_steps(self.kernel.way)
            transform(b, steps, lambda y, x: self.reader.read(y, x, channel), write)

    def multiply(self, count: Value) -> None:
        """The products of all elements, panel by panel of filters.

        Sums are cut after `CHAIN` channels: rounding errors grow with the length of a chain, and the way back
        enlarges them.
        """
        b, shape = self.b, self.shape
        step = b.multiply(self.channels, shape.lanes)
        filters = b.minimum(self.part, b.subtract(self.filters, self.first_filter))
        panels = b.divide(b.add(filters, shape.columns - 1), shape.columns)
        with (
            b.loop(0, self.size**2) as number,
            b.loop(0, panels) as panel,
            b.loop(0, self.channels, CHAIN) as start,
        ):
            column = b.multiply(panel, shape.columns)
            left = b.subtract(filters, column)
            second = b.compare("sgt", left, shape.lanes)
            along = b.multiply(b.add(self.first_filter, column), self.channels)
            moved = b.add(
                b.add(b.multiply(number, self.weight_plane), along),
                b.multiply(start, shape.lanes),
            )
            plane = b.multiply(number, self.in_plane)
            result = b.multiply(number, self.out_plane)
            fresh = b.cast("zext", b.compare("eq", start, 0), "i64")
            call = RowsValues(
                b.element_pointer(self.inputs, b.add(plane, start), shape.element), self.channels,
                b.minimum(b.subtract(self.channels, start), CHAIN),
                b.element_pointer(self.weight, moved, shape.element), b.select(second, step, 0),
                b.element_pointer(self.products, b.add(result, column), shape.element), self.part, count, fresh,
            )  # fmt: skip
            write_tiles(b, self.tiles, call)

    def results_of(self, number: Value) -> tuple[Value, Value, Value]:
        """The first position of a tile's results, and how many of them lie in the result, down and across."""
        b, i = self.b, WinogradInteger
        outputs = outputs_of(self.kernel.way)
        tile = self.tile(number, self.kernel.way)
        top, left = (
            b.add(p, self.integer(q)) for p, q in ((tile.top, i.PAD_H), (tile.left, i.PAD_W))
        )
        height, width = self.integer(i.OUT_HEIGHT), self.integer(i.OUT_WIDTH)
        rows = b.minimum(b.subtract(height, top), outputs)
        across = b.minimum(b.subtract(width, left), outputs)
        first = b.add(b.multiply(b.add(b.multiply(tile.image, height), top), width), left)
        return first, rows, across

    def find_moments(self, first: Value, count: Value, block: Value) -> None:
        """Those of all results of the unit."""
        b, width = self.b, self.integer(WinogradInteger.OUT_WIDTH)

        def walk(initial: list[Value], body: Body) -> list[Value]:
            with b.carrying_loop(0, count, 1, initial) as tiles:
                start, rows, across = self.results_of(b.add(first, tiles.index))
                with b.carrying_loop(0, rows, 1, tiles.values) as down:
                    line = b.add(start, b.multiply(down.index, width))
                    with b.carrying_loop(0, across, 1, down.values) as along:
                        position = b.add(line, along.index)
                        along.carry(body(position, list(along.values)))
                    down.carry(along.results)
                tiles.carry(down.results)
            return list(tiles.results)

        def sample(initial: list[Value], body: Body) -> list[Value]:
            with b.carrying_loop(0, count, 1, initial) as tiles:
                start, _, _ = self.results_of(b.add(first, tiles.index))
                tiles.carry(body(start, list(tiles.values)))
            return list(tiles.results)

        target = b.load_element("ptr", self.operands, FIRST_OPERAND)
        results = Results(self.c, self.filters, target, self.integer(WinogradInteger.BLOCKS))
        columns = (
            self.first_filter,
            b.minimum(b.add(self.first_filter, self.part), self.filters),
        )
        kinds = self.shape.element, self.shape.lanes
        write_moments(b, kinds, results, Walks(walk, sample), block, columns)

    def transform_result(self, number: Value, slot: Value) -> None:
        """Aᵀ · products · A, a vector of filters at a time, and what of it lies in the result."""
        b, shape, size = self.b, self.shape, self.size
        outputs = outputs_of(self.kernel.way)
        first, rows, across = self.results_of(number)
        width = self.integer(WinogradInteger.OUT_WIDTH)
        source = b.element_pointer(self.products, b.multiply(slot, self.part), shape.element)
        filters = b.minimum(self.part, b.subtract(self.filters, self.first_filter))
        parked = b.allocate(shape.element, outputs * outputs * shape.lanes)
        with b.loop(0, filters, shape.lanes) as column:

            def read(y: int, x: int) -> Value:
                offset = b.add(b.multiply(self.out_plane, size * y + x), column)
                return b.load(shape.kind, b.element_pointer(source, offset, shape.element))

            def write(y: int, x: int, value: Value) -> None:
                offset = (outputs * y + x) * shape.lanes
                b.store(value, b.element_pointer(parked, offset, shape.element))

            transform(b, result_steps(self.kernel.way), read, write)
            with b.loop(0, rows) as y, b.loop(0, across) as x:
                offset = b.multiply(b.add(b.multiply(y, outputs), x), shape.lanes)
                value = b.load_element(shape.kind, parked, offset)
                position = b.add(first, b.add(b.multiply(y, width), x))
                self.store(value, position, b.add(self.first_filter, column))

    def store(self, value: Value, position: Value, column: Value) -> None:
        b, shape, epilogue = self.b, self.shape, self.kernel.epilogue
        offset = b.add(b.multiply(position, self.filters), column)
        if epilogue is not None:
            mask = constant(True, vector("i1", shape.lanes))
            zeros = b.value(0), b.value(0)
            place = Place(position, column, mask, zeros, self.operands, self.integers)
            value = epilogue.emit(b, value, place)
        b.store(value, b.element_pointer(self.c, offset, shape.element))
