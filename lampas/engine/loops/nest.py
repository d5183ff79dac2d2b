"""The loop nest: the structure of one fused elementwise and reduction kernel.

A nest has `kept` dimensions, then `reduced` dimensions, numbered in this order. It says what is computed at
each point, never how many points there are: sizes and strides are integers given at run time. Two nests that
are equal are the same kernel, with the same text.

Every instruction yields one value, named by its position. A value has a *scope*: `element` if it differs along
a reduced dimension, else `row`. `reduce` turns an element value into a row value over all reduced dimensions;
later element instructions may use row values again, so that a softmax or a layer norm is one nest, whose rows
stay in cache between the passes. A nest without reduced dimensions has row values only.

What each instruction means (`attribute` in parentheses):

    load (operand)      the operand's element at this point
    gather (operand)    arguments (offset int64[, valid bool]): the element `offset` elements after this point's
                        place, or 0 where `valid` is false, in which case memory is not touched
    constant (number)   a number of the instruction's dtype
    index (dimension)   the position along one dimension, int64
    cast                one argument, to the instruction's dtype; rounds half types
    bitcast             one argument, its bits under another dtype of the same size
    where               arguments (condition bool, a, b)
    reduce (kind)       sum prod max min argmax argmin; the arg kinds yield the int64 position among the reduced
                        dimensions in row-major order, the first one of equals; NaN wins in max, min, arg kinds
    store (operand)     writes one argument; yields nothing that may be used
    others              the elementwise primitives by their names

Half types are computed in float32 and rounded when stored, cast or reduced, not between other operations.
All stores happen in the last pass over a row, so an output may share an input's memory if both are walked by
the same strides and the input is not broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

from lampas.engine.dtype import dtype

BROADCAST: Final = 0
CONTIGUOUS: Final = 1
STRIDED: Final = 2
REVERSED: Final = 3
STRIDE_WORDS: Final = ("0", "1", "s", "-1")
BESIDE: Final = (CONTIGUOUS, REVERSED)  # lanes lie side by side, in either order

Role = Literal["input", "output"]
Number = bool | int | float

# fmt: off
UNARY: Final = frozenset({
    "negative", "absolute", "sign", "floor", "ceil", "trunc", "round", "exp", "exp2", "expm1", "log", "log2",
    "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "normal_area", "normal_power", "lgamma", "digamma", "sigmoid", "bitwise_not",
})
PREDICATES: Final = frozenset({"isnan", "isinf", "logical_not"})
BINARY: Final = frozenset({
    "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "fmod", "power", "atan2", "maximum",
    "minimum", "copysign", "nextafter", "bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right",
})
COMPARISONS: Final = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
REDUCTIONS: Final = frozenset({"sum", "prod", "max", "min", "argmax", "argmin"})
MEMORY: Final = frozenset({"load", "gather", "store"})
ELEMENTWISE: Final = UNARY | PREDICATES | BINARY | COMPARISONS | {"where", "cast", "bitcast"}
# fmt: on


class Operand(NamedTuple):
    """One array: its dtype, its role, and a stride class for each dimension of the nest."""

    dtype: dtype
    role: Role
    classes: tuple[int, ...]


class Instruction(NamedTuple):
    """`op` applied to earlier values, yielding a value of `dtype`."""

    op: str
    arguments: tuple[int, ...]
    dtype: dtype
    attribute: Number | str | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What tells this instruction from others (1, 1.0 and True are told apart, and so are 0.0 and -0.0)."""
        return (self.op, self.arguments, self.dtype, repr(self.attribute))


