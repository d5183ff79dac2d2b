"""What a profile costs: a training step without and with it, in turns.

    python bench/profiler.py [--steps 400]

Printed are the lower quartiles, which other work on the machine hardly moves, and what the profile adds; the same for
PyTorch's profiler where that is installed.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import lampas
import lampas.profiler
from bench.report import console, grid

EVERYTHING = dict(record_shapes=True, profile_memory=True, with_flops=True)
WAYS: dict[str, dict[str, Any]] = {
    "names and times": {},
    "and shapes, memory, operations": EVERYTHING,
    "and stacks": dict(with_stack=True, **EVERYTHING),
}


def training(lib: Any, sizes: list[int], batch: int) -> Callable[[], float]:
    """One step of a network of linear layers with Adam."""
    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers.extend([lib.nn.Linear(fan_in, fan_out), lib.nn.ReLU()])
    model = lib.nn.Sequential(*layers[:-1])
    optimizer = lib.optim.Adam(model.parameters())
    x, y = lib.randn(batch, sizes[0]), lib.randint(0, sizes[-1], (batch,))

    def step() -> float:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def seconds(step: Callable[[], float], steps: int) -> list[float]:
    """The time of each of some steps."""
    found = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return found


def quartile(values: list[float]) -> float:
    return statistics.quantiles(values, n=4)[0]


def compare(
    profile: Any, step: Callable[[], float], steps: int, options: dict[str, Any]
) -> tuple[float, float]:
    """Seconds of a step without and with a profile."""
    plain: list[float] = []
    watched: list[float] = []
    for _ in range(20):
        plain.extend(seconds(step, steps // 20))
        with profile(**options):
            step()
            watched.extend(seconds(step, steps // 20))
    return quartile(plain), quartile(watched)


def libraries() -> dict[str, Any]:
    """Lampas, and PyTorch if it is there."""
    found: dict[str, Any] = {"Lampas": lampas}
    try:
        found["PyTorch"] = importlib.import_module("torch")
        importlib.import_module("torch.profiler")
    except ImportError:
        pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    table = grid("network, batch", "profile", "library", "without ms", "with ms", "added")
    for sizes, batch in (([784, 512, 512, 10], 64), ([10, 5, 2], 16)):
        for way, options in WAYS.items():
            for name, lib in libraries().items():
                step = training(lib, sizes, batch)
                seconds(step, 20)
                plain, watched = compare(lib.profiler.profile, step, steps, options)
                times = f"{plain * 1e3:.3f}", f"{watched * 1e3:.3f}", f"{watched / plain - 1:.1%}"
                table.add_row(f"{'-'.join(map(str, sizes))}, {batch}", way, name, *times)
    console().print(table)


if __name__ == "__main__":
    main()
