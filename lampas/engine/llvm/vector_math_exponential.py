"""exp, exp2, expm1, log, log2, log10, log1p, tanh, sigmoid, sinh, cosh for float and double.

exp: x = n·ln2 + r with ln2 in two parts, of which the first has so few bits that n times it is exact; e^r by a
polynomial; the power of two by its bits. log: x = 2^k·m with m near 1; log m by a polynomial in f = m - 1 (float)
or in s = f/(2+f) (double). Coefficients: tools/fit_polynomials.py.
"""

from __future__ import annotations

import math

from lampas.engine.llvm.text import Builder, Value, constant
from lampas.engine.llvm.vector_math_parts import (
    absolute,
    bits_of_float,
    clamp_high,
    clamp_low,
    float_of_bits,
    is_single,
    like,
    nearest,
    nearest_product,
    polynomial,
    power_of_two,
    scale,
    split_polynomial,
    with_sign,
)

# fmt: off
LN2_HIGH32, LN2_LOW32 = 0.693359375, -2.12194440054690583e-4
LN2_HIGH64, LN2_LOW64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG2_E, LOG10_2 = 1 / math.log(2), math.log10(2)
EXP32 = (0.500000009518, 0.166665188404, 0.0416662058144, 0.00836888928687, 0.00139504904127)
EXP2_32 = (0.693147214916, 0.240222345904, 0.0555030835418, 0.00967187724015, 0.00134072619115)
EXP64 = (
    0.49999999999999999966, 0.16666666666666683845, 0.041666666666666724277, 0.0083333333333167382526,
    0.0013888888888858547937, 0.00019841269897059783137, 0.000024801587373543952481, 2.755723423601222845e-6,
    2.7557233519892175762e-7, 2.5112240096392093834e-8, 2.0926895886559676922e-9,
)
LOG32 = (
    0.333333104606, -0.249999865735, 0.200022255027, -0.166692514958, 0.142186775956, -0.12384347107,
    0.118728469845, -0.117897730419, 0.0691559586496,
)
LOG64 = (
    0.66666666666666697487, 0.39999999999897885324, 0.28571428626652149343, 0.22222211031671440689,
    0.18182896211173212454, 0.15331497695876502176, 0.14619097411090310577,
)
TANH32 = (
    -0.333333331834, 0.133333049829, -0.0539595502946, 0.0217709958744, -0.00835000847601, 0.0022989419107,
)
# fmt: on


