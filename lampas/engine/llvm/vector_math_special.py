"""erf, erfc, erfinv, lgamma, digamma and power for float and double.

erf: x plus x times a polynomial in x² below 1, then 1 - exp(-x²)·q(x). lgamma: a polynomial about its zero at 2,
recurrence up to 8, then Stirling's series; reflection on the left. digamma: reflection, recurrence up to 10, then
the asymptotic series (Abramowitz and Stegun 6.3.18). power of floats: exp(y·log|x|) in double. erfc and erfinv of
floats are in vector_math_wide.py. Coefficients: tools/fit_polynomials.py.
"""

from __future__ import annotations

import math

from lampas.engine.llvm import vector_math_wide as wide
from lampas.engine.llvm.text import Builder, Value, constant, lanes_of
from lampas.engine.llvm.vector_math_exponential import LOG2_E, exp, exp2_negative, log
from lampas.engine.llvm.vector_math_parts import (
    absolute,
    bits_of_float,
    clamp_high,
    float_of_bits,
    is_single,
    polynomial,
    split_polynomial,
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
AREA32 = (
    0.143622332213, 0.143597350573, 0.124633905997, 0.0935714960252, 0.00534487091656, 0.0993038728805,
    -0.216858702199, 0.136437916078, -0.0296530749787,
)
ERF64 = (
    0.1283791670955125668, -0.37612638903183546584, 0.11283791670945251782, -0.026866170643276034607,
    0.0052239776074222880537, -0.00085483259896532831953, 0.00012055295319521353642, -0.000014924744649931631109,
    1.6447517567641666294e-6, -1.6209175426580396243e-7, 1.3722975493826881672e-8, -7.8011895575674616624e-10,
)
ERFCX64 = (
    1.2375126308378275018, -0.1402405985855456247, 0.0035854154854858653073, 0.082276738490022945829,
    -0.1088039301427284251, 0.092304321163662369033, -0.058693398572078766557, 0.028362277378388174659,
    -0.0097465797208618269456, 0.001755626130301211901, 0.00029371455785718223779, -0.00029015523612314848823,
    0.000051645995111174246368, 0.000022387323100090537594, -0.000011437029586238054975, -9.7894363367587652162e-7,
    1.7407383708458270257e-6, -5.1101338603020008773e-8, -2.4762968315236070862e-7, 1.890629795948179771e-8,
    3.1577049681279227014e-8, -1.9773755119679753139e-9, -2.5490075547709545972e-9,
)
LGAMMA64 = (
    0.42278433509846713554, 0.3224670334241132521, -0.0673523010531956097, 0.020580808427777215205,
    -0.0073855510289379813723, 0.002890510331211506416, -0.0011927539009201898784, 0.00050966951095508834419,
    -0.00022315497869253607183, 0.000099457732979407725905, -0.000044923717056579280752, 0.000020505141302927355604,
    -9.4563382491997577376e-6, 4.3866405595224300313e-6, -1.9741881344902241698e-6, 9.1562718551825077863e-7,
    -5.8125044717638067554e-7, 2.8290617355096249713e-7,
)
# B_2k/(2k·(2k-1)) of Stirling's series (Abramowitz and Stegun 6.1.41)
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
# B_2k/2k of the series of digamma
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)
# fmt: on
AREA_SHIFT = 0.36  # c of t = 1/(1 + c·y)
ERFC_MIDDLE, ERFC_END = 3.75, 28.0  # beyond the end erfc is 0 in double


def erf(b: Builder, x: Value) -> Value:
    size = absolute(b, x)
    if not is_single(x):
        far = with_sign(b, b.subtract(1.0, erfc_positive(b, size)), x)
        return b.select(b.compare("olt", size, 1.0), erf_small(b, x), far)
    near = b.multiply_add(x, polynomial(b, b.multiply(x, x), ERF32), x)
    # The derivative's e^(-x²) is written alike, so that the two become one.
    power = exp(b, b.multiply(x, b.negative(x)))
    tail = polynomial(b, clamp_high(b, size, 4.0), ERFCX32)
    far = with_sign(b, b.multiply_add(b.negative(power), tail, constant(1.0, x.type)), x)
    return b.select(b.compare("olt", size, 1.0), near, far)


def erf_small(b: Builder, x: Value) -> Value:
    """erf of doubles up to 1 in size."""
    return b.multiply_add(x, polynomial(b, b.multiply(x, x), ERF64), x)


def erfc_positive(b: Builder, size: Value) -> Value:
    """erfc of doubles from 0 on: exp(-y²)·p((y-c)/(y+c))/(1+2y) (Shepherd and Laframboise 1981).

    y² is cut in two, y = head + tail: head² is exact, and of the rest, below 2^-15, four terms of the exponential's
    series suffice.
    """
    y = clamp_high(b, size, ERFC_END)
    t = b.divide(b.subtract(y, constant(ERFC_MIDDLE, y.type)), b.add(y, ERFC_MIDDLE))
    head = float_of_bits(b, b.bit_and(bits_of_float(b, y), -(1 << 27)))
    power = exp(b, b.negative(b.multiply(head, head)))
    rest = b.multiply(b.subtract(y, head), b.add(y, head))
    mend = polynomial(b, rest, (1.0, -1.0, 1 / 2, -1 / 6))
    below = b.multiply_add(y, 2.0, one(y))
    scaled = b.divide(b.multiply(split_polynomial(b, t, ERFCX64), mend), below)
    return b.multiply(power, scaled)


def one(like: Value) -> Value:
    return constant(1.0, like.type)


def erfc(b: Builder, x: Value) -> Value:
    """1 - erf x of doubles, exact to the last places where it is small; by subtraction below 1/2."""
    size = absolute(b, x)
    result = erfc_positive(b, size)
    result = b.select(b.compare("olt", x, 0.0), b.subtract(2.0, result), result)
    return b.select(b.compare("olt", size, 0.5), b.subtract(1.0, erf_small(b, x)), result)


