"""Winograd's way for the derivative by the weight: Gᵀ[Σ over tiles (A·ȳ·Aᵀ) ∘ (Bᵀ·x·B)]·G.

The inputs are transformed as in the forward convolution, the gradient's m×m tiles by the transposed output matrix; then
each of the elements has one matrix product over the tiles, and one transform of the sums gives the derivative
(winograd_filter.py).  Kernels, each over a group of tiles:

    "image"     image -> V (elements, tiles, channels)                              unit: a few tiles
    "grad"      gradient -> D (elements, panels of filters, tiles, columns)         unit: a few tiles
    product     c (elements, filters/lanes, channels, lanes) = or += Vᵀ·D           unit: a span of channels of one element

Integers: `WinogradInteger` for the transforms, with FIRST_TILE in place of the scratch's stride; `ProductInteger`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_tile import TileShape, tile_shape
from lampas.engine.loops.convolution_kernel import tile_heights, write_tiles
from lampas.engine.loops.convolution_weight_tile import NOTHING, SpanTile, SpanTileValues
from lampas.engine.loops.winograd import SKEW, TileOwner, WinogradInteger
from lampas.engine.loops.winograd_matrices import (
    elements_of,
    gradient_steps,
    input_steps,
    outputs_of,
)
from lampas.engine.loops.winograd_transform import transform
from lampas.engine.loops.winograd_window import Extents, Tile, WindowReader

FIRST_TILE = WinogradInteger.SCRATCH_STRIDE
TILES_OF_UNIT = 4


@dataclass(frozen=True)
class WinogradTransformKernel:
    """What is compiled in: the machine, the element type, the way, and what is transformed."""

    target: Target
    element: str
    way: int
    part: Literal["image", "grad"]

    @property
    def shape(self) -> TileShape:
        return tile_shape(self.target, self.element)

    @property
    def name(self) -> str:
        return f"winograd{self.way}_{self.part}_{self.element}"

    def module(self) -> Module:
        """The module with the kernel; operands: source, target, scratch (a row of zeros for each thread)."""
        module = Module()
        TransformWriter(module, self).write()
        return module


class TransformWriter(TileOwner):
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: WinogradTransformKernel) -> None:
        super().__init__(module, kernel.name, kernel.shape)
        self.kernel, self.size = kernel, elements_of(kernel.way)

    def write(self) -> None:
        b, i, way = self.b, WinogradInteger, self.kernel.way
        self.source, self.target, scratch = (
            b.load_element("ptr", self.operands, place) for place in range(3)
        )
        own = b.multiply(self.worker, self.integer(i.ZEROS))
        self.room = b.element_pointer(scratch, own, self.shape.element)
        self.count, first = self.integer(i.BLOCK), self.integer(FIRST_TILE)
        each = b.value(TILES_OF_UNIT)
        stop = b.minimum(b.multiply(self.end, each), self.count)
        image = self.kernel.part == "image"
        self.reader = self.input_reader(way, self.room) if image else self.gradient_reader()
        write = self.write_image if image else self.write_grad
        with b.loop(b.multiply(self.begin, each), stop) as slot:
            write(self.tile(b.add(first, slot), way), slot)
        b.ret()

    def gradient_reader(self) -> WindowReader:
        """What reads the gradient of tiles' results."""
        i = WinogradInteger
        sizes = (self.integer(each) for each in (i.OUT_HEIGHT, i.OUT_WIDTH, i.FILTERS))
        reader = WindowReader(
            self.b, self.shape, Extents(*sizes), outputs_of(self.kernel.way), self.room
        )
        reader.clear()
        return reader

    def write_image(self, tile: Tile, slot: Value) -> None:
        """Bᵀ · tile · B, a vector of channels at a time."""
        b, shape, size = self.b, self.shape, self.size
        channels = self.integer(WinogradInteger.CHANNELS)
        plane = b.add(b.multiply(self.count, channels), SKEW)
        target = b.element_pointer(self.target, b.multiply(slot, channels), shape.element)
        self.reader.enter(tile, self.source)
        with b.loop(0, channels, shape.lanes) as channel:

            def put(y: int, x: int, value: Value) -> None:
                offset = b.add(b.multiply(plane, size * y + x), channel)
                b.store(value, b.element_pointer(target, offset, shape.element))

            steps = input_steps(self.kernel.way)
            transform(b, steps, lambda y, x: self.reader.read(y, x, channel), put)

    def write_grad(self, tile: Tile, slot: Value) -> None:
        """A · tile · Aᵀ, a vector of filters at a time; zeros beyond the result's edge."""
        b, i, shape, size = self.b, WinogradInteger, self.shape, self.size
        filters = self.integer(i.FILTERS)
        panels = b.divide(b.add(filters, shape.columns - 1), shape.columns)
        panel_size = b.multiply(self.count, shape.columns)
        plane = b.add(b.multiply(panels, panel_size), SKEW)
        top, left = b.add(tile.top, self.integer(i.PAD_H)), b.add(tile.left, self.integer(i.PAD_W))
        self.reader.enter(Tile(tile.image, top, left), self.source)
        with b.loop(0, filters, shape.lanes) as column:
            panel, inside = b.divide(column, shape.columns), b.remainder(column, shape.columns)
            start = b.add(b.multiply(panel, panel_size), b.multiply(slot, shape.columns))
            start = b.add(start, inside)

            def put(y: int, x: int, value: Value) -> None:
                offset = b.add(b.multiply(plane, size * y + x), start)
                b.store(value, b.element_pointer(self.target, offset, shape.element))

            steps = gradient_steps(self.kernel.way)
            transform(b, steps, lambda y, x: self.reader.read(y, x, column), put)