def reduced_exp(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Return (n, r, e^r - 1) where x = n·ln2 + r and n is an integer vector."""
    single = is_single(x)
    whole, count = nearest_product(b, x, LOG2_E)
    high, low = (LN2_HIGH32, LN2_LOW32) if single else (LN2_HIGH64, LN2_LOW64)
    rest = b.multiply_add(whole, -high, x)
    rest = b.multiply_add(whole, -low, rest)
    tail = (polynomial if single else split_polynomial)(b, rest, EXP32 if single else EXP64)
    return count, rest, b.multiply_add(b.multiply(rest, rest), tail, rest)


def exp(b: Builder, x: Value) -> Value:
    """e^x for all x."""
    low, high = (-104.0, 89.0) if is_single(x) else (-746.0, 710.0)
    count, _, less_one = reduced_exp(b, clamp_high(b, clamp_low(b, x, low), high))
    return scale(b, b.add(less_one, 1.0), count, x)


def exp_plain(b: Builder, x: Value) -> Value:
    """e^x where the caller knows that the result is a normal number (NaN passes)."""
    count, _, less_one = reduced_exp(b, x)
    return b.multiply(b.add(less_one, 1.0), power_of_two(b, count))


def exp2_negative(b: Builder, x: Value) -> Value:
    """2^x of floats that are not above 0 (NaN passes): 0 below -126.5, where the result is hardly a normal number.

    At -127 the power's bits are those of 0.
    """
    x = clamp_low(b, x, -127.0)
    whole, count = nearest(b, x)
    rest = b.subtract(x, whole)
    fraction = b.multiply_add(polynomial(b, rest, EXP2_32), rest, constant(1.0, x.type))
    return b.multiply(fraction, power_of_two(b, count))


def exp2(b: Builder, x: Value) -> Value:
    """2^x: the fraction is exact, so e^(r·ln2) loses only the product's rounding."""
    low, high = (-151.0, 129.0) if is_single(x) else (-1076.0, 1025.0)
    x = clamp_high(b, clamp_low(b, x, low), high)
    whole, count = nearest(b, x)
    rest = b.multiply(b.subtract(x, whole), math.log(2))
    tail = polynomial(b, rest, EXP32 if is_single(x) else EXP64)
    less_one = b.multiply_add(b.multiply(rest, rest), tail, rest)
    return scale(b, b.add(less_one, 1.0), count, x)


def expm1(b: Builder, x: Value) -> Value:
    """e^x - 1 = 2^n·(e^r - 1) + (2^n - 1), scaled by a half so that n may be the largest exponent + 1."""
    low, high = (-18.0, 89.0) if is_single(x) else (-38.0, 710.0)
    count, _, less_one = reduced_exp(b, clamp_high(b, clamp_low(b, x, low), high))
    half = power_of_two(b, b.subtract(count, constant(1, count.type)))
    result = b.multiply_add(half, less_one, b.subtract(half, constant(0.5, x.type)))
    result = b.add(result, result)
    tiny = b.compare("olt", absolute(b, x), 2.0**-26 if is_single(x) else 2.0**-55)
    return b.select(tiny, x, result)


def mantissa(b: Builder, x: Value) -> tuple[Value, Value]:
    """Return (k, m) with x = 2^k·m and m in [√½, √2), for positive normal x; k is an integer vector."""
    single = is_single(x)
    place, base = (23, 0x3F3504F3) if single else (52, 0x3FE6A09E667F3BCD)
    bits = b.subtract(bits_of_float(b, x), constant(base, like(x, "i32" if single else "i64")))
    kept = b.bit_and(bits, (1 << place) - 1)
    return b.shift_right(bits, place), float_of_bits(b, b.add(kept, base))


def log_parts(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Return (k, f, t) with log x = k·ln2 + f + t, for positive x, denormal or not; k is a float vector."""
    single = is_single(x)
    least, shift = (2.0**-126, 23) if single else (2.0**-1022, 52)
    small = b.compare("olt", x, least)
    scaled = b.select(small, b.multiply(x, 2.0**shift), x)
    count, m = mantissa(b, scaled)
    zero = constant(0, count.type)
    count = b.subtract(count, b.select(small, constant(shift, count.type), zero))
    f = b.subtract(m, constant(1.0, x.type))
    return b.cast("sitofp", count, x.type), f, log_rest(b, f)


def log_rest(b: Builder, f: Value) -> Value:
    """log(1+f) - f for small f."""
    square = b.multiply(f, f)
    if is_single(f):
        tail = b.multiply(b.multiply(square, f), split_polynomial(b, f, LOG32))
        return b.multiply_add(square, -0.5, tail)
    s = b.divide(f, b.add(f, 2.0))
    z = b.multiply(s, s)
    rest = b.multiply(z, polynomial(b, z, LOG64))
    half = b.multiply(square, 0.5)
    return b.subtract(b.multiply(s, b.add(half, rest)), half)


def log_specials(b: Builder, x: Value, result: Value) -> Value:
    """Mend log at 0, at infinity, at negative numbers and at NaN."""
    result = b.select(b.compare("oeq", x, 0.0), constant(-math.inf, x.type), result)
    result = b.select(b.compare("oeq", x, math.inf), x, result)
    return b.select(
        b.compare("uge", x, 0.0),
        b.select(b.compare("uno", x, x), x, result),
        constant(math.nan, x.type),
    )


def log(b: Builder, x: Value) -> Value:
    """Natural logarithm."""
    k, f, rest = log_parts(b, x)
    high, low = (LN2_HIGH32, LN2_LOW32) if is_single(x) else (LN2_HIGH64, LN2_LOW64)
    rest = b.multiply_add(k, low, rest)
    return log_specials(b, x, b.multiply_add(k, high, b.add(f, rest)))


def log_based(b: Builder, x: Value, factor: float, of_two: float) -> Value:
    """Logarithm to another base: k·of_two + (f + t)·factor with the products' low parts kept."""
    k, f, rest = log_parts(b, x)
    bits = 12 if is_single(x) else 26
    high = rounded(factor, bits)
    head = float_of_bits(b, b.bit_and(bits_of_float(b, f), -(1 << (12 if is_single(x) else 27))))
    tail = b.add(b.subtract(f, head), rest)
    low = b.multiply_add(b.add(head, tail), factor - high, b.multiply(tail, high))
    return log_specials(b, x, sum_of_parts(b, k, of_two, b.multiply(head, high), low))


def sum_of_parts(b: Builder, k: Value, of_two: float, head: Value, low: Value) -> Value:
    """Return k·of_two + head + low."""
    if of_two == 1.0:
        return b.add(k, b.add(head, low))
    high = rounded(of_two, 13 if is_single(k) else 40)
    low = b.multiply_add(k, of_two - high, low)
    return b.multiply_add(k, high, b.add(head, low))


def rounded(value: float, bits: int) -> float:
    """Return a number cut to so many significant bits."""
    fraction, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(fraction, bits)), exponent - bits)


