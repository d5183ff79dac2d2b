"""What a pass needs, and what it may store on its way.

A costly value of an earlier pass may wait in an output's memory: the exponentials of a softmax do, the pass that sums
them writes them to the output, the last pass divides them.  Where all that is stored along the rows can be had in the
last pass that reduces, it is stored there, and the rows are not walked once more.
"""

from __future__ import annotations

from collections.abc import Sequence

from lampas.engine.loops.emit_elements import HEAVY
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, MEMORY, Nest


def closure(nest: Nest, roots: Sequence[int], leaf: int = -1) -> list[int]:
    """Return all values that the roots need, in order, not following reductions (but for roots) nor `leaf`."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            instruction = nest.instructions[number]
            if number != leaf and (instruction.op != "reduce" or number in roots):
                waiting.extend(instruction.arguments)
    return sorted(found)


def stores_along(nest: Nest) -> list[int]:
    """The stores whose operand is walked along the rows."""
    return [
        number
        for number, i in enumerate(nest.instructions)
        if i.op == "store" and any(nest.operands[int(i.attribute or 0)].classes[nest.kept :])
    ]


def parking_of(nest: Nest, depends: Sequence[frozenset[int]]) -> tuple[int, int] | None:
    """Return (value, output operand) if a costly value can wait in the output's memory.

    It must be the only output along the row, and no later pass may read another element operand: its memory might
    be the output's.
    """
    stores = [nest.instructions[number] for number in stores_along(nest)]
    if nest.mode != "row" or nest.blocked or len(stores) != 1:
        return None
    target = int(stores[0].attribute or 0)
    operand = nest.operands[target]
    walked = {d for d, stride in enumerate(operand.classes) if stride != BROADCAST}
    if operand.classes[-1] != CONTIGUOUS or operand.dtype.itemsize < 4:
        return None
    for number, instruction in enumerate(nest.instructions):
        costly = instruction.op in HEAVY and instruction.dtype is operand.dtype
        fits = costly and nest.rank - 1 in depends[number] <= walked
        if fits and parks_safely(nest, number, stores[0].arguments[0]):
            return number, target
    return None


def parks_safely(nest: Nest, number: int, stored: int) -> bool:
    """Whether a pass makes the value, and all later passes need nothing else of the row's elements."""
    depth = nest.depths[number] + 1
    reductions = [n for n, i in enumerate(nest.instructions) if i.op == "reduce"]
    making = [r for r in reductions if nest.depths[r] == depth]
    if not any(number in closure(nest, nest.instructions[r].arguments) for r in making):
        return False
    later = [nest.instructions[r].arguments[0] for r in reductions if nest.depths[r] > depth]
    needed = closure(nest, [*later, stored], number)
    reads = [n for n in needed if nest.instructions[n].op in MEMORY and nest.element_scoped[n]]
    return number in needed and not reads and nest.depths[stored] >= depth


def early_stores(nest: Nest) -> list[int]:
    """The stores along the rows, if none of them waits for the last reductions."""
    last, found = max(nest.depths, default=0), stores_along(nest)
    early = all(nest.depths[nest.instructions[n].arguments[0]] < last for n in found)
    return found if early else []
