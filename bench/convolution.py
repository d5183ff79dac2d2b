"""Errors and times of the ways to convolve, on the shapes of ResNet-18's 3×3 layers.

    python bench/convolution.py [--images 16] [--repeat 5]

For each shape, algorithm and direction (the result, the derivative by the input, the derivative by the weight): the root
mean square error against float64 relative to that of the values, how many times that of the direct way it is, the median
time of a run of the kernels, and the rate in multiplications and additions of the direct way.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

import lampas
from lampas.backends import convolution
from lampas.nn import functional as F

# channels, filters, side
SHAPES = [(64, 64, 56), (64, 64, 16), (128, 128, 28), (128, 128, 8), (256, 256, 14), (256, 256, 4), (512, 512, 7)]  # fmt: skip
ALGORITHMS = ("direct", "winograd2", "winograd4")
DIRECTIONS = ("result", "by input", "by weight")


def operands(images: int, shape: tuple[int, int, int]) -> tuple[Any, Any, Any]:
    """An image, a weight of the usual size, and a cotangent."""
    channels, filters, side = shape
    lampas.manual_seed(0)
    weight = lampas.randn(filters, channels, 3, 3) / (channels * 9) ** 0.5
    return lampas.randn(images, channels, side, side), weight, lampas.randn(images, filters, side, side)  # fmt: skip


def derivative(x: Any, weight: Any, flow: Any, place: int) -> Any:
    """That by the image (0) or by the weight (1); the result itself is not computed."""
    given = [each.detach().requires_grad_() for each in (x, weight)]
    return lampas.autograd.grad(F.conv2d(*given, padding=1), given[place], flow)[0]


def make_runs(x: Any, weight: Any, flow: Any) -> list[Callable[[], Any]]:
    """The three directions as calls."""
    return [
        lambda: F.conv2d(x, weight, padding=1),
        lambda: derivative(x, weight, flow, 0),
        lambda: derivative(x, weight, flow, 1),
    ]


def milliseconds(run: Callable[[], Any], repeat: int) -> float:
    """The median time until the value is there."""
    times = []
    for _ in range(repeat + 2):
        start = time.perf_counter()
        run()._storage.compute()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:]) * 1e3


def error(found: Any, exact: numpy.ndarray) -> float:
    """Root mean square, relative to the values'."""
    gap = found.numpy().astype(numpy.float64) - exact
    return float(numpy.sqrt((gap**2).mean() / (exact**2).mean()))


def report(images: int, repeat: int) -> Table:
    """The table of everything."""
    table = Table("shape", "direction", "algorithm", "error", "× direct", "ms", "GFLOP/s")
    for shape in SHAPES:
        given = operands(images, shape)
        exact = [run().numpy() for run in make_runs(*[each.double() for each in given])]
        runs = make_runs(*given)
        work = 2 * 9 * images * shape[0] * shape[1] * shape[2] ** 2
        for place, direction in enumerate(DIRECTIONS):
            base = 0.0
            for name in ALGORITHMS:
                with convolution.flags(name):
                    found = error(runs[place](), exact[place])
                    spent = milliseconds(runs[place], repeat)
                base = base or found
                words = (
                    f"{found:.2e}",
                    f"{found / base:.1f}",
                    f"{spent:.2f}",
                    f"{work / spent / 1e6:.0f}",
                )
                table.add_row(
                    f"{images}×{shape[0]}×{shape[2]}² → {shape[1]}", direction, name, *words
                )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    Console(width=110).print(report(chosen.images, chosen.repeat))


if __name__ == "__main__":
    main()
