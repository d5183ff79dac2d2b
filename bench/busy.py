"""The busy machine: a step alone, and while another process keeps one core occupied.

    python bench/busy.py [WORKLOAD …] [--rounds 5] [--seconds 1.0] [--pin]

On a machine of two cores a program of two threads should then slow down by about a half to two times; waiting for a
thread that the system has put aside makes it many times slower.  Times are means, not medians: what matters is how
far a program gets.  PyTorch and Lampas take turns, each alone and disturbed in every round.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.contestants import Failure, Worker, chosen_contestants
from bench.facts import cores, processor
from bench.ratios import digits, ratio_of
from bench.report import console, grid
from bench.workloads import WORKLOADS

USUAL = ("tiny", "mlp-sgd", "resnet18-train-64")
PAUSE = 0.3  # as in compare.py


@contextlib.contextmanager
def occupied_core(pin: bool) -> Iterator[None]:
    """Another process computes without end, on the last core if pinned, else where the system puts it."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        if pin:
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        time.sleep(PAUSE)
        yield
    finally:
        process.kill()
        process.wait()


def mean_step(worker: Worker, name: str, seconds: float) -> float:
    """Seconds of a step, on average."""
    time.sleep(PAUSE)
    return fmean(worker.ask("time", name, seconds)["times"])


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", choices=[[], *WORKLOADS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--pin", action="store_true", help="keep the other process on one core")
    given = parser.parse_args()
    out = console()
    out.print(f"{processor()}, {cores()} cores")
    table = grid("workload", "library", "alone ms", "disturbed ms", "slowdown", "lowest", "highest")
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(name))
            for name in chosen_contestants(compiling=False, others=False)
        ]
        for name in given.workloads or USUAL:
            for worker, alone, disturbed in measure(workers, name, given):
                slowdown = ratio_of(disturbed, alone)
                numbers = slowdown.middle, slowdown.lowest, slowdown.highest
                times = [digits(median(found) * 1e3) for found in (alone, disturbed)]
                table.add_row(name, worker.contestant, *times, *(f"{n:.2f}" for n in numbers))
    out.print(table)


def measure(
    workers: list[Worker], name: str, given: argparse.Namespace
) -> list[tuple[Worker, list[float], list[float]]]:
    """Each contestant's mean steps in every round, alone and disturbed."""
    found = []
    for worker in workers:
        try:
            worker.ask("build", name)
        except Failure as failure:
            print(f"{name}, {worker.contestant}: {failure}", file=sys.stderr)
            continue
        found.append((worker, [], []))
    for _ in range(given.rounds):
        for worker, alone, _ in found:
            alone.append(mean_step(worker, name, given.seconds))
        with occupied_core(given.pin):
            for worker, _, disturbed in found:
                disturbed.append(mean_step(worker, name, given.seconds))
    for worker, _, _ in found:
        worker.ask("drop", name)
    return found


if __name__ == "__main__":
    main()
