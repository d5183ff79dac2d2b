"""Building a nest instruction by instruction; equal instructions become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lampas.engine.dtype import bool_, dtype, int64
from lampas.engine.loops.nest import (
    COMPARISONS,
    PREDICATES,
    Instruction,
    Nest,
    Number,
    Operand,
    Role,
)
from lampas.engine.loops.verification import verify


class NestBuilder:
    """Collects operands and instructions; every method that makes a value returns its number.

    nest = NestBuilder(kept=1, reduced=1)
    source = nest.operand(float32, "input", (STRIDED, CONTIGUOUS))
    result = nest.operand(float32, "output", (STRIDED, BROADCAST))
    nest.store(result, nest.reduce("sum", nest.load(source)))
    finished = nest.build()
    """

    def __init__(
        self,
        kept: int,
        reduced: int = 0,
        blocked: bool = False,
        narrow: bool = False,
        streamed: bool = False,
    ) -> None:
        self.kept, self.reduced, self.blocked, self.narrow = kept, reduced, blocked, narrow
        self.streamed = streamed
        self.operands: list[Operand] = []
        self.instructions: list[Instruction] = []
        self.numbers: dict[tuple[object, ...], int] = {}

    def operand(self, kind: dtype, role: Role, classes: Sequence[int]) -> int:
        """Add an array and return its number."""
        self.operands.append(Operand(kind, role, tuple(classes)))
        return len(self.operands) - 1

    def append(
        self, op: str, arguments: Sequence[int], kind: dtype, attribute: Number | str | None = None
    ) -> int:
        """Add an instruction, or return the number of an equal one."""
        instruction = Instruction(op, tuple(arguments), kind, attribute)
        number = self.numbers.get(instruction.key)
        if number is None:
            number = self.numbers[instruction.key] = len(self.instructions)
            self.instructions.append(instruction)
        return number

    def load(self, operand: int) -> int:
        return self.append("load", (), self.operands[operand].dtype, operand)

    def gather(self, operand: int, offset: int, valid: int | None = None) -> int:
        arguments = (offset,) if valid is None else (offset, valid)
        return self.append("gather", arguments, self.operands[operand].dtype, operand)

    def constant(self, number: Number, kind: dtype) -> int:
        return self.append("constant", (), kind, number)

    def index(self, dimension: int) -> int:
        return self.append("index", (), int64, dimension)

    def cast(self, value: int, kind: dtype) -> int:
        """Convert a value; a cast to its own dtype is the value."""
        if self.instructions[value].dtype is kind:
            return value
        return self.append("cast", (value,), kind)

    def apply(self, op: str, *arguments: int) -> int:
        """Apply an elementwise primitive; the dtype follows from the arguments."""
        kind = self.instructions[arguments[-1]].dtype
        if op in PREDICATES or op in COMPARISONS:
            kind = bool_
        return self.append(op, arguments, kind)

    def reduce(self, kind: str, value: int) -> int:
        result = int64 if kind in ("argmax", "argmin") else self.instructions[value].dtype
        return self.append("reduce", (value,), result, kind)

    def store(self, operand: int, value: int) -> None:
        self.append("store", (value,), self.operands[operand].dtype, operand)

    def build(self) -> Nest:
        """Return the verified nest."""
        operands, instructions = tuple(self.operands), tuple(self.instructions)
        nest = Nest(
            self.kept, self.reduced, operands, instructions, self.blocked, streamed=self.streamed
        )
        if self.narrow and nest.mode == "row":  # else lanes run across the rows as it is
            nest = replace(nest, narrow=True)
        verify(nest)
        return nest
