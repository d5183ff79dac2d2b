"""erf, erfc, erfinv, lgamma, digamma and power for float and double.

erf: x plus x times a polynomial in x² below 1, then 1 - exp(-x²)·q(x). erfinv: x times a polynomial in w = -log(1 - x²), or
in √w; double adds one step of Halley's method. digamma: reflection, recurrence up to 10, then the asymptotic series
(Abramowitz and Stegun 6.3.18). power of floats: exp(y·log|x|) in double. Coefficients: tools/fit_polynomials.py.
"""

from __future__ import annotations

import math

from lampas.engine.llvm.text import Builder, Value, constant
from lampas.engine.llvm.vector_math_exponential import exp, log, log1p
from lampas.engine.llvm.vector_math_parts import (
    absolute,
    bits_of_float,
    call_lanes,
    clamp_high,
    is_single,
    polynomial,
    with_sign,
)
from lampas.engine.llvm.vector_math_trigonometric import sine_and_cosine

# fmt: off
ERF32 = (
    0.12837916587, -0.376126262204, 0.112835882563, -0.0268539168353, 0.00518850033263, -0.000801156059923,
    7.85803129379e-5,
)
ERFCX32 = (
    0.98612721029, -1.04821039582, 0.792594385036, -0.431679221929, 0.164133430683, -0.0409980982665,
    0.00600511325814, -0.000388883148704,
)
ERFINV_NEAR = (
    1.62354200646, 0.241630404007, -0.00573813516595, -0.00083618110402, 0.000195061205335, -1.27172451279e-5,
    -1.74790119403e-6, 4.50430212907e-7, -2.37320769072e-8, -5.59149994666e-9, 1.12135107651e-9,
    -1.25593391617e-11, -1.88508042417e-11, 1.19460085499e-12, 1.36345724135e-13,
)
ERFINV_FAR = (
    3.83978380137, 1.00949323029, 0.00125971870864, -0.000868721160298, 0.000321597942923, -0.000118866403675,
    5.45777836636e-5, -3.08444974876e-5, 1.93580456063e-5, -1.03629846963e-5, 3.04374356976e-6,
    2.24356047538e-7, -4.86721684345e-7, 1.42214545393e-7, -1.40651160213e-8,
)
# B_2k/2k of the series of digamma
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)
# fmt: on


def erf(b: Builder, x: Value) -> Value:
    if not is_single(x):
        return call_lanes(b, "erf", [x])
    size = absolute(b, x)
    near = b.multiply_add(x, polynomial(b, b.multiply(x, x), ERF32), x)
    # The derivative's e^(-x²) is written alike, so that the two become one.
    power = exp(b, b.multiply(x, b.negative(x)))
    tail = polynomial(b, clamp_high(b, size, 4.0), ERFCX32)
    far = with_sign(b, b.multiply_add(b.negative(power), tail, constant(1.0, x.type)), x)
    return b.select(b.compare("olt", size, 1.0), near, far)


def erfc(b: Builder, x: Value) -> Value:
    return call_lanes(b, "erfc", [x])


def erfinv(b: Builder, x: Value) -> Value:
    """Inverse of erf, for double; a float's caller rounds the unrefined estimate."""
    size = absolute(b, x)
    estimate = erfinv_estimate(b, size)
    # Halley: y -= e/(1 + y·e) with e = (erf y - |x|)/erf' y; near 1 from the complements, which are exact there.
    slope = b.multiply(exp(b, b.negative(b.multiply(estimate, estimate))), 2 / math.sqrt(math.pi))
    lower = b.subtract(call_lanes(b, "erf", [estimate]), size)
    upper = b.subtract(b.subtract(1.0, size), call_lanes(b, "erfc", [estimate]))
    error = b.divide(b.select(b.compare("ogt", size, 0.5), upper, lower), slope)
    refined = b.subtract(
        estimate, b.divide(error, b.multiply_add(estimate, error, constant(1.0, x.type)))
    )
    return erfinv_ends(b, x, size, refined)


def erfinv_float(b: Builder, x: Value) -> Value:
    """Inverse of erf of floats held in double."""
    size = absolute(b, x)
    return erfinv_ends(b, x, size, erfinv_estimate(b, size))


