"""One order of a nest's instructions and operands, whatever order the graph was written in.

The same computation comes to the scheduler in many orders: another batch size, another step of training or another
layer lists its outputs differently.  Kernels are told apart by their text, so the instructions are numbered anew:
from the stores down, arguments first, and operands as they are met.

Stores are taken in the order of what they compute and of what is computed of that, a number that is made of operations,
dtypes and operands' classes alone.  Where two of them compute alike, the one goes first that uses what was numbered earlier; where that is the
same too, their exchange changes nothing, or (rarely) an order is kept that another graph would not have.  The numbers
only ever decide an order: two that happen to be equal cost a kernel, never an answer.
"""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING, Any

from lampas.engine.loops.nest import MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.dtype import dtype

Listed = tuple[str, tuple[int, ...], "dtype", Any]
"""Operation, arguments, dtype, attribute: an operand's number for loads, gathers and stores."""


def canonical_order(
    instructions: Sequence[Listed], operands: Sequence[tuple[Any, ...]]
) -> tuple[list[int], list[int]]:
    """The instructions that stores need, stores last, and the operands, each in canonical order.

    `operands` describes each one by all that a kernel may know of it; those that are never used go last.
    """
    meanings = meanings_of(instructions, [hash(described(each)) for each in operands])
    tell_users(instructions, meanings)
    waiting = sorted(
        (number for number, each in enumerate(instructions) if each[0] == "store"),
        key=lambda number: meanings[number],
    )
    order: dict[int, int] = {}
    stores: list[int] = []
    while waiting:
        store = first_of_equals(waiting, meanings, instructions, order)
        waiting.remove(store)
        visit(instructions[store][1][0], instructions, order)
        stores.append(store)
    listed = [*order, *stores]
    met = [instructions[number][3] for number in listed if instructions[number][0] in MEMORY]
    return listed, list(dict.fromkeys([*met, *range(len(operands))]))


def first_of_equals(
    waiting: list[int], meanings: list[int], instructions: Sequence[Listed], order: dict[int, int]
) -> int:
    """Of the stores that compute the same as the first one, that which uses what is numbered lowest."""
    alike = 1
    while alike < len(waiting) and meanings[waiting[alike]] == meanings[waiting[0]]:
        alike += 1
    if alike == 1 or not order:
        return waiting[0]

    def known(store: int) -> list[int]:
        reached: dict[int, int] = {}
        visit(instructions[store][1][0], instructions, reached)
        return [order.get(number, len(instructions)) for number in reached]

    return min(waiting[:alike], key=known)


def visit(root: int, instructions: Sequence[Listed], order: dict[int, int]) -> None:
    """Number everything that `root` needs and that has no number yet, arguments first."""
    stack = [root]
    while stack:
        number = stack[-1]
        if number in order:
            stack.pop()
            continue
        needed = [a for a in instructions[number][1] if a not in order]
        if needed:
            stack.extend(reversed(needed))
        else:
            order[number] = len(order)
            stack.pop()


def meanings_of(instructions: Sequence[Listed], operands: list[int]) -> list[int]:
    """For each instruction a number that says what it computes, not where it stands.

    Python hashes tuples of integers alike in every process; strings it does not.
    """
    found: list[int] = []
    for op, arguments, kind, attribute in instructions:
        own = operands[attribute] if op in MEMORY else word(repr(attribute))
        found.append(hash((word(op), word(kind.name), own, *[found[a] for a in arguments])))
    return found


def tell_users(instructions: Sequence[Listed], meanings: list[int]) -> None:
    """Add to each store's number who else uses what it stores: a sum that is stored twice is another than one stored once."""
    users = [0] * len(instructions)
    for number in range(len(instructions) - 1, -1, -1):
        for place, argument in enumerate(instructions[number][1]):
            users[argument] += hash((meanings[number], users[number], place))
    for number, (op, arguments, _, _) in enumerate(instructions):
        if op == "store":
            meanings[number] = hash((meanings[number], hash(users[arguments[0]])))


def described(operand: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple([word(repr(part)) for part in operand])


@functools.cache
def word(text: str) -> int:
    """A number for a word, the same in every process."""
    return zlib.crc32(text.encode())
