"""The kernel of a convolution over channels-last images.

    c[position, k] = epilogue(Σ over the taps that the position meets, and channels:  image · weight)

A unit is a block of positions of one class with a range of filters, of one group.  Its input values are gathered into a
panel (convolution_panel.py), a stretch of the depth at a time; all tiles of the block pass over the panel, one vector
range of filters after the other, so a piece of the weight is fetched once for the block.  Where a position has few values
and there are few filters, tiles read them where they lie instead (convolution_points.py).  What a unit computes does not
depend on who computes it.

A `turned` kernel reads the weight of the convolution whose derivative it computes as it lies, blocked by *its* channels:
what a panel of filters needs of it is transposed into scratch memory first, square by square, and used for the block.

Operands: image (N, D, H, W, channels), weight (groups, filters/lanes, taps, channels/groups, lanes) or turned (groups,
channels/lanes, taps from the far end, filters, lanes), c (positions, filters), scratch, then the epilogue's.  Integers:
`ConvolutionInteger`, the epilogue's, then three tables whose places the former name: units, classes and runs
(convolution_forward.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.loops.brgemm_arguments import (
    FIRST_INTEGER,
    FIRST_OPERAND,
    KERNEL_PARAMETERS,
    Operand,
)
from lampas.engine.loops.brgemm_store import FIRST, LAST, Epilogue
from lampas.engine.loops.brgemm_tile import TileShape, tile_shape
from lampas.engine.loops.convolution_panel import Steps, fill_rows, list_places, table_of
from lampas.engine.loops.convolution_points import PointTile, words_of_row
from lampas.engine.loops.convolution_tile import RUN_WORDS, SegmentTile, TileValues
from lampas.engine.loops.convolution_turn import WeightTurner
from lampas.engine.loops.moments import Body, Results, Walks, write_moments

TILES_OF_UNIT = 8  # of two vectors across
SAMPLED = 6  # positions of which one is part of the sample for moments


class ConvolutionInteger(IntEnum):
    """Places of the integers; steps in elements, of the output in positions.

    BY_ROWS tells that each position's values follow those of the one before: whole tiles then read them where they lie.
    """

    # fmt: off
    (UNITS, UNIT_TABLE, GROUP_IMAGE, GROUP_WEIGHT, GROUP_FILTERS, IN_IMAGE, IN_D, IN_H, IN_W, OUT_IMAGE, OUT_D, OUT_H,
     OUT_W, C_ROW, CHUNK, DEPTH, PITCH, VECTOR_STEP, SCRATCH_STRIDE, CHANNELS, TAPS, SQUARES, BY_ROWS) = range(23)
    # fmt: on


class UnitWord(IntEnum):
    """Words of a unit: its class (its place among the integers), positions of it, filters in panels, its block's number."""

    CLASS, FIRST, COUNT, FIRST_PANEL, LAST_PANEL, BLOCK = range(6)


class ClassWord(IntEnum):
    """Words of a class: its box, where its first position reads and writes, its runs and their length."""

    SIZE_D, SIZE_H, SIZE_W, IN_BASE, OUT_BASE, RUNS, RUN_COUNT, RUN_LENGTH = range(8)


