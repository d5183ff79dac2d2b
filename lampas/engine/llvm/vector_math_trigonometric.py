"""sin, cos, tan, asin, acos, atan, atan2 and the inverse hyperbolic functions for float and double.

sin and cos: the angle is reduced in double by π/2 in parts of 33 bits, of which n times each is exact for n below
2^20; polynomials of the rest follow. Lanes with larger angles call libm, whose reduction is exact (the branch is
taken only if there is such a lane). Coefficients: tools/fit_polynomials.py.
"""

from __future__ import annotations

import math

from lampas.engine.llvm.text import Builder, Value, constant, element_of, lanes_of
from lampas.engine.llvm.vector_math_exponential import log, log1p
from lampas.engine.llvm.vector_math_parts import (
    absolute,
    bits_of_float,
    call_lanes,
    float_of_bits,
    is_single,
    like,
    nearest_product,
    polynomial,
    split_polynomial,
    with_sign,
)

# fmt: off
SIN32 = (-0.166666666638, 0.00833333187197, -0.000198400850786, 2.7249695866e-6)
COS32 = (0.0416666666643, -0.00138888876695, 2.48005989103e-5, -2.73007582215e-7)
SIN64 = (
    -0.16666666666666666666, 0.0083333333333333314823, -0.00019841269841265043363, 2.755731921932217786e-6,
    -2.5052106226493175671e-8, 1.6058530668413437633e-10, -7.5866407555597332745e-13,
)
COS64 = (
    0.041666666666666666666, -0.001388888888888888786, 0.000024801587301584634299, -2.7557319221393289936e-7,
    2.0876755787742055008e-9, -1.1470460355100702318e-11, 4.745840349225240965e-14,
)
ATAN64 = (
    -0.33333333333333333224, 0.19999999999999814089, -0.14285714285662010636, 0.11111111105349856237,
    -0.090909087623799379664, 0.076922966115773617807, -0.066664288136432066826, 0.058789708754661049002,
    -0.052307410054785803739, 0.045528119205069037636, -0.034599824128329896992, 0.016316086849327435531,
)
ASIN64 = (
    0.16666666666666668001, 0.074999999999982305488, 0.044642857146744086581, 0.030381944109318588782,
    0.022372174075916228961, 0.017352366770821603019, 0.013971589351156988708, 0.011475585102152246606,
    0.010345680141161629771, 0.0053613965492069343354, 0.01765701305204382687, -0.015243946835016804985,
    0.029020368892634709164,
)
# π/2 in parts of 33, 33 and 53 bits
HALF_PI = (1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
# fmt: on
LARGEST = 1.0e6
TAN_EIGHTH = math.tan(math.pi / 8)


def reduce_angle(b: Builder, x: Value) -> tuple[Value, Value]:
    """Return (x - n·π/2 as x's type, n as an integer vector of x's width) for |x| ≤ 10^6."""
    wide = b.cast("fpext", x, like(x, "double"))
    whole, count = nearest_product(b, wide, 2 / math.pi)
    rest = wide
    for part in HALF_PI[:2] if is_single(x) else HALF_PI:
        rest = b.multiply_add(whole, -part, rest)
    if is_single(x):
        return b.cast("fptrunc", rest, x.type), b.cast("trunc", count, like(x, "i32"))
    return rest, count


def sine_and_cosine(b: Builder, rest: Value) -> tuple[Value, Value]:
    """Both functions of |rest| ≤ π/4."""
    single = is_single(rest)
    z = b.multiply(rest, rest)
    sine = polynomial(b, z, SIN32 if single else SIN64)
    cosine = polynomial(b, z, COS32 if single else COS64)
    sine = b.multiply_add(b.multiply(rest, z), sine, rest)
    cosine = b.multiply_add(
        b.multiply(z, z), cosine, b.multiply_add(z, -0.5, constant(1.0, z.type))
    )
    return sine, cosine


def circular(b: Builder, x: Value, name: str) -> Value:
    """sin or cos of moderate angles: choose the polynomial and the sign by the quadrant."""
    rest, count = reduce_angle(b, x)
    sine, cosine = sine_and_cosine(b, rest)
    one = constant(1, count.type)
    if name == "cos":
        count = b.add(count, one)
    odd = b.compare("ne", b.bit_and(count, one), 0)
    chosen = b.select(odd, cosine, sine)
    place = 30 if is_single(x) else 62
    flipped = b.shift_left(b.bit_and(count, constant(2, count.type)), place)
    result = float_of_bits(b, b.bit_xor(bits_of_float(b, chosen), flipped))
    if name == "sin":  # keeps -0
        return b.select(b.compare("oeq", x, 0.0), x, result)
    return result


def tangent(b: Builder, x: Value, name: str) -> Value:
    """tan of moderate angles; float is computed in double by its caller."""
    rest, count = reduce_angle(b, x)
    sine, cosine = sine_and_cosine(b, rest)
    odd = b.compare("ne", b.bit_and(count, 1), 0)
    above = b.select(odd, b.negative(cosine), sine)
    below = b.select(odd, sine, cosine)
    return b.select(b.compare("oeq", x, 0.0), x, b.divide(above, below))


def with_large_angles(b: Builder, x: Value, moderate: Value, name: str) -> Value:
    """Replace lanes beyond the reduction's range by libm's result."""
    large = b.compare("ogt", absolute(b, x), LARGEST)
    some = (
        large
        if large.type == "i1"
        else b.call(f"llvm.vector.reduce.or.v{lanes_of(x.type)}i1", "i1", [large])
    )
    before = b.block
    helper = lane_function(b, name, x.type)
    with b.when(some):
        mended = b.select(large, b.call(helper, x.type, [x]), moderate)
        inside = b.block
    return b.phi([(moderate, before), (mended, inside)])


def lane_function(b: Builder, name: str, kind: str) -> str:
    """Define, once in the module, a function that calls libm for every lane."""
    label = f"lanes_{name}_{lanes_of(kind)}_{element_of(kind)}"
    if not any(built.name == label for built in b.module.builders):
        f = b.module.function(label, [(kind, "x")], kind, "nounwind noinline cold", internal=True)
        f.ret(call_lanes(f, name, f.arguments))
    return label


def sin(b: Builder, x: Value) -> Value:
    return with_large_angles(b, x, circular(b, x, "sin"), "sin")


def cos(b: Builder, x: Value) -> Value:
    return with_large_angles(b, x, circular(b, x, "cos"), "cos")


def tan(b: Builder, x: Value) -> Value:
    """tan; call it with double (float would lose a bit in the quotient)."""
    return with_large_angles(b, x, tangent(b, x, "tan"), "tan")


def atan_small(b: Builder, x: Value) -> Value:
    """atan of 0 ≤ x ≤ infinity: above tan(π/8) by atan x = π/4 + atan((x-1)/(x+1)), above its inverse by 1/x."""
    far = b.compare("ogt", x, 1 / TAN_EIGHTH)
    middle = b.compare("ogt", x, TAN_EIGHTH)
    one = constant(1.0, x.type)
    above = b.select(far, b.negative(one), b.select(middle, b.subtract(x, one), x))
    below = b.select(far, x, b.select(middle, b.add(x, one), one))
    t = b.divide(above, below)
    z = b.multiply(t, t)
    tail = b.multiply(b.multiply(t, z), split_polynomial(b, z, ATAN64))
    zero = constant(0.0, x.type)
    base = b.select(
        far, constant(math.pi / 2, x.type), b.select(middle, constant(math.pi / 4, x.type), zero)
    )
    low = b.select(
        far,
        constant(6.123233995736766e-17, x.type),
        b.select(middle, constant(3.061616997868383e-17, x.type), zero),
    )
    return b.add(base, b.add(t, b.add(tail, low)))


def atan(b: Builder, x: Value) -> Value:
    return with_sign(b, atan_small(b, absolute(b, x)), x)


def atan2(b: Builder, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), with C's answers for zeros and infinities."""
    height, width = absolute(b, y), absolute(b, x)
    both = b.bit_and(b.compare("oeq", height, math.inf), b.compare("oeq", width, math.inf))
    origin = b.bit_and(b.compare("oeq", height, 0.0), b.compare("oeq", width, 0.0))
    ratio = b.select(both, constant(1.0, x.type), b.divide(height, width))
    ratio = b.select(origin, constant(0.0, x.type), ratio)
    angle = atan_small(b, ratio)
    leftward = b.compare("slt", bits_of_float(b, x), 0)
    turned = b.add(
        b.subtract(constant(math.pi, x.type), angle), constant(1.2246467991473532e-16, x.type)
    )
    angle = b.select(leftward, turned, angle)
    unordered = b.compare("uno", x, y)
    return b.select(unordered, b.add(x, y), with_sign(b, angle, y))


def asin_small(b: Builder, x: Value) -> Value:
    """asin of |x| ≤ 1/2."""
    z = b.multiply(x, x)
    return b.multiply_add(b.multiply(x, z), split_polynomial(b, z, ASIN64), x)


def asin(b: Builder, x: Value) -> Value:
    """asin x; above one half as π/2 - 2·asin(√((1-x)/2))."""
    size = absolute(b, x)
    far = b.compare("ogt", size, 0.5)
    root = b.intrinsic("sqrt", x.type, [b.multiply(b.subtract(1.0, size), 0.5)])
    inner = asin_small(b, b.select(far, root, size))
    outer = b.subtract(
        constant(math.pi / 2, x.type),
        b.subtract(b.add(inner, inner), constant(6.123233995736766e-17, x.type)),
    )
    return with_sign(b, b.select(far, outer, inner), x)


def acos(b: Builder, x: Value) -> Value:
    """acos x = π/2 - asin x, or 2·asin(√((1-x)/2)) above one half, and π less that of -x below minus one half."""
    size = absolute(b, x)
    far = b.compare("ogt", size, 0.5)
    root = b.intrinsic("sqrt", x.type, [b.multiply(b.subtract(1.0, size), 0.5)])
    inner = asin_small(b, b.select(far, root, x))
    double = b.add(inner, inner)
    below = b.compare("olt", x, 0.0)
    turned = b.add(
        b.subtract(constant(math.pi, x.type), double), constant(1.2246467991473532e-16, x.type)
    )
    outer = b.select(below, turned, double)
    middle = b.subtract(
        constant(math.pi / 2, x.type), b.subtract(inner, constant(6.123233995736766e-17, x.type))
    )
    return b.select(far, outer, middle)


def asinh(b: Builder, x: Value) -> Value:
    """log1p(|x| + x²/(1 + √(x²+1))); huge |x| as log|x| + ln2."""
    size = absolute(b, x)
    square = b.multiply(size, size)
    root = b.intrinsic("sqrt", x.type, [b.add(square, 1.0)])
    near = log1p(b, b.add(size, b.divide(square, b.add(root, 1.0))))
    far = b.add(log(b, size), constant(math.log(2), x.type))
    return with_sign(b, b.select(b.compare("ogt", size, 1.0e9), far, near), x)


def acosh(b: Builder, x: Value) -> Value:
    """log1p(t + √(2t + t²)) with t = x - 1; huge x as log x + ln2."""
    t = b.subtract(x, constant(1.0, x.type))
    root = b.intrinsic("sqrt", x.type, [b.multiply_add(t, t, b.add(t, t))])
    near = log1p(b, b.add(t, root))
    far = b.add(log(b, x), constant(math.log(2), x.type))
    result = b.select(b.compare("ogt", x, 1.0e9), far, near)
    return b.select(b.compare("olt", x, 1.0), constant(math.nan, x.type), result)


def atanh(b: Builder, x: Value) -> Value:
    """log1p(2|x|/(1-|x|))/2."""
    size = absolute(b, x)
    ratio = b.divide(b.add(size, size), b.subtract(1.0, size))
    return with_sign(b, b.multiply(log1p(b, ratio), 0.5), x)
