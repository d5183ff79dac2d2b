"""Draws from the random stream, one number at a time, as the random transforms make them.

They take the numbers straight from the default generator: a transform of a small image must not
wait for tensors of one element.
"""

from collections.abc import Sequence

import numpy as np

import lampas
from lampas.engine.tensor import distributions
from lampas.engine.tensor.generator import default_generator


def uniform(low: float, high: float) -> float:
    """A float32 between `low` and `high`, as `empty(1).uniform_(low, high)` gives it."""
    drawn = distributions.uniform(default_generator.engine, 1, lampas.float32, low, high)
    return float(drawn[0])


def whole(low: int, high: int) -> int:
    """A whole number, `high` excluded, as `randint(low, high, (1,))` gives it."""
    drawn = distributions.random_integers(default_generator.engine, 1, lampas.int64, low, high)
    return int(drawn[0])


def chance(p: float) -> bool:
    """Whether a fresh number in [0, 1) is below `p`."""
    return uniform(0.0, 1.0) < p


def log_uniform(ends: Sequence[float]) -> float:
    """exp of a number between the logarithms of two positive ends, in float32."""
    low, high = np.log(np.array(ends, dtype=np.float32)).tolist()
    return float(np.exp(np.float32(uniform(low, high))))