def erfinv_estimate(b: Builder, size: Value) -> Value:
    w = b.negative(log1p(b, b.negative(b.multiply(size, size))))
    near = polynomial(b, b.subtract(w, constant(3.0, w.type)), ERFINV_NEAR)
    root = b.intrinsic("sqrt", w.type, [w])
    far = polynomial(b, b.subtract(root, constant(4.0, w.type)), ERFINV_FAR)
    return b.multiply(size, b.select(b.compare("olt", w, 6.0), near, far))


def erfinv_ends(b: Builder, x: Value, size: Value, result: Value) -> Value:
    """Infinity at ±1, NaN beyond, x itself at 0."""
    result = b.select(b.compare("oeq", size, 1.0), constant(math.inf, x.type), result)
    result = b.select(b.compare("ole", size, 1.0), result, constant(math.nan, x.type))
    return b.select(b.compare("oeq", x, 0.0), x, with_sign(b, result, x))


def lgamma(b: Builder, x: Value) -> Value:
    return call_lanes(b, "lgamma", [x])


def digamma(b: Builder, x: Value) -> Value:
    """Derivative of lgamma, for double. -infinity·sign at ±0; NaN at the negative integers."""
    below = b.compare("olt", x, 0.5)
    y = b.select(below, b.subtract(1.0, x), x)
    total = constant(0.0, x.type)
    for _ in range(10):
        small = b.compare("olt", y, 10.0)
        total = b.select(small, b.subtract(total, b.divide(1.0, y)), total)
        y = b.select(small, b.add(y, 1.0), y)
    z = b.divide(1.0, b.multiply(y, y))
    series = b.multiply(z, polynomial(b, z, DIGAMMA))
    tail = b.subtract(b.subtract(log(b, y), b.divide(0.5, y)), series)
    result = b.add(total, tail)
    result = b.select(below, b.subtract(result, reflection(b, x)), result)
    whole = b.bit_and(
        b.compare("olt", x, 0.0), b.compare("oeq", x, b.intrinsic("floor", x.type, [x]))
    )
    result = b.select(whole, constant(math.nan, x.type), result)
    pole = with_sign(b, constant(math.inf, x.type), b.negative(x))
    return b.select(b.compare("oeq", x, 0.0), pole, result)


def reflection(b: Builder, x: Value) -> Value:
    """π/tan(πx), from the distance to the nearest half integer."""
    turns = b.subtract(x, b.intrinsic("rint", x.type, [x]))
    far = b.compare("ogt", absolute(b, turns), 0.25)
    inner = b.select(far, b.subtract(0.5, absolute(b, turns)), turns)
    sine, cosine = sine_and_cosine(b, b.multiply(inner, math.pi))
    above, below = b.select(far, sine, cosine), b.select(far, cosine, sine)
    quotient = b.divide(b.multiply(above, math.pi), below)
    return b.select(far, with_sign(b, quotient, turns), quotient)


def power(b: Builder, x: Value, y: Value) -> Value:
    """x^y with C's answers for zeros, infinities and negative bases; call it with floats held in double."""
    size = absolute(b, x)
    result = exp(b, b.multiply(y, log(b, size)))
    one = constant(1.0, x.type)
    result = b.select(b.bit_or(b.compare("oeq", size, 1.0), b.compare("oeq", y, 0.0)), one, result)
    whole = b.compare("oeq", b.intrinsic("floor", y.type, [y]), y)
    half = b.multiply(y, 0.5)
    uneven = b.bit_and(whole, b.compare("one", b.intrinsic("floor", y.type, [half]), half))
    minus = b.compare("slt", bits_of_float(b, x), 0)
    result = b.select(b.bit_and(minus, uneven), b.negative(result), result)
    finite = b.bit_and(b.compare("olt", x, 0.0), b.compare("ogt", x, -math.inf))
    broken = b.bit_and(finite, b.bit_xor(whole, constant(True, whole.type)))
    result = b.select(broken, constant(math.nan, x.type), result)
    return b.select(b.compare("oeq", x, 1.0), one, result)
