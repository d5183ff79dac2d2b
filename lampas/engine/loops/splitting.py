"""Cutting a reduction to few results into two kernels, so that all threads have work.

The partial kernel reduces blocks of the first reduced dimension into a row-major array (blocks, kept dimensions…);
the final kernel reduces the blocks and does what follows. Block lengths depend on sizes only: results do not
depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from lampas.engine.dtype import dtype, float32
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, MEMORY, STRIDED, Instruction, Nest

MOST_BLOCKS = 64
BLOCK_ELEMENTS = 16384
ENOUGH_UNITS = 64

Strides = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Sizes and strides of one of the two kernels."""

    sizes: tuple[int, ...]
    strides: tuple[Strides, ...]
    block: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """Two nests that together do the work of one.

    Operands of `partial`: the original ones numbered in `partial_operands`, then the partial results, of
    `partial_dtypes`. Operands of `final`: the partial results, then the original ones in `final_operands`.
    """

    nest: Nest
    partial: Nest
    final: Nest
    partial_operands: tuple[int, ...]
    final_operands: tuple[int, ...]
    partial_dtypes: tuple[dtype, ...]

    def block(self, sizes: Sequence[int]) -> int:
        """Return a good block length for these sizes, or 0 if splitting does not pay."""
        kept, first = prod(sizes[: self.nest.kept]), sizes[self.nest.kept]
        inner = prod(sizes[self.nest.kept + 1 :]) * (kept if self.nest.mode == "column" else 1)
        units = kept if self.nest.mode == "row" else kept / 64
        if units >= ENOUGH_UNITS or first * inner < 4 * BLOCK_ELEMENTS:
            return 0
        length = max(-(-first // MOST_BLOCKS), -(-BLOCK_ELEMENTS // max(inner, 1)))
        return length if length < first else 0

    def calls(
        self, sizes: Sequence[int], strides: Sequence[Strides], block: int
    ) -> tuple[Call, Call]:
        """Return how to call the two kernels; partial results have blocks·prod(kept sizes) elements each."""
        kept = self.nest.kept
        blocks = -(-sizes[kept] // block)
        walked = [(strides[n][kept] * block, *strides[n]) for n in self.partial_operands]
        inner = row_major(sizes[:kept])
        each = prod(sizes[:kept])
        zeros = (0,) * self.nest.reduced
        walked.extend((each, *inner, *zeros) for _ in self.partial_dtypes)
        joined: list[Strides] = [(*inner, each) for _ in self.partial_dtypes]
        joined.extend((*strides[n][:kept], 0) for n in self.final_operands)
        return (
            Call((blocks, *sizes), tuple(walked), block),
            Call((*sizes[:kept], blocks), tuple(joined)),
        )


def row_major(sizes: Sequence[int]) -> Strides:
    """Return the strides of a row-major array."""
    return tuple(prod(sizes[place + 1 :]) for place in range(len(sizes)))


def split_reduction(nest: Nest) -> Split | None:
    """Return the two halves of a nest, or None if it cannot be cut.

    It can if all its reductions are sums, products or extremes of one depth and nothing is stored along the
    reduced dimensions.
    """
    reductions = [n for n, i in enumerate(nest.instructions) if i.op == "reduce"]
    positional = any(str(nest.instructions[n].attribute).startswith("arg") for n in reductions)
    if nest.blocked or not reductions or positional or max(nest.depths) > 1:
        return None
    stores = [i for i in nest.instructions if i.op == "store"]
    if any(any(nest.operands[operand_of(s)].classes[nest.kept :]) for s in stores):
        return None
    partial, before, kinds = partial_nest(nest, reductions)
    final, after = final_nest(nest, reductions, kinds)
    return Split(nest, partial, final, before, after, kinds)


def operand_of(instruction: Instruction) -> int:
    return int(instruction.attribute or 0)


def closure(nest: Nest, roots: Sequence[int], stop: frozenset[int]) -> list[int]:
    """Return everything the roots need, in order, not looking behind `stop`."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            if number not in stop:
                waiting.extend(nest.instructions[number].arguments)
    return sorted(found)


def partial_nest(
    nest: Nest, reductions: Sequence[int]
) -> tuple[Nest, tuple[int, ...], tuple[dtype, ...]]:
    """Return the kernel over blocks, its original operands, and the dtypes of its results."""
    arguments = [nest.instructions[n].arguments[0] for n in reductions]
    needed = closure(nest, arguments, frozenset())
    used = operands_used(nest, needed)
    builder = NestBuilder(nest.kept + 1, nest.reduced, blocked=True)
    places: dict[int, int] = {}
    for number in used:
        operand = nest.operands[number]
        along = STRIDED if operand.classes[nest.kept] else BROADCAST
        places[number] = builder.operand(operand.dtype, operand.role, (along, *operand.classes))
    values: dict[int, int] = {}
    for number in needed:
        values[number] = copied(builder, nest.instructions[number], values, places, shift=1)
    kept = (STRIDED,) * nest.kept + (CONTIGUOUS,)
    classes = kept if nest.kept == 0 else (STRIDED, *((STRIDED,) * (nest.kept - 1)), CONTIGUOUS)
    kinds: list[dtype] = []
    for number, argument in zip(reductions, arguments, strict=True):
        value = values[argument]
        kind = builder.instructions[value].dtype
        if kind.is_floating_point and kind.itemsize == 2:
            kind = float32
            value = builder.cast(value, float32)
        result = builder.reduce(str(nest.instructions[number].attribute), value)
        builder.store(
            builder.operand(kind, "output", (*classes, *(BROADCAST,) * nest.reduced)), result
        )
        kinds.append(kind)
    return builder.build(), tuple(used), tuple(kinds)


def final_nest(
    nest: Nest, reductions: Sequence[int], kinds: Sequence[dtype]
) -> tuple[Nest, tuple[int, ...]]:
    """Return the kernel that joins the blocks and does what follows, and its original operands."""
    stores = [n for n, i in enumerate(nest.instructions) if i.op == "store"]
    needed = closure(nest, stores, frozenset(reductions))
    used = operands_used(nest, [n for n in needed if n not in reductions])
    builder = NestBuilder(nest.kept, 1)
    values: dict[int, int] = {}
    if nest.kept:
        classes = (*((STRIDED,) * (nest.kept - 1)), CONTIGUOUS, STRIDED)
    else:
        classes = (CONTIGUOUS,)
    for number, kind in zip(reductions, kinds, strict=True):
        loaded = builder.load(builder.operand(kind, "input", classes))
        joined = builder.append("reduce", (loaded,), kind, nest.instructions[number].attribute)
        values[number] = builder.cast(joined, nest.instructions[number].dtype)
    places: dict[int, int] = {}
    for number in used:
        operand = nest.operands[number]
        own = (*operand.classes[: nest.kept], BROADCAST)
        places[number] = builder.operand(operand.dtype, operand.role, own)
    for number in needed:
        if number not in values:
            values[number] = copied(builder, nest.instructions[number], values, places, shift=0)
    return builder.build(), tuple(used)


def operands_used(nest: Nest, numbers: Sequence[int]) -> list[int]:
    found = {operand_of(nest.instructions[n]) for n in numbers if nest.instructions[n].op in MEMORY}
    return sorted(found)


def copied(
    builder: NestBuilder,
    instruction: Instruction,
    values: dict[int, int],
    places: dict[int, int],
    shift: int,
) -> int:
    """Append an instruction with its values and operands renumbered; dimensions move up by `shift`."""
    arguments = [values[argument] for argument in instruction.arguments]
    attribute = instruction.attribute
    if instruction.op in MEMORY:
        attribute = places[operand_of(instruction)]
    elif instruction.op == "index":
        attribute = operand_of(instruction) + shift
    return builder.append(instruction.op, arguments, instruction.dtype, attribute)
