"""The memory plan: gaps are used again, and nothing alive overlaps."""

from __future__ import annotations

import random

import pytest

from lampas.engine.errors import VerificationError
from lampas.engine.graph import build as g
from lampas.engine.schedule.plan_memory import Life, MemoryPlan, plan_memory, verify_plan
from tests.unit.schedules import check, leaf


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


def test_a_rows_result_does_not_replace_what_the_rows_second_walk_reads() -> None:
    """The scale of each row is read again after the row's own result has been stored."""
    x, y, scale = leaf(6, 40), leaf(6, 40, seed=1), leaf(6, 1, seed=2)
    divisor = g.add(g.multiply(scale, scale), g.like(scale, 1))
    quotient = g.divide(g.sum_dims(x, (1,)), divisor)
    shifted = g.multiply(g.add(y, g.multiply(g.multiply(quotient, divisor), x)), y)
    row = g.negative(g.reshape(quotient, (6,)))
    check(shifted, g.sum_dims(row, (0,)))
