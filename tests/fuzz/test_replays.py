"""Random training loops: whatever is looked at, kept, overwritten or left out, replays give what plain nodes give."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import lampas as torch
from lampas.engine.graph.journal import Journal
from lampas.engine.realize.replay import Replay
from lampas.engine.settings import settings
from lampas.nn import functional as F
from lampas.optim.step_replays import StepReplays

STEPS = 12
SIZE = 4
Pool = list[Any]


def smooth(pool: Pool, pick: random.Random) -> None:
    pool.append(pick.choice([torch.tanh, torch.sin, torch.sigmoid, torch.relu])(pick.choice(pool)))


def combine(pool: Pool, pick: random.Random) -> None:
    a, b = pick.choice(pool), pick.choice(pool)
    pool.append(
        pick.choice([lambda: a + b, lambda: a * b, lambda: a @ b * 0.3, lambda: a - 0.5 * b])()
    )


def view(pool: Pool, pick: random.Random) -> None:
    x = pick.choice(pool)
    pool.append(
        pick.choice(
            [
                lambda: x.t(),
                lambda: x.flip(0),
                lambda: x.reshape(2, 8).reshape(SIZE, SIZE),
                lambda: x[[1, 0, 3, 2]],
            ]
        )()
    )


def normalize(pool: Pool, pick: random.Random) -> None:
    pool.append(F.layer_norm(pick.choice(pool), (SIZE,)))


def split(pool: Pool, pick: random.Random) -> None:
    first, second = pick.choice(pool).chunk(2, pick.randrange(2))
    pool.append(torch.cat((second, first * 2), first.shape.index(2)))


def write(pool: Pool, pick: random.Random) -> None:
    x = pick.choice(pool).clone()
    x[pick.randrange(SIZE)] = pick.random()
    x.mul_(0.5)
    pool.append(x)


def constant(pool: Pool, pick: random.Random) -> None:
    pool.append(pick.choice(pool) * torch.full((SIZE, SIZE), pick.random()) + torch.ones(SIZE))


def without_gradient(pool: Pool, pick: random.Random) -> None:
    with torch.no_grad():
        fixed = torch.tanh(pick.choice(pool))
    pool.append(pick.choice(pool) + fixed)


OPERATIONS: list[Callable[[Pool, random.Random], None]] = [
    smooth, smooth, combine, combine, combine, view, normalize, split, write, constant, without_gradient,
]  # fmt: skip


def disturb(pool: Pool, leaves: list[Any], kept: list[Any], pick: random.Random) -> None:
    """What a program may do beside computing."""
    chosen = pick.choice(pool)
    match pick.randrange(9):
        case 0:
            kept.append(chosen)
        case 1:
            kept.append(chosen.sum().item())
        case 2:
            kept.append(chosen.detach()[1:])
        case 3:
            kept.append(pick.choice(leaves).detach().clone())
        case 4:
            kept.append(pick.choice(leaves).detach())
        case 5:
            kept.append(pick.choice(leaves).detach().numpy().copy().sum())
        case 6:
            kept.clear()
        case 7:
            kept.append(pick.choice(leaves).sum() * 2)
        case _:
            leaves[0].requires_grad_(not leaves[0].requires_grad)


def run(seed: int) -> list[Any]:
    """Losses, and what was kept, of one program."""
    torch.manual_seed(seed)
    plan, noise = random.Random(seed), random.Random(seed + 1)
    leaves = [torch.randn(SIZE, SIZE).requires_grad_() for _ in range(3)]
    optimizer = plan.choice([torch.optim.SGD, torch.optim.Adam])(leaves, lr=0.05)
    chosen = [plan.choice(OPERATIONS) for _ in range(plan.randrange(3, 9))]
    details = plan.randrange(1 << 30)
    kept: list[Any] = []
    found: list[Any] = []
    for step in range(STEPS):
        pick = random.Random(details)
        x = torch.randn(SIZE, SIZE)
        pool = [*leaves, x]
        skipped = noise.randrange(len(chosen)) if step > 8 and noise.random() < 0.3 else -1
        for number, operation in enumerate(chosen):
            if number != skipped:
                operation(pool, pick)
        loss = sum(each.square().mean() for each in [*pool[-3:], leaves[1]])
        if noise.random() < 0.8:
            optimizer.zero_grad()
        loss.backward()
        if step > 5 and noise.random() < 0.6:
            disturb(pool, leaves, kept, noise)
        optimizer.step()
        if step > 5 and noise.random() < 0.3:
            disturb(pool, leaves, kept, noise)
        found.append(loss.item())
    return found + [each.tolist() if hasattr(each, "tolist") else each for each in kept]


def test_random_programs_are_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "tier", "compiled")
    replayed = []
    real = Replay.run
    monkeypatch.setattr(Replay, "run", lambda *given: replayed.append(real(*given)) or replayed[-1])
    take = StepReplays.take
    monkeypatch.setattr(StepReplays, "take", lambda own: replayed.append(take(own)) or replayed[-1])
    for seed in range(1000, 1006):
        run(seed)
    assert replayed.count(True) >= 3


@pytest.mark.parametrize("seed", range(40))
def test_replays_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "tier", "compiled")
    monkeypatch.setattr(settings, "verify", True)
    found = run(seed)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", lambda self, recipe, used: None)
        assert repr(run(seed)) == repr(found)
    monkeypatch.setattr(settings, "tier", "reference")
    plain = run(seed)
    assert found[0] == pytest.approx(plain[0], rel=1e-4, nan_ok=True)
    assert found[:3] == pytest.approx(plain[:3], rel=2e-2, nan_ok=True)  # Adam enlarges roundings
