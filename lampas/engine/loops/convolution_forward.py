"""Planning a convolution over channels-last images: classes, runs and units become the tables of one kernel call.

    sizes = ConvolutionSizes(images, groups, channels, filters, lines, kernel, places)
    plan = plan_convolution(float32, sizes)         # operands: "a" image, "b" blocked weight, "c" result

Channels and filters are those of one group.  The same plan serves the forward convolution and, with the lines of a phase
and the turned weight, the derivative by the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, KernelCall
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_plan import element_bytes, plain_element
from lampas.engine.loops.brgemm_tile import TileShape, vectors_across
from lampas.engine.loops.convolution_geometry import Box, Line, Stretch, boxes
from lampas.engine.loops.convolution_kernel import ConvolutionInteger, ConvolutionKernel, UnitWord

Shape = tuple[int, ...]
LONGEST_RUN = 512  # elements of a run that a panel takes at once
PANEL_DEPTH = 768  # elements of a panel's row
UNITS_WANTED = 8
GATHERED_RUN, GATHERED = 7.0, 0.2  # cycles to copy a run, and for each of its elements
READ_AFAR = 0.5  # cycles more for an element where it lies, for filters of one vector
FMA_NANOSECONDS = 0.0175  # a multiplication and addition of floats on one core of AVX-512
# Panels of filters that had better read rows where they lie, and where rows are short; more of them have copies in the first
# cache side by side.
FEW_PANELS, MORE_PANELS, FEW_CHANNELS = 8, 12, 128


class ConvolutionSizes(NamedTuple):
    """What is convolved: three lines (convolution_geometry.py), the kernel's whole sizes, the result's sizes."""

    images: int
    groups: int
    channels: int
    filters: int
    lines: tuple[Line, Line, Line]
    kernel: tuple[int, int, int]
    places: tuple[int, int, int]

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    @property
    def in_steps(self) -> tuple[int, int, int, int]:
        """Elements from image to image and from place to place of the input."""
        width = self.groups * self.channels
        d, h, w = (line.size for line in self.lines)
        return d * h * w * width, h * w * width, w * width, width

    @property
    def out_steps(self) -> tuple[int, int, int, int]:
        """Positions from image to image and from place to place of the result."""
        d, h, w = self.places
        return d * h * w, h * w, w, 1

    def boxes(self) -> tuple[Box, ...]:
        return boxes(self.lines)

    @property
    def multiplications(self) -> int:
        """Of the taps that are met, in all."""
        met = sum(box.positions * box.taps for box in self.boxes())
        return self.images * self.groups * self.channels * self.filters * met


def runs_of(sizes: ConvolutionSizes, box: Box) -> tuple[list[tuple[int, int]], int]:
    """(offset in the image, row of the weight) of each run that a class reads, and their length in elements."""
    _, step_d, step_h, step_w = sizes.in_steps
    d, h, w = (
        line.taps[s.tap : s.tap + s.taps]
        for line, s in zip(sizes.lines, box.stretches, strict=True)
    )
    first = w[0] if w else (0, 0)
    merged = sizes.groups == 1 and all(
        (offset, number) == (first[0] + i, first[1] + i) for i, (offset, number) in enumerate(w)
    )
    along = w[:1] if merged else w
    _, height, width = sizes.kernel
    found = [
        (
            a[0] * step_d + r[0] * step_h + s[0] * step_w,
            ((a[1] * height + r[1]) * width + s[1]) * sizes.channels,
        )
        for a in d
        for r in h
        for s in along
    ]
    return found, sizes.channels * (len(w) if merged else 1) if found else 0


def points_of(runs: list[tuple[int, int]], length: int) -> tuple[list[tuple[int, int]], int]:
    """The same of each element of the runs, as runs of one."""
    found = [(offset + i, row + i) for offset, row in runs for i in range(length)]
    return found, min(length, 1)


def first_places(sizes: ConvolutionSizes, stretches: Sequence[Stretch]) -> tuple[int, int]:
    """Where the first position of a class begins to read (without a tap's offset), and its number in the result."""
    read = written = 0
    steps = zip(sizes.lines, stretches, sizes.in_steps[1:], sizes.out_steps[1:], strict=True)
    for line, stretch, inward, outward in steps:
        read += stretch.first * line.in_step * inward
        written += (line.start + stretch.first * line.out_step) * outward
    return read, written


class Tables(NamedTuple):
    """The words of all tables and where they begin; `depth` is the longest row of a panel that is needed."""

    words: tuple[int, ...]
    units: int
    unit_table: int
    chunk: int
    depth: int


def make_tables(sizes: ConvolutionSizes, kernel: ConvolutionKernel) -> Tables:
    """Classes, their runs, and units over them."""
    listed = [(box, *runs_of(sizes, box)) for box in sizes.boxes() if box.positions]
    if not kernel.gathers:
        listed = [(box, *points_of(runs, length)) for box, runs, length in listed]
    longest = max((length for _, _, length in listed), default=1)
    pieces = -(-max(longest, 1) // LONGEST_RUN)
    unit = kernel.shape.lanes
    chunk = -(-longest // (unit * pieces)) * unit or unit
    words: list[int] = []
    units: list[int] = []
    depth = 1
    blocks = sum(len(row_blocks(sizes.images * box.positions, kernel)) for box, _, _ in listed)
    parts = panel_parts(sizes, kernel, blocks)
    number = 0
    for box, runs, length in listed:
        table = kernel.first_table + len(words)
        words += [word for run in runs for word in run]
        place = kernel.first_table + len(words)
        words += [*box.sizes, *first_places(sizes, box.stretches), table, len(runs), length]
        depth = max(depth, *(panel_depth(piece, len(runs)) for piece in pieces_of(length, chunk)))
        for first, count in row_blocks(sizes.images * box.positions, kernel):
            for begin, end in parts:
                units += [place, first, count, begin, end, number]
            number += 1
    unit_table = kernel.first_table + len(words)
    return Tables((*words, *units), len(units) // len(UnitWord), unit_table, chunk, depth)


def pieces_of(length: int, chunk: int) -> set[int]:
    """The lengths that a run's pieces have.

    >>> sorted(pieces_of(600, 304))
    [296, 304]
    """
    return {min(chunk, length), length % chunk or chunk} if length else {0}


def panel_depth(piece: int, runs: int) -> int:
    """How much of a panel's row the pieces of a class take: of as many runs at a time as it holds."""
    return min(PANEL_DEPTH // max(piece, 1), runs) * piece


def kernel_of(kind: dtype, sizes: ConvolutionSizes, target: Target) -> ConvolutionKernel:
    """The plain kernel for a convolution."""
    element = plain_element(kind)
    across = vectors_across(sizes.filters, target.lanes(element))
    kernel = ConvolutionKernel(target, element, vectors=across)
    gathers = follow_each_other(sizes) or gathering_pays(sizes, kernel.shape)
    return replace(kernel, gathers=gathers)


def reads_by_rows(sizes: ConvolutionSizes, shape: TileShape) -> bool:
    """Whether tiles had better read the inputs of whole rows where they lie than side by side."""
    few = MORE_PANELS if sizes.channels <= FEW_CHANNELS else FEW_PANELS
    return follow_each_other(sizes) and sizes.filters <= few * shape.columns


def follow_each_other(sizes: ConvolutionSizes) -> bool:
    """Whether each position reads one value of each channel, those behind the last position's."""
    plain = all(
        line.taps == ((0, 0),) and (line.start, line.in_step, line.out_step) == (0, 1, 1)
        and line.size == line.positions
        for line in sizes.lines
    )  # fmt: skip
    return plain and sizes.taps == 1


def gathering_pays(sizes: ConvolutionSizes, shape: TileShape) -> bool:
    """Whether a position's values are better copied for all panels of filters than read for each where they lie."""
    along = sizes.kernel[2] if sizes.groups == 1 else 1
    values = sizes.taps * sizes.channels
    copied = sizes.taps // along * GATHERED_RUN + values * GATHERED
    panels = -(-sizes.filters // shape.columns)
    return values * panels * READ_AFAR / shape.vectors >= copied


def blocks_of_rows(sizes: ConvolutionSizes, kernel: ConvolutionKernel) -> int:
    """How many blocks of positions there are."""
    counts = [sizes.images * box.positions for box in sizes.boxes() if box.positions]
    return sum(len(row_blocks(count, kernel)) for count in counts)


def row_blocks(rows: int, kernel: ConvolutionKernel) -> list[tuple[int, int]]:
    """(first, count) of even blocks of positions, whole tiles as far as there are any."""
    blocks = -(-rows // kernel.unit_rows)
    tile = kernel.shape.rows
    each = min(-(-rows // (blocks * tile)) * tile, kernel.unit_rows)
    return [(first, min(each, rows - first)) for first in range(0, rows, each)]


def panel_parts(
    sizes: ConvolutionSizes, kernel: ConvolutionKernel, blocks: int
) -> list[tuple[int, int]]:
    """Ranges of filters in panels: as many as it takes to have enough units."""
    panels = -(-sizes.filters // kernel.shape.columns)
    wanted = -(-UNITS_WANTED // max(1, blocks * sizes.groups))
    each = -(-panels // min(wanted, panels))
    return [(first, min(first + each, panels)) for first in range(0, panels, each)]


def plan_convolution(
    kind: dtype,
    sizes: ConvolutionSizes,
    *,
    epilogue: NestEpilogue | None = None,
    extras: Sequence[Sequence[int]] = (),
    threads: int = 1,
    target: Target | None = None,
    turned: bool = False,
    moments: bool = False,
) -> GemmPlan:
    """Plan c[position, filter]; `extras` has (position, filter) strides of the epilogue's operands.

    With `turned`, the weight lies blocked by the channels (whole vectors of them and of filters).  With `moments` the
    operand "moments" gets those of all blocks (moments.py).
    """
    kernel = kernel_of(kind, sizes, target or host())
    gathers = kernel.gathers or turned
    kernel = replace(kernel, epilogue=epilogue, turned=turned, moments=moments, gathers=gathers)
    tables = make_tables(sizes, kernel)
    lanes, nbytes = kernel.shape.lanes, element_bytes(kernel.element)
    pitch = (
        -(-tables.depth // lanes) | 1
    ) * lanes  # an odd number of cache lines spreads rows over the sets
    squares = -(-kernel.unit_rows * pitch // 16) * 16
    own = squares + (PANEL_DEPTH * kernel.shape.columns if turned else 0)
    vector_step = sizes.taps * sizes.channels * lanes
    i = ConvolutionInteger
    values = {
        i.UNITS: tables.units, i.UNIT_TABLE: tables.unit_table, i.GROUP_IMAGE: sizes.channels,
        i.GROUP_WEIGHT: -(-sizes.filters // lanes) * lanes * sizes.taps * sizes.channels, i.GROUP_FILTERS: sizes.filters,
        i.C_ROW: sizes.groups * sizes.filters, i.CHUNK: tables.chunk, i.DEPTH: PANEL_DEPTH, i.PITCH: pitch,
        i.VECTOR_STEP: vector_step, i.SCRATCH_STRIDE: own, i.CHANNELS: sizes.channels, i.TAPS: sizes.taps,
        i.SQUARES: squares, i.BY_ROWS: int(reads_by_rows(sizes, kernel.shape)),
    }  # fmt: skip
    in_steps, out_steps = sizes.in_steps, sizes.out_steps
    strides = [line.in_step * step for line, step in zip(sizes.lines, in_steps[1:], strict=True)]
    moves = [line.out_step * step for line, step in zip(sizes.lines, out_steps[1:], strict=True)]
    values |= dict(zip((i.IN_IMAGE, i.IN_D, i.IN_H, i.IN_W), (in_steps[0], *strides), strict=True))
    values |= dict(
        zip((i.OUT_IMAGE, i.OUT_D, i.OUT_H, i.OUT_W), (out_steps[0], *moves), strict=True)
    )
    head = [0] * FIRST_INTEGER
    for key, value in values.items():
        head[key] = value
    for extra in extras:
        head += [0, 0, *extra]
    operands = (("a", 0), ("b", 0), ("c", 0), ("scratch", 0))
    operands += tuple((f"extra{number}", 0) for number in range(len(extras)))
    if moments:
        head, operands = [*head, blocks_of_rows(sizes, kernel)], (*operands, ("moments", 0))
    work = int(sizes.multiplications * FMA_NANOSECONDS * nbytes / 4) + 1000
    call = KernelCall(
        kernel, operands, (*head, *tables.words), tables.units * sizes.groups, work, kernel.name
    )
    return GemmPlan((call,), threads * own * nbytes)
