"""The cost of recording one operation, in microseconds, beside what PyTorch takes to do it on tiny tensors.

    python bench/operations.py [--rounds 15] [--length 60]

A chain of operations with gradients is recorded and its values are then asked for; only the recording is timed.
*Followed* is the usual case, a chain met before.  *Met anew* is a chain that no trie knows: all that was remembered of
paths is forgotten before each round, plans and kernels are not.  PyTorch computes while it records.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import lampas
from bench.report import console, grid
from lampas.engine.derive import trail
from lampas.engine.graph import journal
from lampas.engine.graph.sightings import MET

Chain = Callable[[Any, Any, Any], Any]

CHAINS: dict[str, Chain] = {
    "x + w": lambda lib, x, w: x + w,
    "x * w": lambda lib, x, w: x * w,
    "tanh(x)": lambda lib, x, w: lib.tanh(x),
    "relu(x)": lambda lib, x, w: lib.relu(x),
    "x @ w": lambda lib, x, w: x @ w,
    "linear(x, w)": lambda lib, x, w: lib.nn.functional.linear(x, w),
}


def forget_paths() -> None:
    """Make every operation a first one."""
    MET.clear()
    trail._ROOT[0] = trail._Root()
    trail.end_trail()
    journal.forget()
    journal.CURRENT.journal = journal.Journal()


def record(lib: Any, chain: Chain, length: int) -> tuple[float, Any]:
    """Microseconds an operation, and the end of the chain."""
    x = lib.ones(4, 4) * 0.5
    w = (lib.ones(4, 4) * 0.25).requires_grad_()
    x.sum().item()
    start = time.perf_counter()
    for _ in range(length):
        x = chain(lib, x, w)
    return (time.perf_counter() - start) / length * 1e6, x


def cost(lib: Any, chain: Chain, options: argparse.Namespace, anew: bool = False) -> float:
    """The median over rounds."""
    times = []
    for number in range(options.rounds + 5):
        if anew:
            forget_paths()
        spent, end = record(lib, chain, options.length)
        end.sum().item()
        if number >= 5:
            times.append(spent)
    return median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--length", type=int, default=60, help="operations of a chain")
    options = parser.parse_args()
    try:
        torch = importlib.import_module("torch")
        torch.set_num_threads(1)
    except ImportError:
        torch = None
    table = grid("operation", "followed µs", "met anew µs", "PyTorch µs")
    for name, chain in CHAINS.items():
        found = [cost(lampas, chain, options), cost(lampas, chain, options, anew=True)]
        theirs = "" if torch is None else f"{cost(torch, chain, options):.2f}"
        table.add_row(name, *[f"{value:.2f}" for value in found], theirs)
    console().print(table)


if __name__ == "__main__":
    main()
