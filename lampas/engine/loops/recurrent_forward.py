"""All time steps of one layer and direction of an LSTM or a GRU for a group of sequences: see recurrent_tile.py."""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value
from lampas.engine.llvm.vector_math_exponential import quick_sigmoid, quick_tanh
from lampas.engine.loops.recurrent_tile import (
    ELEMENT,
    Cell,
    RecurrentInteger,
    RecurrentWriter,
    Row,
)

PACKED, PROJECTED, STATE, BIAS, RESULT, CELL = range(6)


@dataclass(frozen=True)
class RecurrentKernel:
    """What is compiled in: the machine and the kind of cell."""

    target: Target
    cell: Cell

    @property
    def name(self) -> str:
        return f"{self.cell}_forward"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        ForwardWriter(module, self.name, self.target, self.cell).write()
        return module


class ForwardWriter(RecurrentWriter):
    """Writes the kernel's function."""

    def write(self) -> None:
        self.open()
        b, i = self.b, RecurrentInteger
        self.result = self.operand(RESULT)
        self.keeping = self.at(self.result, (self.times, self.plane))
        each = self.integer(i.ROWS)
        with b.loop(self.begin, self.end) as unit:
            first = b.multiply(unit, each)
            last = b.minimum(b.add(first, each), self.batch)
            with b.loop(0, self.times) as number:
                self.write_time(number, first, last)
        b.ret()

    def write_time(self, number: Value, first: Value, last: Value) -> None:
        """One time step of a group of rows: a vector of units at a time, so that their weights serve all rows."""
        b, i = self.b, RecurrentInteger
        time = self.time_of(number)
        earlier = b.subtract(time, self.step)
        start = Row(self.operand(STATE), self.integer(i.STATE_ROW))
        state = self.before(number, start, self.at(self.result, (earlier, self.plane)))
        cell = state
        if self.cell == "lstm":
            start = Row(self.operand(CELL), self.integer(i.CELL_ROW))
            cell = self.before(number, start, self.kept_at(self.keeping, earlier, 0))
        with b.loop(0, self.size, self.lanes) as unit, b.loop(first, last, self.tile_rows) as row:
            rows = self.clamped(row, last)
            sums = self.write_sums([self.at(state.base, (r, state.stride)) for r in rows], unit)
            # Row by row without a loop, so that the long chains of their functions overlap.
            for place, each in enumerate(rows):
                own = sums[place * self.gates : (place + 1) * self.gates]
                self.write_row(time, each, unit, own, (state, cell))

    def write_sums(self, rows: list[Value], unit: Value) -> list[Value]:
        """The projected states of a tile, with bias."""
        b = self.b
        gates = [b.add(b.multiply(self.size, gate), unit) for gate in range(self.gates)]
        bias, packed = self.operand(BIAS), self.operand(PACKED)
        biases = [b.load(self.kind, b.element_pointer(bias, gate, ELEMENT)) for gate in gates]
        streams = [self.at(packed, (gate, self.size)) for gate in gates]
        return self.product(rows, streams, self.lanes, self.size, biases * len(rows))

    def write_row(
        self, time: Value, row: Value, unit: Value, sums: list[Value], before: tuple[Row, Row]
    ) -> None:
        """The cell's formula for a vector of one row's units."""
        b, i = self.b, RecurrentInteger
        state, cell = before
        given = self.at(
            self.operand(PROJECTED),
            (time, self.integer(i.INPUT_TIME)),
            (row, self.integer(i.INPUT_ROW)),
            (unit, 1),
        )
        inputs = [self.read(given, (self.size, gate)) for gate in range(self.gates)]
        if self.cell == "lstm":
            old = self.read(cell.base, (row, cell.stride), (unit, 1))
            hidden, kept = self.lstm([b.add(x, y) for x, y in zip(inputs, sums, strict=True)], old)
        else:
            old = self.read(state.base, (row, state.stride), (unit, 1))
            hidden, kept = self.gru(inputs, sums, old)
        inside = (row, self.size), (unit, 1)
        b.store(hidden, self.at(self.result, (time, self.plane), *inside))
        for number, value in enumerate(kept):
            b.store(value, self.at(self.kept_at(self.keeping, time, number), *inside))

    def lstm(self, gates: list[Value], old: Value) -> tuple[Value, list[Value]]:
        """The state, and new cell and gates (Hochreiter & Schmidhuber, 1997)."""
        b = self.b
        enter, forget, leave = (quick_sigmoid(b, gates[number]) for number in (0, 1, 3))
        candidate = quick_tanh(b, gates[2])
        after = b.multiply_add(forget, old, b.multiply(enter, candidate))
        hidden = b.multiply(leave, quick_tanh(b, after))
        return hidden, [after, enter, forget, candidate, leave]

    def gru(self, given: list[Value], own: list[Value], old: Value) -> tuple[Value, list[Value]]:
        """The state, and gates and the state's part of the candidate (Cho et al., 2014)."""
        b = self.b
        reset, update = (
            quick_sigmoid(b, b.add(x, y)) for x, y in zip(given[:2], own[:2], strict=True)
        )
        remembered = own[2]
        candidate = quick_tanh(b, b.multiply_add(reset, remembered, given[2]))
        hidden = b.multiply_add(update, b.subtract(old, candidate), candidate)
        return hidden, [reset, update, candidate, remembered]
