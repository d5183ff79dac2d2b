"""Steps that go on in the background: nobody can tell, whatever is looked at, and whenever.

The oracle is the same program in the foreground.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas import nn
from lampas.engine.device import background
from lampas.engine.device.background import RUNS
from lampas.engine.device.buffer import Buffer
from lampas.engine.settings import settings
from tests.background import in_background, in_foreground

STEPS = 12


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    with in_background():
        yield


class Training:
    """A small network that learns; `step` returns the loss."""

    def __init__(self, wrap: Callable[..., Any] = lambda step: step) -> None:
        torch.manual_seed(3)
        self.model = nn.Sequential(
            nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 8)
        )  # fmt: skip
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        self.inputs = torch.randn(96, 64) + 0.0
        self.targets = torch.randint(0, 8, (96,)) + 0
        self.learn = wrap(self.learn)

    def learn(self) -> Any:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.inputs), self.targets)
        loss.backward()
        self.optimizer.step()
        return loss

    def values(self) -> list[np.ndarray]:
        return [value.detach().numpy().copy() for value in self.model.state_dict().values()]


def watched(look: Callable[[Training, Any, int], Any], on: bool, **options: Any) -> list[Any]:
    """What is seen in a training with the background on or off, and the values at its end."""
    with settings.override(tier="compiled"), in_background() if on else in_foreground():
        training, seen, started = Training(**options), [], 0
        for number in range(STEPS):
            loss = training.learn()
            started += bool(RUNS)
            seen.append(look(training, loss, number))
        background.finish()
        assert (started > 0) is on
        return [seen, training.values()]


def changed_whole(training: Training, loss: Any, number: int) -> Any:
    """The batch is a part of what changes."""
    if number == 0:
        training.data = torch.cat([training.inputs, training.inputs])
    training.data.mul_(1.1)
    training.inputs = training.data[8 : 8 + 96]
    return training.data.max().item()


def counted(training: Training, loss: Any, number: int) -> Any:
    found = training.model(training.inputs).argmax(1) == training.targets
    return found.sum().item()


def weights_now(training: Training, loss: Any, number: int) -> Any:
    return training.model[3].weight.tolist()


def changed_input(training: Training, loss: Any, number: int) -> Any:
    training.inputs.mul_(1.25)
    return training.inputs.sum().item()


def changed_weight(training: Training, loss: Any, number: int) -> Any:
    if number > STEPS - 4:
        with torch.no_grad():
            training.model[0].weight[0, 0] = 1.0
    return loss.item()


def gradients(training: Training, loss: Any, number: int) -> Any:
    return [parameter.grad.norm().item() for parameter in training.model.parameters()]


def evaluation(training: Training, loss: Any, number: int) -> Any:
    training.model.eval()
    with torch.no_grad():
        found = training.model(training.inputs).sum().item()
    training.model.train()
    return found


def freed_memory(training: Training, loss: Any, number: int) -> Any:
    """What is given up while the step goes on is not written over."""
    training.inputs = training.inputs.clone()
    training.optimizer.zero_grad()
    sizes = [p.numel() for p in training.model.parameters()]
    return [float(np.asarray(torch.full((size,), 7.0) + number).sum()) for size in sizes]


def other_threads(training: Training, loss: Any, number: int) -> Any:
    found: dict[int, Any] = {}

    def read(place: int) -> None:
        found[place] = [loss.item(), training.model[place].weight.tolist()]

    threads = [threading.Thread(target=read, args=(place,)) for place in (0, 1, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found.items())


def address(training: Training, loss: Any, number: int) -> Any:
    assert training.model[0].weight.data_ptr()
    assert not RUNS
    return loss.item()


LOOKS = [
    weights_now, changed_input, changed_whole, changed_weight, counted, gradients, evaluation, freed_memory, other_threads, address,
    lambda training, loss, number: loss.item(),
    lambda training, loss, number: None,
    lambda training, loss, number: str(loss),
    lambda training, loss, number: training.model[1].running_mean.tolist(),
]  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_nobody_can_tell(look: Callable[..., Any]) -> None:
    assert_same(watched(look, on=True), watched(look, on=False))


def test_nobody_can_tell_of_a_compiled_step() -> None:
    found, expected = (watched(weights_now, on=on, wrap=torch.compile) for on in (True, False))
    assert_same(found, expected)


def assert_same(found: list[Any], expected: list[Any]) -> None:
    assert found[0] == expected[0]
    for left, right in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(left, right)


def started() -> Training:
    """A training whose step is going on."""
    training = Training()
    for _ in range(STEPS):
        training.learn()
    assert RUNS
    return training


def test_a_loss_is_there_before_the_step_is_over() -> None:
    training = started()
    program = RUNS[0].program
    run = RUNS[0]
    loss = training.learn()
    (run,) = RUNS
    assert 0 < run.records_touching(loss._storage.node.buffer) < len(program.live)
    loss.item()
    assert [run] == RUNS  # nobody waited for the whole


def test_a_small_run_waits_for_what_it_reads() -> None:
    training = started()
    for _ in range(3):  # until the small run is known
        loss = training.learn()
        (loss.detach() * 2).item()
    (run,) = RUNS
    loss = training.learn()
    (run,) = RUNS
    assert (loss.detach() * 2).item() == pytest.approx(2 * loss.item())
    assert [run] == RUNS
    training.model[0].weight.sum().item()
    assert not RUNS


def test_arrays_outside_are_never_touched_in_the_background() -> None:
    training = started()
    shown = training.model[0].weight.detach().numpy()
    training.learn()
    assert not RUNS
    assert shown.tolist() == training.model[0].weight.tolist()


def test_who_shows_memory() -> None:
    buffer = Buffer.allocate(256)
    assert not buffer.is_shown()
    parts = [buffer.part(64 * n, 64) for n in range(3)]
    parts.append(parts[1].part(16, 16))
    assert not buffer.is_shown()
    assert not any(part.is_shown() for part in parts)
    array = parts[2].array(np.uint8, (64,))
    assert buffer.is_shown()
    assert all(part.is_shown() for part in parts)
    del array
    assert not parts[0].is_shown()
    del parts
    assert buffer.parts == 0
    outside = np.zeros(64, np.float32)
    given = Buffer.from_array(outside)
    part = given.part(0, 64)
    assert given.is_shown()
    assert part.is_shown()
    del outside
    assert not part.is_shown()


def test_parts_keep_the_memory() -> None:
    buffer = Buffer.allocate(4096)
    pointer, part = buffer.pointer, buffer.part(0, 64)
    del buffer
    assert Buffer.allocate(4096).pointer != pointer
    del part
    assert Buffer.allocate(4096).pointer == pointer


def test_an_array_outside_may_change_after_the_step() -> None:
    seen = []
    for on in (True, False):
        with settings.override(tier="compiled"), in_background() if on else in_foreground():
            training, data = Training(), np.ones((96, 64), np.float32)
            training.inputs = torch.from_numpy(data)
            for _ in range(STEPS):
                training.learn()
                data += 1
            seen.append(training.values())
    for left, right in zip(*seen, strict=True):
        np.testing.assert_array_equal(left, right)


def test_another_number_of_threads_waits() -> None:
    training = started()
    torch.set_num_threads(1)
    assert not RUNS
    training.learn()
    assert not RUNS


def test_synchronize_waits() -> None:
    started()
    torch.cpu.synchronize()
    assert not RUNS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_waits_and_its_child_can_go_on() -> None:
    training = started()
    child = os.fork()
    if child == 0:
        os._exit(0 if not RUNS and training.learn().item() > 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not RUNS


def test_a_profile_shows_what_the_background_did() -> None:
    training = started()
    plain = RUNS[0].program
    with torch.profiler.profile() as profile:
        training.learn()
        assert RUNS
        training.learn()
    assert not RUNS
    runs = [event for event in profile.events() if event.name == "lampas::run"]
    kernels = [event for event in profile.events() if event.name.startswith("kernel::")]
    assert len(runs) == 2
    assert len(kernels) == 2 * len(plain.live)
    others = {event.thread for event in profile.events()} - {runs[0].thread}
    assert others.isdisjoint(event.thread for event in kernels)
    assert {event.name for event in runs[0].cpu_children} == {event.name for event in kernels}
    for run in runs:
        assert run.start_us <= run.cpu_children[0].start_us
        assert run.end_us == run.cpu_children[-1].end_us


def test_debugging_stays_in_the_foreground(capsys: pytest.CaptureFixture[str]) -> None:
    training = started()
    with settings.override(debug=1):
        training.learn()
        assert not RUNS
    assert "program" in capsys.readouterr().err
    training.learn()
    assert RUNS
