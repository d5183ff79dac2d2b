"""Steps of optimizers that are known: everything that can be seen is as if they had been recorded and realised."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lampas as torch
from lampas import nn
from lampas.engine.settings import settings
from lampas.nn import functional as F
from lampas.optim import step_native
from lampas.optim.step_replays import StepReplays

STEPS = 24


@pytest.fixture(params=["native", "plain"])
def taken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """What each attempt to take a known step returned, with native functions and without."""
    found: list[bool] = []
    if request.param == "plain":
        monkeypatch.setattr(step_native, "entrances", lambda: None)
    elif step_native.entrances() is None:
        pytest.skip("this interpreter lays objects out otherwise")
    take = StepReplays.take

    def told(self: StepReplays) -> bool:
        found.append(take(self))
        return found[-1]

    with settings.override(tier="compiled"):
        monkeypatch.setattr(StepReplays, "take", told)
        yield found


class Training:
    """A network with an optimizer; `held` is what a program keeps."""

    def __init__(self, name: str = "SGD", **options: Any) -> None:
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        self.idle = nn.Parameter(torch.ones(2))
        groups = [
            {"params": [*self.net[0].parameters(), self.idle]},
            {"params": self.net[2].parameters(), "lr": 0.01},
        ]
        self.optimizer = getattr(torch.optim, name)(groups, lr=0.05, **options)
        self.held: list[Any] = []

    def step(self, change: Callable[[Training], None] | None) -> list[Any]:
        """A step, and all that can be seen after it."""
        x, y = torch.randn(5, 4), torch.randint(0, 3, (5,))
        self.optimizer.zero_grad()
        hidden = self.net[0](x)
        loss = F.cross_entropy(self.net[2](self.net[1](hidden)), y)
        loss.backward()
        if change is not None:
            change(self)
        self.optimizer.step()
        seen = [loss.item(), hidden.tolist(), *[value.tolist() for value in self.held]]
        for parameter in [*self.net.parameters(), self.idle]:
            gradient = None if parameter.grad is None else parameter.grad.tolist()
            seen += [parameter.tolist(), parameter._version, gradient]
            state = self.optimizer.state.get(parameter, {})
            seen += [value.tolist() for value in state.values() if value is not None]
        return seen


def same_without(
    taken: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Training, int], None] | None = None,
    **options: Any,
) -> int:
    """How many known steps were taken, if all is the same as without any."""
    results = []
    for known in (True, False):
        with monkeypatch.context() as patch:
            if not known:
                patch.setattr(StepReplays, "take", lambda self: False)
            training = Training(**options)
            results.append(
                [
                    training.step(None if change is None else lambda it, n=number: change(it, n))
                    for number in range(STEPS)
                ]
            )
    for number, (first, second) in enumerate(zip(*results, strict=True)):
        assert first == second, number
    return taken.count(True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"name": "Adam"},
        {"name": "AdamW", "amsgrad": True},
        {"name": "RMSprop", "centered": True},
        {"name": "Adagrad"},
        {"name": "Adadelta"},
        {"name": "Adamax"},
        {"name": "Rprop"},
        {"name": "RAdam"},
        {"name": "NAdam"},
        {"name": "ASGD"},
    ],
    ids=str,
)
def test_known_steps(
    taken: list[bool], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    count = same_without(taken, monkeypatch, **options)
    assert count > STEPS // 2 or options.get("name") in {"NAdam", "ASGD", "RAdam", "Rprop"}


def hold_a_gradient(training: Training, number: int) -> None:
    training.held = [training.net[0].weight.grad] if number % 6 > 2 else []


def hold_a_weight(training: Training, number: int) -> None:
    if number % 4 == 0:
        training.held = [training.net[0].weight.detach().clone(), training.net[0].weight * 2]


def hold_a_view(training: Training, number: int) -> None:
    training.held = [training.net[2].weight.view(-1)[2:5]]


def hold_a_state(training: Training, number: int) -> None:
    state = training.optimizer.state.get(training.net[0].weight)
    if state and number % 5 == 0:
        training.held = [state["momentum_buffer"].detach(), state["momentum_buffer"] + 1]


def share_a_weight(training: Training, number: int) -> None:
    if number == 12:
        training.array = training.net[0].weight.detach().numpy()  # type: ignore[attr-defined]
    if number == 18:
        training.array = None  # type: ignore[attr-defined]


def schedule(training: Training, number: int) -> None:
    for group in training.optimizer.param_groups:
        group["lr"] = 0.1 / (number + 1)


def clip(training: Training, number: int) -> None:
    nn.utils.clip_grad_norm_(training.net.parameters(), 0.1)


def give_the_idle_one_a_gradient(training: Training, number: int) -> None:
    training.idle.grad = torch.ones(2) if number in (10, 11, 15) else None


def freeze(training: Training, number: int) -> None:
    training.net[0].bias.grad = None if number % 7 == 6 else training.net[0].bias.grad


def replace_memory(training: Training, number: int) -> None:
    if number == 12:
        training.net[2].bias.data = torch.ones(3)


def load(training: Training, number: int) -> None:
    if number == 12:
        training.optimizer.load_state_dict(copy.deepcopy(training.optimizer.state_dict()))


def add_a_group(training: Training, number: int) -> None:
    if number == 12:
        training.extra = nn.Parameter(torch.ones(3))  # type: ignore[attr-defined]
        training.optimizer.add_param_group({"params": [training.extra], "lr": 1.0})  # type: ignore[attr-defined]
    if number > 12:
        training.extra.grad = torch.full((3,), float(number))  # type: ignore[attr-defined]
        training.held = [training.extra]  # type: ignore[attr-defined]


def zero_a_state(training: Training, number: int) -> None:
    if number == 12:
        training.optimizer.state[training.net[0].weight]["momentum_buffer"].zero_()
    if number == 15:
        training.optimizer.state[training.net[0].weight] = {}


def write_a_weight(training: Training, number: int) -> None:
    if number % 5 == 4:
        with torch.no_grad():
            training.net[0].weight.clamp_(-0.1, 0.1)


@pytest.mark.parametrize(
    "change",
    [
        hold_a_gradient, hold_a_weight, hold_a_view, hold_a_state, share_a_weight, schedule, clip,
        give_the_idle_one_a_gradient, freeze, replace_memory, load, add_a_group, zero_a_state, write_a_weight,
    ],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_what_happens_before_a_step(
    taken: list[bool], monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    same_without(taken, monkeypatch, change, momentum=0.9)


def test_schedules_and_clipping_keep_known_steps(
    taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert same_without(taken, monkeypatch, schedule) > STEPS // 2
    taken.clear()
    assert same_without(taken, monkeypatch, clip) > STEPS // 2


def test_steps_are_known_again_when_no_array_shows_the_weights(taken: list[bool]) -> None:
    """While one does, values are copied before they are overwritten: paths have two leaves for one weight then."""
    training = Training()
    arrays = [parameter.detach().numpy() for parameter in training.net.parameters()]
    for _ in range(10):
        training.step(None)
    assert True not in taken
    del arrays
    for _ in range(40):
        training.step(None)
    assert taken[-1]
    other = Training()
    for _ in range(10):
        other.step(None)
    assert taken[-1]


def test_bad_indices_are_told(taken: list[bool]) -> None:
    """The index is not looked at before: it is computed."""
    table = nn.Embedding(3, 2)
    optimizer = torch.optim.SGD(table.parameters(), lr=1.0)
    for number in range(12):
        optimizer.zero_grad()
        loss = table(torch.tensor([0, 1]) * (1 if number < 11 else 4)).sum()
        loss.backward()
        optimizer.step()
    assert taken[-2:] == [True, False]
    with pytest.raises(IndexError):
        loss.item()


def test_optimizers_are_copied_and_pickled_without_their_steps(taken: list[bool]) -> None:
    training = Training()
    for _ in range(14):
        training.step(None)
    assert True in taken
    twin = copy.deepcopy(training.optimizer)
    assert twin._replays is None
    assert pickle.loads(pickle.dumps(training.optimizer))._replays is None


def test_hooks_and_closures_see_the_step(taken: list[bool]) -> None:
    training = Training()
    for _ in range(8):
        training.step(None)
    seen: list[str] = []
    handle = training.optimizer.register_step_post_hook(lambda *given: seen.append("after"))
    training.step(None)
    handle.remove()

    def closure() -> Any:
        training.optimizer.zero_grad()
        loss = training.net(torch.ones(2, 4)).sum()
        loss.backward()
        return loss

    before = training.net[0].weight.tolist()
    assert training.optimizer.step(closure).item()
    assert (seen, training.net[0].weight.tolist() != before) == (["after"], True)


def running_means(steps: int) -> tuple[list[list[float]], list[list[float]], list[set[int]]]:
    """Running means after each step, what a program had noted of them before it, and where statistics lay."""
    torch.manual_seed(2)
    norm = nn.BatchNorm1d(4)
    net = nn.Sequential(nn.Linear(3, 4), norm, nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    means, noted, places = [], [], []
    for step in range(steps):
        optimizer.zero_grad()
        before = norm.running_mean * 2 if step % 5 == 4 else None  # not yet computed in the step
        net(torch.randn(6, 3)).square().sum().backward()
        optimizer.step()
        if before is not None:
            noted.append(before.tolist())
        means.append(norm.running_mean.tolist())
        places.append({buffer.data_ptr() for buffer in norm.buffers()})
        assert norm.num_batches_tracked.item() == step + 1
    return means, noted, places


def test_running_statistics_are_written_where_they_lie(
    taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    means, noted, places = running_means(STEPS)
    assert True in taken
    monkeypatch.setattr(StepReplays, "take", lambda self: False)
    assert (means, noted) == running_means(STEPS)[:2]
    if (
        step_native.entrances() is not None
    ):  # the plain kind takes fresh memory, mostly what was given back
        assert places[-3] & places[-2] & places[-1]
