"""Random numbers that take a varying count of draws each: Poisson, binomial, gamma, Dirichlet.

The samplers walk the elements one by one, as PyTorch does: Poisson by W. Hoermann's transformed
rejection (1993) from rate 10 on and by products of uniform numbers below; binomial by his BTRS
(1993) where the mean is at least 10 and by geometric gaps below; gamma by G. Marsaglia and
W. Tsang (2000). Draws come from blocks; the engine is left exactly behind the last one used.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.dtype import from_numpy_dtype
from lampas.engine.numeric_limits import finfo
from lampas.engine.tensor.mt19937 import MersenneTwister

Array = NDArray[Any]
BLOCK = 256
_THIRD = float(np.float32(1.0) / np.float32(3.0))  # PyTorch's constant is of single precision


class Draws:
    """53-bit uniform numbers and Box-Muller's normal numbers, one at a time."""

    def __init__(self, engine: MersenneTwister) -> None:
        self.engine = engine
        self.kept = engine.cached_normal
        self._start = engine.snapshot()
        self._used = 0
        self._block: list[float] = []

    def __enter__(self) -> "Draws":
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.rewind(self._start)
        self.engine.doubles(self._used)
        self.engine.cached_normal = self.kept

    def uniform(self) -> float:
        """The next number in [0, 1)."""
        place = self._used % BLOCK
        if place == 0:
            self._block = self.engine.doubles(BLOCK).tolist()
        self._used += 1
        return self._block[place]

    def normal(self) -> float:
        """The next standard normal number; the second of each pair is kept."""
        if self.kept is not None:
            found, self.kept = self.kept, None
            return found
        angle = 2.0 * math.pi * self.uniform()
        radius = math.sqrt(-2.0 * math.log1p(-self.uniform()))
        self.kept = radius * math.sin(angle)
        return radius * math.cos(angle)


def poisson(engine: MersenneTwister, rates: Array) -> Array:
    """Counts of events at these mean rates, in the rates' shape and type."""
    wide = _as_doubles(rates)
    if not np.all(wide >= 0):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    with Draws(engine) as draws:
        return _each(rates, lambda rate: _poisson_one(draws, rate), wide)


def _poisson_one(draws: Draws, rate: float) -> float:
    if rate == 0.0:
        return 0.0
    if rate >= 10.0:
        return _poisson_large(draws, rate)
    limit, product, count = math.exp(-rate), draws.uniform(), 0
    while product > limit:
        product *= draws.uniform()
        count += 1
    return float(count)


def _poisson_large(draws: Draws, rate: float) -> float:
    log_rate = math.log(rate)
    width = 0.931 + 2.53 * math.sqrt(rate)
    slope = -0.059 + 0.02483 * width
    inverse_alpha = 1.1239 + 1.1328 / (width - 3.4)
    accepted = 0.9277 - 3.6224 / (width - 2)
    while True:
        first = draws.uniform() - 0.5
        second = draws.uniform()
        margin = 0.5 - abs(first)
        count = math.floor((2 * slope / margin + width) * first + rate + 0.43)
        if margin >= 0.07 and second <= accepted:
            return float(count)
        if count < 0 or (margin < 0.013 and second > margin):
            continue
        height = _log(second) + math.log(inverse_alpha)
        height -= math.log(slope / (margin * margin) + width)
        if height <= -rate + count * log_rate - math.lgamma(count + 1.0):
            return float(count)


def binomial(engine: MersenneTwister, counts: Array, probabilities: Array) -> Array:
    """Numbers of successes in ``counts`` trials; both arrays have one shape and type."""
    trials, chances = _as_doubles(counts), _as_doubles(probabilities)
    rounded = _rounding(counts.dtype)
    with Draws(engine) as draws:
        return _each(
            counts,
            lambda count, chance: _binomial_one(draws, count, chance, rounded),
            trials,
            chances,
        )


def _binomial_one(
    draws: Draws, count: float, chance: float, rounded: Callable[[float], float]
) -> float:
    if count <= 0.0 or chance <= 0.0:
        return 0.0
    if chance >= 1.0:
        return count
    if chance <= 0.5:
        return _successes(draws, count, chance, rounded)
    if chance > 0.5:
        return count - _successes(draws, count, rounded(1.0 - chance), rounded)
    return math.nan


def _successes(
    draws: Draws, count: float, chance: float, rounded: Callable[[float], float]
) -> float:
    if rounded(count * chance) >= 10.0:
        return _binomial_large(draws, count, chance, rounded)
    log_miss = math.log1p(-chance)
    gaps, found = 0.0, 0
    while True:
        gaps += math.ceil(_log(draws.uniform()) / log_miss)
        if gaps > count:
            return float(found)
        found += 1


