"""Products with few rows where both operands run along k: dot products, with lanes along k.

One matrix against few rows is bound by reading it once, so nothing is packed: `height` rows of A meet `COLUMNS` columns
of B at a time, in vectors along k, whose lanes are summed at the end by a fixed tree. The rest of k is read under a
mask. The integers are the macro kernel's (brgemm_arguments.py): COLUMNS, DEPTH, A_ROW, B_PANEL (between columns of B),
C_TILE_ROW, C_STRIDE (between columns of C), UNIT_PANELS (columns of a unit), and the batch's.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS, Integer, Operand
from lampas.engine.loops.brgemm_store import Epilogue, Place

COLUMNS = 4
MOST_ROWS = 4


@dataclass(frozen=True)
class DotKernel:
    """What is compiled into one kernel of dot products."""

    target: Target
    element: str
    height: int
    swapped: bool
    c_element: str
    epilogue: Epilogue | None = None

    @property
    def name(self) -> str:
        return f"gemm_{self.element}_dot_{self.height}"

    def module(self) -> Module:
        """Return the module with the kernel."""
        module = Module()
        DotWriter(module, self).write()
        return module


class DotWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: DotKernel) -> None:
        self.kernel = kernel
        self.lanes = kernel.target.lanes(kernel.element)
        self.kind = vector(kernel.element, self.lanes)
        self.unroll = 2 if kernel.height == 1 else 1
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, _ = self.b.arguments

    def integer(self, place: int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def write(self) -> None:
        b = self.b
        columns, unit_columns = self.integer(Integer.COLUMNS), self.integer(Integer.UNIT_PANELS)
        groups = b.divide(b.add(columns, b.subtract(unit_columns, 1)), unit_columns)
        with b.loop(self.begin, self.end) as unit:
            batch, group = b.divide(unit, groups), b.remainder(unit, groups)
            size = self.integer(Integer.BATCH1)
            self.batch = b.divide(batch, size), b.remainder(batch, size)
            self.a = self.batched(Operand.A, Integer.A_BATCH0, self.kernel.element)
            self.bb = self.batched(Operand.B, Integer.B_BATCH0, self.kernel.element)
            self.c = self.batched(Operand.C, Integer.C_BATCH0, self.kernel.c_element)
            first = b.multiply(group, unit_columns)
            last = b.minimum(b.add(first, unit_columns), columns)
            with b.loop(first, last, COLUMNS) as column:
                self.write_block(column, b.subtract(columns, 1))
        b.ret()

    def batched(self, place: int, stride: int, kind: str) -> Value:
        """Return an operand's address for this unit's batch."""
        b = self.b
        first = b.multiply(self.batch[0], self.integer(stride))
        second = b.multiply(self.batch[1], self.integer(stride + 1))
        base = b.load_element("ptr", self.operands, place)
        return b.element_pointer(base, b.add(first, second), kind)

    def write_block(self, column: Value, last: Value) -> None:
        """Emit the dot products of all rows with COLUMNS columns; beyond the last one, the last is repeated."""
        b, element, height = self.b, self.kernel.element, self.kernel.height
        a_row, b_column = self.integer(Integer.A_ROW), self.integer(Integer.B_PANEL)
        rows = [b.element_pointer(self.a, b.multiply(a_row, r), element) for r in range(height)]
        numbers = [b.minimum(b.add(column, j), last) for j in range(COLUMNS)]
        lines = [
            b.element_pointer(self.bb, b.multiply(b_column, number), element) for number in numbers
        ]
        depth, step = self.integer(Integer.DEPTH), self.lanes * self.unroll
        whole = b.multiply(b.divide(depth, step), step)
        zeros = [constant(0, self.kind)] * (height * COLUMNS * self.unroll)
        with b.carrying_loop(0, whole, step, zeros) as loop:
            loop.carry(self.steps(rows, lines, loop.index, loop.values))
        totals = self.joined(loop.results)
        with b.carrying_loop(whole, depth, self.lanes, totals) as rest:
            mask = b.lane_mask(self.lanes, b.subtract(depth, rest.index))
            rest.carry(self.step(rows, lines, rest.index, rest.values, mask))
        for j, number in enumerate(numbers):
            with b.when(b.compare("sle", b.add(column, j), last)):
                for r in range(height):
                    self.store(rest.results[r * COLUMNS + j], r, number)

    def steps(
        self, rows: list[Value], lines: list[Value], k: Value, sums: list[Value]
    ) -> list[Value]:
        each = self.kernel.height * COLUMNS
        found: list[Value] = []
        for turn in range(self.unroll):
            place = self.b.add(k, turn * self.lanes)
            found += self.step(rows, lines, place, sums[turn * each : (turn + 1) * each], None)
        return found

    def step(
        self, rows: list[Value], lines: list[Value], k: Value, sums: list[Value], mask: Value | None
    ) -> list[Value]:
        b = self.b
        left, right = ([self.read(p, k, mask) for p in pointers] for pointers in (rows, lines))
        pairs = [(x, y) for x in left for y in right]
        if self.kernel.target.fma:
            return [b.fma(x, y, total) for (x, y), total in zip(pairs, sums, strict=True)]
        return [b.add(b.multiply(x, y), total) for (x, y), total in zip(pairs, sums, strict=True)]

    def read(self, base: Value, k: Value, mask: Value | None) -> Value:
        place = self.b.element_pointer(base, k, self.kernel.element)
        if mask is None:
            return self.b.load(self.kind, place)
        return self.b.masked_load(self.kind, place, mask)

    def joined(self, sums: list[Value]) -> list[Value]:
        """Add up the unrolled accumulators."""
        each = self.kernel.height * COLUMNS
        found = sums[:each]
        for turn in range(1, self.unroll):
            more = sums[turn * each : (turn + 1) * each]
            found = [self.b.add(x, y) for x, y in zip(found, more, strict=True)]
        return found

    def lane_sum(self, total: Value) -> Value:
        """Add the lanes of a vector, halves to halves."""
        b, lanes = self.b, self.lanes
        while lanes > 2:
            lanes //= 2
            upper = b.shuffle(total, total, range(lanes, 2 * lanes))
            total = b.add(b.shuffle(total, total, range(lanes)), upper)
        return b.add(b.extract(total, 0), b.extract(total, 1))

    def store(self, total: Value, row: int, column: Value) -> None:
        b = self.b
        result = self.lane_sum(total)
        across, down = (
            b.multiply(column, self.integer(Integer.C_STRIDE)),
            b.multiply(self.integer(Integer.C_TILE_ROW), row),
        )
        target = b.element_pointer(self.c, b.add(across, down), self.kernel.c_element)
        if self.kernel.epilogue is not None:
            at = (column, b.value(row)) if self.kernel.swapped else (b.value(row), column)
            place = Place(*at, None, self.batch, self.operands, self.integers)
            result = self.kernel.epilogue.emit(b, result, place)
        b.store(result, target)
