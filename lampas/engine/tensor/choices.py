"""Random permutations, and indices drawn by weight, as NumPy arrays: PyTorch 2.13's numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        chosen = [_choose_with_replacement(engine, row, samples) for row in rows]
        found = np.array(chosen, np.int64)
    else:
        found = _choose_without_replacement(engine, rows, samples, weights.dtype)
    return found.reshape(*weights.shape[:-1], samples)


def _check_weights(weights: Array) -> None:
    if not (np.all(weights >= 0) and np.all(np.isfinite(weights))):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if np.any(weights.sum(-1) == 0):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def _choose_with_replacement(
    engine: MersenneTwister, weights: Array, samples: int
) -> NDArray[np.int64]:
    running = np.cumsum(weights, dtype=weights.dtype)
    running /= running[-1]
    running[-1] = 1
    return np.searchsorted(running.astype(np.float64), engine.doubles(samples), side="left")


def _choose_without_replacement(
    engine: MersenneTwister, weights: Array, samples: int, kind: np.dtype[Any]
) -> NDArray[np.int64]:
    times = -libm("log1p", -engine.doubles(weights.size)).reshape(weights.shape)
    rounded = times.astype(weights.dtype).astype(kind).astype(weights.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = (weights / rounded).astype(kind).astype(weights.dtype)
    if samples == 1:
        return np.argmax(scores, -1)[:, None]
    return np.argsort(-scores, -1, kind="stable")[:, :samples]