def _binomial_large(
    draws: Draws, count: float, chance: float, rounded: Callable[[float], float]
) -> float:
    mean = rounded(count * chance)
    spread = math.sqrt(rounded(mean * rounded(1.0 - chance)))
    width = 1.15 + 2.53 * spread
    slope = -0.0873 + 0.0248 * width + 0.01 * chance
    center = mean + 0.5
    accepted = 0.92 - 4.2 / width
    odds = rounded(chance / rounded(1.0 - chance))
    alpha = (2.83 + 5.1 / width) * spread
    mode = math.floor(rounded((count + 1.0) * chance))
    while True:
        first = draws.uniform() - 0.5
        second = draws.uniform()
        margin = 0.5 - abs(first)
        found = math.floor((2 * slope / margin + width) * first + center)
        if found < 0 or found > count:
            continue
        if margin >= 0.07 and second <= accepted:
            return float(found)
        height = _log(second * alpha / (slope / (margin * margin) + width))
        if height <= _binomial_bound(count, mode, found, odds):
            return float(found)


def _binomial_bound(count: float, mode: float, found: float, odds: float) -> float:
    bound = (mode + 0.5) * math.log((mode + 1) / (odds * (count - mode + 1)))
    bound += (count + 1) * math.log((count - mode + 1) / (count - found + 1))
    bound += (found + 0.5) * math.log(odds * (count - found + 1) / (found + 1))
    bound += _stirling_tail(mode) + _stirling_tail(count - mode)
    return bound - _stirling_tail(found) - _stirling_tail(count - found)


def _stirling_tail(count: float) -> float:
    """log(k!) less Stirling's formula for it."""
    if count <= 9:
        following = count + 1.0
        return math.lgamma(following) - (
            (count + 0.5) * math.log(following) - following + 0.5 * math.log(2.0 * math.pi)
        )
    square = (count + 1.0) * (count + 1.0)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (count + 1.0)


def standard_gamma(engine: MersenneTwister, shapes: Array) -> Array:
    """Gamma numbers of scale 1 with these shape parameters, in their shape and type."""
    least = finfo(from_numpy_dtype(shapes.dtype)).smallest_normal
    rounded = _rounding(shapes.dtype)
    with Draws(engine) as draws:
        return _each(
            shapes,
            lambda shape: max(least, _gamma_one(draws, shape, rounded)),
            _as_doubles(shapes),
        )


def _gamma_one(draws: Draws, shape: float, rounded: Callable[[float], float]) -> float:
    scale = 1.0
    if shape < 1.0:
        if shape == 0.0:
            return 0.0
        scale = math.pow(1.0 - draws.uniform(), rounded(1.0 / shape))
        shape = rounded(shape + 1.0)
    base = rounded(shape - _THIRD)
    factor = 1.0 / math.sqrt(9.0 * base)
    while True:
        number = draws.normal()
        root = 1.0 + factor * number
        if root <= 0.0:
            continue
        cube = root * root * root
        chance = 1.0 - draws.uniform()
        square = number * number
        if chance < 1.0 - 0.0331 * square * square:
            return scale * base * cube
        if math.log(chance) < 0.5 * square + base * (1.0 - cube + math.log(cube)):
            return scale * base * cube


def dirichlet(engine: MersenneTwister, concentrations: Array) -> Array:
    """Rows of the last dimension that sum to one: gamma numbers, divided by their sum.

    Rows of float64 with many elements may differ from PyTorch's in the last bit, by the sum's order.
    """
    kind = concentrations.dtype
    gammas = standard_gamma(engine, _as_doubles(concentrations).reshape(concentrations.shape))
    shares = gammas / gammas.sum(-1, keepdims=True)
    below_one = np.nextafter(kind.type(1), kind.type(0))
    least = finfo(from_numpy_dtype(kind)).smallest_normal
    return np.minimum(below_one, np.maximum(shares.astype(kind), kind.type(least)))


def _as_doubles(array: Array) -> NDArray[np.float64]:
    return np.ascontiguousarray(array).astype(np.float64).ravel()


def _each(like: Array, sample: Callable[..., float], *arguments: NDArray[np.float64]) -> Array:
    found = np.fromiter(map(sample, *[each.tolist() for each in arguments]), np.float64, like.size)
    if like.dtype != np.float64:
        found = found.astype(np.float32)
    return found.astype(like.dtype).reshape(like.shape)


def _rounding(kind: np.dtype[Any]) -> Callable[[float], float]:
    """What storing a number in this type does to it."""
    if kind == np.float64:
        return float
    return lambda value: float(kind.type(value))


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf
