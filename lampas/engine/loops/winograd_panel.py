"""Winograd's convolution where there are few tiles for a large weight: each unit transforms the filters that it needs.

A transformed weight is four times as large as the weight, more than the caches hold where channels are many.  Here it never
exists as a whole: the inputs of all tiles are transformed first (winograd_weight.py), and a unit, a panel of filters with a
block of tiles, takes a stretch of the channels at a time: it transforms their filters into its scratch memory and multiplies
all elements' inputs by them.  Filters and products stay in the second cache; the transformed inputs pass by.

Operands: transformed inputs (elements, tiles, channels) of a group of blocks, weight as `WinogradFilterKernel` reads it, c,
scratch, then as in winograd.py.  Integers: `WinogradInteger`; TILES are those of the group, FIRST_TILE is its first, a unit's
filters (PART) are one panel, and BLOCKS are those of all groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lampas.engine.llvm.text import Module, Value
from lampas.engine.loops.brgemm_arguments import Operand
from lampas.engine.loops.brgemm_tile import TileShape
from lampas.engine.loops.convolution_kernel import write_tiles
from lampas.engine.loops.winograd import (
    SKEW,
    WinogradInteger,
    WinogradKernel,
    WinogradWriter,
)
from lampas.engine.loops.winograd_filter import FilterTransforms, WinogradFilterKernel
from lampas.engine.loops.winograd_matrices import elements_of
from lampas.engine.loops.winograd_tile import RowsValues

STRETCH = 96  # channels at a time; their sums are put by
FIRST_TILE = WinogradInteger.ZEROS


@dataclass(frozen=True)
class WinogradPanelKernel(WinogradKernel):
    """What is compiled in, and how the weight lies."""

    direction: Literal["forward", "turned"] = "forward"

    @property
    def name(self) -> str:
        return f"winograd{self.way}_panel_{self.direction}_{self.element}"

    @property
    def filters(self) -> WinogradFilterKernel:
        """The kernel whose transforms these are."""
        return WinogradFilterKernel(self.target, self.element, self.way, self.direction)

    def module(self) -> Module:
        """The module with the kernel and its tile functions."""
        module = Module()
        PanelWriter(module, self).write()
        return module


def filters_plane(shape: TileShape) -> int:
    """Elements of one plane of a unit's transformed filters."""
    return STRETCH * shape.columns + SKEW


def own_elements(shape: TileShape, way: int, block: int) -> int:
    """Elements of a thread's scratch memory: filters, then products."""
    room = block + shape.rows  # tiles store whole rows
    return elements_of(way) ** 2 * (filters_plane(shape) + room * shape.columns + SKEW)


class PanelWriter(WinogradWriter):
    """Writes the kernel's function."""

    kernel: WinogradPanelKernel

    def write(self) -> None:
        b, i, element, shape = self.b, WinogradInteger, self.shape.element, self.shape
        self.inputs, self.weight, self.c, scratch = (
            b.load_element("ptr", self.operands, place) for place in Operand
        )
        self.channels, self.filters = self.integer(i.CHANNELS), self.integer(i.FILTERS)
        self.block, self.part = self.integer(i.BLOCK), b.value(shape.columns)
        own = b.multiply(self.worker, self.integer(i.SCRATCH_STRIDE))
        self.spread = b.element_pointer(scratch, own, element)
        self.in_plane = b.add(b.multiply(self.integer(i.TILES), self.channels), SKEW)
        self.out_plane = b.add(b.multiply(b.add(self.block, shape.rows), self.part), SKEW)
        whole = self.size**2 * filters_plane(shape)
        self.products = b.element_pointer(self.spread, whole, element)
        kernel = self.kernel.filters
        self.transforms = FilterTransforms(b, kernel, self.weight, self.channels, self.filters)
        panels = b.divide(b.add(self.filters, shape.columns - 1), shape.columns)
        with b.loop(self.begin, self.end) as unit:
            self.first_filter = b.multiply(b.remainder(unit, panels), self.part)
            own = b.multiply(b.divide(unit, panels), self.block)
            count = b.minimum(self.block, b.subtract(self.integer(i.TILES), own))
            self.multiply_block(own, count)
            first = b.add(self.integer(FIRST_TILE), own)
            with b.loop(0, count) as number:
                self.transform_result(b.add(first, number), number)
            if self.kernel.moments:
                self.find_moments(first, count, b.divide(first, self.block))
        b.ret()

    def multiply_block(self, first: Value, count: Value) -> None:
        """The products of all elements, a stretch of the channels after the other."""
        b, lanes = self.b, self.shape.lanes
        left = b.minimum(self.part, b.subtract(self.filters, self.first_filter))
        column = b.divide(self.first_filter, lanes)
        with b.loop(0, self.channels, STRETCH) as start:
            length = b.minimum(b.subtract(self.channels, start), STRETCH)
            with b.loop(0, b.divide(left, lanes)) as v:
                self.transform_filters(b.add(column, v), v, start, length)
            with b.loop(0, self.size**2) as number:
                self.multiply_element(number, (first, count), (start, length), left)

    def transform_filters(self, column: Value, v: Value, start: Value, length: Value) -> None:
        """Those of one vector of filters for a stretch of the channels."""
        b, lanes = self.b, self.shape.lanes
        own = b.multiply(v, STRETCH)
        if self.kernel.direction == "forward":
            with b.loop(0, length) as n:

                def spot(y: int, x: int) -> Value:
                    return self.spot(b.add(own, n), y, x)

                self.transforms.write_plain(column, b.add(start, n), spot)
            return
        first = b.divide(start, lanes)
        with b.loop(0, b.divide(length, lanes)) as block:
            row = b.add(own, b.multiply(block, lanes))
            self.transforms.write_turned(
                column, b.add(first, block), lambda n, y, x: self.spot(b.add(row, n), y, x)
            )

    def spot(self, row: Value, y: int, x: int) -> Value:
        """Where an element of a filter's transform lies; `row` counts the channels of all vectors of the panel."""
        b, shape = self.b, self.shape
        plane = filters_plane(shape) * (self.size * y + x)
        return b.element_pointer(
            self.spread, b.add(b.multiply(row, shape.lanes), plane), shape.element
        )

    def multiply_element(
        self, number: Value, tiles: tuple[Value, Value], channels: tuple[Value, Value], left: Value
    ) -> None:
        """The product of one element, added to what earlier channels have given."""
        b, shape = self.b, self.shape
        (first, count), (start, length) = tiles, channels
        source = b.add(b.multiply(number, self.in_plane), b.multiply(first, self.channels))
        spread = b.multiply(number, filters_plane(shape))
        result = b.multiply(number, self.out_plane)
        fresh = b.cast("zext", b.compare("eq", start, 0), "i64")
        second = b.compare("sgt", left, shape.lanes)
        call = RowsValues(
            b.element_pointer(self.inputs, b.add(source, start), shape.element), self.channels, length,
            b.element_pointer(self.spread, spread, shape.element),
            b.select(second, b.value(STRETCH * shape.lanes), 0),
            b.element_pointer(self.products, result, shape.element), self.part, count, fresh,
        )  # fmt: skip
        write_tiles(b, self.tiles, call)
