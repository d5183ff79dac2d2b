"""The journal and its replays: the same values as without them, whoever looks when, and nothing given away that is held."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lampas as torch
from lampas import nn
from lampas.engine.device.buffer import statistics
from lampas.engine.graph import journal as journals
from lampas.engine.graph.journal import CURRENT, ENTRIES_KEPT, Journal
from lampas.engine.realize.realize import forget_plans, realize
from lampas.engine.realize.replay import Replay
from lampas.engine.settings import settings
from lampas.engine.tensor.door import VIEWS_NOTED
from lampas.nn import functional as F
from lampas.optim.step_replays import StepReplays


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each attempt at a replay returned."""
    found: list[bool] = []
    run = Replay.run

    def told(self: Replay, journal: Journal) -> bool:
        found.append(run(self, journal))
        return found[-1]

    take = StepReplays.take

    def told_of_step(self: StepReplays) -> bool:
        taken = take(self)
        if taken:
            found.append(True)
        return taken

    monkeypatch.setattr(Replay, "run", told)
    monkeypatch.setattr(StepReplays, "take", told_of_step)
    return found


@pytest.fixture(autouse=True)
def fresh_trie(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "tier", "compiled")
    realize(())
    journals.forget()
    CURRENT.journal = Journal()
    yield
    realize(())


def training(steps: int, look: Callable[[int, dict[str, Any]], Any] | None = None) -> list[float]:
    """Losses of a small network; `look` may do something with what lives at the end of a step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])
    losses = []
    for step in range(steps):
        hidden = model[0](x)
        out = model[2](model[1](hidden))
        loss = F.cross_entropy(out, y)
        optimizer.zero_grad()
        loss.backward()
        if look is not None:
            look(step, {"model": model, "hidden": hidden, "out": out, "loss": loss, "x": x})
        optimizer.step()
        losses.append(loss.item())
    return losses


def plainly(program: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a program returns when every recipe makes ordinary nodes."""
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", lambda self, recipe, used: None)
        return program()


