"""The order of a nest's instructions and operands does not tell in which order they were written."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import pytest

from lampas.engine.dtype import float32
from lampas.engine.schedule.canonical import canonical_order, word
from lampas.engine.schedule.draft import Draft, DraftOperand

IN, OUT = ("float32", "input", (2, 1)), ("float32", "output", (2, 1))


def operand(number: int, role: Any) -> DraftOperand:
    return DraftOperand(("entry", number), float32, role, (8, 1), 0)


def sums_and_products(order: tuple[int, ...]) -> Draft:
    """Sums of three inputs and their multiples, stored in an order."""
    draft = Draft((4, 8), (1,))
    rate = draft.load(DraftOperand(("cell", 0), float32, "input", (0, 0), 0))
    for part in order:
        total = draft.reduce("sum", draft.load(operand(part, "input")), float32)
        made = draft.append("multiply", (rate, total), float32)
        for place, value in ((10 + part, total), (20 + part, made)):
            draft.store(DraftOperand(("entry", place), float32, "output", (1, 0), 0), value)
    return draft


def test_all_orders_of_equal_parts_are_one_nest() -> None:
    nests = {sums_and_products(order).finish().nest for order in itertools.permutations(range(3))}
    assert len(nests) == 1


def test_a_value_that_is_stored_twice_is_told_from_others() -> None:
    """Which of three sums it is makes no other nest."""
    nests = set()
    for twice in range(3):
        draft = sums_and_products((0, 1, 2))
        stored = DraftOperand(("entry", 30), float32, "output", (1, 0), 0)
        draft.store(stored, draft.reduce("sum", draft.load(operand(twice, "input")), float32))
        nests.add(draft.finish().nest)
    assert len(nests) == 1


def test_each_operand_keeps_its_place() -> None:
    call = sums_and_products((2, 0, 1)).finish()
    by_operand = {n: place for n, ((_, place), _) in enumerate(call.places)}
    nest = call.nest
    for store in (i for i in nest.instructions if i.op == "store"):
        made = nest.instructions[store.arguments[0]]
        total = made if made.op == "reduce" else nest.instructions[made.arguments[1]]
        source = by_operand[int(nest.instructions[total.arguments[0]].attribute or 0)]
        wanted = (10 if made.op == "reduce" else 20) + source
        assert by_operand[int(store.attribute or 0)] == wanted


@pytest.mark.parametrize("swapped", [False, True])
def test_arguments_keep_their_order(swapped: bool) -> None:
    a, b = (1, 0) if swapped else (0, 1)
    listed = [
        ("load", (), float32, a),
        ("load", (), float32, b),
        ("subtract", (1, 0) if swapped else (0, 1), float32, None),
        ("store", (2,), float32, 2),
    ]
    order, operands = canonical_order(listed, [IN, IN, OUT])
    loads = [listed[n][3] for n in order if listed[n][0] == "load"]
    assert loads == [0, 1]
    assert operands == [0, 1, 2]


def test_what_no_store_needs_goes() -> None:
    listed = [
        ("load", (), float32, 0),
        ("exp", (0,), float32, None),
        ("store", (0,), float32, 1),
    ]
    order, operands = canonical_order(listed, [IN, OUT])
    assert order == [0, 2]
    assert operands == [0, 1]


@pytest.mark.slow
def test_the_order_is_the_same_in_every_process() -> None:
    """Kernels are kept on disk by their structure; Python's own hashes of strings differ from run to run."""
    program = "from lampas.engine.schedule.canonical import word; print(hash((word('add'), word('load'))))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(run.stdout) == hash((word("add"), word("load")))
