"""The clock around the native calls: it counts them all, and takes itself away."""

import time

import pytest

import lampas
from lampas.demo.clock import KernelTime, kernel_clock
from lampas.engine.device import background
from lampas.engine.device.launch import Program
from lampas.engine.settings import settings
from tests.background import in_background


def test_counts_native_calls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 1.5, 4.0, 4.25, 10.0])
    calls = []
    monkeypatch.setattr(Program, "run_at", lambda self, address, times=None: calls.append(address))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    program = object.__new__(Program)
    with kernel_clock() as clock:
        program.run_at(1)
        program.run_at(2, None)
    assert calls == [1, 2]
    assert clock == KernelTime(total=10.0, kernels=0.75)
    assert clock.share == 0.075


def test_compiled_work_is_counted() -> None:
    """Whether a program runs for the first time or is replayed."""
    x = lampas.randn(300, 300)
    with settings.override(tier="compiled"):
        for _ in range(8):
            with kernel_clock() as clock:
                (x @ x).sum().item()
            assert clock.kernels > 0


def test_takes_itself_away_after_an_error() -> None:
    plain_run = Program.run_at

    @kernel_clock()
    def fails() -> None:
        assert Program.run_at is not plain_run
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert Program.run_at is plain_run


def test_nothing_measured_is_no_share() -> None:
    assert KernelTime().share == 0.0


def test_a_step_in_the_background_is_counted() -> None:
    model = lampas.nn.Linear(128, 256)
    optimizer = lampas.optim.SGD(model.parameters(), lr=0.1)
    inputs = lampas.randn(128, 128)

    def step() -> None:
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()

    with settings.override(tier="compiled"), in_background():
        for _ in range(8):
            step()
        with kernel_clock() as clock:
            step()
            assert background.RUNS
        assert not background.RUNS
    assert 0 < clock.kernels <= clock.total
    assert background.TIMERS == []
