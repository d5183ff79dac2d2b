"""Measures how much of a stretch of time is spent in compiled kernels."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lampas.engine.device.background import TIMERS, finish
from lampas.engine.device.launch import Program


@dataclass
class KernelTime:
    """Filled when the stretch ends, all in seconds."""

    total: float = 0.0
    kernels: float = 0.0

    @property
    def share(self) -> float:
        """The kernels' part of the whole, 0 … 1."""
        return self.kernels / self.total if self.total else 0.0


@contextmanager
def kernel_clock() -> Iterator[KernelTime]:
    """Time the native calls that run programs of kernels, inside a `with` block.

    It stands around `Program.run_at`, which all compiled work in the foreground goes through, rather
    than in it: a program that nobody measures pays nothing. Steps in the background tell their times.
    """
    measured = KernelTime()
    plain_run = Program.run_at

    def timed_run(self: Program, address: int, times: Any = None) -> None:
        start = time.perf_counter()
        plain_run(self, address, times)
        measured.kernels += time.perf_counter() - start

    def add_background(times: Any) -> None:
        measured.kernels += (times[-1] - times[0]) * 1e-9

    finish()
    TIMERS.append(add_background)
    Program.run_at = timed_run
    start = time.perf_counter()
    try:
        yield measured
    finally:
        finish()
        measured.total += time.perf_counter() - start
        Program.run_at = plain_run
        TIMERS.remove(add_background)
