"""Where a workload's time goes: Lampas' kernels beside what this machine can do at most.

    python bench/roofline.py [WORKLOAD …] [--steps 20] [--top 20] [--seconds 0.3]

First the machine: multiply-adds out of registers, copying from each cache and from memory, on one thread and on as
many as programs get.  Then each workload's kernels, those that take longest first: microseconds in a step, rates,
and their shares of the peaks.  A kernel's bytes are those that it must move at least, and count at the rate of the
smallest level that holds them all; "of roof" is the least time for its operations and its bytes, over its own.
What it reads may lie nearer than that, and functions such as exp count as one operation: both make the share only
a guide.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.table import Table

import lampas
from bench.facts import processor
from bench.machine import Peaks, measure_peaks
from bench.report import console, grid
from bench.workloads import WORKLOADS, make_program, make_step
from lampas.engine.device.background import finish
from lampas.engine.realize.origins import joined, step_shares
from lampas.engine.realize.profile import rows_of
from lampas.engine.watch import WATCHERS

SETTLING = 5


@dataclass(frozen=True)
class Entry:
    """A kernel in a step: how often it runs, and what all of its runs take, do and move together."""

    name: str
    origin: str
    calls: int
    microseconds: float
    operations: float
    nbytes: float


class Onlooker:
    """Notes each program that runs, with its readings of the clock."""

    def __init__(self) -> None:
        self.runs: list[tuple[Any, Any]] = []

    def watch(
        self, kind: str, subject: Any, call: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Any:
        """Calls are of no interest here."""
        return call(*arguments)

    def begin(self, kind: str, subject: Any) -> None:
        """As above."""

    def end(self, span: Any) -> None:
        """As above."""

    def walked(self, steps: Any) -> None:
        """As above."""

    def ran(self, program: Any, times: Any) -> None:
        self.runs.append((program, times))

    def entries(self) -> dict[tuple[str, str], Entry]:
        """What was noted since the last call, by the kernel's name and the operations that it came from."""
        rows: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
        finish()  # what is in the background
        for program, times in self.runs:
            for row in rows_of(program, times):
                origin = joined(step_shares(program.schedule, row.cost.place))
                rows[row.name, origin].append(row)
        self.runs.clear()
        return {
            key: Entry(
                *key,
                len(found),
                sum(row.microseconds for row in found),
                sum(row.cost.operations for row in found),
                sum(row.cost.nbytes for row in found),
            )
            for key, found in rows.items()
        }


def watched_steps(
    step: Callable[[], float], count: int
) -> tuple[list[float], list[dict[Any, Entry]]]:
    """Seconds of each step unwatched, then each step's kernels."""
    for _ in range(SETTLING):
        step()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    onlooker, found = Onlooker(), []
    WATCHERS.append(onlooker)
    try:
        for _ in range(count):
            step()
            found.append(onlooker.entries())
    finally:
        WATCHERS.remove(onlooker)
    return times, found


def typical(steps: Sequence[dict[Any, Entry]]) -> list[Entry]:
    """Each kernel's median step, the longest first; kernels that not every step runs count where they do."""
    every: defaultdict[Any, list[Entry]] = defaultdict(list)
    for step in steps:
        for key, entry in step.items():
            every[key].append(entry)
    middle = [
        sorted(found, key=lambda entry: entry.microseconds)[len(found) // 2]
        for found in every.values()
    ]
    return sorted(middle, key=lambda entry: -entry.microseconds)


def machine_table(every: Sequence[Peaks]) -> Table:
    """The machine's bounds."""
    levels = [level.name for level in every[0].levels]
    table = grid("threads", "GFLOP/s", *(f"copy {name} GB/s" for name in levels))
    for peaks in every:
        rates = [f"{level.gigabytes_a_second:.0f}" for level in peaks.levels]
        table.add_row(f"{peaks.threads}", f"{peaks.gigaflops:.0f}", *rates)
    return table


def kernel_table(entries: Sequence[Entry], peaks: Peaks, top: int) -> Table:
    """The kernels of a step."""
    table = grid(
        "kernel", "calls", "µs", "share", "GFLOP/s", "peak", "GB/s", "copy", "of", "of roof"
    )
    table.columns[0].no_wrap = False
    total = sum(entry.microseconds for entry in entries)
    for entry in entries[:top]:
        seconds = max(entry.microseconds, 1e-3) / 1e6
        flops, rate = entry.operations / seconds / 1e9, entry.nbytes / seconds / 1e9
        level = peaks.level(entry.nbytes / entry.calls)
        roof = entry.calls * peaks.seconds(
            entry.operations / entry.calls, entry.nbytes / entry.calls
        )
        table.add_row(
            f"{entry.origin}: {entry.name}",
            f"{entry.calls}",
            f"{entry.microseconds:.1f}",
            f"{entry.microseconds / total:.1%}",
            f"{flops:.1f}",
            f"{flops / peaks.gigaflops:.0%}",
            f"{rate:.1f}",
            f"{rate / level.gigabytes_a_second:.0%}",
            level.name,
            f"{roof / seconds:.0%}",
        )
    rest = entries[top:]
    if rest:
        spent = sum(entry.microseconds for entry in rest)
        calls = sum(entry.calls for entry in rest)
        share = f"{spent / total:.1%}"
        table.add_row(f"{len(rest)} more", f"{calls}", f"{spent:.1f}", share)
    return table


def main() -> None:
    """Measure the machine, then the workloads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", choices=[[], *WORKLOADS])
    parser.add_argument("--steps", type=int, default=20, help="steps of each workload")
    parser.add_argument("--top", type=int, default=20, help="kernels shown")
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="for each of the machine's peaks"
    )
    given = parser.parse_args()
    out, threads = console(), lampas.get_num_threads()
    every = [measure_peaks(count, given.seconds) for count in sorted({1, threads})]
    out.print(processor())
    out.print(machine_table(every))
    for name in given.workloads:
        chosen = WORKLOADS[name]
        step = make_step(lampas, make_program(lampas, chosen), chosen.batch, chosen.extent)
        times, steps = watched_steps(step, given.steps)
        entries = typical(steps)
        kernels = sum(entry.microseconds for entry in entries)
        operations = sum(entry.operations for entry in entries)
        out.print(
            f"\n{name}: a step takes {statistics.median(times) * 1e6:.0f} µs; "
            f"{sum(entry.calls for entry in entries)} kernels take {kernels:.0f} µs on {threads} threads, "
            f"{operations / max(kernels, 1e-3) / 1e3:.0f} GFLOP/s"
        )
        out.print(kernel_table(entries, every[-1], given.top))


if __name__ == "__main__":
    main()
