"""Random permutations, and indices drawn by weight, as NumPy arrays: PyTorch 2.13's numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.host.searching import search
from lampas.engine.host.selection import top
from lampas.engine.host.shares import in_shares
from lampas.engine.tensor.exact import libm
from lampas.engine.tensor.mt19937 import MersenneTwister
from lampas.engine.tensor.random_native import native

Array = NDArray[Any]
SMALL_PERMUTATION = (2**32 - 1) // 20


def permutation(engine: MersenneTwister, count: int) -> NDArray[np.int64]:
    """The numbers below ``count`` in random order, as int64.

    Step i swaps place i with place i + (word mod (count - i)). From 2**32 / 20 on, 64-bit words
    place each number i at (word mod (i + 1)) and move what was there to i.
    """
    if count < SMALL_PERMUTATION:
        remaining = np.arange(count, 1, -1, dtype=np.uint32)
        jumps = engine.words(max(count - 1, 0)) % remaining
        partners = jumps.astype(np.int64)
        partners += np.arange(len(partners))
        return swap_chain(partners, count)
    places = engine.long_words(count) % np.arange(1, count + 1, dtype=np.uint64)
    return _insertion_chain(places.view(np.int64), count)


def swap_chain(partners: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The numbers below ``count`` after swapping places i and partners[i], in the order of i."""
    kernels = native(count)
    if kernels is not None:
        result = np.arange(count)
        kernels["swap"](result.ctypes.data, partners.ctypes.data, len(partners))
        return result
    order = list(range(count))
    for place, partner in enumerate(partners.tolist()):
        order[place], order[partner] = order[partner], order[place]
    return np.array(order, np.int64)


def _insertion_chain(places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    order = list(range(count))
    for number, place in enumerate(places.tolist()):
        order[number] = order[place]
        order[place] = number
    return np.array(order, np.int64)


def multinomial(
    engine: MersenneTwister, weights: Array, samples: int, replacement: bool = False
) -> NDArray[np.int64]:
    """Indices drawn in proportion to the weights along the last dimension (one or two in all).

    Without replacement, or for one sample: the ``samples`` largest of weight / exponential number,
    largest first. Otherwise a binary search of 53-bit uniform numbers in the normalised running
    sum.
    """
    if not 1 <= weights.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    categories = weights.shape[-1]
    if not replacement and samples > categories:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if categories > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    wide = weights if weights.dtype == np.float64 else weights.astype(np.float32)
    rows = wide.reshape(-1, categories)
    _check_weights(rows)
    if replacement and samples > 1:
        found = _choose_with_replacement(engine, rows, samples)
    else:
        found = _choose_without_replacement(engine, rows, samples, weights.dtype)
    return found.reshape(*weights.shape[:-1], samples)


def _check_weights(weights: Array) -> None:
    # A NaN is both the least and the greatest, and compares as false.
    if weights.size and not (weights.min() >= 0 and weights.max() < np.inf):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if np.any(weights.sum(-1) == 0):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def _choose_with_replacement(
    engine: MersenneTwister, weights: Array, samples: int
) -> NDArray[np.int64]:
    drawn = engine.doubles(len(weights) * samples).reshape(-1, samples)
    # An edge in the narrower type lies below a number if it does below the next of its own type.
    edges = drawn.astype(weights.dtype)
    limits = np.where(edges < drawn, np.nextafter(edges, edges.dtype.type(np.inf)), edges)
    found = np.empty(drawn.shape, np.int64)

    def choose(start: int, stop: int) -> None:
        running = np.cumsum(weights[start:stop], -1, dtype=weights.dtype)
        running /= running[:, -1:].copy()
        running[:, -1] = 1
        found[start:stop] = search(running, limits[start:stop], "left")

    in_shares(choose, *weights.shape)
    return found


def _choose_without_replacement(
    engine: MersenneTwister, weights: Array, samples: int, kind: np.dtype[Any]
) -> NDArray[np.int64]:
    drawn = engine.doubles(weights.size).reshape(weights.shape)
    found = np.empty((len(weights), samples), np.int64)

    def choose(start: int, stop: int) -> None:
        times = libm("log1p", -drawn[start:stop].reshape(-1)).reshape(stop - start, -1)
        np.negative(times, out=times)
        rounded = _through(times, kind, weights.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = _through(weights[start:stop] / rounded, kind, weights.dtype)
        found[start:stop] = top(scores, 1, samples, True)[1]

    in_shares(choose, *weights.shape)
    return found


def _through(values: Array, kind: np.dtype[Any], wide: np.dtype[Any]) -> Array:
    """The values rounded to `wide`, then to `kind`, and given in `wide`."""
    rounded = values.astype(wide, copy=False)
    return rounded if kind == wide else rounded.astype(kind).astype(wide)
