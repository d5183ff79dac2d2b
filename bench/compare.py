"""Times workloads under PyTorch and Lampas in turn, and prints the ratio of medians.

    python bench/compare.py [WORKLOAD …] [--rounds 7] [--seconds 0.4] [--json FILE] [--list] [--check]
                            [--compile] [--others] [--cold] [--memory]

Each contestant runs in a process of its own; the processes take turns, one at a time, round after round, so that a
change of the machine's speed meets all; rounds in which others use the machine are repeated.  A ratio is how many times as long another contestant takes as Lampas.
`--compile` adds torch.compile (and lampas.compile where it is there), `--others` JAX and tinygrad; `--cold` also
measures first steps and changes of size in fresh processes, `--memory` how much each grows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.contestants import Failure, Worker, chosen_contestants
from bench.facts import facts
from bench.load import OthersLoad
from bench.report import show_checks, show_list, show_results
from bench.rounds import Round, enough, summary
from bench.starts import measure_memory, measure_starts
from bench.workloads import WORKLOADS

PAUSE = 0.3  # seconds; OpenMP's threads spin for 0.2 s after their last work and would take a core


class Comparison:
    """The contestants' processes; one that dies is started again for the next workload."""

    def __init__(self, contestants: list[str]) -> None:
        self.imports: dict[str, list[float]] = {}
        self.workers: dict[str, Worker] = {}
        self.left_out: dict[str, str] = {}
        for name in contestants:
            try:
                self.start(name)
            except Failure as failure:
                self.left_out[name] = str(failure)

    def start(self, name: str) -> None:
        self.workers[name] = Worker(name)
        self.imports.setdefault(name, []).append(self.workers[name].seconds_to_import)

    def compare(self, name: str, rounds: int, seconds: float) -> dict[str, Any]:
        """One workload's row: medians, ratios to ours, first values, and what went wrong."""
        row: dict[str, Any] = {
            "name": name,
            "description": WORKLOADS[name].description,
            "errors": {},
            "values": {},
        }
        self.build(name, row)
        found: list[Round] = []
        while not enough(found, rounds):
            found.append(self.round(name, row, len(found), seconds))
        row |= summary(found, rounds)
        for contestant in list(self.workers):
            self.ask(contestant, row, "drop", name)
        return row

    def round(self, name: str, row: dict[str, Any], number: int, seconds: float) -> Round:
        """A turn of everybody who has not failed; each is the first in its turn."""
        order = [who for who in row["values"] if who not in row["errors"]]
        first = number % max(len(order), 1)
        load = OthersLoad(worker.process.pid for worker in self.workers.values())
        times = {}
        for contestant in order[first:] + order[:first]:
            time.sleep(PAUSE)
            found = self.ask(contestant, row, "time", name, seconds)
            if found is not None:
                times[contestant] = median(found["times"])
        return Round(times, load.share())

    def build(self, name: str, row: dict[str, Any]) -> None:
        """Let every contestant build the workload; note the value of its first step."""
        for contestant in list(self.workers):
            time.sleep(PAUSE)
            found = self.ask(contestant, row, "build", name)
            if found is not None:
                row["values"][contestant] = found["value"]

    def ask(self, contestant: str, row: dict[str, Any], *command: Any) -> dict[str, Any] | None:
        """Send a command; a failure is noted in the row, and a dead process replaced."""
        try:
            return self.workers[contestant].ask(*command)
        except Failure as failure:
            row["errors"].setdefault(contestant, str(failure))
        if not self.workers[contestant].alive:
            self.start(contestant)
        return None

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()


def measure(names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for; the file is written after each workload, since all may take an hour."""
    comparison = Comparison(chosen_contestants(options.compile, options.others))
    results: dict[str, Any] = {
        "machine": facts(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "contestants": list(comparison.workers),
        "left_out": comparison.left_out,
        "rows": [],
    }
    for name in names:
        say(name)
        results["rows"].append(comparison.compare(name, options.rounds, options.seconds))
        results["imports"] = {who: median(found) for who, found in comparison.imports.items()}
        save(results, options.json)
    comparison.close()
    for row in results["rows"]:
        say(f"{row['name']}: starts, memory")
        if options.cold:
            row["starts"] = {who: measure_starts(who, row["name"]) for who in row["values"]}
        if options.memory:
            row["memory"] = {who: measure_memory(who, row["name"]) for who in row["values"]}
        save(results, options.json)
    say("")
    return results


def save(results: dict[str, Any], path: Path | None) -> None:
    """Write the file, if there is to be one."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n")


def say(what: str) -> None:
    """Tell a person who waits what is being done."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what:40}\r{what}")
        sys.stderr.flush()


def check(names: list[str]) -> int:
    """First values of PyTorch and Lampas beside one another; the number that differ."""
    comparison = Comparison(chosen_contestants(compiling=False, others=False))
    rows = [comparison.compare(name, 0, 0.0) for name in names]
    comparison.close()
    return show_checks(rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--list", action="store_true", help="show the workloads, and stop")
    parser.add_argument("--check", action="store_true", help="compare first values, time nothing")
    parser.add_argument("--compile", action="store_true", help="also torch.compile (minutes)")
    parser.add_argument("--others", action="store_true", help="also JAX and tinygrad, if installed")
    parser.add_argument("--cold", action="store_true", help="also first steps, changes of size")
    parser.add_argument("--memory", action="store_true", help="also growth in memory")
    given = parser.parse_args()
    unknown = set(given.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    return given


def main() -> int:
    """Run the comparison."""
    options = parse()
    names = options.workloads or list(WORKLOADS)
    if options.list:
        show_list([WORKLOADS[name] for name in names])
        return 0
    if options.check:
        return min(check(names), 1)
    results = measure(names, options)
    show_results(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
