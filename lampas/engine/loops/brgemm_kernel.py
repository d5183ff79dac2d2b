"""The macro kernel of the matrix product: units of tiles × panels, blocks of K, batches.

Rows are cut into `tiles` tiles of `height` or `height - 1` rows (the first `tall` ones are the taller), columns into
panels as wide as the tile; only the last panel may be narrower. A unit, the thing that threads claim, is a group of
tiles × a group of panels of one batch, computed over all of K; so the result does not depend on who computes what.
Packed and plain operands differ in their strides alone.

A panel that is narrow, or whose rows would fight for the same cache sets, is first copied to the thread's own
scratch, zero-padded, so that the tile functions always read whole vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.dtype import dtype, float32
from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value
from lampas.engine.loops.brgemm_arguments import (
    COPY_ALL,
    COPY_NARROW,
    KERNEL_PARAMETERS,
    Integer,
    Operand,
)
from lampas.engine.loops.brgemm_pack import Mode, PackKernel, StretchWriter
from lampas.engine.loops.brgemm_store import (
    FIRST,
    LAST,
    Epilogue,
    Layout,
    TileCall,
    TileFunction,
)
from lampas.engine.loops.brgemm_tile import Access, TileShape, tile_shape, wide_shape
from lampas.engine.loops.emit_types import memory_type


@dataclass(frozen=True)
class GemmKernel:
    """What is compiled into one macro kernel.

    `b_kind` and `b_mode` say how a panel of B is copied where it has to be (brgemm_pack.py); packed panels count as
    plain ones. A `lone` kernel serves problems of one tile, so it needs no lower one; a `wide` one has the wide shape too.
    """

    target: Target
    element: str
    height: int
    access: Access
    layout: Layout
    c_element: str
    epilogue: Epilogue | None = None
    b_kind: dtype = float32
    b_mode: Mode = "copy"
    lone: bool = False
    wide: bool = False

    @property
    def shape(self) -> TileShape:
        if self.wide:
            return wide_shape(self.target, self.element, self.height)
        return tile_shape(self.target, self.element)

    @property
    def name(self) -> str:
        return f"gemm_{self.element}_{self.access}_{self.layout}_{self.height}"

    def module(self) -> Module:
        """Return the module with the kernel and its tile functions."""
        module = Module()
        MacroWriter(module, self).write()
        return module


class MacroWriter:
    """Writes the macro kernel's function."""

    def __init__(self, module: Module, kernel: GemmKernel) -> None:
        self.kernel, self.shape = kernel, kernel.shape
        heights = [kernel.height] + (
            [kernel.height - 1] if kernel.height > 1 and not kernel.lone else []
        )
        form = kernel.access, kernel.layout, kernel.c_element, kernel.epilogue
        self.tiles = [TileFunction(module, self.shape, height, *form) for height in heights]
        width = self.shape.columns
        copying = PackKernel(
            kernel.target, kernel.b_kind, kernel.element, width, width, kernel.b_mode
        )
        self.copy = StretchWriter(module, copying, width)
        self.copy.write()
        self.b_element = memory_type(kernel.b_kind)
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, self.worker = self.b.arguments

    def integer(self, place: int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def operand(self, place: int) -> Value:
        return self.b.load_element("ptr", self.operands, place)

    def up(self, number: Value, by: Value | int) -> Value:
        """Divide and round up."""
        b = self.b
        return b.divide(b.add(number, b.subtract(by, 1)), by)

    def write(self) -> None:
        b = self.b
        self.panels = self.up(self.integer(Integer.COLUMNS), self.shape.columns)
        self.row_groups = self.up(self.integer(Integer.TILES), self.integer(Integer.UNIT_TILES))
        self.column_groups = self.up(self.panels, self.integer(Integer.UNIT_PANELS))
        own = b.multiply(self.worker, self.integer(Integer.SCRATCH_STRIDE))
        self.scratch = b.element_pointer(self.operand(Operand.SCRATCH), own, self.shape.element)
        with b.loop(self.begin, self.end) as unit:
            self.write_unit(unit)
        b.ret()

    def write_unit(self, unit: Value) -> None:
        b = self.b
        in_batch = b.multiply(self.row_groups, self.column_groups)
        batch, rest = b.divide(unit, in_batch), b.remainder(unit, in_batch)
        group, row_group = b.divide(rest, self.row_groups), b.remainder(rest, self.row_groups)
        size = self.integer(Integer.BATCH1)
        self.batch = b.divide(batch, size), b.remainder(batch, size)
        kinds = self.shape.element, self.b_element, self.kernel.c_element
        self.a, self.bb, self.c = (
            self.batched(place, first, kind)
            for place, first, kind in zip(
                Operand, (Integer.A_BATCH0, Integer.B_BATCH0, Integer.C_BATCH0), kinds, strict=False
            )
        )
        first_tile = b.multiply(row_group, self.integer(Integer.UNIT_TILES))
        last_tile = b.minimum(
            b.add(first_tile, self.integer(Integer.UNIT_TILES)), self.integer(Integer.TILES)
        )
        first_panel = b.multiply(group, self.integer(Integer.UNIT_PANELS))
        last_panel = b.minimum(b.add(first_panel, self.integer(Integer.UNIT_PANELS)), self.panels)
        self.walk(first_tile, last_tile, (first_panel, last_panel))

    def walk(self, first_tile: Value, last_tile: Value, panels: tuple[Value, Value]) -> None:
        """Walk the blocks of K and the panels of one unit."""
        b = self.b
        depth, block = self.integer(Integer.DEPTH), self.integer(Integer.DEPTH_BLOCK)
        with b.loop(0, b.maximum(depth, 1), block) as k, b.loop(*panels) as panel:
            self.write_panel(k, panel, first_tile, last_tile)

    def batched(self, place: int, stride: int, kind: str) -> Value:
        """Return an operand's address for this unit's batch."""
        b = self.b
        first = b.multiply(self.batch[0], self.integer(stride))
        second = b.multiply(self.batch[1], self.integer(stride + 1))
        return b.element_pointer(self.operand(place), b.add(first, second), kind)

    def write_panel(self, k: Value, panel: Value, first_tile: Value, last_tile: Value) -> None:
        """Emit the work on one panel of one block of K."""
        b, shape = self.b, self.shape
        depth = self.integer(Integer.DEPTH)
        inside = b.minimum(b.subtract(depth, k), self.integer(Integer.DEPTH_BLOCK))
        first = b.cast("zext", b.compare("eq", k, 0), "i64")
        last = b.cast("zext", b.compare("sge", b.add(k, inside), depth), "i64")
        flags = b.add(b.multiply(first, FIRST), b.multiply(last, LAST))
        column = b.multiply(panel, shape.columns)
        columns = b.subtract(self.integer(Integer.COLUMNS), column)
        stride = self.integer(Integer.B_STRIDE)
        offset = b.add(b.multiply(panel, self.integer(Integer.B_PANEL)), b.multiply(k, stride))
        source = b.element_pointer(self.bb, offset, self.b_element)
        copied = self.copy_wanted(columns)
        with b.branch(copied) as (yes, no):
            with yes:
                across, valid = self.integer(Integer.B_ACROSS), b.minimum(columns, shape.columns)
                values = [source, across, stride, self.scratch, inside, valid]
                b.call(self.copy.name, "void", values)
            with no:
                pass
        rows = b.phi([(self.scratch, yes.end), (source, no.end)])
        step = b.phi([(b.value(shape.columns), yes.end), (stride, no.end)])
        c = b.element_pointer(
            self.c, b.multiply(panel, self.integer(Integer.C_PANEL)), self.kernel.c_element
        )
        self.write_tiles(
            (first_tile, last_tile), k, (rows, step, inside, c, columns, flags, column)
        )

    def copy_wanted(self, columns: Value) -> Value:
        b = self.b
        mode = self.integer(Integer.COPY)
        narrow = b.bit_and(
            b.compare("slt", columns, self.shape.columns), b.compare("eq", mode, COPY_NARROW)
        )
        return b.bit_or(narrow, b.compare("eq", mode, COPY_ALL))

    def write_tiles(self, tiles: tuple[Value, Value], k: Value, panel: tuple[Value, ...]) -> None:
        """Call the tile functions of both heights for a range of tiles: the high ones, and those behind them."""
        b, (first, last) = self.b, tiles
        if len(self.tiles) == 1:
            self.call_tiles(self.tiles[0], first, b.subtract(last, first), k, panel)
            return
        tall = self.integer(Integer.TALL)
        middle = b.maximum(b.minimum(last, tall), first)
        for function, start, stop in zip(self.tiles, (first, middle), (middle, last), strict=True):
            count = b.subtract(stop, start)
            with b.when(b.compare("sgt", count, 0)):
                self.call_tiles(function, start, count, k, panel)

    def call_tiles(
        self, function: TileFunction, tile: Value, count: Value, k: Value, panel: tuple[Value, ...]
    ) -> None:
        """Call a tile function for `count` tiles from a tile on."""
        b = self.b
        rows, step, inside, c, columns, flags, column = panel
        tall, low = self.integer(Integer.TALL), max(self.kernel.height - 1, 1)
        row = b.add(b.multiply(tile, low), b.minimum(tile, tall))
        if self.kernel.height == 1:
            row = tile
        a = self.a_place(tile, row, k)
        target = b.element_pointer(
            c, b.multiply(row, self.integer(Integer.C_TILE_ROW)), self.kernel.c_element
        )
        call = TileCall(
            a, self.integer(Integer.A_STRIDE), rows, step, inside, target,
            self.integer(Integer.C_STRIDE), columns, flags, row, column, *self.batch,
            self.operands, self.integers, count,
        )  # fmt: skip
        b.call(function.name, "void", list(call))

    def a_place(self, tile: Value, row: Value, k: Value) -> Value:
        """Return the address of A at (row, k); a packed tile is as wide as it is high."""
        b = self.b
        start = b.multiply(row, self.integer(Integer.A_ROW))
        if self.kernel.access == "row":
            along = k
        elif self.kernel.access == "column":
            along = b.multiply(k, self.integer(Integer.A_STRIDE))
        else:
            tall = b.compare("slt", tile, self.integer(Integer.TALL))
            height = b.select(tall, b.value(self.kernel.height), self.kernel.height - 1)
            along = b.multiply(k, height)
        return b.element_pointer(self.a, b.add(start, along), self.shape.element)
