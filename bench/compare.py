"""Times workloads under PyTorch and Lampas in turn, and prints the ratio of medians.

    python bench/compare.py [WORKLOAD …] [--rounds 7] [--seconds 0.4] [--json FILE]

Each library runs in a process of its own; the processes take turns, one at a time, round after round,
so that a change of the machine's speed meets both.  A ratio above 1 means that Lampas is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

HERE = pathlib.Path(__file__).parent
PAUSE = 0.3  # seconds; OpenMP's threads spin for 0.2 s after their last work and would take a core
sys.path.insert(0, str(HERE))

from workloads import WORKLOADS  # noqa: E402  (the folder is no package)


class Worker:
    """A process that runs one library."""

    def __init__(self, library: str) -> None:
        paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        self.seconds_to_import = self.read()["import"]

    def read(self) -> dict[str, Any]:
        """The next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a worker has died; its error stands above")
        return json.loads(line)

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.read()


def compare(name: str, ours: Worker, theirs: Worker, rounds: int, seconds: float) -> dict[str, Any]:
    """Medians of both and their ratio, with the ratio's spread over the rounds."""
    mine, other = ours.ask(f"build {name}"), theirs.ask(f"build {name}")
    for library, made in (("lampas", mine), ("torch", other)):
        if "error" in made:
            return {"name": name, "error": f"{library}: {made['error']}"}
    ratios, times = [], {"lampas": [], "torch": []}
    peak = {"lampas": 0.0, "torch": 0.0}
    for _ in range(rounds):
        found = {}
        for library, worker in (("torch", theirs), ("lampas", ours)):
            time.sleep(PAUSE)
            found[library] = worker.ask(f"time {name} {seconds}")
        for library, measured in found.items():
            times[library].append(statistics.median(measured["times"]))
            peak[library] = max(peak[library], measured["peak"])
        ratios.append(times["torch"][-1] / times["lampas"][-1])
    return {
        "name": name,
        "torch_ms": statistics.median(times["torch"]) * 1e3,
        "lampas_ms": statistics.median(times["lampas"]) * 1e3,
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "first_torch": other["first"],
        "first_lampas": mine["first"],
        "peak_torch": peak["torch"],
        "peak_lampas": peak["lampas"],
    }


def show(rows: list[dict[str, Any]], imports: tuple[float, float]) -> None:
    """Print the table."""
    print(f"import: torch {imports[0]:.2f} s, lampas {imports[1]:.2f} s")
    print(
        f"{'workload':20}{'torch ms':>10}{'lampas ms':>11}{'ratio':>8}  spread        first step s (torch, lampas)"
    )
    for row in rows:
        if "error" in row:
            print(f"{row['name']:20}{row['error'][:100]}")
            continue
        print(
            f"{row['name']:20}{row['torch_ms']:10.3f}{row['lampas_ms']:11.3f}{row['ratio']:8.2f}  "
            f"{row['lowest']:.2f} – {row['highest']:.2f}   {row['first_torch']:.3f}, {row['first_lampas']:.3f}"
        )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    unknown = set(arguments.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    ours, theirs = Worker("lampas"), Worker("torch")
    names = arguments.workloads or list(WORKLOADS)
    rows = [compare(name, ours, theirs, arguments.rounds, arguments.seconds) for name in names]
    show(rows, (theirs.seconds_to_import, ours.seconds_to_import))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
