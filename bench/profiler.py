"""What a profile costs: a training step without and with it, in turns.

    python bench/profiler.py [--steps 400]

Printed are the lower quartiles, which other work on the machine hardly moves, and their ratio.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import lampas
from lampas import nn
from lampas.profiler import profile

EVERYTHING = dict(record_shapes=True, profile_memory=True, with_flops=True)
WAYS: dict[str, dict[str, Any]] = {
    "names and times": {},
    "and shapes, memory, operations": EVERYTHING,
    "and stacks": dict(with_stack=True, **EVERYTHING),
}


def training(sizes: list[int], batch: int) -> Callable[[], float]:
    """One step of a network of linear layers with Adam."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers.extend([nn.Linear(fan_in, fan_out), nn.ReLU()])
    model = nn.Sequential(*layers[:-1])
    optimizer = lampas.optim.Adam(model.parameters())
    x, y = lampas.randn(batch, sizes[0]), lampas.randint(0, sizes[-1], (batch,))

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
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


def compare(step: Callable[[], float], steps: int, options: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a step without and with a profile."""
    plain: list[float] = []
    watched: list[float] = []
    for _ in range(20):
        plain.extend(seconds(step, steps // 20))
        with profile(**options):
            step()
            watched.extend(seconds(step, steps // 20))
    return quartile(plain), quartile(watched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    workloads = {
        "784-512-512-10, batch 64": training([784, 512, 512, 10], 64),
        "10-5-2, batch 16": training([10, 5, 2], 16),
    }
    for name, step in workloads.items():
        seconds(step, 20)
        for way, options in WAYS.items():
            plain, watched = compare(step, steps, options)
            share = watched / plain - 1
            print(f"{name:26s}{way:32s}{plain * 1e3:8.3f} ms{watched * 1e3:8.3f} ms{share:8.1%}")


if __name__ == "__main__":
    main()
