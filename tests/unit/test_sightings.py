"""Paths are learned when they are met for the second time; what is met once fills no trie."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import lampas as torch
from lampas import nn
from lampas.engine.derive import trail as trails
from lampas.engine.derive.tape import Edge
from lampas.engine.graph import journal as journals
from lampas.engine.graph import sightings
from lampas.engine.realize.replay import Replay
from lampas.engine.settings import settings

WAS_MET = sightings.was_met


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was met, and nothing counts as met that was not."""
    sightings.MET.clear()
    journals.forget()
    journals.CURRENT.journal = journals.Journal()
    monkeypatch.setattr(trails, "_ROOT", [trails._Root()])
    trails.end_trail()
    monkeypatch.setattr(sightings, "was_met", WAS_MET)


def learned() -> tuple[int, int]:
    """How many places begin at the roots of both tries."""
    return len(trails._ROOT[0].branches), len(journals._ROOT[0].branches)


def loss_of(w: torch.Tensor, power: int) -> torch.Tensor:
    x = w
    for _ in range(power):
        x = x * w
    return x.sum()


def test_a_first_sighting_writes_the_tape_and_a_second_one_learns() -> None:
    w = torch.full((3,), 2.0).requires_grad_()
    for sighting in range(4):
        w.grad = None
        loss = loss_of(w, 2)
        assert type(loss._edge) is (trails.Mark if sighting else Edge)
        loss.backward()
        assert w.grad.tolist() == [12.0] * 3
        assert learned() == ((1, 1) if sighting else (0, 0))


def test_turns_that_all_differ_fill_no_trie() -> None:
    w = torch.ones(3).requires_grad_()
    for power in range(1, 40):
        (loss_of(w, power) * power).backward()
        w.sum().item()
    steps, waiting = 0, [trails._ROOT[0]]
    while waiting:
        found = [*waiting.pop().branches.values()]
        steps += len(found)
        waiting.extend(found)
    assert steps <= 80  # of 820 operations: the common beginnings
    assert w.grad.tolist() == [sum(n * (n + 1) for n in range(1, 40))] * 3


@pytest.mark.parametrize("look", [None, lambda x: x.grad_fn, lambda x: x.tolist()])
def test_a_tape_behind_a_known_beginning(look: Callable[[torch.Tensor], object] | None) -> None:
    """The first turns know nothing, later ones the beginning, the last ones all; the way back is always the same."""
    w = torch.tensor([1.0, 2.0]).requires_grad_()
    for turn in range(9):
        w.grad = None
        middle = w.exp() + 1
        if look is not None:
            look(middle)
        out = middle * w if turn < 3 else (middle * w).tanh() if turn < 6 else middle - w
        out.sum().backward()
        value = w.detach()
        inner = value.exp() * value + value.exp() + 1
        kinds = [inner, inner * (1 - ((value.exp() + 1) * value).tanh() ** 2), value.exp() - 1]
        torch.testing.assert_close(w.grad, kinds[turn // 3])


def test_a_training_loop_is_replayed_from_its_fourth_turn_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first turn is met, the second one's way back too, the third is learned; finding the way leaves no traces."""
    replays = [0]
    run = Replay.run

    def note(self: Replay, journal: journals.Journal) -> bool:
        replays[-1] += 1
        return run(self, journal)

    monkeypatch.setattr(Replay, "run", note)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.ones(2, 4)
    with settings.override(tier="compiled"):
        for _ in range(4):
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
            replays.append(0)
    assert replays[:4] == [0, 0, 0, 1]


def test_numbers_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "SIGHTINGS_KEPT", 10)
    met = [sightings.was_met(number) for number in (*range(1, 11), 1, 11, 1)]
    assert met == [False] * 10 + [True, False, False]