def test_steps_are_replayed(replays: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    found = training(10)
    assert replays.count(True) >= 4
    assert found == plainly(lambda: training(10), monkeypatch)


KEPT: list[Any] = []


def keep_hidden(step: int, lives: dict[str, Any]) -> None:
    if step == 7:
        KEPT.append(lives["hidden"])


def keep_view(step: int, lives: dict[str, Any]) -> None:
    KEPT[:] = [lives["out"].t()[1:]]


def keep_weight(step: int, lives: dict[str, Any]) -> None:
    if step >= 6:
        KEPT.append(lives["model"][0].weight.detach().clone())


def share_weight(step: int, lives: dict[str, Any]) -> None:
    if step == 8:
        KEPT.append(lives["model"][0].weight.detach().numpy())


def keep_lazy_reader(step: int, lives: dict[str, Any]) -> None:
    """A value that needs the old weight, looked at after the step has replaced it."""
    if step >= 5:
        KEPT.append(lives["model"][2].weight.sum() * 2)


def peek(step: int, lives: dict[str, Any]) -> None:
    if step % 4 == 3:
        KEPT.append(lives["out"].sum().item())


def look_at_tape(step: int, lives: dict[str, Any]) -> None:
    if step == 6:
        KEPT.append(lives["loss"].grad_fn.next_functions)


def transposed_weight(step: int, lives: dict[str, Any]) -> None:
    if step == 7:
        weight = lives["model"][2].weight
        weight.data = weight.data.t().contiguous().t()


LOOKS = [
    keep_hidden,
    keep_view,
    keep_weight,
    share_weight,
    keep_lazy_reader,
    peek,
    look_at_tape,
    transposed_weight,
]


def kept_numbers() -> list[Any]:
    return [each.tolist() if hasattr(each, "tolist") else str(type(each)) for each in KEPT]


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks(
    look: Callable[[int, dict[str, Any]], Any], replays: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def program() -> Any:
        KEPT.clear()
        return training(12, look), kept_numbers()

    found = program()
    assert True in replays
    assert plainly(program, monkeypatch) == found


def test_another_constant_is_another_path(replays: list[bool]) -> None:
    x = torch.tensor([1.0, 2.0])
    for scale in (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0):
        made = torch.ones(2) if scale else torch.zeros(2)
        product = x.exp() * made
        del made
        assert product.tolist() == pytest.approx(
            [scale * 2.718281828, scale * 7.389056099], rel=1e-6
        )
    assert True in replays


@pytest.mark.parametrize("shared", [False, True])
def test_strided_parts_of_arrays(shared: bool, replays: list[bool]) -> None:
    """Nodes over leaves: parts of the same array and of others, which no journal has seen."""
    for step in range(10):
        a = torch.arange(12.0).reshape(3, 4) + step
        b = a if shared else torch.ones(3, 4) * step
        first, second = a.tolist(), b.tolist()
        product = a[:, 1:3].sin() + b[:, ::2] * a[:, :2]
        expected = [
            [torch.sin(torch.tensor(x[1 + i])).item() + y[2 * i] * x[i] for i in range(2)]
            for x, y in zip(first, second)
        ]
        for row, wanted in zip(product.tolist(), expected):
            assert row == pytest.approx(wanted, rel=1e-6)
    assert True in replays


def test_an_operand_and_a_part_of_it(replays: list[bool]) -> None:
    for step in range(10):
        a = torch.arange(4.0).reshape(2, 2) + step
        rows = a.tolist()
        found = torch.nn.functional.linear(a, a[:, :1].expand(2, 2)).tolist()
        assert found == [[row[0] * r[0] + row[1] * r[0] for r in rows] for row in rows]


def test_a_leaf_that_is_met_twice(replays: list[bool]) -> None:
    """A path of two leaves taken with one: right, and the leaf is not overwritten while it is read."""
    a, b = torch.tensor([2.0, 3.0]), torch.tensor([5.0, 7.0])
    for first, second in [(a, b)] * 8 + [(a, a), (b, b), (b, a)]:
        product = first.sin() + second.cos()
        expected = [torch.sin(p).item() + torch.cos(q).item() for p, q in zip(first, second)]
        assert product.tolist() == pytest.approx(expected, rel=1e-6)
    assert True in replays


def test_new_plans_after_they_were_forgotten(replays: list[bool]) -> None:
    x = torch.ones(3)
    for _ in range(8):
        (x.exp() + 1).tolist()
    assert replays
    assert all(replays)
    replays.clear()
    forget_plans()
    assert (x.exp() + 1).tolist() == pytest.approx([3.718281828] * 3)
    assert replays == []


def test_another_layout_of_a_leaf_is_not_replayed() -> None:
    image = torch.randn(2, 3, 6, 6)
    weight = torch.randn(4, 3, 3, 3)
    first = F.conv2d(image, weight).tolist()
    for _ in range(8):
        assert F.conv2d(image, weight).tolist() == first
    assert weight.numpy().shape == (4, 3, 3, 3)  # lies row-major again
    assert F.conv2d(image, weight).flatten().tolist() == pytest.approx(
        torch.tensor(first).flatten().tolist(), rel=1e-5, abs=1e-6
    )


def test_an_error_while_running_leaves_the_rest_alone(replays: list[bool]) -> None:
    table, good = torch.randn(4, 2), torch.ones(3)

    def attempt(index: Any) -> Any:
        other = good + 1
        rows = F.embedding(index + 0, table)
        try:
            return rows.tolist(), other.tolist()
        except IndexError:
            del rows
            return None, other.tolist()

    index = torch.tensor([1, 3])
    for _ in range(8):
        assert attempt(index) == (table[index].tolist(), [2.0] * 3)
    assert attempt(torch.tensor([1, 4])) == (None, [2.0] * 3)
    assert attempt(index) == (table[index].tolist(), [2.0] * 3)
    assert True in replays


def test_another_thread_may_want_a_value() -> None:
    for _ in range(8):
        value = torch.ones(3).exp()
        found: list[Any] = []
        thread = threading.Thread(
            target=lambda value=value, found=found: found.append(value.tolist())
        )
        thread.start()
        thread.join()
        assert found == [pytest.approx([2.718281828] * 3)]
        assert (value + 1).tolist() == pytest.approx([3.718281828] * 3)


def test_nothing_is_kept_alive() -> None:
    x = torch.ones(1000)
    for _ in range(8):
        dead = x.exp()
        storage = weakref.ref(dead._storage)
        node = weakref.ref(dead._node)
        kept = dead * 2
        del dead
        kept.tolist()
        gc.disable()
        assert storage() is None
        assert node() is None
        gc.enable()


def test_the_trie_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "ENTRIES_KEPT", 50)
    before = journals._ROOT[0]
    for _ in range(2):
        value = torch.zeros(1)
        for number in range(80):
            value = value + float(number)
        assert value.item() == sum(range(80))
    assert journals._ROOT[0] is not before
    assert ENTRIES_KEPT > 1000


def test_settings_that_compute_otherwise_are_not_replayed(
    replays: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.ones(3)
    for _ in range(8):
        x.exp().tolist()
    replays.clear()
    for name, value in (("tier", "reference"), ("eager", True)):
        with monkeypatch.context() as patch:
            patch.setattr(settings, name, value)
            assert x.exp().tolist() == pytest.approx([2.718281828] * 3)
    assert replays == []


# ---- nothing is kept that nobody asks for ------------------------------------------------------------------------


def test_parts_and_views_of_stored_values_are_forgotten() -> None:
    data = torch.randn(64, 16)
    data.sum().item()
    for number in range(500):
        part = data[number % 60 : number % 60 + 4]
        view = data.view(-1)
    assert part.shape == (4, 16)
    assert view.shape == (1024,)
    assert len(CURRENT.journal.values) <= 2 * VIEWS_NOTED


def test_a_large_value_dies_with_its_views() -> None:
    gc.collect()
    before = statistics.live_bytes
    for _ in range(5):
        large = torch.zeros(1 << 20)
        large.add_(1)
        assert large.flatten()[0].item() == 1
        _ = large.view(1024, 1024).t()
    del large, _
    data = torch.ones(1 << 19).mul(2)
    data.view(-1)[3].item()
    del data
    gc.collect()
    assert statistics.live_bytes - before < 1 << 22


def test_a_long_journal_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MOST_VALUES", 50)
    x = torch.ones(3)
    total = x
    for _ in range(200):
        total = total + x
    assert len(CURRENT.journal.values) < 60
    assert total.tolist() == [201.0] * 3


def test_a_bad_value_spoils_no_later_flush(replays: list[bool]) -> None:
    """A value that raises stays alive; whoever computes others afterwards finds nothing of it."""
    bad = nn.Embedding(3, 2)(torch.tensor([0, 1]) * 4)
    other = torch.ones(4) * 3
    assert (torch.ones(3) * 2).tolist() == [2.0] * 3
    x = torch.ones(3)
    copy = x.clone()
    x.numpy()[:] = 5
    assert copy.tolist() == [1.0] * 3
    assert other.tolist() == [3.0] * 4
    training(10)
    assert replays.count(True) >= 4
    for _ in range(2):
        with pytest.raises(IndexError):
            bad.tolist()
