"""Planning a convolution's derivative by the weight: spans of the result and the positions that feed them.

    plan = plan_convolution_weight(float32, sizes)      # operands: "a" image, "b" gradient, "c" blocked result

`sizes` are those of the forward convolution (convolution_forward.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, KernelCall
from lampas.engine.loops.brgemm_plan import element_bytes, plain_element
from lampas.engine.loops.brgemm_tile import TileShape, vectors_across
from lampas.engine.loops.convolution_forward import (
    FMA_NANOSECONDS,
    ConvolutionSizes,
    first_places,
    follow_each_other,
    points_of,
    runs_of,
)
from lampas.engine.loops.convolution_geometry import Line, Stretch
from lampas.engine.loops.convolution_kernel import tile_heights
from lampas.engine.loops.convolution_weight import (
    MOST_BLOCK,
    BlockWord,
    ConvolutionWeightKernel,
    PartialSumKernel,
    SpanWord,
    WeightInteger,
)

# Channels and filters, or filters and channels, that are read by rows: copies of others pay, side by side in the first cache.
FEW_VALUES, SHORT_ROW = 48, 192
TILES_OF_SPAN = 9  # of two vectors across
UNITS_WANTED = 8
WHOLE_SPAN = 640  # rows of a result that one unit takes whole
MOST_POINTS = 4096  # rows of a result times panels of filters that read inputs where they lie
WHOLE_BLOCK = 192  # positions of a block then
LEAST_CHUNK = 256  # positions that are worth a partial result
FEW_CHUNKS = 4  # fewer are not worth adding up
MOST_CHUNKS = 16
SUM_UNIT = 4096


@dataclass
class SpanTables:
    """Words of all tables as they are collected; places count from the first word after `WeightInteger`."""

    sizes: ConvolutionSizes
    kernel: ConvolutionWeightKernel
    words: list[int] = field(default_factory=list[int])
    units: list[int] = field(default_factory=list[int])
    partials: int = 1
    rows: int = 1

    @property
    def place(self) -> int:
        return len(WeightInteger) + len(self.words)

    @property
    def elements(self) -> int:
        """Elements of the blocked result."""
        sizes, lanes = self.sizes, self.kernel.shape.lanes
        filters = -(-sizes.filters // lanes) * lanes
        return sizes.groups * filters * sizes.taps * sizes.channels

    def add_class(
        self, stretches: tuple[Stretch, ...], runs: list[tuple[int, int]], length: int
    ) -> int:
        """A class and its runs; returns its place."""
        table = self.place
        self.words += [word for run in runs for word in run]
        place = self.place
        counts = [stretch.length for stretch in stretches]
        self.words += [*counts, *first_places(self.sizes, stretches), table, len(runs), length]
        return place

    def add_blocks(self, blocks: list[tuple[int, int, int]]) -> tuple[int, int]:
        """A list of blocks; returns its place and length."""
        place = self.place
        for block in blocks:
            self.words += block
        return place, len(blocks)

    def add_unit(self, row: int, rows: int, blocks: tuple[int, int], partial: int = 0) -> None:
        """A unit over all filters; `split_filters` may cut it."""
        panels = -(-self.sizes.filters // self.kernel.shape.columns)
        self.units += [row, rows, *blocks, 0, panels, partial * self.elements]
        self.rows = max(self.rows, rows)

    def split_filters(self) -> None:
        """Cut the units' ranges of filters until there are enough units."""
        panels = -(-self.sizes.filters // self.kernel.shape.columns)
        count = len(self.units) // len(SpanWord)
        wanted = -(-UNITS_WANTED // max(1, count * self.sizes.groups))
        each = -(-panels // min(wanted, panels))
        found: list[int] = []
        for start in range(0, len(self.units), len(SpanWord)):
            unit = self.units[start : start + len(SpanWord)]
            for first in range(0, panels, each):
                unit[SpanWord.FIRST_PANEL] = first
                unit[SpanWord.LAST_PANEL] = min(first + each, panels)
                found += unit
        self.units = found


def span_of(shape: TileShape) -> int:
    """The most rows of a unit that takes one tap."""
    return TILES_OF_SPAN * shape.vectors // 2 * shape.rows


def blocks_of(place: int, positions: int, most: int) -> list[tuple[int, int, int]]:
    """Even blocks of a class's positions; an empty one where there are none."""
    count = max(1, -(-positions // most))
    each = -(-positions // count)
    return [
        (place, first, min(each, positions - first))
        for first in range(0, max(positions, 1), each or 1)
    ]


def meeting(line: Line, tap: int) -> Stretch:
    """The positions of a line that meet a tap (neighbours, since offsets ascend)."""
    offset = line.taps[tap][0]
    inside = [j for j in range(line.positions) if 0 <= j * line.in_step + offset < line.size]
    return Stretch(inside[0], len(inside), tap, 1) if inside else Stretch(0, 0, tap, 0)


def spans_of_taps(tables: SpanTables) -> None:
    """Units of one tap each, over all positions that meet it."""
    sizes, kernel = tables.sizes, tables.kernel
    _, height, width = sizes.kernel
    most = span_of(kernel.shape)
    steps = sizes.in_steps[1:]
    for taps in product(*(range(size) for size in sizes.kernel)):
        met = tuple(meeting(line, tap) for line, tap in zip(sizes.lines, taps, strict=True))
        offset = sum(
            line.taps[tap][0] * step
            for line, tap, step in zip(sizes.lines, taps, steps, strict=True)
        )
        positions = sizes.images * met[0].length * met[1].length * met[2].length
        row = ((taps[0] * height + taps[1]) * width + taps[2]) * sizes.channels
        for first, rows in even(sizes.channels, most, kernel.shape.rows):
            place = tables.add_class(met, [(offset + first, 0)], rows)
            blocks = tables.add_blocks(blocks_of(place, positions, MOST_BLOCK))
            tables.add_unit(row + first, rows, blocks)


def spans_of_chunks(tables: SpanTables) -> None:
    """Units of all taps, each over a chunk of the positions."""
    sizes = tables.sizes
    blocks: list[tuple[int, int, int]] = []
    for box in sizes.boxes():
        runs, length = runs_of(sizes, box)
        if not tables.kernel.gathers:
            runs, length = points_of(runs, length)
        place = tables.add_class(box.stretches, runs, length)
        blocks += blocks_of(place, sizes.images * box.positions, WHOLE_BLOCK)
    blocks = [block for block in blocks if block[BlockWord.COUNT]] or blocks[:1]
    positions = sum(block[BlockWord.COUNT] for block in blocks)
    chunks = positions // LEAST_CHUNK
    tables.partials = min(MOST_CHUNKS, chunks, len(blocks)) if chunks >= FEW_CHUNKS else 1
    goal, done, chunk = positions / tables.partials, 0, list[tuple[int, int, int]]()
    number = 0
    for block in blocks:
        chunk.append(block)
        done += block[BlockWord.COUNT]
        if done >= goal * (number + 1) - 0.5:
            tables.add_unit(0, sizes.taps * sizes.channels, tables.add_blocks(chunk), number)
            chunk, number = [], number + 1
    tables.partials = number


def even(total: int, most: int, tile: int) -> list[tuple[int, int]]:
    """(first, count) of even parts of a range, none larger than `most`, whole tiles but for the last."""
    parts = -(-total // most)
    each = min(-(-total // (parts * tile)) * tile, most)
    return [(first, min(each, total - first)) for first in range(0, total, each)]


def gathering_pays(sizes: ConvolutionSizes, shape: TileShape) -> bool:
    """Whether inputs are better copied for all panels of filters than read for each where they lie."""
    values, panels = sizes.taps * sizes.channels, -(-sizes.filters // shape.columns)
    return values > WHOLE_SPAN or values * panels > MOST_POINTS


def reads_by_rows(sizes: ConvolutionSizes, shape: TileShape) -> bool:
    """Whether tiles had better read inputs and gradient in place; they must fill the channels, so that none reads beyond the image."""
    left = sizes.channels % shape.rows
    filled = not left or left in tile_heights(shape)
    low, high = sorted((sizes.channels, sizes.filters))
    return follow_each_other(sizes) and filled and low <= FEW_VALUES and high <= SHORT_ROW


def make_spans(sizes: ConvolutionSizes, kernel: ConvolutionWeightKernel) -> SpanTables:
    """The tables of all units."""
    tables = SpanTables(sizes, kernel)
    if sizes.taps * sizes.channels <= WHOLE_SPAN:
        spans_of_chunks(tables)
    else:
        spans_of_taps(tables)
    tables.split_filters()
    return tables


def plan_convolution_weight(
    kind: dtype,
    sizes: ConvolutionSizes,
    *,
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan the derivative by the weight, blocked as the forward kernel reads it."""
    target = target or host()
    element = plain_element(kind)
    across = vectors_across(sizes.filters, target.lanes(element))
    kernel = ConvolutionWeightKernel(target, element, across)
    gathers = reads_by_rows(sizes, kernel.shape) or gathering_pays(sizes, kernel.shape)
    kernel = replace(kernel, gathers=gathers)
    nbytes = element_bytes(kernel.element)
    tables = make_spans(sizes, kernel)
    head, own = integers_of(tables)
    count = len(tables.units) // len(SpanWord)
    work = int(sizes.multiplications * FMA_NANOSECONDS * nbytes / 4) + 1000
    partials = -(-threads * own * nbytes // 64) * 64
    several = tables.partials > 1
    result = ("scratch", partials) if several else ("c", 0)
    operands = (("a", 0), ("b", 0), result, ("scratch", 0))
    listed = (*head, *tables.words, *tables.units)
    calls = [KernelCall(kernel, operands, listed, count * sizes.groups, work, kernel.name)]
    if several:
        adding = PartialSumKernel(target, kernel.element)
        extent = -(-tables.elements // SUM_UNIT)
        sums = (tables.partials, tables.elements, SUM_UNIT)
        work = tables.elements * tables.partials // 16
        calls.append(KernelCall(adding, (("c", 0), result), sums, extent, work, adding.name))
    extra = tables.partials * tables.elements * nbytes if several else 0
    return GemmPlan(tuple(calls), partials + extra)


def integers_of(tables: SpanTables) -> tuple[list[int], int]:
    """The fixed integers of a call, and the elements of one thread's scratch."""
    sizes, shape, i = tables.sizes, tables.kernel.shape, WeightInteger
    span = -(-tables.rows // shape.rows) * shape.rows
    pitch = (-(-span // shape.lanes) | 1) * shape.lanes
    most = WHOLE_BLOCK if tables.rows > span_of(shape) else MOST_BLOCK
    grads = most * pitch
    own = grads + most * shape.columns
    vector_step = sizes.taps * sizes.channels * shape.lanes
    values = {
        i.UNITS: len(tables.units) // len(SpanWord), i.UNIT_TABLE: tables.place,
        i.GROUP_IMAGE: sizes.channels, i.GROUP_FILTERS: sizes.filters,
        i.GROUP_C: -(-sizes.filters // shape.lanes) * vector_step, i.GRAD_ROW: sizes.groups * sizes.filters,
        i.PITCH: pitch, i.VECTOR_STEP: vector_step, i.GRAD_PANEL: grads, i.SCRATCH_STRIDE: own,
        i.BY_ROWS: int(reads_by_rows(sizes, shape)),
    }  # fmt: skip
    steps = sizes.in_steps
    strides = [line.in_step * step for line, step in zip(sizes.lines, steps[1:], strict=True)]
    values |= dict(zip((i.IN_IMAGE, i.IN_D, i.IN_H, i.IN_W), (steps[0], *strides), strict=True))
    values |= dict(zip((i.OUT_IMAGE, i.OUT_D, i.OUT_H, i.OUT_W), sizes.out_steps, strict=True))
    head = [0] * len(i)
    for key, value in values.items():
        head[key] = value
    return head, own
