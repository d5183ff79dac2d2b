"""Epilogues of the matrix product written as nests.

The nest has two kept dimensions, the rows and columns of C, and no reduced one. Its operand 0 is the sums
themselves (an input that is never in memory); its first output is C; every other operand, input or output, is an array
that the kernel gets besides A, B and C. Of the stride classes only the column's counts: lanes run along columns.

    build = NestBuilder(kept=2)
    sums = build.operand(float32, "input", (STRIDED, CONTIGUOUS))
    bias = build.operand(float32, "input", (BROADCAST, CONTIGUOUS))
    result = build.operand(float32, "output", (STRIDED, CONTIGUOUS))
    build.store(result, build.apply("add", build.load(sums), build.load(bias)))
    epilogue = NestEpilogue(build.build())
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lampas.engine.dtype import dtype
from lampas.engine.llvm.text import Builder, Value, constant, vector
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER, FIRST_OPERAND
from lampas.engine.loops.brgemm_store import Place
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.emit_elements import ELEMENT_RULES
from lampas.engine.loops.emit_memory import (
    gather_lanes,
    lane_pointers,
    load_lanes,
    load_one,
    scatter_lanes,
    store_lanes,
    strided_offsets,
)
from lampas.engine.loops.emit_types import (
    bitcast,
    convert,
    memory_type,
    register_type,
    round_half,
    to_memory,
)
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, STRIDED, Instruction, Nest

SUMS = 0
STRIDES_EACH = (
    4  # integers of an extra operand: its strides along batch 0, batch 1, rows and columns
)


@dataclass(frozen=True)
class NestEpilogue:
    """An epilogue whose meaning is a nest; its extra operands take `STRIDES_EACH` integers each."""

    nest: Nest

    def __post_init__(self) -> None:
        nest = self.nest
        if (
            nest.kept != 2
            or nest.reduced
            or not nest.operands
            or nest.operands[SUMS].role != "input"
        ):
            raise ValueError(
                f"an epilogue has 2 kept dimensions and operand 0 is the sums, not\n{nest}"
            )
        bad = [i.op for i in nest.instructions if i.op in ("gather", "reduce", "index")]
        if bad:
            raise NotImplementedError(f"an epilogue cannot hold {bad[0]}")

    @cached_property
    def result(self) -> int:
        """The operand that is C."""
        roles = [operand.role for operand in self.nest.operands]
        return roles.index("output")

    @cached_property
    def extras(self) -> tuple[int, ...]:
        """The nest's operands that the kernel gets besides A, B and C, in their order."""
        return tuple(i for i in range(len(self.nest.operands)) if i not in (SUMS, self.result))

    @property
    def operands(self) -> int:
        return len(self.extras)

    @property
    def integers(self) -> int:
        return STRIDES_EACH * len(self.extras)

    def reads_matrix(self, m: int, n: int, extras: Sequence[Sequence[int]]) -> bool:
        """Whether an extra operand walked by these strides (…, row, column) is as large as C.

        It may then share C's memory, as operands of nests may.
        """
        for number, strides in zip(self.extras, extras, strict=True):
            whole = (strides[-2] != 0 or m == 1) and (strides[-1] != 0 or n == 1)
            if whole and self.nest.operands[number].role == "input":
                return True
        return False

    @property
    def kind(self) -> dtype:
        """The dtype of C."""
        return self.nest.operands[self.result].dtype

    def emit(self, b: Builder, sums: Value, place: Place) -> Value:
        """Emit the nest for one vector; return what is to be stored in C, in its memory form."""
        return EpilogueWriter(b, self, sums, place).write()


