"""Random numbers as NumPy arrays: PyTorch 2.13's CPU numbers, from the same words.

Each function draws from a ``MersenneTwister`` in PyTorch's order and returns a new flat array.
The element counts, the words used per element and every rounding are PyTorch's; where its
compiler fuses a multiply and an add, so does this (see ``exact``). Arguments out of range raise
RuntimeError with PyTorch's key phrases.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.dtype import (
    bfloat16,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    int64,
    uint16,
    uint32,
    uint64,
)
from lampas.engine.numeric_limits import finfo, iinfo
from lampas.engine.tensor.box_muller import BLOCK, fill_normal
from lampas.engine.tensor.exact import Doubles, fused64, libm
from lampas.engine.tensor.mt19937 import MersenneTwister
from lampas.engine.tensor.random_native import native

Array = NDArray[Any]

# digits of the significand, and the names that PyTorch's messages give to types
DIGITS = {float16: 11, bfloat16: 8, float32: 24, float64: 53}
_C_NAMES = {
    "Half": "c10::Half",
    "BFloat16": "c10::BFloat16",
    "Byte": "unsigned char",
    "Char": "signed char",
    "Short": "short int",
    "UInt16": "short unsigned int",
    "UInt32": "unsigned int",
    "UInt64": "long unsigned int",
    "Long": "long int",
    "ComplexFloat": "c10::complex<float>",
    "ComplexDouble": "c10::complex<double>",
}
_LATE_UNSIGNED = (uint16, uint32, uint64)
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
LONG_RANGE = 2**28  # ranges of whole numbers from here on are drawn from 64-bit words


def c_name(kind: dtype) -> str:
    """The name of a type in C++, which PyTorch's messages about ranges use."""
    return _C_NAMES.get(kind.title, kind.title.lower())


def not_implemented(operation: str, kind: dtype) -> NotImplementedError:
    """The error for a type that an operation does not take."""
    return NotImplementedError(f"\"{operation}\" not implemented for '{kind.title}'")


def require_floating(kind: dtype, operation: str) -> None:
    """NotImplementedError unless ``kind`` is a floating-point type."""
    if not kind.is_floating_point:
        raise not_implemented(operation, kind)


def uniform(
    engine: MersenneTwister, count: int, kind: dtype = float32, low: float = 0.0, high: float = 1.0
) -> Array:
    """Numbers in [low, high).

    float64 takes 53 bits of two words, the other types 24 bits of one word, computed in float32.
    """
    require_floating(kind, "check_uniform_bounds")
    _check_uniform_bounds(kind, low, high)
    low, high = float(low), float(high)
    if kind is float64:
        wide = engine.doubles(count)
        if low == 0.0 and high == 1.0:
            return wide
        wide = fused64(wide, high - low, low)
        return np.where(wide >= high, low, wide)
    numbers = engine.floats(count, low, high)
    if kind is float32:
        return numbers
    start, end = (np.float32(bound).astype(kind.numpy) for bound in (low, high))
    rounded = numbers.astype(kind.numpy)
    return np.where(rounded >= end, start, rounded)


def _check_uniform_bounds(kind: dtype, low: float, high: float) -> None:
    limits = finfo(kind)
    for name, bound in (("from", low), ("to", high)):
        if not limits.min <= bound <= limits.max:
            raise RuntimeError(f"{name} is out of bounds for {c_name(kind)}")
    if not low <= high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    if high - low > limits.max:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{kind.title}>::max(), but found "
            f"to={high} and from={low} which result in to-from to exceed the limit"
        )


# Normal ----------------------------------------------------------------------------------------


def normal(
    engine: MersenneTwister,
    count: int,
    kind: dtype = float32,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    is_contiguous: bool = True,
) -> Array:
    """Normal numbers.

    From 16 elements in contiguous memory on, blocks of 16 uniform numbers are transformed; a last
    part of a block is made by drawing the last 16 elements anew (float32 and float64 have drawn
    that part before, the half types have not). Otherwise each number comes from the stream of
    ``normal_doubles``.
    """
    require_floating(kind, "normal_kernel_cpu")
    if not std >= 0.0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if count < BLOCK or not is_contiguous:
        return _cast(normal_doubles(engine, count, mean, std), kind)
    rest = count % BLOCK
    draw: Callable[[int], Array] = engine.doubles if kind is float64 else engine.floats
    fill: Callable[[Array, float, float], None] = _fill_normal64 if kind is float64 else fill_normal
    if kind is float32 or kind is float64:
        numbers = draw(count)
    else:
        numbers = np.empty(count, np.float32)
        numbers[: count - rest] = draw(count - rest)
    fill(numbers[: count - rest], mean, std)
    if rest:
        numbers[-BLOCK:] = draw(BLOCK)
        fill(numbers[-BLOCK:], mean, std)
    return numbers.astype(kind.numpy, copy=False)


