"""Copies between orders of dimensions: squares are transposed in registers.

Source and target have the same dimensions; one runs along the source's memory (`along`), another along the target's
(`across`).  Squares of lanes × lanes are read along the one and written along the other; edges are masked.  Up to four
outer dimensions are walked by strides of any sign; a unit is a place of the first three, with a stretch of `along`.

Operands: source, target.  Integers: `TranspositionInteger`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from lampas.engine.llvm.target import ELEMENT_BYTES, Target
from lampas.engine.llvm.text import Module, Value, vector
from lampas.engine.loops.brgemm import KernelCall
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_plan import CACHE_LINE
from lampas.engine.loops.brgemm_tile import transpose

STRETCH = 128
FEW = 4  # rows
OUTER = 4


class TranspositionInteger(IntEnum):
    """Places of the integers: sizes, then the source's and the target's strides in elements."""

    # fmt: off
    (SIZE0, SIZE1, SIZE2, SIZE3, ALONG, ACROSS, FROM0, FROM1, FROM2, FROM3, FROM_ACROSS, TO0, TO1, TO2, TO3,
     TO_ALONG) = range(16)
    # fmt: on


@dataclass(frozen=True)
class TranspositionKernel:
    """What is compiled in: the machine and the element type, of 4 or 8 bytes."""

    target: Target
    element: str

    @property
    def name(self) -> str:
        return f"transposition_{self.element}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        TranspositionWriter(module, self).write()
        return module


class TranspositionWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: TranspositionKernel) -> None:
        self.element, self.lanes = kernel.element, kernel.target.lanes(kernel.element)
        self.kind = vector(self.element, self.lanes)
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)

    def write(self) -> None:
        b, i = self.b, TranspositionInteger
        operands, integers, begin, end, _ = b.arguments
        self.got = {key: b.load_element("i64", integers, int(key)) for key in i}
        source, target = (b.load_element("ptr", operands, place) for place in (0, 1))
        stretches = b.divide(b.add(self.got[i.ALONG], STRETCH - 1), STRETCH)
        with b.loop(begin, end) as unit:
            outer, stretch = b.divide(unit, stretches), b.remainder(unit, stretches)
            read, written = b.value(0), b.value(0)
            for place in (2, 1, 0):
                size = self.got[i(i.SIZE0 + place)]
                digit = b.remainder(outer, size) if place else outer
                outer = b.divide(outer, size)
                read = b.add(read, b.multiply(digit, self.got[i(i.FROM0 + place)]))
                written = b.add(written, b.multiply(digit, self.got[i(i.TO0 + place)]))
            first = b.multiply(stretch, STRETCH)
            last = b.minimum(b.add(first, STRETCH), self.got[i.ALONG])
            with b.loop(0, self.got[i.SIZE3]) as inner:
                here = b.add(read, b.multiply(inner, self.got[i.FROM3]))
                there = b.add(written, b.multiply(inner, self.got[i.TO3]))
                self.write_plane(
                    b.element_pointer(source, here, self.element, inside=False),
                    b.element_pointer(target, there, self.element, inside=False),
                    first,
                    last,
                )
        b.ret()

    def write_plane(self, source: Value, target: Value, first: Value, last: Value) -> None:
        """A stretch of one plane: square by square, or where rows are few element by element."""
        b, across = self.b, self.got[TranspositionInteger.ACROSS]
        with b.branch(b.compare("sle", across, FEW)) as (few, many):
            with few:
                self.write_lines(source, target, first, last)
            with many:
                self.write_squares(source, target, first, last)

    def write_lines(self, source: Value, target: Value, first: Value, last: Value) -> None:
        """A few rows, as the colours of an image: masked stores of them would take longer."""
        b, i = self.b, TranspositionInteger
        across, step, length = self.got[i.ACROSS], self.got[i.FROM_ACROSS], self.got[i.TO_ALONG]
        with b.loop(first, last) as column:
            start = b.element_pointer(source, column, self.element, inside=False)
            place = b.multiply(column, length)
            end = b.element_pointer(target, place, self.element, inside=False)
            for row in range(FEW):
                with b.when(b.compare("sgt", across, row)):
                    moved = b.multiply(step, row)
                    value = b.load(
                        self.element, b.element_pointer(start, moved, self.element, inside=False)
                    )
                    b.store(value, b.element_pointer(end, row, self.element, inside=False))

    def write_squares(self, source: Value, target: Value, first: Value, last: Value) -> None:
        """Squares side by side, as many as fill a cache line of the target."""
        b, lanes, across = self.b, self.lanes, self.got[TranspositionInteger.ACROSS]
        width = max(CACHE_LINE // ELEMENT_BYTES[self.element], lanes)
        with b.loop(0, across, width) as row, b.loop(first, last, lanes) as column:
            rows, columns = b.subtract(across, row), b.subtract(last, column)
            whole = b.bit_and(b.compare("sge", rows, width), b.compare("sge", columns, lanes))
            with b.branch(whole) as (full, part):
                with full:
                    self.write_whole(source, target, row, column, width)
                with part, b.loop(0, b.minimum(rows, width), lanes) as beside:
                    start, left = b.add(row, beside), b.subtract(rows, beside)
                    self.write_edge(source, target, (start, column), (left, columns))

    def write_whole(
        self, source: Value, target: Value, row: Value, column: Value, width: int
    ) -> None:
        """Whole squares from a place on: each target row gets its line at once."""
        b, lanes = self.b, self.lanes
        lines: list[list[Value]] = []
        for beside in range(0, width, lanes):
            rows = [b.add(row, beside + i) for i in range(lanes)]
            lines.append(transpose(b, [self.read(source, each, column, None) for each in rows]))
        for i in range(lanes):
            for place, square in enumerate(lines):
                start = b.add(row, place * lanes)
                b.store(square[i], self.spot(target, start, b.add(column, i)))

    def write_edge(
        self, source: Value, target: Value, start: tuple[Value, Value], left: tuple[Value, Value]
    ) -> None:
        """A square that reaches over an edge: missing rows are read twice, missing columns masked."""
        b, lanes, (row, column), (rows, columns) = self.b, self.lanes, start, left
        mask, end = b.lane_mask(lanes, columns), b.subtract(rows, 1)
        square = [
            self.read(source, b.add(row, b.minimum(i, end)), column, mask) for i in range(lanes)
        ]
        kept = b.lane_mask(lanes, rows)
        for i, line in enumerate(transpose(b, square)):
            with b.when(b.compare("slt", b.value(i), columns)):
                b.masked_store(line, self.spot(target, row, b.add(column, i)), kept)

    def read(self, source: Value, row: Value, column: Value, mask: Value | None) -> Value:
        b, step = self.b, self.got[TranspositionInteger.FROM_ACROSS]
        moved = b.add(b.multiply(row, step), column)
        place = b.element_pointer(source, moved, self.element, inside=False)
        return b.load(self.kind, place) if mask is None else b.masked_load(self.kind, place, mask)

    def spot(self, target: Value, row: Value, column: Value) -> Value:
        moved = self.b.add(self.b.multiply(column, self.got[TranspositionInteger.TO_ALONG]), row)
        return self.b.element_pointer(target, moved, self.element, inside=False)


def plan_transposition(
    target: Target,
    itemsize: int,
    sizes: Sequence[int],
    read: Sequence[int],
    written: Sequence[int],
) -> KernelCall | None:
    """The call of a copy by these strides ("a" to "c"), or None where it is no transposition of this kind."""
    if itemsize not in (4, 8) or 1 not in written or 1 not in read:
        return None
    across, along = list(written).index(1), list(read).index(1)
    outer = [d for d in range(len(sizes)) if d not in (across, along)]
    if across == along or len(outer) > OUTER or min(sizes[across], sizes[along]) < 2:
        return None
    kernel = TranspositionKernel(target, "float" if itemsize == 4 else "double")
    ones, zeros = [1] * (OUTER - len(outer)), [0] * (OUTER - len(outer))
    integers = (
        *ones, *(sizes[d] for d in outer), sizes[along], sizes[across],
        *zeros, *(read[d] for d in outer), read[across],
        *zeros, *(written[d] for d in outer), written[along],
    )  # fmt: skip
    units = -(-sizes[along] // STRETCH)
    for size in integers[:3]:
        units *= size
    elements = sizes[along] * sizes[across]
    for size in integers[:OUTER]:
        elements *= size
    operands = (("a", 0), ("c", 0))
    return KernelCall(kernel, operands, integers, units, elements // 4, kernel.name)