def erfinv(b: Builder, x: Value) -> Value:
    """Inverse of erf of doubles: float's estimate and one step of Halley's method.

    y -= e/(1 + y·e) with e = (erf y - |x|)/erf' y; near 1 from the complements, which are exact there.
    """
    size = absolute(b, x)
    estimate = wide.erfinv_estimate(b, size)
    power = wide.exp(b, b.negative(b.multiply(estimate, estimate)))
    slope = b.multiply(power, 2 / math.sqrt(math.pi))
    lower = b.subtract(erf_small(b, estimate), size)
    upper = b.subtract(b.subtract(1.0, size), erfc_positive(b, estimate))
    error = b.divide(b.select(b.compare("ogt", size, 0.5), upper, lower), slope)
    refined = b.subtract(estimate, b.divide(error, b.multiply_add(estimate, error, one(x))))
    return wide.erfinv_ends(b, x, refined)


def normal_power(b: Builder, x: Value) -> Value:
    """exp(-x²/2); of floats the power of two of x²·log2(e)/2, 0 where it is not a normal number."""
    if not is_single(x):
        return exp(b, b.multiply(x, b.multiply(x, -0.5)))
    return exp2_negative(b, b.multiply(x, b.multiply(x, -LOG2_E / 2)))


def normal_area(b: Builder, x: Value) -> Value:
    """The normal density's area left of x: exp(-x²/2)·t·p(t) of the side that has less of it, with t = 1/(1 + c·|x|)."""
    if not is_single(x):
        return b.multiply(erfc(b, b.multiply(x, -math.sqrt(0.5))), 0.5)
    t = b.divide(1.0, b.multiply_add(absolute(b, x), AREA_SHIFT, one(x)))
    # Who multiplies by the density too writes the power alike, so that the two become one.
    tail = b.multiply(normal_power(b, x), b.multiply(t, polynomial(b, t, AREA32)))
    return b.select(b.compare("olt", x, 0.0), tail, b.subtract(1.0, tail))


def lgamma(b: Builder, x: Value) -> Value:
    """log |Γ(x)| of doubles; left of -1/2 by Γ(x)·Γ(-x) = -π/(x·sin πx), if a lane is there."""
    size = absolute(b, x)
    result = lgamma_right(b, x, size)
    left = b.compare("ole", x, -0.5)
    some = left
    if left.type != "i1":
        some = b.call(f"llvm.vector.reduce.or.v{lanes_of(x.type)}i1", "i1", [left])
    before = b.block
    with b.when(some):
        area = log(b, b.multiply(size, sine_of_turns(b, x)))
        mirrored = b.subtract(b.subtract(math.log(math.pi), area), result)
        mended = b.select(left, mirrored, result)
        inside = b.block
    result = b.phi([(result, before), (mended, inside)])
    return b.select(b.compare("oeq", size, math.inf), size, result)


def lgamma_right(b: Builder, x: Value, size: Value) -> Value:
    """log Γ(|x|), of numbers between -1/2 and 0 log |Γ(x)|.

    Below 8, |x| ± n = 2 + s lies in [1.5, 2.5), where lgamma is s·p(s), and the logarithm of the factors between is
    added or taken off; s is exact, so that nothing is lost about the zeros. From 8 on Stirling's series.
    """
    z, product = size, one(x)
    for _ in range(6):
        high = b.compare("oge", z, 2.5)
        z = b.select(high, b.subtract(z, one(x)), z)
        product = b.select(high, b.multiply(product, z), product)
    low, least = b.compare("olt", size, 1.5), b.compare("olt", size, 0.5)
    s = b.subtract(b.select(low, size, z), b.select(low, one(x), constant(2.0, x.type)))
    s = b.select(least, x, s)
    product = b.select(low, size, product)
    product = b.select(least, b.multiply(size, b.add(x, 1.0)), product)
    far = b.compare("uge", size, 8.0)
    logarithm = log(b, b.select(far, size, product))
    signed = b.select(low, b.negative(logarithm), logarithm)
    near = b.multiply_add(s, split_polynomial(b, s, LGAMMA64), signed)
    return b.select(far, stirling(b, size, logarithm), near)


def stirling(b: Builder, y: Value, logarithm: Value) -> Value:
    """(y - 1/2)·(log y - 1) + (log 2π - 1)/2 + Σ B_2k/(2k·(2k-1)·y^(2k-1))."""
    inverse = b.divide(1.0, y)
    series = b.multiply(inverse, polynomial(b, b.multiply(inverse, inverse), STIRLING))
    tail = b.add(series, (math.log(2 * math.pi) - 1) / 2)
    less, half = (constant(value, y.type) for value in (1.0, 0.5))
    return b.multiply_add(b.subtract(y, half), b.subtract(logarithm, less), tail)


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
    """π/tan(πx)."""
    turns, sine, cosine = circle(b, x)
    return with_sign(b, b.divide(b.multiply(cosine, math.pi), sine), turns)


def sine_of_turns(b: Builder, x: Value) -> Value:
    """|sin(πx)|."""
    return circle(b, x)[1]


def circle(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """(x less the nearest integer, |sin(πx)|, |cos(πx)|), from the distance to the nearest half integer."""
    turns = b.subtract(x, b.intrinsic("rint", x.type, [x]))
    size = absolute(b, turns)
    far = b.compare("ogt", size, 0.25)
    inner = b.select(far, b.subtract(0.5, size), size)
    sine, cosine = sine_and_cosine(b, b.multiply(inner, math.pi))
    return turns, b.select(far, cosine, sine), b.select(far, sine, cosine)


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