class ProductInteger(IntEnum):
    """Places of the integers: tiles of the group, channels, rows of a unit, filters, whether c is to be overwritten."""

    TILES, CHANNELS, SPAN, SPANS, FILTERS, FRESH = range(6)


# Tiles summed before the sum is put by.  An error grows with the length of its chain, and the way back enlarges it: with 64 it
# was 4.8 times that of the direct way, and 5 % of the products' time less.
DEPTH = 32


@dataclass(frozen=True)
class WinogradProductKernel:
    """The products of all elements; operands: V, D, c."""

    target: Target
    element: str

    @property
    def shape(self) -> TileShape:
        return tile_shape(self.target, self.element)

    @property
    def name(self) -> str:
        return f"winograd_product_{self.element}"

    def module(self) -> Module:
        """The module with the kernel and its tile functions."""
        module = Module()
        ProductWriter(module, self).write()
        return module


class ProductWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: WinogradProductKernel) -> None:
        self.shape = kernel.shape
        heights = sorted(set(tile_heights(self.shape)), reverse=True)
        self.tiles = [SpanTile(module, self.shape, height) for height in heights]
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, _ = self.b.arguments

    def write(self) -> None:
        b, shape, i = self.b, self.shape, ProductInteger
        self.got = {key: b.load_element("i64", self.integers, int(key)) for key in i}
        self.arrays = [b.load_element("ptr", self.operands, place) for place in range(3)]
        self.panels = b.divide(b.add(self.got[i.FILTERS], shape.columns - 1), shape.columns)
        self.panel_size = b.multiply(self.got[i.TILES], shape.columns)
        whole = [
            b.multiply(self.got[i.TILES], self.got[i.CHANNELS]),
            b.multiply(self.panels, self.panel_size),
            b.multiply(self.got[i.CHANNELS], self.got[i.FILTERS]),
        ]
        self.planes = [b.add(each, SKEW) for each in whole]
        with (
            b.loop(self.begin, self.end) as unit,
            b.loop(0, self.got[i.TILES], DEPTH) as start,
            b.loop(0, self.panels) as panel,
        ):
            self.write_product(unit, start, panel)
        b.ret()

    def write_product(self, unit: Value, start: Value, panel: Value) -> None:
        """A span of channels of one element by a panel of filters, over some tiles."""
        b, shape, got, i = self.b, self.shape, self.got, ProductInteger
        inputs, grads, c = self.arrays
        element, span = b.divide(unit, got[i.SPANS]), b.remainder(unit, got[i.SPANS])
        row, column = b.multiply(span, got[i.SPAN]), b.multiply(panel, shape.columns)
        rows = b.minimum(got[i.SPAN], b.subtract(got[i.CHANNELS], row))
        source, flow, place = (b.multiply(element, plane) for plane in self.planes)
        source = b.add(b.add(source, b.multiply(start, got[i.CHANNELS])), row)
        flow = b.add(flow, b.multiply(panel, self.panel_size))
        flow = b.add(flow, b.multiply(start, shape.columns))
        place = b.add(place, b.multiply(column, got[i.CHANNELS]))
        place = b.add(place, b.multiply(row, shape.lanes))
        fresh = b.bit_and(b.cast("zext", b.compare("eq", start, 0), "i64"), got[i.FRESH])
        call = SpanTileValues(
            b.element_pointer(inputs, source, shape.element), got[i.CHANNELS], NOTHING, NOTHING,
            b.element_pointer(grads, flow, shape.element),
            b.minimum(DEPTH, b.subtract(got[i.TILES], start)),
            b.element_pointer(c, place, shape.element), b.multiply(got[i.CHANNELS], shape.lanes), rows,
            b.subtract(got[i.FILTERS], column), fresh,
        )  # fmt: skip
        write_tiles(b, self.tiles, call)
