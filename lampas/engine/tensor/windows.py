"""Window functions: `signal.windows` and the older `hann_window` family.

Formulas: Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform" (1978).
A symmetric window of M points; a periodic one is the symmetric one of M + 1 points without its last.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.dtype import dtype as Dtype
from lampas.engine.dtype import get_default_dtype
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.layouts import strided
from lampas.engine.tensor.values import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.tensor.core import Tensor

Array = np.ndarray


def _cosine_sum(weights: Sequence[float]) -> Callable[[int], Array]:
    """Σ (-1)^k · w_k · cos(2πkn / (M - 1))."""

    def build(count: int) -> Array:
        turn = 2 * math.pi * np.arange(count) / max(count - 1, 1)
        signed = [weight * (-1) ** k for k, weight in enumerate(weights)]
        return sum((weight * np.cos(k * turn) for k, weight in enumerate(signed)), np.zeros(count))

    return build


def _points(count: int, periodic: bool, build: Callable[[int], Array]) -> Array:
    if count <= 1:
        return np.ones(count)
    return build(count + 1)[:-1] if periodic else build(count)


def _made(name: str, array: Array, kind: Dtype | None, options: dict[str, Any]) -> Tensor:
    kind = get_default_dtype() if kind is None else kind
    order = options.get("layout")
    if order is not None and order is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {order}")
    if not name.endswith("_window") and kind.name not in ("float32", "float64"):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
    if not kind.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {kind}")
    made = tensor_of(array, kind)
    place = options.get("device")
    if place is not None:
        made = made.to(place)  # type: ignore[attr-defined]
    return made.requires_grad_() if options.get("requires_grad") else made


def _require_count(name: str, M: int) -> None:
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")


def _bartlett(count: int) -> Array:
    return 1 - np.abs(2 * np.arange(count) / (count - 1) - 1)


# signal.windows -----------------------------------------------------------------------------------


def _define(name: str, text: str, build: Callable[[int], Array]) -> None:
    def function(M: int, *, sym: bool = True, dtype: Dtype | None = None, **options: Any) -> Tensor:
        _require_count(name, M)
        return _made(name, _points(M, not sym, build), dtype, options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text} of M points, periodic unless `sym`."
    public(namespace="signal.windows")(function)


_define("bartlett", "The triangular window with zeros at its ends", _bartlett)
_define("blackman", "The Blackman window", _cosine_sum((0.42, 0.5, 0.08)))
_define("hann", "The Hann window", _cosine_sum((0.5, 0.5)))
_define("hamming", "The Hamming window", _cosine_sum((0.54, 0.46)))
_define(
    "nuttall",
    "The four-term Nuttall window",
    _cosine_sum((0.3635819, 0.4891775, 0.1365995, 0.0106411)),
)


@public(namespace="signal.windows")
def cosine(M: int, *, sym: bool = True, dtype: Dtype | None = None, **options: Any) -> Tensor:
    """Half a period of a sine, sampled at the middles of M intervals."""
    _require_count("cosine", M)

    def build(count: int) -> Array:
        return np.sin(math.pi / count * (np.arange(count) + 0.5))

    return _made("cosine", _points(M, not sym, build), dtype, options)


@public(namespace="signal.windows")
def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: Dtype | None = None,
    **options: Any,
) -> Tensor:
    """exp(-|n - center| / tau)."""
    _require_count("exponential", M)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")

    def build(count: int) -> Array:
        middle = (count - 1) / 2 if center is None else center
        return np.exp(-np.abs(np.arange(count) - middle) / tau)

    return _made("exponential", _points(M, not sym, build), dtype, options)


@public(namespace="signal.windows")
def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: Dtype | None = None, **options: Any
) -> Tensor:
    """exp(-(n - middle)² / (2·std²))."""
    _require_count("gaussian", M)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")

    def build(count: int) -> Array:
        return np.exp(-(((np.arange(count) - (count - 1) / 2) / std) ** 2) / 2)

    return _made("gaussian", _points(M, not sym, build), dtype, options)


def _kaiser(beta: float) -> Callable[[int], Array]:
    def build(count: int) -> Array:
        spread = 2 * np.arange(count) / (count - 1) - 1
        return np.i0(beta * np.sqrt(np.maximum(1 - spread**2, 0))) / np.i0(beta)

    return build


@public(namespace="signal.windows")
def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: Dtype | None = None, **options: Any
) -> Tensor:
    """The Kaiser window: I0(beta·sqrt(1 - t²)) / I0(beta) for t from -1 to 1."""
    _require_count("kaiser", M)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _made("kaiser", _points(M, not sym, _kaiser(beta)), dtype, options)


@public(namespace="signal.windows")
def general_cosine(
    M: int, *, a: Sequence[float], sym: bool = True, dtype: Dtype | None = None, **options: Any
) -> Tensor:
    """A sum of cosines with the weights a, of alternating sign."""
    _require_count("general_cosine", M)
    if not isinstance(a, (list, tuple)) or not a:
        raise TypeError("Coefficients must be a non-empty list or tuple")
    return _made("general_cosine", _points(M, not sym, _cosine_sum(a)), dtype, options)


@public(namespace="signal.windows")
def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: Dtype | None = None, **options: Any
) -> Tensor:
    """alpha - (1 - alpha)·cos(2πn / (M - 1))."""
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, dtype=dtype, **options)


# The older names, periodic by default -------------------------------------------------------------


def _define_old(name: str, build: Callable[..., Callable[[int], Array]], **defaults: float) -> None:
    names = list(defaults)

    def function(
        window_length: int,
        periodic: bool = True,
        *values: float,
        dtype: Dtype | None = None,
        **options: Any,
    ) -> Tensor:
        if window_length < 0:
            raise RuntimeError(
                f"{name} requires non-negative window_length, got window_length={window_length}"
            )
        given = {**defaults, **dict(zip(names, values, strict=False))}
        given.update({key: options.pop(key) for key in names if key in options})
        return _made(name, _points(window_length, periodic, build(**given)), dtype, options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The window of that name, periodic by default ({', '.join(names) or 'no parameters'})."
    )
    public()(function)


_define_old("bartlett_window", lambda: _bartlett)
_define_old("blackman_window", lambda: _cosine_sum((0.42, 0.5, 0.08)))
_define_old("hann_window", lambda: _cosine_sum((0.5, 0.5)))
_define_old("hamming_window", lambda alpha, beta: _cosine_sum((alpha, beta)), alpha=0.54, beta=0.46)
_define_old("kaiser_window", lambda beta: _kaiser(beta), beta=12.0)
