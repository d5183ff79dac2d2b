"""Checks that a nest is well formed; every rule that the emitter relies on stands here."""

from __future__ import annotations

from lampas.engine.dtype import bool_, int64
from lampas.engine.loops.emit_parking import stores_along
from lampas.engine.loops.nest import (
    BINARY,
    COMPARISONS,
    ELEMENTWISE,
    MEMORY,
    PREDICATES,
    REDUCTIONS,
    REVERSED,
    UNARY,
    Instruction,
    Nest,
)

ARITY = {
    "load": 0,
    "constant": 0,
    "index": 0,
    "cast": 1,
    "bitcast": 1,
    "where": 3,
    "reduce": 1,
    "store": 1,
}
FLOATING_ONLY = UNARY - {
    "negative", "absolute", "sign", "floor", "ceil", "trunc", "round", "bitwise_not",
}  # fmt: skip
INTEGERS_ONLY = {
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "shift_left",
    "shift_right",
    "bitwise_not",
}


class NestError(ValueError):
    """A nest breaks a rule of the loop language."""


def verify(nest: Nest) -> None:
    """Raise NestError naming the first rule that the nest breaks."""
    if nest.kept < 0 or nest.reduced < 0 or nest.rank == 0:
        raise NestError("a nest needs at least one dimension")
    if nest.blocked and not (nest.kept and nest.reduced):
        raise NestError(
            "a blocked nest needs a kept dimension to number the blocks of a reduced one"
        )
    if nest.streamed and not (nest.blocked and nest.reduced == 1 and nest.mode == "column"):
        raise NestError(
            "a streamed nest is blocked, and its lanes run across one reduced dimension"
        )
    if nest.streamed and (max(nest.depths) > 1 or stores_along(nest)):
        raise NestError("a streamed nest walks its rows once and stores nothing along them")
    for position, operand in enumerate(nest.operands):
        if len(operand.classes) != nest.rank:
            raise NestError(
                f"operand {position} has {len(operand.classes)} stride classes for {nest.rank} dimensions"
            )
        if any(not 0 <= stride <= REVERSED for stride in operand.classes):
            raise NestError(f"operand {position} has an unknown stride class")
    for position, instruction in enumerate(nest.instructions):
        problem = instruction_problem(nest, position, instruction)
        if problem:
            raise NestError(f"%{position} ({instruction.op}): {problem}")
    if not any(instruction.op == "store" for instruction in nest.instructions):
        raise NestError("a nest without a store does nothing")


def instruction_problem(nest: Nest, position: int, instruction: Instruction) -> str | None:
    """Say what is wrong with one instruction, if anything."""
    for argument in instruction.arguments:
        if not 0 <= argument < position:
            return f"%{argument} does not stand before it"
        if nest.instructions[argument].op == "store":
            return f"%{argument} is a store and yields nothing"
    known = instruction.op in ELEMENTWISE or instruction.op in ARITY or instruction.op in MEMORY
    if not known:
        return "no such operation"
    wanted = ARITY.get(instruction.op, 2 if instruction.op in BINARY | COMPARISONS else 1)
    if instruction.op == "gather":
        wanted = min(max(len(instruction.arguments), 1), 2)
    if len(instruction.arguments) != wanted:
        return f"takes {wanted} arguments"
    if instruction.dtype.is_complex:
        return None
    return memory_problem(nest, instruction) or dtype_problem(nest, instruction)


def memory_problem(nest: Nest, instruction: Instruction) -> str | None:
    """Check operand numbers, roles, scopes and dimensions."""
    if instruction.op == "index":
        valid = isinstance(instruction.attribute, int) and 0 <= instruction.attribute < nest.rank
        return None if valid else "no such dimension"
    if instruction.op == "reduce":
        if instruction.attribute not in REDUCTIONS:
            return "no such reduction"
        return None if nest.reduced else "the nest has no reduced dimension"
    if instruction.op not in MEMORY:
        return None
    number = instruction.attribute
    if not isinstance(number, int) or not 0 <= number < len(nest.operands):
        return "no such operand"
    operand = nest.operands[number]
    if operand.dtype is not instruction.dtype:
        return f"the operand holds {operand.dtype.name}"
    if instruction.op != "store":
        return None if operand.role == "input" else "reads an output"
    if operand.role != "output":
        return "writes an input"
    element = nest.element_scoped[instruction.arguments[0]]
    if element and not any(operand.classes[nest.kept :]):
        return "an element value cannot be stored once a row"
    return None


def dtype_problem(nest: Nest, instruction: Instruction) -> str | None:
    """Check that the dtypes of arguments and result fit the operation."""
    kinds = [nest.instructions[argument].dtype for argument in instruction.arguments]
    op = instruction.op
    if op == "gather":
        fits = kinds[0] is int64 and all(kind is bool_ for kind in kinds[1:])
        return None if fits else "needs an int64 offset and a bool"
    if op in ("cast", "bitcast", "load", "constant", "index"):
        sizes = op != "bitcast" or kinds[0].itemsize == instruction.dtype.itemsize
        return None if sizes else "the item sizes differ"
    if op == "where":
        fits = kinds[0] is bool_ and kinds[1] is kinds[2] is instruction.dtype
        return None if fits else "needs a bool and two values of its dtype"
    if any(kind is not kinds[0] for kind in kinds):
        return "the arguments' dtypes differ"
    if op in COMPARISONS | PREDICATES:
        return None if instruction.dtype is bool_ else "yields bool"
    if op == "reduce" and str(instruction.attribute).startswith("arg"):
        return None if instruction.dtype is int64 else "yields int64"
    if instruction.dtype is not kinds[0]:
        return f"yields {kinds[0].name}"
    if (
        op in FLOATING_ONLY | {"divide", "atan2", "copysign", "nextafter"}
        and not kinds[0].is_floating_point
    ):
        return "needs a floating point dtype"
    if op in INTEGERS_ONLY and kinds[0].is_floating_point:
        return "needs an integer or bool dtype"
    return None