def log2(b: Builder, x: Value) -> Value:
    return log_based(b, x, LOG2_E, 1.0)


def log10(b: Builder, x: Value) -> Value:
    return log_based(b, x, 1 / math.log(10), LOG10_2)


def log1p(b: Builder, x: Value) -> Value:
    """log(1+x): the rounding error c of u = 1 + x is put back into f."""
    u = b.add(x, 1.0)
    beyond = b.compare("ogt", x, 1.0)
    error = b.select(
        beyond,
        b.subtract(1.0, b.subtract(u, x)),
        b.subtract(x, b.subtract(u, constant(1.0, x.type))),
    )
    count, m = mantissa(b, u)
    far = 30 if is_single(x) else 60
    error = b.select(b.compare("sgt", count, far), constant(0.0, x.type), error)
    limited = b.minimum(count, far)
    f = b.multiply_add(
        error,
        power_of_two(b, b.subtract(constant(0, count.type), limited)),
        b.subtract(m, constant(1.0, x.type)),
    )
    k = b.cast("sitofp", count, x.type)
    high, low = (LN2_HIGH32, LN2_LOW32) if is_single(x) else (LN2_HIGH64, LN2_LOW64)
    rest = b.multiply_add(k, low, log_rest(b, f))
    result = log_specials(b, u, b.multiply_add(k, high, b.add(f, rest)))
    tiny = b.compare("olt", absolute(b, x), 2.0**-26 if is_single(x) else 2.0**-55)
    return b.select(tiny, x, result)


def tanh(b: Builder, x: Value) -> Value:
    """Float: a polynomial below 5/8, else 1 - 2/(e^2x + 1). Double: expm1(2x)/(expm1(2x) + 2)."""
    size = absolute(b, x)
    if not is_single(x):
        grown = expm1(b, clamp_high(b, b.add(size, size), 44.0))
        return with_sign(b, b.divide(grown, b.add(grown, 2.0)), x)
    z = b.multiply(x, x)
    near = b.multiply_add(b.multiply(x, z), polynomial(b, z, TANH32), x)
    power = exp_plain(b, clamp_high(b, b.add(size, size), 20.0))
    far = b.subtract(1.0, b.divide(2.0, b.add(power, 1.0)))
    return with_sign(b, b.select(b.compare("olt", size, 0.625), near, far), x)


def sigmoid(b: Builder, x: Value) -> Value:
    """1/(1 + e^-x) from e^-|x|, so that neither side overflows or cancels."""
    power = exp(b, b.negative(absolute(b, x)))
    above = b.select(b.compare("oge", x, 0.0), constant(1.0, x.type), power)
    return b.divide(above, b.add(power, 1.0))


def quick_sigmoid(b: Builder, x: Value) -> Value:
    """1/(1 + e^-x) of floats in half the time: within 3 ulp, but what is below e^-87 or above 1 - e^-87 stays there."""
    inside = clamp_high(b, clamp_low(b, b.negative(x), -87.0), 87.0)
    return b.divide(1.0, b.add(exp_plain(b, inside), 1.0))


def quick_tanh(b: Builder, x: Value) -> Value:
    """t/(t + 2) with t = e^2|x| - 1, of floats: one exponential and no choice of two ways, within 4 ulp."""
    size = absolute(b, x)
    count, _, less_one = reduced_exp(b, clamp_high(b, b.add(size, size), 20.0))
    power = power_of_two(b, count)
    grown = b.multiply_add(power, less_one, b.subtract(power, 1.0))
    return with_sign(b, b.divide(grown, b.add(grown, 2.0)), x)


def sinh(b: Builder, x: Value) -> Value:
    """(t + t/(t+1))/2 with t = e^|x| - 1, of doubles."""
    size = absolute(b, x)
    grown = expm1(b, size)
    small = b.multiply(b.add(grown, b.divide(grown, b.add(grown, 1.0))), 0.5)
    return with_sign(b, hyperbolic_ends(b, size, small), x)


def cosh(b: Builder, x: Value) -> Value:
    """(e^|x| + e^-|x|)/2, of doubles."""
    size = absolute(b, x)
    grown = exp(b, size)
    small = b.multiply(b.add(grown, b.divide(1.0, grown)), 0.5)
    return hyperbolic_ends(b, size, small)


def hyperbolic_ends(b: Builder, size: Value, small: Value) -> Value:
    """Beyond 709, where e^x overflows before its half does, take e^(x/2)/2·e^(x/2)."""
    root = exp(b, b.multiply(size, 0.5))
    return b.select(b.compare("ogt", size, 709.0), b.multiply(b.multiply(root, 0.5), root), small)
