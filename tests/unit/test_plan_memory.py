"""The memory plan: gaps are used again, and nothing alive overlaps."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lampas
import lampas.autograd
from lampas import nn
from lampas.engine.dtype import float32
from lampas.engine.errors import VerificationError
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.nest import Nest
from lampas.engine.schedule.lower import is_stored_last
from lampas.engine.schedule.plan_memory import Life, MemoryPlan, plan_memory, verify_plan
from lampas.engine.settings import settings


def life(name: int, nbytes: int, first: int, last: int) -> Life:
    return Life(("entry", name), nbytes, first, last)


def test_a_gap_is_used_again() -> None:
    lives = [life(1, 256, 0, 1), life(2, 256, 1, 2), life(3, 128, 2, 3)]
    plan = plan_memory(lives, {})
    assert plan.offsets == {("entry", 1): 0, ("entry", 2): 256, ("entry", 3): 0}
    assert plan.nbytes == 512


def test_the_smallest_gap_that_fits_is_taken() -> None:
    lives = [life(1, 640, 0, 0), life(2, 64, 0, 9), life(3, 128, 0, 0), life(4, 64, 0, 9)]
    plan = plan_memory([*lives, life(5, 128, 1, 2)], {})
    assert plan.offsets["entry", 5] == plan.offsets["entry", 3]


def test_a_place_is_taken_over() -> None:
    lives = [life(1, 256, 0, 1), life(2, 256, 1, 2)]
    over = {("entry", 2): ("entry", 1)}
    plan = plan_memory(lives, over)
    assert plan.offsets["entry", 2] == plan.offsets["entry", 1]
    assert plan.nbytes == 256
    verify_plan(lives, over, plan)


def test_random_lives_never_overlap() -> None:
    numbers = random.Random(0)
    for _ in range(50):
        lives = []
        for name in range(30):
            first = numbers.randrange(20)
            lives.append(
                life(name, numbers.randrange(1, 2000), first, first + numbers.randrange(5))
            )
        plan = plan_memory(lives, {})
        verify_plan(lives, {}, plan)
        alive = [
            sum(each.nbytes for each in lives if each.first <= t <= each.last) for t in range(25)
        ]
        assert max(alive) <= plan.nbytes <= 2 * max(alive) + 64 * 30


def test_the_verifier_finds_an_overlap() -> None:
    lives = [life(1, 256, 0, 1), life(2, 256, 1, 2)]
    plan = MemoryPlan({("entry", 1): 0, ("entry", 2): 128}, 512)
    with pytest.raises(VerificationError, match="overlaps"):
        verify_plan(lives, {}, plan)


def second_derivatives(tier: str) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    with settings.override(tier=tier):
        rows = [lampas.tensor(generator.standard_normal((3, 4))).requires_grad_() for _ in range(3)]
        loss = nn.functional.triplet_margin_loss(*rows, swap=True)
        first = lampas.autograd.grad((loss * loss).sum(), rows, create_graph=True)
        total = sum((each * each).sum() for each in first)
        return [each.numpy().copy() for each in lampas.autograd.grad(total, rows)]


def test_a_rows_result_does_not_replace_what_a_second_walk_over_the_row_reads() -> None:
    """Found in the second derivative of a triplet loss: a row's scale was overwritten too early."""
    for compiled, reference in zip(
        second_derivatives("compiled"), second_derivatives("reference"), strict=True
    ):
        np.testing.assert_allclose(compiled, reference, 1e-9, 1e-9)


def stored_last(nest: Nest, strides: list[tuple[int, ...]]) -> list[bool]:
    call: Any = SimpleNamespace(nest=nest, strides=strides)
    outputs = [n for n, operand in enumerate(nest.operands) if operand.role == "output"]
    return [is_stored_last(call, number) for number in outputs]


def test_what_is_stored_between_two_walks_replaces_nothing() -> None:
    builder = NestBuilder(1, 1)
    x = builder.load(builder.operand(float32, "input", (2, 1)))
    total = builder.reduce("sum", x)
    row = builder.operand(float32, "output", (1, 0))
    builder.store(row, total)
    alone = builder.build()
    assert stored_last(alone, [(4, 1), (1, 0)]) == [True]
    builder = NestBuilder(1, 1)
    x = builder.load(builder.operand(float32, "input", (2, 1)))
    total = builder.reduce("sum", x)
    builder.store(builder.operand(float32, "output", (1, 0)), total)
    builder.store(builder.operand(float32, "output", (2, 1)), builder.apply("multiply", x, total))
    assert stored_last(builder.build(), [(4, 1), (1, 0), (4, 1)]) == [False, True]
