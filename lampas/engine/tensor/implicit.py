"""Derivatives of gamma and beta samples by their parameters.

A sample x of a distribution with cumulative F(x; a) follows its parameter as
dx/da = -(dF/da) / (dF/dx) (Figurnov, Mohamed, Mnih 2018). dF/da comes from a power series where x
is small, else from differences of fourth order of SciPy's incomplete gamma and beta functions:
about nine digits, where PyTorch's rational approximations have four.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_SERIES_LIMIT = 0.8
_TERMS = 20


def gamma_slope(shapes: Array, samples: Array) -> Array:
    """d sample / d shape of standard gamma numbers, in the samples' type."""
    shape, sample = _wide(shapes), _wide(samples)
    with np.errstate(all="ignore"):
        slope = np.where(
            sample < _SERIES_LIMIT, _small_slope(shape, sample), _large_slope(shape, sample)
        )
    return np.where(sample > 0, slope, 0.0).astype(samples.dtype)


def _small_slope(shape: Array, sample: Array) -> Array:
    """From F = x^a / Gamma(a) sum_k (-x)^k / (k! (a + k))."""
    from scipy.special import digamma

    first = second = np.zeros_like(sample)
    term = np.ones_like(sample)
    for k in range(_TERMS):
        first = first + term / (shape + k)
        second = second + term / (shape + k) ** 2
        term = -term * sample / (k + 1)
    return -sample * np.exp(sample) * (first * (np.log(sample) - digamma(shape)) - second)


def _large_slope(shape: Array, sample: Array) -> Array:
    from scipy.special import gammainc, gammaln

    step = 1e-3 * np.minimum(shape, np.maximum(1.0, np.sqrt(shape)))
    change = _difference(lambda moved: gammainc(shape + moved, sample), step)
    return -change / np.exp((shape - 1.0) * np.log(sample) - sample - gammaln(shape))


def dirichlet_slope(samples: Array, concentrations: Array, totals: Array) -> Array:
    """d x / d a of x ~ Beta(a, total - a), divided by 1 - x: what Dirichlet's derivative needs."""
    from scipy.special import betainc, betaln

    x, first = _wide(samples), _wide(concentrations)
    second = _wide(totals) - first
    step = 1e-3 * np.minimum(first, np.maximum(1.0, np.sqrt(first)))
    with np.errstate(all="ignore"):
        change = _difference(lambda moved: betainc(first + moved, second, x), step)
        log_density = (first - 1.0) * np.log(x) + (second - 1.0) * np.log1p(-x)
        slope = -change / np.exp(log_density - betaln(first, second)) / (1.0 - x)
    return slope.astype(samples.dtype)


def _difference(function: Callable[[Array], Array], step: Array) -> Array:
    near = function(step) - function(-step)
    far = function(2.0 * step) - function(-2.0 * step)
    return (8.0 * near - far) / (12.0 * step)


def _wide(array: Array) -> NDArray[np.float64]:
    return np.asarray(array).astype(np.float64)