def tile_heights(shape: TileShape) -> tuple[int, int, int]:
    """Heights of the tile functions: the whole tile, and two for what is left.

    >>> tile_heights(TileShape("float", 16, 14, 2, True))
    (14, 8, 4)
    """
    middle = -(-shape.rows * 4 // 7)
    return shape.rows, middle, -(-middle // 2)


@dataclass(frozen=True)
class ConvolutionKernel:
    """What is compiled in: the machine, the element type, the epilogue, how the weight lies, whether moments are found,
    how many vectors a tile is wide, and whether inputs are gathered or read where they lie (convolution_points.py).

    Where they are (moments.py), there is no epilogue; their target and the number of blocks stand in its place.
    """

    target: Target
    element: str
    epilogue: Epilogue | None = None
    turned: bool = False
    moments: bool = False
    vectors: int = 2
    gathers: bool = True

    @property
    def shape(self) -> TileShape:
        return tile_shape(self.target, self.element, self.vectors)

    @property
    def unit_rows(self) -> int:
        """The most positions of a unit."""
        shape = self.shape
        return TILES_OF_UNIT * shape.vectors // 2 * shape.rows

    def rounded(self, rows: int) -> int:
        """Rows that the tiles compute for so many positions.

        >>> from lampas.engine.llvm.target import x86_avx512
        >>> kernel = ConvolutionKernel(x86_avx512(), "float")
        >>> [kernel.rounded(rows) for rows in (1, 5, 14, 25, 49)]
        [4, 8, 14, 28, 50]
        """
        top, middle, low = tile_heights(self.shape)
        whole, left = divmod(rows, top)
        if left > middle:
            return (whole + 1) * top
        return whole * top + (middle if left > low else low if left else 0)

    @property
    def first_table(self) -> int:
        """Where the tables may begin."""
        return FIRST_INTEGER + (self.epilogue.integers if self.epilogue else int(self.moments))

    @property
    def name(self) -> str:
        return f"convolution_{'turned_' if self.turned else ''}{self.element}"

    def module(self) -> Module:
        """The module with the kernel and its tile functions."""
        module = Module()
        ConvolutionWriter(module, self).write()
        return module


class Rows(NamedTuple):
    """Rows of input values: where they lie, the elements from row to row, the first one's number in the block, and how many."""

    panel: Value
    pitch: Value
    first: Value
    number: Value


class ConvolutionWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: ConvolutionKernel) -> None:
        self.kernel, self.shape = kernel, kernel.shape
        heights = sorted(set(tile_heights(kernel.shape)), reverse=True)
        self.tiles = [self.tile(module, height) for height in heights]
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, self.worker = self.b.arguments

    def tile(self, module: Module, height: int) -> SegmentTile:
        """The tile function of a height."""
        shape, epilogue = self.shape, self.kernel.epilogue
        if self.kernel.gathers:
            return SegmentTile(module, shape, height, epilogue)
        return PointTile(module, shape, height, epilogue, self.kernel.target.scarce_registers)

    def integer(self, place: Value | int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def write(self) -> None:
        b, i, rows = self.b, ConvolutionInteger, self.kernel.unit_rows
        self.image, self.weight, self.c, scratch = (
            b.load_element("ptr", self.operands, place) for place in Operand
        )
        own = b.multiply(self.worker, self.integer(i.SCRATCH_STRIDE))
        self.panel = b.element_pointer(scratch, own, self.shape.element)
        self.sources, self.positions = table_of(b, rows), table_of(b, rows)
        if self.kernel.turned:
            squares = self.integer(i.SQUARES)
            self.turner = WeightTurner(b, self.shape, self.integer)
            self.squares = b.element_pointer(self.panel, squares, self.shape.element)
        units = self.integer(i.UNITS)
        with b.loop(self.begin, self.end) as unit:
            group, number = b.divide(unit, units), b.remainder(unit, units)
            words = b.add(self.integer(i.UNIT_TABLE), b.multiply(number, len(UnitWord)))
            self.write_unit(group, {word: self.integer(b.add(words, word)) for word in UnitWord})
        b.ret()

    def class_word(self, unit: dict[UnitWord, Value], word: ClassWord) -> Value:
        return self.integer(self.b.add(unit[UnitWord.CLASS], word))

    def write_unit(self, group: Value, unit: dict[UnitWord, Value]) -> None:
        """List the block's places, then walk its depth in parts."""
        b, i, k = self.b, ConvolutionInteger, ClassWord
        sizes = tuple(self.class_word(unit, word) for word in (k.SIZE_D, k.SIZE_H, k.SIZE_W))
        from_group = b.multiply(group, self.integer(i.GROUP_IMAGE))
        read = b.add(self.class_word(unit, k.IN_BASE), from_group)
        in_steps = Steps(*(self.integer(p) for p in (i.IN_IMAGE, i.IN_D, i.IN_H, i.IN_W)))
        out_steps = Steps(*(self.integer(p) for p in (i.OUT_IMAGE, i.OUT_D, i.OUT_H, i.OUT_W)))
        tables = [
            (self.sources, read, in_steps),
            (self.positions, self.class_word(unit, k.OUT_BASE), out_steps),
        ]
        list_places(b, unit[UnitWord.FIRST], unit[UnitWord.COUNT], sizes, tables)  # type: ignore[arg-type]
        self.own_weight = b.element_pointer(
            self.weight, b.multiply(group, self.integer(i.GROUP_WEIGHT)), self.shape.element
        )
        self.own_filters = b.multiply(group, self.integer(i.GROUP_FILTERS))
        self.walk_depth(unit)
        if self.kernel.moments:
            self.find_moments(unit)

    def find_moments(self, unit: dict[UnitWord, Value]) -> None:
        """Those of the unit's positions and filters."""
        b, i, shape = self.b, ConvolutionInteger, self.shape
        first, last = (
            b.minimum(b.multiply(unit[word], shape.columns), self.integer(i.GROUP_FILTERS))
            for word in (UnitWord.FIRST_PANEL, UnitWord.LAST_PANEL)
        )
        columns = b.add(self.own_filters, first), b.add(self.own_filters, last)

        def walk(step: int, initial: list[Value], body: Body) -> list[Value]:
            with b.carrying_loop(0, unit[UnitWord.COUNT], step, initial) as loop:
                position = b.load_element("i64", self.positions, loop.index)
                loop.carry(body(position, list(loop.values)))
            return list(loop.results)

        target = b.load_element("ptr", self.operands, FIRST_OPERAND)
        results = Results(self.c, self.integer(i.C_ROW), target, self.integer(FIRST_INTEGER))
        kinds = shape.element, shape.lanes
        walks = Walks(partial(walk, 1), partial(walk, SAMPLED))
        write_moments(b, kinds, results, walks, unit[UnitWord.BLOCK], columns)

    def walk_depth(self, unit: dict[UnitWord, Value]) -> None:
        """Pieces of the runs' length, and of each as many runs at a time as the panel holds; at least once."""
        b, i, k = self.b, ConvolutionInteger, ClassWord
        runs, count = self.class_word(unit, k.RUNS), self.class_word(unit, k.RUN_COUNT)
        length, chunk = self.class_word(unit, k.RUN_LENGTH), self.integer(i.CHUNK)
        with b.loop(0, b.maximum(length, 1), chunk) as start:
            piece = b.minimum(chunk, b.subtract(length, start))
            together = b.divide(self.integer(i.DEPTH), b.maximum(piece, 1))
            with b.loop(0, b.maximum(count, 1), together) as first:
                part = b.minimum(together, b.subtract(count, first))
                words = b.add(runs, b.multiply(first, RUN_WORDS))
                table = b.element_pointer(self.integers, words, "i64")
                starts = b.bit_and(b.compare("eq", start, 0), b.compare("eq", first, 0))
                ends = b.bit_and(
                    b.compare("sge", b.add(start, piece), length),
                    b.compare("sge", b.add(first, part), count),
                )
                flags = b.add(
                    b.multiply(b.cast("zext", starts, "i64"), FIRST),
                    b.multiply(b.cast("zext", ends, "i64"), LAST),
                )
                self.write_part(unit, (table, part), (start, piece), flags)

    def write_part(
        self,
        unit: dict[UnitWord, Value],
        runs: tuple[Value, Value],
        part: tuple[Value, Value],
        flags: Value,
    ) -> None:
        """Gather what tiles do not read where it lies, and let the tiles of all filters pass over the block."""
        b, i, shape = self.b, ConvolutionInteger, self.shape
        panels = self.panels_of_rows(unit[UnitWord.COUNT], runs, part)
        with b.loop(unit[UnitWord.FIRST_PANEL], unit[UnitWord.LAST_PANEL]) as panel:
            column = b.multiply(panel, shape.columns)
            left = b.subtract(self.integer(i.GROUP_FILTERS), column)
            weight, table, step = self.weight_of(runs, part, panel, left)
            second = b.compare("sgt", left, shape.lanes)
            for rows in panels:
                positions = b.element_pointer(self.positions, rows.first, "i64")
                call = TileValues(
                    rows.panel, rows.pitch, table, runs[1], part[1], weight, b.select(second, step, 0), self.c,
                    self.integer(i.C_ROW), positions, rows.number, left,
                    b.add(self.own_filters, column), flags, self.operands, self.integers,
                )  # fmt: skip
                write_tiles(b, self.tiles, call)

    def panels_of_rows(
        self, count: Value, runs: tuple[Value, Value], part: tuple[Value, Value]
    ) -> list[Rows]:
        """Where the rows of a block lie: those that are read in place, and those that are gathered."""
        b, i, shape, none = self.b, ConvolutionInteger, self.shape, self.b.value(0)
        if not self.kernel.gathers:
            return [Rows(self.sources, b.value(words_of_row(shape)), none, count)]
        pitch, by_rows = self.integer(i.PITCH), b.compare("ne", self.integer(i.BY_ROWS), 0)
        whole = b.select(by_rows, b.subtract(count, b.remainder(count, shape.rows)), none)
        start = b.add(b.load_element("i64", self.sources, 0), part[0])
        place = b.element_pointer(self.image, start, shape.element, inside=False)
        rest = b.subtract(count, whole)
        sources = b.element_pointer(self.sources, whole, "i64")
        fill_rows(
            b,
            self.image,
            sources,
            rest,
            runs,
            part,
            (self.panel, pitch),
            shape.element,
            shape.lanes,
        )
        return [
            Rows(place, self.integer(i.IN_W), none, whole),
            Rows(self.panel, pitch, whole, rest),
        ]

    def weight_of(
        self, runs: tuple[Value, Value], part: tuple[Value, Value], panel: Value, left: Value
    ) -> tuple[Value, Value, Value]:
        """Where a panel's weights lie, the table of their rows, and the elements between vectors."""
        b, shape = self.b, self.shape
        if self.kernel.turned:
            first = b.multiply(panel, shape.columns)
            return self.turner.turn(self.own_weight, runs, part, (first, left), self.squares)
        step = self.integer(ConvolutionInteger.VECTOR_STEP)
        moved = b.add(
            b.multiply(b.multiply(panel, shape.vectors), step), b.multiply(part[0], shape.lanes)
        )
        weight = b.element_pointer(self.own_weight, moved, shape.element, inside=False)
        return weight, runs[0], step


class Arguments(Protocol):
    """The arguments of a tile function, in order; so many rows are among them."""

    @property
    def rows(self) -> Value: ...

    def __iter__(self) -> Iterator[Value]: ...


Call = TypeVar("Call", bound=Arguments)


class Tile(Protocol[Call]):
    """A tile function: its name, the rows of a register tile, and its arguments for some rows from a row on."""

    name: str
    height: int

    def from_row(self, b: Builder, call: Call, row: Value, rows: Value) -> Call: ...


def write_tiles(b: Builder, tiles: Sequence[Tile[Call]], call: Call) -> None:
    """Call the functions of tiles (highest first) for all rows: whole tiles together, and the lowest that has room for the rest."""
    rows = call.rows
    top = tiles[0].height
    whole = b.multiply(b.divide(rows, top), top)
    left = b.subtract(rows, whole)
    rest = max((tile.height for tile in tiles[1:]), default=0)
    whole = b.select(b.compare("sgt", left, rest), rows, whole)
    with b.when(b.compare("sgt", whole, 0)):
        b.call(tiles[0].name, "void", list(tiles[0].from_row(b, call, b.value(0), whole)))
    left, less = b.subtract(rows, whole), 0
    for tile in reversed(tiles[1:]):
        fits = b.bit_and(b.compare("sgt", left, less), b.compare("sle", left, tile.height))
        with b.when(fits):
            b.call(tile.name, "void", list(tile.from_row(b, call, whole, left)))
        less = tile.height
