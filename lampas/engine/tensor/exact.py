"""Arithmetic that NumPy lacks and PyTorch's random numbers need to the last bit.

``fused32`` and ``fused64`` are a * b + c with one rounding, as the fused instructions of the
processor give it. ``libm`` applies a function of the C library to each element: NumPy's own
vector versions of log, sin and cos differ from it in the last bit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def libm(function: Callable[[float], float], values: Doubles) -> Doubles:
    """The values of a function of the ``math`` module at every element of a flat array."""
    return np.fromiter(map(function, values.tolist()), np.float64, len(values))


def fused32(a: NDArray[Any], b: Any, c: Any) -> NDArray[np.float32]:
    """a * b + c for numbers of float32, rounded once.

    The product is exact in float64. The sum is rounded there and then to float32: the two
    roundings differ from one in about 2**-29 of the cases.
    """
    product = np.multiply(a, b, dtype=np.float64)
    product += c
    return product.astype(np.float32)


def fused64(a: Doubles, b: float | Doubles, c: float | Doubles) -> Doubles:
    """a * b + c for numbers of float64, rounded once (Boldo and Melquiond, 2008).

    Numbers above 2**996 are beyond it.
    """
    product, product_error = _two_product(a, np.float64(b))
    high, low = _two_sum(np.broadcast_to(c, a.shape), product_error)
    total, total_error = _two_sum(product, high)
    return total + _sum_to_odd(low, total_error)


def _two_sum(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
    """The rounded sum and its error, exact together (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _halves(a: Doubles) -> tuple[Doubles, Doubles]:
    """Two numbers of 26 bits whose sum is ``a`` (Veltkamp)."""
    scaled = a * 134217729.0
    high = scaled - (scaled - a)
    return high, a - high


def _two_product(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
    """The rounded product and its error, exact together (Dekker)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return product, error


def _sum_to_odd(a: Doubles, b: Doubles) -> Doubles:
    """a + b rounded to odd: where inexact, to the neighbour whose last bit is one."""
    total, error = _two_sum(a, b)
    bits = total.view(np.int64)
    even = (error != 0) & ((bits & 1) == 0)
    outward = (error > 0) == (total > 0)
    return np.where(even, bits + np.where(outward, 1, -1), bits).view(np.float64)
