"""Winograd's derivative by a large weight: each unit brings its sums back at once.

The sums of all elements are four times as large as the derivative, more than the caches hold where channels are many.  Here a
unit, a span of channels with some panels of filters, multiplies the transformed inputs and gradients (winograd_weight.py) of a
group of tiles for one element after the other, its sums stay in the second cache, and what it stores is the derivative.
With `adds` it is added to what the groups before have given.

Operands: V, D, c (filters/lanes, 9, channels, lanes), scratch.  Integers: `PanelInteger`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS, Operand
from lampas.engine.loops.brgemm_tile import TileShape, tile_shape
from lampas.engine.loops.convolution_kernel import tile_heights, write_tiles
from lampas.engine.loops.convolution_weight_tile import NOTHING, SpanTileValues, WholeSpanTile
from lampas.engine.loops.winograd import SKEW
from lampas.engine.loops.winograd_filter import FilterTransforms, WinogradFilterKernel
from lampas.engine.loops.winograd_matrices import elements_of
from lampas.engine.loops.winograd_weight import DEPTH

PANELS_OF_UNIT = 2


class PanelInteger(IntEnum):
    """Places of the integers: tiles of the group, channels, those of a unit, units along the channels, filters, and
    elements of a thread's scratch memory."""

    TILES, CHANNELS, SPAN, SPANS, FILTERS, SCRATCH_STRIDE = range(6)


@dataclass(frozen=True)
class WinogradWeightPanelKernel:
    """What is compiled in: the machine, the element type, the way, and whether the result is added to."""

    target: Target
    element: str
    way: int
    adds: bool = False

    @property
    def shape(self) -> TileShape:
        return tile_shape(self.target, self.element)

    @property
    def name(self) -> str:
        return f"winograd{self.way}_weight_{self.element}"

    def module(self) -> Module:
        """The module with the kernel and its tile functions."""
        module = Module()
        WeightPanelWriter(module, self).write()
        return module


def columns_of(shape: TileShape) -> int:
    """Filters of a unit."""
    return PANELS_OF_UNIT * shape.columns


def own_elements(shape: TileShape, way: int, span: int) -> int:
    """Elements of a thread's scratch memory: the sums of a unit."""
    return elements_of(way) ** 2 * (span * columns_of(shape) + SKEW)


class WeightPanelWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: WinogradWeightPanelKernel) -> None:
        self.kernel, self.shape, self.size = kernel, kernel.shape, elements_of(kernel.way)
        heights = sorted(set(tile_heights(self.shape)), reverse=True)
        self.tiles = [WholeSpanTile(module, self.shape, height) for height in heights]
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, self.worker = self.b.arguments

    def write(self) -> None:
        b, shape, i = self.b, self.shape, PanelInteger
        self.got = {key: b.load_element("i64", self.integers, int(key)) for key in i}
        self.inputs, self.grads, c, scratch = (
            b.load_element("ptr", self.operands, place) for place in Operand
        )
        own = b.multiply(self.worker, self.got[i.SCRATCH_STRIDE])
        self.sums = b.element_pointer(scratch, own, shape.element)
        self.sums_plane = b.add(b.multiply(self.got[i.SPAN], columns_of(shape)), SKEW)
        back = WinogradFilterKernel(
            self.kernel.target, self.kernel.element, self.kernel.way, "back"
        )
        channels, filters = self.got[i.CHANNELS], self.got[i.FILTERS]
        self.transforms = FilterTransforms(b, back, c, channels, filters, self.kernel.adds)
        with b.loop(self.begin, self.end) as unit:
            row = b.multiply(b.remainder(unit, self.got[i.SPANS]), self.got[i.SPAN])
            column = b.multiply(b.divide(unit, self.got[i.SPANS]), columns_of(shape))
            rows = b.minimum(self.got[i.SPAN], b.subtract(channels, row))
            left = b.minimum(b.subtract(filters, column), columns_of(shape))
            self.multiply((row, rows), (column, left))
            self.store((row, rows), (column, left))
        b.ret()

    def multiply(self, rows: tuple[Value, Value], columns: tuple[Value, Value]) -> None:
        """The sums of all elements for a range (first, count) of channels and one of filters."""
        b, shape, i = self.b, self.shape, PanelInteger
        tiles, channels = self.got[i.TILES], self.got[i.CHANNELS]
        panels = b.divide(b.add(self.got[i.FILTERS], shape.columns - 1), shape.columns)
        panel_size = b.multiply(tiles, shape.columns)
        in_plane = b.add(b.multiply(tiles, channels), SKEW)
        grad_plane = b.add(b.multiply(panels, panel_size), SKEW)
        step = b.multiply(self.got[i.SPAN], shape.lanes)
        first = b.divide(columns[0], shape.columns)
        with (
            b.loop(0, self.size**2) as number,
            b.loop(0, columns[1], shape.columns) as column,
            b.loop(0, tiles, DEPTH) as start,
        ):
            panel = b.add(first, b.divide(column, shape.columns))
            source = b.add(b.multiply(number, in_plane), b.multiply(start, channels))
            flow = b.add(b.multiply(number, grad_plane), b.multiply(panel, panel_size))
            flow = b.add(flow, b.multiply(start, shape.columns))
            place = b.add(b.multiply(number, self.sums_plane), b.multiply(column, self.got[i.SPAN]))
            call = SpanTileValues(
                b.element_pointer(self.inputs, b.add(source, rows[0]), shape.element), channels, NOTHING, NOTHING,
                b.element_pointer(self.grads, flow, shape.element),
                b.minimum(DEPTH, b.subtract(tiles, start)),
                b.element_pointer(self.sums, place, shape.element), step, rows[1],
                b.subtract(columns[1], column), b.cast("zext", b.compare("eq", start, 0), "i64"),
            )  # fmt: skip
            write_tiles(b, self.tiles, call)

    def store(self, rows: tuple[Value, Value], columns: tuple[Value, Value]) -> None:
        """Gᵀ · sums · G, a channel of a vector of filters at a time."""
        b, shape, span = self.b, self.shape, self.got[PanelInteger.SPAN]
        first = b.divide(columns[0], shape.lanes)
        with b.loop(0, b.divide(columns[1], shape.lanes)) as v, b.loop(0, rows[1]) as row:
            own = b.multiply(b.add(b.multiply(v, span), row), shape.lanes)

            def spot(y: int, x: int) -> Value:
                plane = b.multiply(self.sums_plane, self.size * y + x)
                return b.element_pointer(self.sums, b.add(plane, own), shape.element)

            self.transforms.write_plain(b.add(first, v), b.add(rows[0], row), spot)