def _fill_normal64(numbers: Array, mean: float, std: float) -> None:
    pairs = numbers.reshape(-1, 2, BLOCK // 2)
    first, second = 1.0 - pairs[:, 0].ravel(), 2.0 * math.pi * pairs[:, 1].ravel()
    radius = np.sqrt(-2.0 * libm("log", first))
    for half, function in ((0, "cos"), (1, "sin")):
        scaled = fused64(radius * libm(function, second), std, mean)
        pairs[:, half] = scaled.reshape(-1, BLOCK // 2)


def normal_doubles(engine: MersenneTwister, count: int, mean: float, std: float) -> Doubles:
    """Normal numbers drawn one by one in float64, in pairs of which the second is kept for later.

    The pair is that of Box and Muller: radius sqrt(-2 log1p(-u2)), angle 2 pi u1.
    """
    if count == 0:
        return np.empty(0)
    kept = engine.cached_normal
    engine.cached_normal = None
    new = count - (kept is not None)
    uniform_pairs = engine.doubles(2 * ((new + 1) // 2)).reshape(-1, 2)
    radius = np.sqrt(-2.0 * libm("log1p", -uniform_pairs[:, 1]))
    angle = 2.0 * math.pi * uniform_pairs[:, 0]
    standard = np.empty(uniform_pairs.size + (kept is not None))
    if kept is not None:
        standard[0] = kept
    standard[len(standard) - uniform_pairs.size :: 2] = radius * libm("cos", angle)
    standard[len(standard) - uniform_pairs.size + 1 :: 2] = radius * libm("sin", angle)
    if len(standard) > count:
        engine.cached_normal = float(standard[-1])
    return fused64(standard[:count], std, mean)


def log_normal(
    engine: MersenneTwister, count: int, kind: dtype = float32, mean: float = 1.0, std: float = 2.0
) -> Array:
    """exp of a normal number."""
    require_floating(kind, "log_normal_cpu")
    if not std > 0.0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return _cast(libm("exp", normal_doubles(engine, count, mean, std)), kind)


# Other continuous ones, and Bernoulli ----------------------------------------------------------


def exponential(
    engine: MersenneTwister, count: int, kind: dtype = float32, rate: float = 1.0
) -> Array:
    """-log(1 - u) / rate."""
    if not kind.is_floating_point:
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a "
            f"floating point but you specified {kind.title}"
        )
    if not rate > 0.0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate}")
    return _cast(-1.0 / rate * libm("log1p", -engine.doubles(count)), kind)


def geometric(engine: MersenneTwister, count: int, kind: dtype = float32, p: float = 0.5) -> Array:
    """ceil(log(u) / log(1 - p)): the number of trials up to the first success."""
    if not 0.0 < p < 1.0:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    if kind.is_complex or kind is bool_:
        raise not_implemented("geometric_cpu", kind)
    return _cast(np.ceil(libm("log", engine.doubles(count)) / math.log(1.0 - p)), kind)


def cauchy(
    engine: MersenneTwister,
    count: int,
    kind: dtype = float32,
    median: float = 0.0,
    sigma: float = 1.0,
) -> Array:
    """median + sigma tan(pi (u - 1/2))."""
    if not kind.is_floating_point:
        raise RuntimeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a "
            f"floating point but you specified {c_name(kind)}"
        )
    if not sigma > 0.0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    tangent = libm("tan", math.pi * (engine.doubles(count) - 0.5))
    return _cast(fused64(tangent, sigma, median), kind)


_TRIALS = {float32: "trials", bool_: "flags"}  # which kernel writes 1 and 0 of a dtype


def bernoulli(engine: MersenneTwister, count: int, kind: dtype = float32, p: float = 0.5) -> Array:
    """1 where a 53-bit uniform number is below ``p``, else 0."""
    if kind.is_complex or kind in _LATE_UNSIGNED:
        raise not_implemented("bernoulli_scalar_cpu_", kind)
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    name = _TRIALS.get(kind, "")
    kernels = native(count) if name else None
    if kernels is None:
        return (engine.doubles(count) < p).astype(kind.numpy)
    result = np.empty(count, kind.numpy)
    words = engine.words(2 * count)
    kernels[name](words.ctypes.data, result.ctypes.data, count, math.ceil(p * 2.0**53))
    return result


def bernoulli_each(engine: MersenneTwister, probabilities: Array, kind: dtype = float32) -> Array:
    """1 where a uniform number is below its own probability, else 0.

    Probabilities of float64 are compared with 53-bit numbers, others with 24-bit numbers.
    """
    flat = probabilities.ravel()
    if not np.all((flat >= 0) & (flat <= 1)):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    draw = engine.doubles if flat.dtype == np.float64 else engine.floats
    return (draw(len(flat)) < flat).astype(kind.numpy)


def _cast(values: Array, kind: dtype) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        if kind in (float16, bfloat16):
            values = values.astype(np.float32)
        return values.astype(kind.numpy, copy=False)


# Integers --------------------------------------------------------------------------------------


def random_integers(
    engine: MersenneTwister,
    count: int,
    kind: dtype = int64,
    low: int | None = None,
    high: int | None = None,
) -> Array:
    """Whole numbers as ``Tensor.random_`` gives them.

    With both bounds, in [low, high); with ``low`` alone, from there to the largest that the type
    holds exactly; with none, from 0 to that number.
    """
    is_default = low is None and high is None
    if kind.is_complex or (is_default and kind in _LATE_UNSIGNED):
        raise not_implemented("random_kernel_cpu", kind)
    if is_default:
        return _random_default(engine, count, kind)
    if high is None and low == _LONG_MIN:
        _require_full_range(kind)
        return _to_kind(engine.long_words(count).view(np.int64), kind)
    first, last = _range(kind, 0 if low is None else low, high)
    _check_range(kind, first, last)
    size = last - first + 1
    if size >= LONG_RANGE:
        words = engine.long_words(count)
    else:
        words = engine.words(count).astype(np.uint64)
    if size < 2**64:
        words %= np.uint64(size)
    words += np.uint64(first % 2**64)
    return _to_kind(words.view(np.int64), kind)


def _require_full_range(kind: dtype) -> None:
    kernel = "random_full_64_bits_range_kernel_cpu"
    if kind is float16 or kind is bool_ or kind in _LATE_UNSIGNED:
        raise not_implemented(kernel, kind)
    if kind not in (int64, float64, float32, bfloat16):
        raise RuntimeError(f"{kernel} handles only int64, double, float and bfloat16")


def _random_default(engine: MersenneTwister, count: int, kind: dtype) -> Array:
    if kind is float64:
        return (engine.long_words(count) % np.uint64(2**53 + 1)).astype(np.float64)
    if kind is int64:
        return (engine.long_words(count) & np.uint64(_LONG_MAX)).astype(np.int64)
    words = engine.words(count)
    if kind is bool_:
        return (words & np.uint32(1)).astype(np.bool_)
    limit = 2 ** DIGITS[kind] if kind.is_floating_point else iinfo(kind).max
    return _to_kind((words.astype(np.uint64) % np.uint64(limit + 1)).view(np.int64), kind)


def _to_kind(values: NDArray[np.int64], kind: dtype) -> Array:
    if kind in (float16, bfloat16):
        return values.astype(np.float32).astype(kind.numpy)
    return values.astype(kind.numpy)


def _range(kind: dtype, low: int, high: int | None) -> tuple[int, int]:
    """The first and last whole number to draw, moved inward to numbers that the type holds."""
    if high is not None:
        if low >= high:
            raise RuntimeError(
                f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
            )
        if not kind.is_floating_point:
            return low, high - 1
        first, end = _held_from(kind, low), _held_to(kind, high)
        if first >= end:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, "
                f"but got from={first} >= to={end}"
            )
        return first, end - 1
    if kind is bool_:
        return low, 1
    if not kind.is_floating_point:
        return low, iinfo(kind).max
    first, last = _held_from(kind, low), 2 ** DIGITS[kind]
    if first >= last:
        raise RuntimeError(
            "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted "
            f"to dtype, but got from={first} > to_inc={last}"
        )
    return first, last


