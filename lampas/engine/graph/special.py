"""Special functions of the reference tier, from SciPy, which is imported at first use."""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

import numpy as np

Array = np.ndarray


def _call(name: str, x: Array) -> Array:
    import scipy.special  # slow to import, and few programs need it

    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    return np.asarray(getattr(scipy.special, name)(wide)).astype(x.dtype)


def erf(x: Array) -> Array:
    """The error function."""
    return _call("erf", x)


def erfc(x: Array) -> Array:
    """1 - erf(x) without cancellation."""
    return _call("erfc", x)


def erfinv(x: Array) -> Array:
    """The inverse of erf on (-1, 1)."""
    return _call("erfinv", x)


def normal_area(x: Array) -> Array:
    """The area left of x under the density of the normal distribution."""
    return _call("ndtr", x)


def normal_power(x: Array) -> Array:
    """exp(-x²/2)."""
    return np.exp(x * x * x.dtype.type(-0.5))


def lgamma(x: Array) -> Array:
    """log |Γ(x)|."""
    return np.where(np.isneginf(x), -x, _call("gammaln", x))


def digamma(x: Array) -> Array:
    """Γ'(x)/Γ(x); -inf at +0 and inf at -0, NaN at negative integers."""
    result = _call("digamma", x)
    zero = x == 0
    return np.where(zero, np.copysign(np.inf, -x.astype(np.float64)), result).astype(x.dtype)
