"""Functions, layers and losses one by one beside PyTorch: where Lampas is behind, and by how much.

    python bench/functions.py [NAME …] [--rounds 2] [--seconds 0.1] [--below 1.0] [--all]

Each library has a process of its own, which times every case once a round; the rounds take turns. A case is called alone and
its result is asked for at once, so that nothing is fused with it: what a program of many functions gains is not seen here,
what a single call costs is. The least of the rounds' medians counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from rich.markup import escape
from tqdm import tqdm

from bench.function_table import forward_cases, training_cases
from bench.ratios import geometric_mean
from bench.report import console, grid

Call = Callable[[], Any]
WARMING = 5  # calls until all has been compiled
MOST_CALLS = 200
SHAPE = (512, 1024)


def is_training(name: str) -> bool:
    return name.startswith("train ")


def case_names(wanted: Sequence[str]) -> list[str]:
    """All names, or those that contain a wanted word."""
    names = [*forward_cases(), *(f"train {name}" for name in training_cases())]
    return [name for name in names if not wanted or any(word in name for word in wanted)]


def drawn(library: Any) -> dict[str, Any]:
    """What expressions see: the same numbers in each library."""
    random = np.random.default_rng(0)
    x = random.standard_normal(SHAPE, np.float32)
    y = np.abs(random.standard_normal(SHAPE, np.float32)) + np.float32(0.01)
    i = random.integers(0, SHAPE[1], SHAPE)
    s = np.sort(random.standard_normal(SHAPE, np.float32), 1)
    tensors = {key: library.from_numpy(value) for key, value in zip("xyis", (x, y, i, s))}
    kept: dict[Any, Any] = {}

    def leaf(*shape: int) -> Any:
        return library.randn(*shape).requires_grad_()

    def places(*shape: int) -> Any:
        return kept.setdefault(shape, library.rand(*shape))

    def whole(limit: int, *shape: int) -> Any:
        return kept.setdefault((limit, shape), library.randint(0, limit, shape))

    names = {"t": library, "nn": library.nn, "F": library.nn.functional}
    return names | {"leaf": leaf, "places": places, "whole": whole} | tensors


def forward_call(expression: str, names: dict[str, Any]) -> Call:
    """The expression, and a look at its result."""
    run = eval(f"lambda: {expression}", names)

    def call() -> None:
        found = run()
        (found if hasattr(found, "data_ptr") else found[0]).data_ptr()

    return call


def training_call(expression: str, names: dict[str, Any]) -> Call:
    """Forward, backward, and a look at all gradients."""
    layer, *given = eval(expression, names)
    leaves = [*given, *(layer.parameters() if hasattr(layer, "parameters") else ())]

    def call() -> None:
        for each in leaves:
            each.grad = None
        found = layer(*given)
        (found[0] if isinstance(found, tuple) else found).sum().backward()
        for each in leaves:
            each.grad.data_ptr()

    return call


def measure(library: Any, names: Sequence[str], seconds: float) -> dict[str, float]:
    """The median duration of each case; one that fails is told on standard error and left out."""
    library.set_num_threads(2)
    library.manual_seed(0)
    seen = drawn(library)
    forward, training = forward_cases(), training_cases()
    found = {}
    for name in tqdm(names, desc=library.__name__, leave=False, disable=None):
        try:
            if is_training(name):
                call = training_call(training[name.removeprefix("train ")], seen)
            else:
                call = forward_call(forward[name], seen)
            found[name] = duration(call, seconds)
        except Exception as error:  # one that fails says nothing of the others
            print(f"{library.__name__}: {name}: {error!r}", file=sys.stderr)
    return found


def duration(call: Call, seconds: float) -> float:
    """The median of calls for so many seconds, of five at least."""
    for _ in range(WARMING):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < MOST_CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times)


def measured_by(library: str, names: Sequence[str], seconds: float) -> dict[str, float]:
    """As `measure`, in a process of its own."""
    command = [sys.executable, __file__, "--library", library, "--seconds", str(seconds)]
    done = subprocess.run(
        command, input=json.dumps(names), stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def compare(names: Sequence[str], rounds: int, seconds: float) -> list[tuple[str, float, float]]:
    """(name, PyTorch's seconds, ours) of what both can do."""
    least: dict[str, dict[str, float]] = {"torch": {}, "lampas": {}}
    for _ in range(rounds):
        for library, best in least.items():
            for name, value in measured_by(library, names, seconds).items():
                best[name] = min(value, best.get(name, value))
    theirs, ours = least["torch"], least["lampas"]
    return [(name, theirs[name], ours[name]) for name in names if name in theirs and name in ours]


def report(rows: Sequence[tuple[str, float, float]], below: float) -> None:
    """What lies below a ratio, the slowest first; then how many, and the mean."""
    table = grid("function", "PyTorch µs", "Lampas µs", "ratio")
    ratios = sorted((theirs / ours, name, theirs, ours) for name, theirs, ours in rows)
    for ratio, name, theirs, ours in ratios:
        if ratio < below:
            table.add_row(escape(name), f"{theirs * 1e6:.1f}", f"{ours * 1e6:.1f}", f"{ratio:.2f}")
    screen = console()
    screen.print(table)
    for kind, chosen in (("forward", False), ("forward and backward", True)):
        found = [ratio for ratio, name, *_ in ratios if is_training(name) is chosen]
        behind = sum(ratio < 1 for ratio in found)
        screen.print(
            f"{kind}: geometric mean {geometric_mean(found):.2f} of {len(found)}; {behind} below 1"
        )


def main() -> None:
    """Compare, or measure one library for who compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="words that names contain")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.1, help="spent on a case in a round")
    parser.add_argument("--below", type=float, default=1.0, help="show ratios below this")
    parser.add_argument("--all", action="store_true", help="show all ratios")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        library = importlib.import_module(options.library)
        print(json.dumps(measure(library, json.loads(sys.stdin.read()), options.seconds)))
        return
    rows = compare(case_names(options.names), options.rounds, options.seconds)
    report(rows, float("inf") if options.all else options.below)


if __name__ == "__main__":
    main()