class EpilogueWriter:
    """Evaluates the nest's instructions on one vector of sums."""

    def __init__(self, b: Builder, epilogue: NestEpilogue, sums: Value, place: Place) -> None:
        self.b, self.epilogue, self.nest, self.sums, self.place = (
            b,
            epilogue,
            epilogue.nest,
            sums,
            place,
        )
        self.lanes = int(sums.type[1 : sums.type.index(" ")]) if sums.type[0] == "<" else 1
        self.values: list[Value] = []
        self.result: Value | None = None

    def write(self) -> Value:
        for instruction in self.nest.instructions:
            self.values.append(self.evaluate(instruction))
        if self.result is None:
            raise ValueError(f"the epilogue stores nothing in C:\n{self.nest}")
        return self.result

    def evaluate(self, instruction: Instruction) -> Value:
        b, kind = self.b, instruction.dtype
        arguments = [self.values[argument] for argument in instruction.arguments]
        kinds = [self.nest.instructions[argument].dtype for argument in instruction.arguments]
        match instruction.op:
            case "load":
                return self.load(int(instruction.attribute or 0))
            case "constant":
                number = instruction.attribute
                assert isinstance(number, bool | int | float)
                return constant(number, register_type(kind, self.lanes))
            case "cast":
                return convert(b, arguments[0], kinds[0], kind)
            case "bitcast":
                return bitcast(b, arguments[0], kinds[0], kind)
            case "store":
                return self.store(int(instruction.attribute or 0), arguments[0])
            case elementwise:
                return ELEMENT_RULES[elementwise](b, arguments, kinds[-1])

    def address(self, operand: int) -> tuple[Value, Value]:
        """Return the address of an extra operand at the first lane, and its column stride."""
        b, place = self.b, self.place
        number = self.epilogue.extras.index(operand)
        start = FIRST_INTEGER + STRIDES_EACH * number
        strides = [b.load_element("i64", place.integers, start + i) for i in range(STRIDES_EACH)]
        positions = [*place.batch, place.row, place.column]
        offset = b.value(0)
        for position, stride in zip(positions, strides, strict=True):
            offset = b.add(offset, b.multiply(position, stride))
        base = b.load_element("ptr", place.operands, FIRST_OPERAND + number)
        kind = memory_type(self.nest.operands[operand].dtype)
        return b.element_pointer(base, offset, kind), strides[3]

    def load(self, operand: int) -> Value:
        b, lanes, kind = self.b, self.lanes, self.nest.operands[operand].dtype
        if operand == SUMS:
            return round_half(b, self.sums, kind)
        pointer, stride = self.address(operand)
        across = self.nest.operands[operand].classes[1]
        if across == BROADCAST:
            return b.splat(load_one(b, pointer, kind), register_type(kind, lanes))
        if across == CONTIGUOUS:
            return load_lanes(b, pointer, kind, lanes, self.place.mask)
        if lanes == 1:
            return load_one(b, pointer, kind)
        offsets = strided_offsets(b, stride, lanes)
        return gather_lanes(b, lane_pointers(b, pointer, offsets, kind), kind, self.place.mask)

    def store(self, operand: int, value: Value) -> Value:
        b, kind = self.b, self.nest.operands[operand].dtype
        if operand == self.epilogue.result:
            self.result = to_memory(b, value, kind)
            return value
        pointer, stride = self.address(operand)
        if self.lanes == 1 or self.nest.operands[operand].classes[1] == CONTIGUOUS:
            store_lanes(b, value, pointer, kind, self.place.mask)
            return value
        mask = self.place.mask or constant(True, vector("i1", self.lanes))
        offsets = strided_offsets(b, stride, self.lanes)
        scatter_lanes(b, value, lane_pointers(b, pointer, offsets, kind), kind, mask)
        return value


def storing_as(sums: dtype, kind: dtype) -> NestEpilogue:
    """Return the epilogue that only converts the sums to C's dtype."""
    build = NestBuilder(kept=2)
    source = build.operand(sums, "input", (STRIDED, CONTIGUOUS))
    target = build.operand(kind, "output", (STRIDED, CONTIGUOUS))
    build.store(target, build.cast(build.load(source), kind))
    return NestEpilogue(build.build())
