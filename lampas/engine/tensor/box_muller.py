"""Normal numbers in float32, 16 at a time, equal to PyTorch's on x86-64 to the last bit.

Each block of 16 uniform numbers holds 8 pairs (x[j], x[j+8]); a pair becomes two normal numbers
by Box and Muller's transform: radius sqrt(-2 log(1 - x[j])), angle 2 pi x[j+8]. PyTorch 2.13
takes log, sin and cos from the Cephes library's single-precision polynomials there, on AVX2 and
AVX-512 machines alike, and its compiler joins each product that is only added to into a fused
multiply-add. The order of operations here is that of the machine code, so that each rounding is
the same. PyTorch's scalar build (machines without AVX2) uses the C library's functions instead:
there up to a third of its numbers differ in the last bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.tensor import cephes
from lampas.engine.tensor.exact import fused32
from lampas.engine.tensor.random_native import native

Singles = NDArray[np.float32]
BLOCK = 16
CHUNK = 32 * 1024
single = np.float32


def fill_normal(uniform: NDArray[Any], mean: float, std: float) -> None:
    """Turn a flat float32 array of uniform numbers, a whole number of blocks, into normal numbers."""
    kernels = native(len(uniform))
    if kernels is not None:
        kernels["normal"](uniform.ctypes.data, len(uniform) // BLOCK, mean, std)
        return
    for start in range(0, len(uniform), CHUNK):
        part = uniform[start : start + CHUNK].reshape(-1, 2, BLOCK // 2)
        radius = np.sqrt(single(-2.0) * _log(single(1.0) - part[:, 0]))
        sine, cosine = _sine_and_cosine(single(cephes.TWO_PI) * part[:, 1])
        part[:, 0] = fused32(radius * cosine, single(std), single(mean))
        part[:, 1] = fused32(radius * sine, single(std), single(mean))


def _polynomial(x: Singles, coefficients: tuple[float, ...]) -> Singles:
    result = fused32(x, coefficients[0], coefficients[1])
    for coefficient in coefficients[2:]:
        result = fused32(result, x, coefficient)
    return result


def _log(x: Singles) -> Singles:
    """The natural logarithm of numbers in [2**-24, 1]."""
    fraction, exponent = np.frexp(x)
    power = exponent.astype(np.float32)
    is_low = fraction < single(cephes.ROOT_HALF)
    power -= is_low
    fraction += np.where(is_low, fraction, single(0.0)) - single(1.0)
    square = fraction * fraction
    tail = _polynomial(fraction, cephes.LOG) * fraction
    tail = fused32(tail, square, power * single(cephes.LN2_LOW))
    tail -= square * single(0.5)
    return fused32(power, cephes.LN2_HIGH, fraction + tail)


def _sine_and_cosine(angle: Singles) -> tuple[Singles, Singles]:
    """Sine and cosine of numbers in [0, 2 pi]."""
    octant = (angle * single(cephes.FOUR_OVER_PI)).astype(np.int32)
    octant += 1
    octant &= ~1
    reduced = angle
    for part in cephes.QUARTER_PI:
        reduced = fused32(octant, -part, reduced)
    square = reduced * reduced
    cosine = _polynomial(square, cephes.COS) * square
    cosine = fused32(cosine, square, square * single(-0.5)) + single(1.0)
    sine = fused32(_polynomial(square, cephes.SIN) * square, reduced, reduced)
    is_straight = (octant & 2) == 0
    sine_sign = np.where(octant & 4, single(-1.0), single(1.0))
    cosine_sign = np.where((octant + 2) & 4, single(-1.0), single(1.0))
    return (
        np.where(is_straight, sine, cosine) * sine_sign,
        np.where(is_straight, cosine, sine) * cosine_sign,
    )
