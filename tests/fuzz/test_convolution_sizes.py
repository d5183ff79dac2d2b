"""Convolutions of random sizes around the kernels' thresholds, result and both derivatives, against the NumPy reference.

Depths beyond a panel, filters that fill one, two or three vectors or none, weights that are transformed by panels: small tests
reach none of these by chance.  Images are small, so that a case takes some milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lampas.engine.dtype import float32
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from tests.unit.schedules import check, leaf

CHANNELS = (1, 3, 6, 8, 16, 24, 40, 64, 136, 248, 320, 448, 513, 520, 576, 640, 700, 776)
FILTERS = (1, 3, 8, 16, 24, 40, 48, 72, 136, 256)
MOST_WEIGHTS = 150_000


def random_case(seed: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...]]:
    """Shapes of image and weight, and the four settings."""
    rng = np.random.default_rng(seed)
    width = int(rng.choice((1, 3, 3, 3, 5)))
    channels = int(rng.choice(CHANNELS))
    fitting = [f for f in FILTERS if f * channels * width * width <= MOST_WEIGHTS]
    filters = int(rng.choice(fitting))
    stride, padding = int(rng.integers(1, 3)), int(rng.integers(0, width // 2 + 1))
    image = [int(n) + max(width - 2 * padding, 1) for n in rng.integers(0, 9, 2)]
    shape = (int(rng.integers(1, 10)), channels, *image)
    settings = ((stride, stride), (padding, padding), (1, 1), 1)
    return shape, (filters, channels, width, width), settings


def random_depthwise(seed: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...]]:
    """The same of one filter a channel, with images wide enough to go by rows."""
    rng = np.random.default_rng(seed)

    def pair(low: int, high: int) -> tuple[int, int]:
        down, across = rng.integers(low, high, 2)
        return int(down), int(across)

    channels, window = int(rng.choice((1, 7, 8, 24, 40, 70))), pair(1, 5)
    stride, padding, dilation = pair(1, 4), pair(0, 3), pair(1, 3)
    image = [
        d * (k - 1) + 1 + int(n)
        for k, d, n in zip(window, dilation, rng.integers(0, 20, 2), strict=True)
    ]
    shape = (int(rng.integers(1, 5)), channels, *image)
    return shape, (channels, 1, *window), (stride, padding, dilation, channels)


CASES = [random_case(seed) for seed in range(48)] + [random_depthwise(seed) for seed in range(32)]


@pytest.mark.parametrize(("shape", "size", "settings"), CASES, ids=map(str, range(len(CASES))))
def test_result_and_derivatives(
    shape: tuple[int, ...], size: tuple[int, ...], settings: tuple[Any, ...]
) -> None:
    x, weight = leaf(*shape, kind=float32, seed=1), leaf(*size, kind=float32, seed=2)
    made = g.make(p.CONVOLUTION, (x, weight), settings)
    flow = leaf(*made.shape, kind=float32, seed=3)
    by_input = g.make(p.CONVOLUTION_BACKWARD_INPUT, (flow, weight), (x.shape, *settings))
    by_weight = g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (x, flow), (weight.shape, *settings))
    check(made, by_input, by_weight, tolerance=2e-3)
