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
from lampas.engine.loops.convolution_weight_plan import even
from lampas.engine.loops.winograd import MOST_BLOCK, SKEW, WinogradInteger, WinogradKernel
from lampas.engine.loops.winograd_filter import WinogradFilterKernel
from lampas.engine.loops.winograd_matrices import elements_of, inputs_of, outputs_of
from lampas.engine.loops.winograd_weight import (
    FIRST_TILE,
    TILES_OF_UNIT,
    WinogradProductKernel,
    WinogradTransformKernel,
)

BLOCK_BYTES = 1 << 20  # of the transforms of one unit
UNITS_WANTED = 4
FEW_TILES = 32  # from here on units differ by their tiles alone


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


def cut_of(sizes: WinogradSizes, way: int, shape: TileShape, nbytes: int) -> tuple[int, int]:
    """Filters and tiles of a unit."""
    part = part_of(sizes, way, shape.columns)
    return part, block_of(sizes, way, part, shape.rows, nbytes)


def blocks_of_tiles(kind: dtype, sizes: WinogradSizes, way: int) -> int:
    """How many blocks of tiles there are."""
    element = plain_element(kind)
    _, block = cut_of(sizes, way, tile_shape(host(), element), element_bytes(element))
    return -(-sizes.count(way) // block)


def integers_of(
    sizes: WinogradSizes, way: int, block: int, part: int, lanes: int
) -> dict[int, int]:
    """The fixed integers of the kernel; scratch is a patch, the inputs' transforms, the products."""
    i, size = WinogradInteger, inputs_of(way)
    down, across = sizes.tiles(way)
    patch = -(-size * size * sizes.channels // lanes) * lanes
    own = patch + elements_of(way) ** 2 * (block * (sizes.channels + part) + 2 * SKEW)
    return {
        i.TILES: sizes.count(way), i.BLOCK: block, i.TILES_DOWN: down, i.TILES_ACROSS: across,
        i.HEIGHT: sizes.height, i.WIDTH: sizes.width, i.CHANNELS: sizes.channels,
        i.OUT_HEIGHT: sizes.out_height, i.OUT_WIDTH: sizes.out_width, i.FILTERS: sizes.filters,
        i.PAD_H: sizes.padding[0], i.PAD_W: sizes.padding[1], i.PATCH: patch,
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
    kernel, nbytes = WinogradKernel(target, element, way, epilogue, moments), element_bytes(element)
    shape, elements = kernel.shape, elements_of(way) ** 2
    part, block = cut_of(sizes, way, shape, nbytes)
    values = integers_of(sizes, way, block, part, shape.lanes)
    head = [0] * FIRST_INTEGER
    for key, value in values.items():
        head[key] = value
    for extra in extras:
        head += [0, 0, *extra]
    scratch = threads * values[WinogradInteger.SCRATCH_STRIDE] * nbytes
    spread = elements * (sizes.channels * sizes.filters + SKEW) * nbytes
    place = ("kept", 0) if keeps else ("scratch", scratch)
    weight = filter_call(target, element, sizes, way, place, turned)
    operands = (("a", 0), place, ("c", 0), ("scratch", 0))
    operands += tuple((f"extra{number}", 0) for number in range(len(extras)))
    operands += (("moments", 0),) if moments else ()
    units = values[WinogradInteger.BLOCKS] * -(-sizes.filters // part)
    work = sizes.count(way) * elements * sizes.channels * sizes.filters // 100
    call = KernelCall(kernel, operands, tuple(head), units, work, kernel.name)
    if keeps:
        return GemmPlan((weight, call), scratch, spread, 1)
    return GemmPlan((weight, call), scratch + spread)


GROUP_BYTES = 6 << 20  # of the transforms of one group of tiles, which lie in the third cache
TILES_OF_SPAN = 9


def group_of(sizes: WinogradSizes, way: int, nbytes: int) -> int:
    """Tiles of a group, even ones."""
    each = elements_of(way) ** 2 * (sizes.channels + sizes.filters) * nbytes
    count = sizes.count(way)
    groups = -(-count // max(1, GROUP_BYTES // each))
    return -(-count // groups)


def plan_winograd_weight(
    kind: dtype,
    sizes: WinogradSizes,
    way: int,
    *,
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan the derivative by the weight: "a" image, "b" gradient, "c" blocked result; sizes are the forward's."""
    return WeightPlanner(kind, sizes, way, threads, target or host()).plan()


class WeightPlanner:
    """Collects the calls of a derivative by the weight."""

    def __init__(
        self, kind: dtype, sizes: WinogradSizes, way: int, threads: int, target: Target
    ) -> None:
        self.sizes, self.way, self.target = sizes, way, target
        self.element, self.elements = plain_element(kind), elements_of(way) ** 2
        self.nbytes, self.shape = element_bytes(self.element), tile_shape(target, self.element)
        self.group = group_of(sizes, way, self.nbytes)
        filters = -(-sizes.filters // self.shape.columns) * self.shape.columns
        self.patch = -(-(inputs_of(way) ** 2) * sizes.channels // 16) * 16
        planes = [self.group * sizes.channels, self.group * filters, sizes.channels * sizes.filters]
        room = [*(self.elements * (plane + SKEW) for plane in planes), threads * self.patch]
        self.places = [sum(room[:n]) * self.nbytes for n in range(5)]
        self.calls: list[KernelCall] = []

    def plan(self) -> GemmPlan:
        """Groups of tiles, then the way back."""
        sizes, lanes = self.sizes, self.shape.lanes
        count = sizes.count(self.way)
        for first in range(0, count, self.group):
            tiles = min(self.group, count - first)
            self.transform("image", first, tiles)
            self.transform("grad", first, tiles)
            self.multiply(tiles, first == 0)
        kernel = WinogradFilterKernel(self.target, self.element, self.way, "back")
        extent = sizes.filters // lanes * sizes.channels
        integers = sizes.channels, sizes.channels * sizes.filters + SKEW
        operands = (("scratch", self.places[2]), ("c", 0))
        self.calls.append(
            KernelCall(kernel, operands, integers, extent, extent * 20, kernel.name, 16)
        )
        return GemmPlan(tuple(self.calls), self.places[4])

    def transform(self, part: Literal["image", "grad"], first: int, tiles: int) -> None:
        kernel = WinogradTransformKernel(self.target, self.element, self.way, part)
        values = integers_of(self.sizes, self.way, tiles, self.sizes.filters, self.shape.lanes)
        values[WinogradInteger.PATCH] = self.patch
        values[FIRST_TILE] = first
        listed = tuple(values[key] for key in WinogradInteger)
        source, place = ("a", 0) if part == "image" else ("b", 1)
        operands = ((source, 0), ("scratch", self.places[place]), ("scratch", self.places[3]))
        width = self.sizes.channels if part == "image" else self.sizes.filters
        extent = -(-tiles // TILES_OF_UNIT)
        work = tiles * width * 4
        self.calls.append(KernelCall(kernel, operands, listed, extent, work, kernel.name))

    def multiply(self, tiles: int, fresh: bool) -> None:
        sizes, kernel = self.sizes, WinogradProductKernel(self.target, self.element)
        spans = even(sizes.channels, TILES_OF_SPAN * self.shape.rows, self.shape.rows)
        integers = tiles, sizes.channels, spans[0][1], len(spans), sizes.filters, int(fresh)
        operands = tuple(("scratch", place) for place in self.places[:3])
        extent = self.elements * len(spans)
        work = self.elements * tiles * sizes.channels * sizes.filters // 100
        self.calls.append(KernelCall(kernel, operands, integers, extent, work, kernel.name))
