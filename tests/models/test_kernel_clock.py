"""The clock around the native calls: it counts them all, and takes itself away."""

import time

import pytest

from lampas.demo.clock import KernelTime, kernel_clock
from lampas.engine.device.launch import Program


def test_counts_native_calls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 1.5, 4.0, 4.25, 10.0])
    calls = []
    monkeypatch.setattr(Program, "run", lambda self, pointers, times=None: calls.append(pointers))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    program = object.__new__(Program)
    with kernel_clock() as clock:
        program.run([1])
        program.run([2], None)
    assert calls == [[1], [2]]
    assert clock == KernelTime(total=10.0, kernels=0.75)
    assert clock.share == 0.075


def test_takes_itself_away_after_an_error() -> None:
    plain_run = Program.run

    @kernel_clock()
    def fails() -> None:
        assert Program.run is not plain_run
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert Program.run is plain_run


def test_nothing_measured_is_no_share() -> None:
    assert KernelTime().share == 0.0
