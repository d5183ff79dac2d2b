"""The memory plan: gaps are used again, and nothing alive overlaps."""

from __future__ import annotations

import random

import numpy as np
import pytest

import lampas
import lampas.autograd
from lampas import nn
from lampas.engine.errors import VerificationError
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
