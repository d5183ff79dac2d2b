"""Drafts: a region written down as nest instructions over its own dimensions.

`draft_region` evaluates the members in order.  Loads are strided readings of stored entries, inlined
entries are evaluated where they are used, constants and positions (iota) become instructions.  The
result is still in the region's dimensions; `Draft.finish` brings them into normal form and gives the
nest, which depends on structure alone, and the call's sizes and strides.

Half types are rounded after every operation, as PyTorch does, so that fusing changes no bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

from lampas.engine.dtype import bool_, float32, int64
from lampas.engine.errors import InternalError
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.dimensions import collapse
from lampas.engine.loops.nest import MEMORY
from lampas.engine.schedule.canonical import canonical_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.dtype import dtype
    from lampas.engine.loops.nest import Nest

Shape = tuple[int, ...]
Place = tuple[Literal["entry", "cell", "scratch", "flag", "kept"], int]
EXACT = frozenset(
    {
        *("negative", "absolute", "where", "maximum", "minimum", "copysign", "sign", "floor"),
        *("ceil", "trunc", "round", "bitcast", "cast", "load", "gather", "constant", "reduce"),
    }
)


@final
class DraftOperand(NamedTuple):
    """An array: where it lies, its dtype and how each dimension steps through it, in elements."""

    place: Place
    dtype: dtype
    role: Literal["input", "output"]
    strides: Shape
    offset: int


@final
class NestCall(NamedTuple):
    """One call of the kernel of a nest; `places` says where each operand lies (byte offset last)."""

    nest: Nest
    sizes: Shape
    strides: tuple[Shape, ...]
    places: tuple[tuple[Place, int], ...]
    block: int = 0
    entries: tuple[int, ...] = ()


@final
class Draft:
    """Instructions over the dimensions of one space."""

    def __init__(self, space: Shape, reduced: Sequence[int] = ()) -> None:
        self.space = space
        self.reduced = tuple(reduced)
        self.operands: list[DraftOperand] = []
        self.instructions: list[tuple[str, tuple[int, ...], dtype, Any]] = []
        self.numbers: dict[Any, int] = {}
        self.fixed: set[int] = set()
        self.ordered = False

    def operand(self, operand: DraftOperand) -> int:
        """The number of an operand, an earlier one if it is the same."""
        number = self.numbers.get(operand)
        if number is None:
            number = self.numbers[operand] = len(self.operands)
            self.operands.append(operand)
        return number

    def append(
        self, op: str, arguments: tuple[int, ...], kind: dtype, attribute: Any = None
    ) -> int:
        """The number of an instruction, an earlier one if it is the same."""
        key = (op, arguments, kind, repr(attribute))
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.instructions)
            self.instructions.append((op, arguments, kind, attribute))
        return number

    def apply(self, op: str, arguments: tuple[int, ...], kind: dtype) -> int:
        """An operation on earlier values; half results are rounded."""
        number = self.append(op, arguments, kind)
        half = kind.is_floating_point and kind.itemsize == 2
        if not half or op in EXACT:
            return number
        return self.append("cast", (self.append("cast", (number,), float32),), kind)

    def load(self, operand: DraftOperand) -> int:
        return self.append("load", (), operand.dtype, self.operand(operand))

    def constant(self, value: Any, kind: dtype) -> int:
        return self.append("constant", (), kind, value)

    def index(self, dim: int) -> int:
        """The position along a dimension."""
        self.fixed.add(dim)
        return self.append("index", (), int64, dim)

    def integer(self, op: str, a: int, b: int) -> int:
        return self.append(op, (a, b), int64)

    def truth(self, op: str, a: int, b: int) -> int:
        return self.append(op, (a, b), bool_)

    def reduce(self, op: str, value: int, kind: dtype) -> int:
        if op.startswith("arg"):
            self.ordered = True
        return self.append("reduce", (value,), kind, op)

    def store(self, operand: DraftOperand, value: int) -> None:
        self.append("store", (value,), operand.dtype, self.operand(operand))

    # ---- normal form ----------------------------------------------------------------------------------------

    def finish(self, entries: tuple[int, ...] = ()) -> NestCall:
        """The nest and how to call it."""
        kept = [d for d in range(len(self.space)) if d not in self.reduced]
        order = [*kept, *self.reduced]
        ranked = sorted(range(len(self.operands)), key=lambda n: self.operands[n].role == "input")
        operands = [self.operands[number] for number in ranked]
        sizes = [self.space[d] for d in order]
        walked = [[operand.strides[d] for d in order] for operand in operands]
        fixed = [order.index(d) for d in self.fixed]
        form = collapse(len(kept), sizes, walked, fixed, self.ordered)
        place = {order[group[0]]: n for n, group in enumerate(form.groups) if group}
        at, classes = {number: n for n, number in enumerate(ranked)}, form.classes
        described = [
            (operand.dtype.name, operand.role, classes[at[number]])
            for number, operand in enumerate(self.operands)
        ]
        listed, met = self.canonical(described, place)
        met.sort(key=lambda n: self.operands[n].role == "input")
        builder = NestBuilder(form.kept, form.reduced, narrow=form.narrow)
        for number in met:
            operand = self.operands[number]
            builder.operand(operand.dtype, operand.role, classes[at[number]])
        self.write(builder, listed, {number: n for n, number in enumerate(met)}, place)
        places = tuple(
            [(o.place, o.offset * o.dtype.itemsize) for o in map(self.operands.__getitem__, met)]
        )
        strides = tuple([form.strides[at[number]] for number in met])
        return NestCall(builder.build(), form.sizes, strides, places, 0, entries)

    def canonical(
        self, described: Sequence[tuple[Any, ...]], place: dict[int, int]
    ) -> tuple[list[int], list[int]]:
        """Instructions and operands in canonical order; `described` says what a kernel knows of each operand."""
        renumbered = [
            (op, arguments, kind, place[attribute] if op == "index" else attribute)
            for op, arguments, kind, attribute in self.instructions
        ]
        return canonical_order(renumbered, described)

    def write(
        self,
        builder: NestBuilder,
        listed: Sequence[int],
        operands: dict[int, int],
        place: dict[int, int],
    ) -> None:
        """Copy the listed instructions, with operands and dimensions renumbered."""
        numbers: dict[int, int] = {}
        for number in listed:
            op, arguments, kind, attribute = self.instructions[number]
            if op in MEMORY:
                attribute = operands[attribute]
            elif op == "index":
                attribute = place[attribute]
            moved = tuple([numbers[argument] for argument in arguments])
            numbers[number] = builder.append(op, moved, kind, attribute)


def widened(kind: dtype) -> dtype:
    """The dtype in which sums of half types are kept between kernels."""
    if kind.is_complex:
        raise InternalError("draft", "loops know no complex numbers")
    return float32 if kind.is_floating_point and kind.itemsize == 2 else kind
