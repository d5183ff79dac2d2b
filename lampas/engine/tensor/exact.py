"""Arithmetic that NumPy lacks and PyTorch's random numbers need to the last bit.

``fused32`` and ``fused64`` are a * b + c with one rounding, as the fused instructions of the
processor give it. ``libm`` applies a function of the C library to each element: NumPy's own
vector versions of log, sin and cos differ from it in the last bit.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.tensor.random_native import native

Doubles = NDArray[np.float64]


def libm(name: str, values: Doubles) -> Doubles:
    """The values of a function of the C library ("log", "exp", …) at every element of a flat array.

    log(0) is -inf and a large exp is inf, as in C.
    """
    kernels = native(len(values))
    if kernels is None:
        function = _TOTAL.get(name) or getattr(math, name)
        return np.fromiter(map(function, values.tolist()), np.float64, len(values))
    result = np.array(values)
    kernels[name](result.ctypes.data, len(result))
    return result


_TOTAL: dict[str, Callable[[float], float]] = {
    "log": lambda x: math.log(x) if x > 0.0 else -math.inf,
    "exp": lambda x: math.exp(x) if x < 709.78 else math.inf,
}


def fused32(a: NDArray[Any], b: Any, c: Any) -> NDArray[np.float32]:
    """a * b + c for numbers of float32, rounded once.

    The product is exact in float64. The sum is rounded there and then to float32: the two
    roundings differ from one in about 2**-29 of the cases.
    """
    product = np.multiply(a, b, dtype=np.float64)
    product += c
    return product.astype(np.float32)


def fused64(a: Doubles, b: float, c: float) -> Doubles:
    """a * b + c for a flat array of float64, rounded once.

    Without machine code by the method of Boldo and Melquiond (2008), for numbers below 2**996.
    """
    kernels = native(len(a))
    if kernels is not None:
        result = np.array(a)
        kernels["fused"](result.ctypes.data, len(result), b, c)
        return result
    product, product_error = _two_product(a, np.full(a.shape, b))
    high, low = _two_sum(np.full(a.shape, c), product_error)
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