@dataclass(frozen=True, eq=False)
class Nest:
    """The structure of one kernel; equal nests give equal kernels.

    With `blocked`, dimension 0 (a kept one) numbers blocks of the first reduced dimension: the kernel gets the
    block length as an integer, sizes name the whole length, and the last block may be short. The operands'
    strides along dimension 0 are then the block length times those along the first reduced dimension for
    inputs, and those of the partial results for outputs.

    With `streamed`, a blocked nest's rows are walked as memory lies, though lanes run across the reduction (emit_streams.py).

    With `narrow`, rows are shorter than a vector: lanes run across them, though each lies along memory.
    """

    kept: int
    reduced: int
    operands: tuple[Operand, ...]
    instructions: tuple[Instruction, ...]
    blocked: bool = False
    narrow: bool = False
    streamed: bool = False

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return self.kept + self.reduced

    @cached_property
    def key(self) -> tuple[object, ...]:
        """A hashable stand-in for the whole structure."""
        listed = tuple(instruction.key for instruction in self.instructions)
        flags = self.blocked, self.narrow, self.streamed
        return (self.kept, self.reduced, self.operands, listed, *flags)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nest) and self.key == other.key

    @cached_property
    def element_scoped(self) -> tuple[bool, ...]:
        """For each value, whether it differs along a reduced dimension."""
        found: list[bool] = []
        for instruction in self.instructions:
            found.append(self.is_element(instruction, found))
        return tuple(found)

    def is_element(self, instruction: Instruction, earlier: list[bool]) -> bool:
        if instruction.op == "reduce":
            return False
        if instruction.op == "index":
            return int(instruction.attribute or 0) >= self.kept
        own = False
        if instruction.op in MEMORY:
            own = any(self.operands[int(instruction.attribute or 0)].classes[self.kept :])
        return own or any(earlier[argument] for argument in instruction.arguments)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """For each value, how many passes over the row must be complete before it can be had."""
        found: list[int] = []
        for instruction in self.instructions:
            depth = max((found[argument] for argument in instruction.arguments), default=0)
            found.append(depth + (instruction.op == "reduce"))
        return tuple(found)

    @cached_property
    def lane_dimension(self) -> int:
        """The dimension that runs along vector lanes: the last reduced one (row mode) or the last kept one."""
        if self.reduced == 0:
            return self.kept - 1
        if self.kept == 0:
            return self.rank - 1
        if self.narrow or self.picks_rows:
            return self.kept - 1
        across = sum(
            o.classes[self.kept - 1] in BESIDE for o in self.operands if any(o.classes[self.kept :])
        )
        along = sum(o.classes[-1] in BESIDE for o in self.operands)
        return (
            self.kept - 1
            if across > along and not (self.blocked and self.kept == 1)
            else self.rank - 1
        )

    @property
    def picks_rows(self) -> bool:
        """Whether rows are picked from memory and reduced one with another: lanes run along those rows."""
        if self.blocked and self.kept == 1:
            return False
        picked = {
            int(instruction.attribute or 0)
            for instruction, varies in zip(self.instructions, self.element_scoped, strict=True)
            if instruction.op == "gather" and varies
        }
        return any(
            self.operands[number].classes[self.kept - 1] == CONTIGUOUS
            and not any(self.operands[number].classes[self.kept :])
            for number in picked
        )

    @property
    def mode(self) -> Literal["map", "row", "column"]:
        """map: nothing is reduced; row: lanes run along the reduction; column: lanes run across it."""
        if self.reduced == 0:
            return "map"
        return "row" if self.lane_dimension >= self.kept else "column"

    def __str__(self) -> str:
        return "\n".join(text_lines(self)) + "\n"


def text_lines(nest: Nest) -> list[str]:
    """Return the nest as readable text.

    nest kept 1 reduced 1 row
      in  a float32[s | 1]
      out b float32[s | 0]
      %0 = load a                      element float32
      %1 = reduce sum %0               row     float32
      store b %1
    """
    blocked = " blocked" if nest.blocked else ""
    blocked += " streamed" if nest.streamed else ""
    lines = [f"nest kept {nest.kept} reduced {nest.reduced} {nest.mode}{blocked}"]
    for position, operand in enumerate(nest.operands):
        words = [STRIDE_WORDS[stride] for stride in operand.classes]
        kept, reduced = " ".join(words[: nest.kept]), " ".join(words[nest.kept :])
        inside = f"{kept} | {reduced}" if nest.reduced else kept
        role = "in " if operand.role == "input" else "out"
        lines.append(f"  {role} {operand_name(position)} {operand.dtype.name}[{inside}]")
    for position, instruction in enumerate(nest.instructions):
        lines.append("  " + instruction_text(nest, position, instruction))
    return lines


def operand_name(position: int) -> str:
    """Name operands a … z, then a1 … z1 and so on."""
    turn, letter = divmod(position, 26)
    return "abcdefghijklmnopqrstuvwxyz"[letter] + (str(turn) if turn else "")


def instruction_text(nest: Nest, position: int, instruction: Instruction) -> str:
    """Return one line of a nest's text."""
    arguments = [f"%{argument}" for argument in instruction.arguments]
    words = [instruction.op]
    if instruction.op in MEMORY:
        words.append(operand_name(int(instruction.attribute or 0)))
    elif instruction.attribute is not None:
        words.append(str(instruction.attribute))
    words.extend(arguments)
    if instruction.op == "store":
        return " ".join(words)
    scope = "element" if nest.element_scoped[position] else "row    "
    return f"{f'%{position} = ' + ' '.join(words):<36} {scope} {instruction.dtype.name}"
