"""Planning Winograd's convolutions.

sizes = WinogradSizes(images, channels, filters, height, width, (pad_h, pad_w), out_height, out_width)
plan = plan_winograd(float32, sizes, way=4)             # operands: "a" image, "b" blocked weight, "c" result
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, KernelCall
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_plan import element_bytes, plain_element
from lampas.engine.loops.brgemm_tile import TileShape, tile_shape
from lampas.engine.loops.winograd import MOST_BLOCK, SKEW, WinogradInteger, WinogradKernel
from lampas.engine.loops.winograd_filter import WinogradFilterKernel
from lampas.engine.loops.winograd_matrices import elements_of, inputs_of, outputs_of
from lampas.engine.loops.winograd_panel import FIRST_TILE as FIRST_TILE_OF_GROUP
from lampas.engine.loops.winograd_panel import WinogradPanelKernel, own_elements
from lampas.engine.loops.winograd_weight import (
    FIRST_TILE,
    TILES_OF_UNIT,
    WinogradTransformKernel,
)

BLOCK_BYTES = 5 << 17  # of the transforms of one unit
UNITS_WANTED = 4
NEAR_SPREAD = 4 << 20  # bytes of a transformed weight that may pass through the caches
BLOCKS_OF_GROUP = 2  # whose transformed inputs lie in memory together
FEW_TILES = 32  # from here on units differ by their tiles alone


Operands = tuple[tuple[str, int], ...]
Extras = Sequence[Sequence[int]]


class WinogradSizes(NamedTuple):
    """One convolution by 3×3 filters without stride, dilation and groups."""

    images: int
    channels: int
    filters: int
    height: int
    width: int
    padding: tuple[int, int]
    out_height: int
    out_width: int

    def tiles(self, way: int) -> tuple[int, int]:
        """Tiles down and across."""
        outputs = outputs_of(way)
        return -(-self.out_height // outputs), -(-self.out_width // outputs)

    def count(self, way: int) -> int:
        """Tiles of all images."""
        down, across = self.tiles(way)
        return self.images * down * across


def part_of(sizes: WinogradSizes, way: int, columns: int) -> int:
    """Filters of a unit.

    Each unit reads its filters' transformed weights.  Where there are few tiles, units differ by their filters too, so
    that half of the weights goes to each of two threads: these may share no cache.
    """
    parts = 1 if sizes.count(way) > FEW_TILES else 2
    return -(-sizes.filters // (parts * columns)) * columns


def block_of(sizes: WinogradSizes, way: int, part: int, rows: int, nbytes: int) -> int:
    """Tiles of a unit: as many whole register tiles as fit the second cache, and enough units."""
    elements = elements_of(way) ** 2
    each = elements * (sizes.channels + part) * nbytes
    most = max(1, min(BLOCK_BYTES // (each * rows), MOST_BLOCK // rows)) * rows
    count = sizes.count(way)
    wanted = -(-UNITS_WANTED * part // sizes.filters)
    blocks = max(-(-count // most), min(wanted, count // 8), 1)
    return -(-count // blocks)


def suits_panels(sizes: WinogradSizes, way: int, nbytes: int) -> bool:
    """Whether units had better transform their filters: the whole transformed weight would not stay in the near caches."""
    return elements_of(way) ** 2 * sizes.channels * sizes.filters * nbytes > NEAR_SPREAD


def cut_of(sizes: WinogradSizes, way: int, shape: TileShape, nbytes: int) -> tuple[int, int]:
    """Filters and tiles of a unit."""
    if suits_panels(sizes, way, nbytes):
        count = sizes.count(way)
        return shape.columns, -(-count // -(-count // MOST_BLOCK))
    part = part_of(sizes, way, shape.columns)
    return part, block_of(sizes, way, part, shape.rows, nbytes)


def blocks_of_tiles(kind: dtype, sizes: WinogradSizes, way: int) -> int:
    """How many blocks of tiles there are."""
    element = plain_element(kind)
    _, block = cut_of(sizes, way, tile_shape(host(), element), element_bytes(element))
    return -(-sizes.count(way) // block)


def integers_of(
    sizes: WinogradSizes, way: int, block: int, part: int, shape: TileShape
) -> dict[int, int]:
    """The fixed integers of the kernel; scratch is a row of zeros, the inputs' transforms, the products.

    Tiles compute whole rows: beyond the last inputs and products there is room for a tile's rows.
    """
    i = WinogradInteger
    down, across = sizes.tiles(way)
    zeros = row_of(sizes, way)
    width = sizes.channels + part
    own = zeros + elements_of(way) ** 2 * (block * width + 2 * SKEW) + shape.rows * width
    return {
        i.TILES: sizes.count(way), i.BLOCK: block, i.TILES_DOWN: down, i.TILES_ACROSS: across,
        i.HEIGHT: sizes.height, i.WIDTH: sizes.width, i.CHANNELS: sizes.channels,
        i.OUT_HEIGHT: sizes.out_height, i.OUT_WIDTH: sizes.out_width, i.FILTERS: sizes.filters,
        i.PAD_H: sizes.padding[0], i.PAD_W: sizes.padding[1], i.ZEROS: zeros,
        i.SCRATCH_STRIDE: -(-own // 16) * 16, i.BLOCKS: -(-sizes.count(way) // block), i.PART: part,
    }  # fmt: skip


def filter_call(
    target: Target,
    element: str,
    sizes: WinogradSizes,
    way: int,
    operands: tuple[str, int],
    turned: bool,
) -> KernelCall:
    """The call that transforms the weight into the scratch memory at an offset."""
    lanes = target.lanes(element)
    kernel = WinogradFilterKernel(target, element, way, "turned" if turned else "forward")
    plane = sizes.channels * sizes.filters + SKEW
    extent, work = sizes.filters // lanes * sizes.channels, sizes.filters * sizes.channels * 2
    integers, listed = (sizes.channels, plane), (("b", 0), operands)
    if turned:
        return KernelCall(kernel, listed, integers, extent // lanes, work, kernel.name)
    return KernelCall(kernel, listed, integers, extent, work, kernel.name, 16)


def plan_winograd(
    kind: dtype,
    sizes: WinogradSizes,
    way: int,
    *,
    epilogue: NestEpilogue | None = None,
    extras: Sequence[Sequence[int]] = (),
    threads: int = 1,
    target: Target | None = None,
    turned: bool = False,
    keeps: bool = False,
    moments: bool = False,
) -> GemmPlan:
    """Plan the forward convolution, or the derivative by the input, from the weight as it lies (`turned`).

    With `keeps` the transformed weight lies in memory of its own and can serve many runs.  With `moments` the operand
    "moments" gets those of all blocks (moments.py).
    """
    target, element = target or host(), plain_element(kind)
    planner = ForwardPlanner(kind, sizes, way, threads, target)
    listed = tuple((f"extra{number}", 0) for number in range(len(extras)))
    listed += (("moments", 0),) if moments else ()
    if suits_panels(sizes, way, element_bytes(element)):
        direction = "turned" if turned else "forward"
        kernel = WinogradPanelKernel(target, element, way, epilogue, moments, direction)
        return planner.by_panels(kernel, extras, listed)
    plain = WinogradKernel(target, element, way, epilogue, moments)
    return planner.by_blocks(plain, extras, listed, turned, keeps)


class Planner:
    """What the plans of all directions begin with."""

    def __init__(
        self, kind: dtype, sizes: WinogradSizes, way: int, threads: int, target: Target
    ) -> None:
        self.sizes, self.way, self.threads, self.target = sizes, way, threads, target
        self.element, self.elements = plain_element(kind), elements_of(way) ** 2
        self.nbytes, self.shape = element_bytes(self.element), tile_shape(target, self.element)

    def transform(
        self, part: Literal["image", "grad"], tiles: tuple[int, int], place: int, zeros: int
    ) -> KernelCall:
        """The call that transforms tiles (the first, and how many) of inputs or gradient to a place of the scratch memory."""
        (first, count), sizes = tiles, self.sizes
        kernel = WinogradTransformKernel(self.target, self.element, self.way, part)
        values = integers_of(sizes, self.way, count, sizes.filters, self.shape)
        values[WinogradInteger.ZEROS] = row_of(sizes, self.way)
        values[FIRST_TILE] = first
        listed = tuple(values[key] for key in WinogradInteger)
        source = ("a", 0) if part == "image" else ("b", 0)
        operands = (source, ("scratch", place), ("scratch", zeros))
        width = sizes.channels if part == "image" else sizes.filters
        extent = -(-count // TILES_OF_UNIT)
        return KernelCall(kernel, operands, listed, extent, count * width * 4, kernel.name)


class ForwardPlanner(Planner):
    """Plans the calls of a forward convolution."""

    def __init__(
        self, kind: dtype, sizes: WinogradSizes, way: int, threads: int, target: Target
    ) -> None:
        super().__init__(kind, sizes, way, threads, target)
        self.part, self.block = cut_of(sizes, way, self.shape, self.nbytes)
        self.values = integers_of(sizes, way, self.block, self.part, self.shape)

    def by_blocks(
        self, kernel: WinogradKernel, extras: Extras, listed: Operands, turned: bool, keeps: bool
    ) -> GemmPlan:
        """The weight is transformed first; a unit transforms its inputs."""
        sizes = self.sizes
        scratch = self.threads * self.values[WinogradInteger.SCRATCH_STRIDE] * self.nbytes
        spread = elements_of(self.way) ** 2 * (sizes.channels * sizes.filters + SKEW) * self.nbytes
        place = ("kept", 0) if keeps else ("scratch", scratch)
        weight = filter_call(self.target, self.element, sizes, self.way, place, turned)
        operands = (("a", 0), place, ("c", 0), ("scratch", 0), *listed)
        call = self.call(kernel, extras, operands, self.values[WinogradInteger.BLOCKS])
        if keeps:
            return GemmPlan((weight, call), scratch, spread, 1)
        return GemmPlan((weight, call), scratch + spread)

    def by_panels(self, kernel: WinogradPanelKernel, extras: Extras, listed: Operands) -> GemmPlan:
        """A group of blocks after the other: its inputs are transformed first; a unit transforms its weights."""
        sizes, nbytes, threads, i = self.sizes, self.nbytes, self.threads, WinogradInteger
        own = -(-own_elements(self.shape, self.way, self.block) // 16) * 16
        self.values[i.SCRATCH_STRIDE] = own
        group = BLOCKS_OF_GROUP * self.block
        count = sizes.count(self.way)
        spread = elements_of(self.way) ** 2 * (min(group, count) * sizes.channels + SKEW)
        inputs, zeros = threads * own * nbytes, (threads * own + spread) * nbytes
        operands = (("scratch", inputs), ("b", 0), ("c", 0), ("scratch", 0), *listed)
        calls: list[KernelCall] = []
        for first in range(0, count, group):
            tiles = min(group, count - first)
            calls.append(self.transform("image", (first, tiles), inputs, zeros))
            self.values |= {i.TILES: tiles, FIRST_TILE_OF_GROUP: first}
            calls.append(self.call(kernel, extras, operands, -(-tiles // self.block)))
        return GemmPlan(tuple(calls), zeros + threads * row_of(sizes, self.way) * nbytes)

    def call(
        self, kernel: WinogradKernel, extras: Extras, operands: Operands, blocks: int
    ) -> KernelCall:
        """The call of the product of so many blocks."""
        sizes, head = self.sizes, [0] * FIRST_INTEGER
        for key, value in self.values.items():
            head[key] = value
        for extra in extras:
            head += [0, 0, *extra]
        units = blocks * -(-sizes.filters // self.part)
        tiles = self.values[WinogradInteger.TILES]
        work = tiles * elements_of(self.way) ** 2 * sizes.channels * sizes.filters // 100
        return KernelCall(kernel, operands, tuple(head), units, work, kernel.name)


def row_of(sizes: WinogradSizes, way: int) -> int:
    """Elements of a row of a tile's inputs, or of its results' gradients."""
    return -(-inputs_of(way) * max(sizes.channels, sizes.filters) // 16) * 16