def _held(kind: dtype, value: int) -> int:
    with np.errstate(over="ignore"):
        found = float(value if kind is float64 else np.float32(value).astype(kind.numpy))
    return int(found) if abs(found) < 2.0**63 else _LONG_MIN  # as the processor converts


def _held_from(kind: dtype, low: int) -> int:
    found = _held(kind, low + 1)
    step = abs(low + 1).bit_length() - DIGITS[kind]
    return found + 2**step if found < low else low


def _held_to(kind: dtype, high: int) -> int:
    found = _held(kind, high - 1)
    step = abs(high - 1).bit_length() - DIGITS[kind]
    return found - 2**step if found >= high else high


def _check_range(kind: dtype, first: int, last: int) -> None:
    if kind is bool_:
        least, most = 0, 1
    elif kind.is_floating_point:
        least, most = finfo(kind).min, finfo(kind).max
    else:
        least, most = iinfo(kind).min, min(iinfo(kind).max, _LONG_MAX)
    for name, bound in (("from", first), ("to - 1", last)):
        if not least <= bound <= most:
            raise RuntimeError(f"{name} is out of bounds for {c_name(kind)}")
        if kind.is_floating_point and abs(bound) > 2 ** DIGITS[kind]:
            digits = DIGITS[kind]
            warnings.warn(
                f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision "
                f"limitations {c_name(kind)} can support discrete uniform distribution only within "
                "this range. This warning will become an error in version 1.7 release, please fix "
                "the code in advance",
                UserWarning,
                stacklevel=3,
            )
