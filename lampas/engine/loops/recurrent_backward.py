"""The way back through all times of one layer and direction of an LSTM or a GRU: see recurrent_tile.py.

At each time the flow of the state gives those of the gates, before their functions; these by the weight are the flow of
the state before.  The flows of first state and cell are kept up to date where they shall lie in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant
from lampas.engine.llvm.vector_math_exponential import quick_tanh
from lampas.engine.loops.recurrent_tile import Cell, RecurrentInteger, RecurrentWriter, Row

Spot = tuple[tuple[Value, Value | int], tuple[Value, Value | int]]
PACKED, STATES, KEPT, STATE, FLOW, LAST, RESULT, CELL, LAST_CELL = range(9)


@dataclass(frozen=True)
class RecurrentBackwardKernel:
    """What is compiled in: the machine, the kind of cell, and how many vectors a tile has."""

    target: Target
    cell: Cell
    vectors: int

    @property
    def name(self) -> str:
        return f"{self.cell}_backward_{self.vectors}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        BackwardWriter(module, self).write()
        return module


class BackwardWriter(RecurrentWriter):
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: RecurrentBackwardKernel) -> None:
        super().__init__(module, kernel.name, kernel.target, kernel.cell)
        self.vectors = kernel.vectors

    def write(self) -> None:
        self.open()
        b = self.b
        self.width = b.multiply(self.size, self.gates)
        self.states, self.keeping = self.operand(STATES), self.operand(KEPT)
        self.flows = self.operand(RESULT)
        whole = b.multiply(b.multiply(self.times, self.batch), self.width)
        self.inner = self.flows if self.cell == "lstm" else self.at(self.flows, (whole, 1))
        self.to_state = self.at(self.inner, (whole, 1))
        self.to_cell = self.at(self.to_state, (self.plane, 1))
        each = self.integer(RecurrentInteger.ROWS)
        with b.loop(self.begin, self.end) as unit:
            first = b.multiply(unit, each)
            last = b.minimum(b.add(first, each), self.batch)
            self.write_group(first, last)
        b.ret()

    def write_group(self, first: Value, last: Value) -> None:
        b, i = self.b, RecurrentInteger
        self.copy(self.to_state, Row(self.operand(LAST), self.integer(i.LAST_ROW)), first, last)
        if self.cell == "lstm":
            source = Row(self.operand(LAST_CELL), self.integer(i.LAST_CELL_ROW))
            self.copy(self.to_cell, source, first, last)
        with b.loop(0, self.times) as turn:
            number = b.subtract(b.subtract(self.times, 1), turn)
            time = self.time_of(number)
            self.write_gates(number, time, first, last)
            columns = b.loop(0, self.size, self.vectors * self.lanes)
            with columns as column, b.loop(first, last, self.tile_rows) as row:
                self.write_tile(time, self.clamped(row, last), column)

    def copy(self, target: Value, source: Row, first: Value, last: Value) -> None:
        b = self.b
        with b.loop(first, last) as row, b.loop(0, self.size, self.lanes) as unit:
            value = self.read(source.base, (row, source.stride), (unit, 1))
            b.store(value, self.at(target, (row, self.size), (unit, 1)))

    def write_gates(self, number: Value, time: Value, first: Value, last: Value) -> None:
        """The flows of a time's gates, and what of the state's flow goes past them."""
        b, i = self.b, RecurrentInteger
        earlier = b.subtract(time, self.step)
        start = Row(self.operand(STATE), self.integer(i.STATE_ROW))
        before = self.before(number, start, self.at(self.states, (earlier, self.plane)))
        if self.cell == "lstm":
            start = Row(self.operand(CELL), self.integer(i.CELL_ROW))
            before = self.before(number, start, self.kept_at(self.keeping, earlier, 0))
        with b.loop(first, last) as row, b.loop(0, self.size, self.lanes) as unit:
            inside = (row, self.size), (unit, 1)
            kept = [
                self.read(self.kept_at(self.keeping, time, n), *inside) for n in range(self.kept)
            ]
            old = self.read(before.base, (row, before.stride), (unit, 1))
            steps = self.integer(i.INPUT_TIME), self.integer(i.INPUT_ROW)
            flow = self.read(self.operand(FLOW), (time, steps[0]), (row, steps[1]), (unit, 1))
            flow = b.add(flow, self.read(self.to_state, *inside))
            line = b.add(b.multiply(time, self.batch), row)
            target = (line, self.width), (unit, 1)
            if self.cell == "lstm":
                self.lstm(flow, old, kept, target, self.at(self.to_cell, *inside))
            else:
                self.gru(flow, old, kept, target, self.at(self.to_state, *inside))

    def lstm(
        self, flow: Value, old: Value, kept: list[Value], target: Spot, to_cell: Value
    ) -> None:
        """See `tensor.neural_recurrent.lstm_flows`."""
        b = self.b
        after, enter, forget, candidate, leave = kept
        squashed = quick_tanh(b, after)
        to_leave = self.through_sigmoid(b.multiply(flow, squashed), leave)
        through = self.through_tanh(b.multiply(flow, leave), squashed)
        through = b.add(through, b.load(self.kind, to_cell))
        flows = (
            self.through_sigmoid(b.multiply(through, candidate), enter),
            self.through_sigmoid(b.multiply(through, old), forget),
            self.through_tanh(b.multiply(through, enter), candidate),
            to_leave,
        )
        b.store(b.multiply(through, forget), to_cell)
        self.store_gates(self.flows, flows, target)

    def gru(
        self, flow: Value, old: Value, kept: list[Value], target: Spot, to_state: Value
    ) -> None:
        """See `tensor.neural_recurrent.gru_flows`."""
        b = self.b
        reset, update, candidate, remembered = kept
        to_update = self.through_sigmoid(b.multiply(flow, b.subtract(old, candidate)), update)
        to_candidate = self.through_tanh(b.multiply(flow, b.subtract(1.0, update)), candidate)
        to_reset = self.through_sigmoid(b.multiply(to_candidate, remembered), reset)
        b.store(b.multiply(flow, update), to_state)
        self.store_gates(self.flows, (to_reset, to_update, to_candidate), target)
        inner = (to_reset, to_update, b.multiply(to_candidate, reset))
        self.store_gates(self.inner, inner, target)

    def store_gates(self, base: Value, flows: tuple[Value, ...], target: Spot) -> None:
        for gate, value in enumerate(flows):
            self.b.store(value, self.at(base, *target, (self.size, gate)))

    def through_sigmoid(self, flow: Value, value: Value) -> Value:
        b = self.b
        return b.multiply(flow, b.multiply(value, b.subtract(1.0, value)))

    def through_tanh(self, flow: Value, value: Value) -> Value:
        b = self.b
        return b.multiply(flow, b.subtract(1.0, b.multiply(value, value)))

    def write_tile(self, time: Value, rows: list[Value], column: Value) -> None:
        """Flows of the gates by the weight: the flow of the state before, of a GRU added to what goes past."""
        b = self.b
        lines = [b.add(b.multiply(time, self.batch), row) for row in rows]
        pointers = [self.at(self.inner, (line, self.width)) for line in lines]
        step = self.vectors * self.lanes
        panel = self.at(self.operand(PACKED), (column, self.width))
        streams = [self.at(panel, (b.value(v), self.lanes)) for v in range(self.vectors)]
        spots = [
            self.at(self.to_state, (row, self.size), (column, 1), (b.value(v), self.lanes))
            for row in rows
            for v in range(self.vectors)
        ]
        start = [constant(0, self.kind)] * len(spots)
        if self.cell == "gru":
            start = [b.load(self.kind, spot) for spot in spots]
        for total, spot in zip(
            self.product(pointers, streams, step, self.width, start), spots, strict=True
        ):
            b.store(total, spot)
