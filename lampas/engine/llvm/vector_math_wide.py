"""Functions of floats that are held in double: polynomials just exact enough to be rounded to float.

Each errs by less than 2^-31 of the result, so that a float comes out within 0.51 units in the last place. They need
no care for overflow or cancellation beyond what double gives: squares of floats are exact, so are 1 + x and 1 - x of
all floats that matter, and no power of e that float can show leaves the normal numbers. Where a logarithm's argument
is so near to 1 that its own rounding shows, below TINY, the first terms of the series take over (Abramowitz and
Stegun 4.5.62, 4.6.31 and 4.6.33). Coefficients: tools/fit_polynomials.py.
"""

from __future__ import annotations

import math

from lampas.engine.llvm.text import Builder, Value, constant, lanes_of
from lampas.engine.llvm.vector_math_parts import (
    absolute,
    bits_of_float,
    clamp_high,
    float_of_bits,
    nearest_product,
    polynomial,
    power_of_two,
    split_polynomial,
    with_sign,
)

# fmt: off
EXP_WIDE = (
    0.99999999995951753, 0.99999999996401531, 0.50000001078118831, 0.16666666996082513, 0.041666218099530505,
    0.0083332486076280082, 0.0013948592525095596, 0.00019924188182455331,
)
LOG_WIDE = (
    1.00000000001821, -0.50000000348278727, 0.33333332352582446, -0.24999930973462211, 0.20000044485369753,
    -0.16670546623605338, 0.14287541227376823, -0.12410914156801489, 0.10995919996908117, -0.108574991908623,
    0.10845461859982848, -0.061523132235179272,
)
ERFC_WIDE = (
    1.2648381843247562, -0.1223567615019027, -0.099024533210183627, 0.15762984560369868, -0.10296723878969264,
    0.032761812242345104, 0.0009339992226017711, -0.0043863866150745808, 0.00048050763093353561,
    0.00063818426920067938, -6.0244216385658718e-5, -0.00010505551266500061, -1.903637434786581e-5,
)
ATAN_WIDE = (
    0.99999999994739034, -0.33333331720900397, 0.19999918063782443, -0.14284074869990872, 0.11093996264645851,
    -0.089837708250747485, 0.072560132686260386, -0.054471768235729263, 0.034441155481474407, -0.01628443884736847,
    0.0049237612282017306, -0.00069804804001325525,
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
# fmt: on
ERFC_MIDDLE, ERFC_END = 2.5, 10.2  # beyond the end erfc is less than half the least float
TINY = 2.0**-12
SINH_SERIES = (1 / 6, 1 / 120, 1 / 5040, 1 / 362880)


def exp(b: Builder, x: Value) -> Value:
    """e^x for |x| ≤ 700."""
    whole, count = nearest_product(b, x, 1 / math.log(2))
    rest = b.multiply_add(whole, -math.log(2), x)
    return b.multiply(polynomial(b, rest, EXP_WIDE), power_of_two(b, count))


def log(b: Builder, x: Value) -> Value:
    """log x of positive normal numbers; near 1 it errs relatively to itself.

    The exponent becomes a double by its bits: vectors of 64-bit integers are slow to convert.
    """
    base = 0x3FE6A09E667F3BCD  # the bits of √½
    bits = b.subtract(bits_of_float(b, x), base)
    m = float_of_bits(b, b.add(b.bit_and(bits, (1 << 52) - 1), base))
    biased = b.shift_right(b.add(bits, 1024 << 52), 52, signed=False)
    count = float_of_bits(b, b.bit_or(biased, 0x4330000000000000))  # 2^52 + 1024 + k
    k = b.subtract(count, constant(2.0**52 + 1024, x.type))
    f = b.subtract(m, constant(1.0, x.type))
    return b.multiply_add(k, math.log(2), b.multiply(f, polynomial(b, f, LOG_WIDE)))


def sinh(b: Builder, x: Value) -> Value:
    """(e^|x| - e^-|x|)/2; the series below 1/4, where they cancel."""
    size = absolute(b, x)
    power = exp(b, clamp_high(b, size, 100.0))
    far = b.multiply(b.subtract(power, b.divide(1.0, power)), 0.5)
    z = b.multiply(x, x)
    near = b.multiply_add(b.multiply(size, z), polynomial(b, z, SINH_SERIES), size)
    return with_sign(b, b.select(b.compare("olt", size, 0.25), near, far), x)


def cosh(b: Builder, x: Value) -> Value:
    """(e^|x| + e^-|x|)/2."""
    power = exp(b, clamp_high(b, absolute(b, x), 100.0))
    return b.multiply(b.add(power, b.divide(1.0, power)), 0.5)


def series_below_tiny(b: Builder, size: Value, third: float, result: Value) -> Value:
    """x + third·x³ where x is tiny."""
    cube = b.multiply(b.multiply(size, size), size)
    return b.select(b.compare("olt", size, TINY), b.multiply_add(cube, third, size), result)


def infinite(b: Builder, x: Value, result: Value) -> Value:
    """The result, but infinity and NaN where x is."""
    return b.select(b.compare("olt", x, math.inf), result, x)


def asinh(b: Builder, x: Value) -> Value:
    """log(|x| + √(x² + 1))."""
    size = absolute(b, x)
    root = b.intrinsic("sqrt", x.type, [b.multiply_add(size, size, constant(1.0, x.type))])
    result = infinite(b, size, log(b, b.add(size, root)))
    return with_sign(b, series_below_tiny(b, size, -1 / 6, result), x)


def acosh(b: Builder, x: Value) -> Value:
    """log(x + √(x² - 1)): float's smallest x above 1 is so far from 1 that the sum's rounding is lost."""
    root = b.intrinsic("sqrt", x.type, [b.multiply_add(x, x, constant(-1.0, x.type))])
    result = infinite(b, x, log(b, b.add(x, root)))
    return b.select(b.compare("olt", x, 1.0), constant(math.nan, x.type), result)


def atanh(b: Builder, x: Value) -> Value:
    """log((1+|x|)/(1-|x|))/2; infinity at ±1, NaN beyond."""
    size = absolute(b, x)
    ratio = b.divide(b.add(size, 1.0), b.subtract(1.0, size))
    result = series_below_tiny(b, size, 1 / 3, b.multiply(log(b, ratio), 0.5))
    result = b.select(b.compare("oeq", size, 1.0), constant(math.inf, x.type), result)
    result = b.select(b.compare("ole", size, 1.0), result, constant(math.nan, x.type))
    return with_sign(b, result, x)


def atan(b: Builder, x: Value) -> Value:
    """atan of x by its inverse above 1."""
    return with_sign(b, angle(b, absolute(b, x), constant(1.0, x.type)), x)


def atan2(b: Builder, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), with C's answers for zeros and infinities."""
    turn = angle(b, absolute(b, y), absolute(b, x))
    leftward = b.compare("slt", bits_of_float(b, x), 0)
    turn = b.select(leftward, b.subtract(constant(math.pi, x.type), turn), turn)
    return b.select(b.compare("uno", x, y), b.add(x, y), with_sign(b, turn, y))


def angle(b: Builder, height: Value, width: Value) -> Value:
    """atan(height/width) of numbers that are not negative: the smaller by the larger, and π/2 less that if need be."""
    steep = b.compare("ogt", height, width)
    low, high = b.select(steep, width, height), b.select(steep, height, width)
    ratio = b.divide(low, high)
    equal = b.compare("oeq", low, high)  # also both infinite, or both 0
    one, zero = constant(1.0, low.type), constant(0.0, low.type)
    ratio = b.select(equal, b.select(b.compare("oeq", high, 0.0), zero, one), ratio)
    turn = b.multiply(ratio, split_polynomial(b, b.multiply(ratio, ratio), ATAN_WIDE))
    return b.select(steep, b.subtract(constant(math.pi / 2, low.type), turn), turn)


def erfc(b: Builder, x: Value) -> Value:
    """exp(-y²)·p((y-c)/(y+c))/(1+2y) of y = |x|, and 2 less that below 0 (Shepherd and Laframboise 1981)."""
    y = clamp_high(b, absolute(b, x), ERFC_END)
    t = b.divide(b.subtract(y, constant(ERFC_MIDDLE, y.type)), b.add(y, ERFC_MIDDLE))
    power = exp(b, b.negative(b.multiply(y, y)))
    below = b.multiply_add(y, 2.0, constant(1.0, y.type))
    result = b.divide(b.multiply(power, polynomial(b, t, ERFC_WIDE)), below)
    return b.select(b.compare("olt", x, 0.0), b.subtract(2.0, result), result)


def erfinv(b: Builder, x: Value) -> Value:
    """x times a polynomial in w = -log((1-x)(1+x)), from w = 6 on in √w."""
    return erfinv_ends(b, x, erfinv_estimate(b, absolute(b, x)))


def erfinv_estimate(b: Builder, size: Value) -> Value:
    """erfinv of numbers in [0, 1); few lanes need the second polynomial."""
    w = b.negative(log(b, b.multiply(b.subtract(1.0, size), b.add(size, 1.0))))
    near = polynomial(b, b.subtract(w, constant(3.0, w.type)), ERFINV_NEAR)
    distant = b.compare("ogt", w, 6.0)
    some = distant
    if distant.type != "i1":
        some = b.call(f"llvm.vector.reduce.or.v{lanes_of(size.type)}i1", "i1", [distant])
    before = b.block
    with b.when(some):
        root = b.intrinsic("sqrt", w.type, [w])
        far = polynomial(b, b.subtract(root, constant(4.0, w.type)), ERFINV_FAR)
        mended = b.select(distant, far, near)
        inside = b.block
    return b.multiply(size, b.phi([(near, before), (mended, inside)]))


def erfinv_ends(b: Builder, x: Value, result: Value) -> Value:
    """Infinity at ±1, NaN beyond, x itself at 0."""
    size = absolute(b, x)
    result = b.select(b.compare("oeq", size, 1.0), constant(math.inf, x.type), result)
    result = b.select(b.compare("ole", size, 1.0), result, constant(math.nan, x.type))
    return b.select(b.compare("oeq", x, 0.0), x, with_sign(b, result, x))
