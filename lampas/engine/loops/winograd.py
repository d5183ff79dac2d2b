"""Kernels of Winograd's convolution F(4×4, 3×3): transforms of images, filters and results.

An image is cut into tiles of 6×6 that overlap by two; a result into tiles of 4×4. With V = Bᵀ·tile·B for each channel
and U = G·filter·Gᵀ, the 36 elements of the results' transforms are 36 matrix products over the channels, and
result = Aᵀ·M·A: a quarter of the multiplications of the direct way. Matrices: `winograd_matrices.py`.

    "image"     padded images -> V[36][channel][tile]         unit: one channel of one image
    "filter"    weight        -> U[36][filter][channel]       unit: one filter
    "result"    M[36][filter][tile] -> result                 unit: one filter of one image

Lanes run along a row of tiles (along channels for filters); the last vector of a row reaches back over the one
before.  Operands: source, target.  Integers: `WinogradInteger`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.winograd_matrices import (
    INPUTS,
    OUTPUTS,
    TAPS,
    Matrix,
    filter_matrix,
    input_matrix,
    output_matrix,
)

Part = Literal["image", "filter", "result"]
ELEMENT = "float"


class WinogradInteger(IntEnum):
    """Places of the integers: tiles of an image down and across, and the sizes of source and target.

    For filters the first two are the strides of filters and channels, ROWS and WIDTH those of the taps, PLANES counts
    channels.
    """

    # fmt: off
    (TILES_DOWN, TILES_ACROSS, PLANES, ROWS, WIDTH, PITCH, PLANE) = range(7)
    # fmt: on


@dataclass(frozen=True)
class WinogradKernel:
    """One transform, `lanes` tiles (or channels) at a time."""

    target: Target
    part: Part
    lanes: int

    @property
    def name(self) -> str:
        return f"winograd_{self.part}_{self.lanes}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        WinogradWriter(module, self).write()
        return module


class WinogradWriter:
    """Writes the function of one kernel."""

    def __init__(self, module: Module, kernel: WinogradKernel) -> None:
        self.kernel, self.lanes = kernel, kernel.lanes
        self.kind = vector(ELEMENT, kernel.lanes)
        self.b: Builder = module.function(kernel.name, KERNEL_PARAMETERS)

    def write(self) -> None:
        b = self.b
        operands, integers, begin, end, _ = b.arguments
        self.got = {key: b.load_element("i64", integers, int(key)) for key in WinogradInteger}
        self.source, self.target = (b.load_element("ptr", operands, place) for place in (0, 1))
        with b.loop(begin, end) as unit:
            if self.kernel.part == "filter":
                self.write_filter(unit)
            else:
                self.write_plane(unit)
        b.ret()

    def place(self, base: Value, offset: Value) -> Value:
        return self.b.element_pointer(base, offset, ELEMENT)

    # ---- planes ---------------------------------------------------------------------------------------------

    def write_plane(self, unit: Value) -> None:
        """One channel of one image: `unit` counts channels first."""
        b, got, i = self.b, self.got, WinogradInteger
        image, channel = b.divide(unit, got[i.PLANES]), b.remainder(unit, got[i.PLANES])
        across, tiles = got[i.TILES_ACROSS], b.multiply(got[i.TILES_DOWN], got[i.TILES_ACROSS])
        first = b.add(b.multiply(channel, got[i.PITCH]), b.multiply(image, tiles))
        plane = b.multiply(unit, b.multiply(got[i.ROWS], got[i.WIDTH]))
        last = b.subtract(across, self.lanes)
        with b.loop(0, got[i.TILES_DOWN]) as down, b.loop(0, across, self.lanes) as column:
            start = b.minimum(column, last)
            tile = b.add(first, b.add(b.multiply(down, across), start))
            row, left = b.multiply(down, OUTPUTS), b.multiply(start, OUTPUTS)
            if self.kernel.part == "image":
                self.write_image(plane, row, left, tile)
            else:
                self.write_result(plane, row, left, tile)

    def write_image(self, plane: Value, row: Value, left: Value, tile: Value) -> None:
        b = self.b
        corner = b.add(plane, b.add(b.multiply(row, self.got[WinogradInteger.WIDTH]), left))
        lines = [
            self.tile_line(b.add(corner, b.multiply(self.got[WinogradInteger.WIDTH], y)))
            for y in range(INPUTS)
        ]
        matrix = input_matrix()
        down = [self.combine(matrix, [line[x] for line in lines]) for x in range(INPUTS)]
        for y in range(INPUTS):
            for x, value in enumerate(self.combine(matrix, [column[y] for column in down])):
                b.store(value, self.transformed(self.target, INPUTS * y + x, tile))

    def transformed(self, base: Value, element: int, tile: Value) -> Value:
        """The address of one element of the transforms of some tiles."""
        b = self.b
        return self.place(base, b.add(b.multiply(self.got[WinogradInteger.PLANE], element), tile))

    def tile_line(self, start: Value) -> list[Value]:
        """One row of `lanes` tiles, as six vectors: every fourth element, from 0 … 5."""
        b, lanes = self.b, self.lanes
        whole = vector(ELEMENT, OUTPUTS * lanes)
        near = b.load(whole, self.place(self.source, start))
        far = b.load(whole, self.place(self.source, b.add(start, 2)))
        picked = [(near, x) for x in range(OUTPUTS)] + [(far, 2), (far, 3)]
        return [
            b.shuffle(loaded, loaded, [OUTPUTS * lane + x for lane in range(lanes)])
            for loaded, x in picked
        ]

    def write_result(self, plane: Value, row: Value, left: Value, tile: Value) -> None:
        b = self.b
        matrix = output_matrix()
        down: list[list[Value]] = []
        for x in range(INPUTS):
            places = [self.transformed(self.source, INPUTS * y + x, tile) for y in range(INPUTS)]
            down.append(self.combine(matrix, [b.load(self.kind, place) for place in places]))
        for y in range(OUTPUTS):
            line = self.combine(matrix, [column[y] for column in down])
            here = b.add(row, y)
            with b.when(b.compare("slt", here, self.got[WinogradInteger.ROWS])):
                start = b.add(plane, b.multiply(here, self.got[WinogradInteger.WIDTH]))
                self.store_line(line, self.place(self.target, b.add(start, left)), left)

    def store_line(self, line: list[Value], pointer: Value, left: Value) -> None:
        """Weave four vectors into one row of `lanes` tiles; what lies beyond the row is left out."""
        b, lanes = self.b, self.lanes
        pairs = [
            b.shuffle(
                line[x], line[x + 1], [lane + lanes * k for lane in range(lanes) for k in (0, 1)]
            )
            for x in (0, 2)
        ]
        picks = [
            2 * lane + k + 2 * lanes * pair
            for lane in range(lanes)
            for pair in (0, 1)
            for k in (0, 1)
        ]
        woven = b.shuffle(pairs[0], pairs[1], picks)
        room = b.subtract(self.got[WinogradInteger.WIDTH], left)
        with b.branch(b.compare("sge", room, OUTPUTS * lanes)) as (whole, part):
            with whole:
                b.store(woven, pointer)
            with part:
                b.masked_store(woven, pointer, b.lane_mask(OUTPUTS * lanes, room))

    # ---- filters --------------------------------------------------------------------------------------------

    def write_filter(self, unit: Value) -> None:
        """One filter, `lanes` channels at a time."""
        b, got, i = self.b, self.got, WinogradInteger
        matrix = filter_matrix()
        row = b.multiply(unit, got[i.PLANES])
        last = b.subtract(got[i.PLANES], self.lanes)
        with b.loop(0, got[i.PLANES], self.lanes) as column:
            start = b.minimum(column, last)
            walked = b.multiply(unit, got[i.TILES_DOWN])
            source = b.add(walked, b.multiply(start, got[i.TILES_ACROSS]))
            taps = [[self.tap(source, y, x) for y in range(TAPS)] for x in range(TAPS)]
            down = [self.combine(matrix, column_of_taps) for column_of_taps in taps]
            place = b.add(row, start)
            for y in range(INPUTS):
                for x, value in enumerate(self.combine(matrix, [each[y] for each in down])):
                    b.store(value, self.transformed(self.target, INPUTS * y + x, place))

    def tap(self, source: Value, y: int, x: int) -> Value:
        """One tap of neighbouring channels."""
        b, got, i = self.b, self.got, WinogradInteger
        value = constant(0, self.kind)
        steps = b.add(b.multiply(got[i.ROWS], y), b.multiply(got[i.WIDTH], x))
        first = b.add(source, steps)
        for lane in range(self.lanes):
            offset = b.add(first, b.multiply(got[i.TILES_ACROSS], lane))
            value = b.insert(value, b.load(ELEMENT, self.place(self.source, offset)), lane)
        return value

    # ---- arithmetic -----------------------------------------------------------------------------------------

    def combine(self, matrix: Matrix, values: list[Value]) -> list[Value]:
        """The products of a matrix's rows with a column of vectors."""
        return [self.weighted(row, values) for row in matrix]

    def weighted(self, row: tuple[float, ...], values: list[Value]) -> Value:
        """A sum of multiples; ones and zeros cost nothing."""
        b = self.b
        total: Value | None = None
        terms = sorted(
            (term for term in zip(row, values, strict=True) if term[0]),
            key=lambda term: term[0] != 1,
        )
        for factor, value in terms:
            if total is None:
                total = value if factor == 1 else b.multiply(value, constant(factor, self.kind))
            elif factor == 1:
                total = b.add(total, value)
            elif factor == -1:
                total = b.subtract(total, value)
            else:
                total = b.multiply_add(value, constant(factor, self.kind), total)
        assert total is not None, "no row is empty"
        return total
