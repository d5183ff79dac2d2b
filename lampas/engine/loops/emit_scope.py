"""Evaluating a nest's instructions at one place of the loops around them.

A `Scope` stands for one loop level. It knows the positions of the dimensions walked so far, the operands'
addresses advanced by them, and the values that exist already. An instruction is evaluated in the outermost scope
that has all the dimensions it depends on, so that what is constant in a loop stands before it.

Values that do not vary along lanes are scalars. Those that do are vectors, of which `copies` exist side by side
when the lane loop is unrolled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Value, constant, element_of, lane_constants, vector
from lampas.engine.loops.emit_elements import ELEMENT_RULES
from lampas.engine.loops.emit_memory import (
    gather_lanes,
    gather_one,
    lane_pointers,
    load_each,
    load_if_any,
    load_lanes,
    load_one,
    load_reversed,
    scatter_lanes,
    store_each,
    store_lanes,
    store_one,
    store_reversed,
    strided_offsets,
)
from lampas.engine.loops.emit_types import bitcast, convert, memory_type, register_type
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, MEMORY, REVERSED, Instruction, Nest

UNIFORM = -1


@dataclass(slots=True)
class Plan:
    """What is known of a nest before any loop is written.

    `depends` has the dimensions each value varies along; `strides` the run-time strides of each operand, None
    where the class says it all; `block_start` the position where a blocked nest's block starts;
    `parked` a value that an earlier pass has left in an output's memory, and that operand.
    """

    nest: Nest
    target: Target
    lane: int
    depends: list[frozenset[int]]
    strides: list[list[Value | None]] = field(default_factory=list[list[Value | None]])
    sizes: list[Value] = field(default_factory=list[Value])
    block_start: Value | None = None
    parked: tuple[int, int] | None = None

    def varies(self, number: int) -> bool:
        return self.lane in self.depends[number]

    def gathers(self, type_: str) -> bool:
        """Whether the target loads strided elements of a type by one instruction."""
        return self.target.masks and element_of(type_) in ("float", "double", "i32", "i64")


def dependences(nest: Nest) -> list[frozenset[int]]:
    """Return for each value the dimensions it varies along."""
    found: list[frozenset[int]] = []
    kept = frozenset(range(nest.kept))
    for instruction in nest.instructions:
        own = frozenset(d for a in instruction.arguments for d in found[a])
        if instruction.op in MEMORY:
            classes = nest.operands[int(instruction.attribute or 0)].classes
            own |= frozenset(d for d, stride in enumerate(classes) if stride != BROADCAST)
        elif instruction.op == "index":
            own |= frozenset([int(instruction.attribute or 0)])
        elif instruction.op == "reduce":
            own &= kept
        found.append(own)
    return found


class Scope:
    """One loop level while its body is written."""

    def __init__(
        self,
        plan: Plan,
        builder: Builder,
        positions: dict[int, Value],
        pointers: Sequence[Value],
        known: dict[tuple[int, int], Value],
        lanes: int = 0,
        mask: Value | None = None,
    ) -> None:
        self.plan, self.b, self.lanes, self.mask = plan, builder, lanes, mask
        self.positions, self.pointers, self.known = positions, list(pointers), known

    def enter(
        self, dimension: int, position: Value, lanes: int = 0, mask: Value | None = None
    ) -> Scope:
        """Return the scope inside a loop over a dimension; `lanes` says that it runs along vectors of so many."""
        positions = {**self.positions, dimension: position}
        pointers = self.pointers
        if not lanes:
            pointers = [self.advance(n, dimension, position) for n in range(len(pointers))]
        inherited = (lanes, mask) if lanes else (self.lanes, self.mask)
        return Scope(self.plan, self.b, positions, pointers, dict(self.known), *inherited)

    def advance(self, number: int, dimension: int, position: Value) -> Value:
        """Return an operand's address moved along a scalar loop."""
        operand = self.plan.nest.operands[number]
        if operand.classes[dimension] == BROADCAST:
            return self.pointers[number]
        stride = self.plan.strides[number][dimension]
        offset = position if stride is None else self.b.multiply(position, stride)
        return self.b.element_pointer(self.pointers[number], offset, memory_type(operand.dtype))

    # ---- values ---------------------------------------------------------------------------------------------

    def prepare(self, needed: Iterable[int], copies: int = 1) -> None:
        """Evaluate those of the needed values that this scope has all dimensions for."""
        for number in needed:
            lasting = self.plan.nest.instructions[number].op not in ("reduce", "store")
            if lasting and self.plan.depends[number] <= self.positions.keys():
                for copy in range(copies if self.plan.varies(number) else 1):
                    self.value(number, copy)

    def value(self, number: int, copy: int = 0) -> Value:
        """Return a value: a scalar if it does not vary along lanes, else the vector of one copy."""
        key = (number, copy if self.plan.varies(number) else UNIFORM)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self.evaluate(number, copy)
        return found

    def spread(self, number: int, copy: int = 0) -> Value:
        """Return a value as a vector of all lanes."""
        found = self.value(number, copy)
        if self.lanes > 1 and found.type[0] != "<":
            return self.widened(found)
        return found

    def widened(self, scalar: Value) -> Value:
        kind = vector(scalar.type, self.lanes)
        if scalar.text[0] != "%":
            return Value(f"splat ({scalar})", kind)
        return self.b.splat(scalar, kind)

    def evaluate(self, number: int, copy: int) -> Value:
        instruction = self.plan.nest.instructions[number]
        op, kind = instruction.op, instruction.dtype
        if self.plan.parked is not None and number == self.plan.parked[0]:
            return self.load(self.plan.parked[1], varies=True, copy=copy)
        if op == "load":
            return self.load(int(instruction.attribute or 0), self.plan.varies(number), copy)
        if op == "gather":
            return self.gather(number, instruction, copy)
        if op == "constant":
            assert not isinstance(instruction.attribute, str)
            return constant(instruction.attribute or 0, register_type(kind))
        if op == "index":
            return self.index(int(instruction.attribute or 0), copy)
        if op == "reduce":
            raise AssertionError(f"reduction %{number} is used before its pass")
        read = self.spread if self.plan.varies(number) else self.value
        values = [read(argument, copy) for argument in instruction.arguments]
        source = self.plan.nest.instructions[instruction.arguments[0]].dtype
        if op == "cast":
            return convert(self.b, values[0], source, kind)
        if op == "bitcast":
            return bitcast(self.b, values[0], source, kind)
        return ELEMENT_RULES[op](self.b, values, kind if op == "where" else source)

    def lane_start(self, copy: int) -> Value:
        """Return the position of lane 0 of a copy along the lane dimension."""
        return self.b.add(self.positions[self.plan.lane], copy * self.lanes)

    def index(self, dimension: int, copy: int) -> Value:
        along = dimension == self.plan.lane
        start = self.lane_start(copy) if along else self.positions[dimension]
        if self.plan.block_start is not None and dimension == self.plan.nest.kept:
            start = self.b.add(start, self.plan.block_start)
        if not along:
            return start
        if self.lanes == 1:
            return start
        kind = vector("i64", self.lanes)
        return self.b.add(self.b.splat(start, kind), lane_constants(range(self.lanes), "i64"))

    # ---- memory ---------------------------------------------------------------------------------------------

    def lane_address(self, number: int, copy: int) -> Value:
        """Return the address of lane 0 of a copy."""
        operand = self.plan.nest.operands[number]
        stride = self.plan.strides[number][self.plan.lane]
        position = self.positions[self.plan.lane]
        element = memory_type(operand.dtype)
        offset = position if stride is None else self.b.multiply(position, stride)
        place = self.b.element_pointer(self.pointers[number], offset, element)
        ahead = copy * self.lanes
        if not ahead:
            return place
        step = ahead if stride is None else self.b.multiply(stride, ahead)
        return self.b.element_pointer(place, step, element)

    def load(self, number: int, varies: bool, copy: int) -> Value:
        operand = self.plan.nest.operands[number]
        if not varies:
            return load_one(self.b, self.pointers[number], operand.dtype)
        place = self.lane_address(number, copy)
        if self.lanes == 1:
            return load_one(self.b, place, operand.dtype)
        if operand.classes[self.plan.lane] == CONTIGUOUS:
            return load_lanes(self.b, place, operand.dtype, self.lanes, self.mask)
        if operand.classes[self.plan.lane] == REVERSED:
            return load_reversed(self.b, place, operand.dtype, self.lanes, self.mask)
        stride = self.plan.strides[number][self.plan.lane]
        assert stride is not None
        if self.mask is None and not self.plan.gathers(memory_type(operand.dtype)):
            return load_each(self.b, place, stride, operand.dtype, self.lanes)
        offsets = strided_offsets(self.b, stride, self.lanes)
        return gather_lanes(
            self.b, lane_pointers(self.b, place, offsets, operand.dtype), operand.dtype, self.mask
        )

    def gather(self, number: int, instruction: Instruction, copy: int) -> Value:
        operand_number = int(instruction.attribute or 0)
        operand = self.plan.nest.operands[operand_number]
        walked = operand.classes[self.plan.lane] != BROADCAST and self.plan.varies(number)
        place = self.lane_address(operand_number, copy) if walked else self.pointers[operand_number]
        if not self.plan.varies(number) or self.lanes == 1:
            values = [self.value(argument, copy) for argument in instruction.arguments]
            pointer = self.b.emit(
                f"getelementptr {memory_type(operand.dtype)}, {place}, {values[0]}", "ptr"
            )
            return gather_one(
                self.b, pointer, operand.dtype, values[1] if len(values) > 1 else None
            )
        beside = walked and operand.classes[self.plan.lane] == CONTIGUOUS
        if beside and not self.plan.varies(instruction.arguments[0]):
            return self.picked_row(place, operand.dtype, instruction, copy)
        values = [self.spread(argument, copy) for argument in instruction.arguments]
        offsets = values[0]
        if walked:
            stride = self.plan.strides[operand_number][self.plan.lane]
            step = stride if stride is not None else constant(1, "i64")
            offsets = self.b.add(offsets, strided_offsets(self.b, step, self.lanes))
        mask = self.mask
        if len(values) > 1:
            mask = values[1] if mask is None else self.b.bit_and(mask, values[1])
        return gather_lanes(
            self.b, lane_pointers(self.b, place, offsets, operand.dtype), operand.dtype, mask
        )

    def picked_row(self, place: Value, kind: dtype, instruction: Instruction, copy: int) -> Value:
        """Elements side by side, all of them picked by one offset; zeros where they are not valid."""
        b, lanes = self.b, self.lanes
        offset = self.value(instruction.arguments[0], copy)
        start = b.element_pointer(place, offset, memory_type(kind), inside=False)
        if len(instruction.arguments) < 2:
            return load_lanes(b, start, kind, lanes, self.mask)
        allowed = self.spread(instruction.arguments[1], copy)
        mask = allowed if self.mask is None else b.bit_and(self.mask, allowed)
        if offset.text[0] == "%":
            return load_lanes(b, start, kind, lanes, mask)
        return load_if_any(b, start, kind, lanes, mask)

    def store(self, instruction: Instruction, copy: int) -> None:
        """Write one store instruction; its value must be ready."""
        number = int(instruction.attribute or 0)
        operand = self.plan.nest.operands[number]
        if self.plan.lane not in self.positions or operand.classes[self.plan.lane] == BROADCAST:
            value = self.value(instruction.arguments[0], copy)
            store_one(self.b, value, self.pointers[number], operand.dtype)
            return
        value, place = self.spread(instruction.arguments[0], copy), self.lane_address(number, copy)
        if self.lanes == 1:
            store_one(self.b, value, place, operand.dtype)
        elif operand.classes[self.plan.lane] == CONTIGUOUS:
            store_lanes(self.b, value, place, operand.dtype, self.mask)
        elif operand.classes[self.plan.lane] == REVERSED:
            store_reversed(self.b, value, place, operand.dtype, self.mask)
        else:
            self.store_strided(number, value, place)

    def store_strided(self, number: int, value: Value, place: Value) -> None:
        operand = self.plan.nest.operands[number]
        stride = self.plan.strides[number][self.plan.lane]
        assert stride is not None
        if self.mask is None:
            store_each(self.b, value, place, stride, operand.dtype)
            return
        offsets = strided_offsets(self.b, stride, self.lanes)
        scatter_lanes(
            self.b,
            value,
            lane_pointers(self.b, place, offsets, operand.dtype),
            operand.dtype,
            self.mask,
        )
