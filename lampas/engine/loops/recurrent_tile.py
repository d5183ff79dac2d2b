"""What the kernels of LSTM and GRU share: arguments, addresses, and a small product of a few rows with packed weights.

A unit of work is a group of a batch's rows: no sequence waits for another, so a thread walks over all times alone, and
the weights stay in its second cache.  Weights are packed in panels (brgemm_pack.py): forward `lanes` rows of the weight
to a panel, backward some vectors of its columns.  Rows beyond a group's last one repeat it.

Operands are, forward: packed weight, projected, state, bias, result, and of an LSTM the cell; backward: packed weight,
states, kept, state, flow, last flow, result, and of an LSTM the cell and its last flow.  Results lie one after the
other: forward the states (T, N, H) and `kept` (T, K, N, H), backward the flows of projections (T, N, gates·H), those of
the first state (N, H) and cell; of a GRU between them the flows of the projected state, where they differ.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS

ELEMENT = "float"
UNROLL = 4
Cell = Literal["lstm", "gru"]
GATES: dict[Cell, int] = {"lstm": 4, "gru": 3}
KEPT: dict[Cell, int] = {
    "lstm": 5,
    "gru": 4,
}  # cell and gates; gates and the state's part of the candidate


class RecurrentInteger(IntEnum):
    """Places of the integers.  Strides in elements; times run from FIRST on by STEP."""

    # fmt: off
    (TIMES, BATCH, SIZE, ROWS, FIRST, STEP, INPUT_TIME, INPUT_ROW, STATE_ROW, CELL_ROW, LAST_ROW,
     LAST_CELL_ROW) = range(12)
    # fmt: on


class Row(NamedTuple):
    """Where the values of one row of a batch begin."""

    base: Value
    stride: Value


class RecurrentWriter:
    """Writes one kernel's function; subclasses say what a time step is."""

    def __init__(self, module: Module, name: str, target: Target, cell: Cell) -> None:
        self.cell: Cell = cell
        self.gates, self.kept = GATES[cell], KEPT[cell]
        self.lanes = target.lanes(ELEMENT)
        self.kind = vector(ELEMENT, self.lanes)
        self.tile_rows = tile_rows(target)
        self.b = module.function(name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, _ = self.b.arguments

    def open(self) -> None:
        """Load the sizes."""
        i = RecurrentInteger
        self.times, self.batch = self.integer(i.TIMES), self.integer(i.BATCH)
        self.size, self.step = self.integer(i.SIZE), self.integer(i.STEP)
        self.plane = self.b.multiply(self.batch, self.size)

    def integer(self, place: int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def operand(self, place: int) -> Value:
        return self.b.load_element("ptr", self.operands, place)

    def at(self, base: Value, *pairs: tuple[Value, Value | int]) -> Value:
        """The address that products of indices and strides lead to."""
        b, total = self.b, self.b.value(0)
        for index, stride in pairs:
            total = b.add(total, b.multiply(index, stride))
        return b.element_pointer(base, total, ELEMENT, inside=False)

    def time_of(self, number: Value) -> Value:
        """The time that comes at a place of the walk."""
        first = self.integer(RecurrentInteger.FIRST)
        return self.b.add(first, self.b.multiply(number, self.step))

    def before(self, number: Value, start: Row, later: Value) -> Row:
        """The rows that entered a step: `start` at the first one, else those at `later`, one after the other."""
        b = self.b
        first = b.compare("eq", number, 0)
        base = b.select(first, start.base, later)
        return Row(base, b.select(first, start.stride, self.size))

    def kept_at(self, base: Value, time: Value, number: int) -> Value:
        """A plane of what is kept of a time."""
        place = self.b.add(self.b.multiply(time, self.kept), number)
        return self.at(base, (place, self.plane))

    def read(self, base: Value, *pairs: tuple[Value, Value | int]) -> Value:
        return self.b.load(self.kind, self.at(base, *pairs))

    def product(
        self, rows: list[Value], streams: list[Value], step: int, depth: Value, start: list[Value]
    ) -> list[Value]:
        """Σ over k of rows[r][k]·streams[v][k·step …], added to `start`, row by row; `depth` is a multiple of UNROLL."""
        b, count = self.b, len(streams)
        with b.carrying_loop(0, depth, UNROLL, start) as loop:
            sums = list(loop.values)
            for turn in range(UNROLL):
                k = b.add(loop.index, turn)
                spread = [b.splat(b.load_element(ELEMENT, row, k), self.kind) for row in rows]
                for v, stream in enumerate(streams):
                    value = self.read(stream, (k, step))
                    for r, lone in enumerate(spread):
                        place = r * count + v
                        sums[place] = b.multiply_add(lone, value, sums[place])
            loop.carry(sums)
        return loop.results

    def clamped(self, row: Value, last: Value) -> list[Value]:
        """The rows of a tile; beyond the last one it stands again."""
        b = self.b
        return [b.minimum(b.add(row, r), b.subtract(last, 1)) for r in range(self.tile_rows)]


def tile_rows(target: Target) -> int:
    """Rows of a tile that is four vectors wide."""
    return 3 if target.registers < 32 else 6
