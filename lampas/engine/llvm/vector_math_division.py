"""The exact rest of a division, C's fmod, for float and double.

With q = trunc(|x|/|y|), rounded, the rest is |x| - q·|y|: a multiple of the operands' last places and not above |y| in
size, so it is a floating-point number, and one fused multiply-add finds it without error. While the quotient is below
2^(p-2), p bits of precision, its rounding cannot lose more than a quarter: q is right or one too large, and then the
rest is negative by less than |y|/4 and |y| more is the answer, exactly.

Lanes with larger quotients go a road of their own, entered only if there are some. Floats take double, where
multiples y·2^k of 24 bits are subtracted with quotients below 2^28: the product has no more than 53 bits and the
quotient cannot round up to an integer, as it lies at least 2^-24 below. So does every float where the target has no
fused multiply-add. Doubles call libm.
"""

from __future__ import annotations

import math

from lampas.engine.llvm.text import Builder, Value, constant, lanes_of
from lampas.engine.llvm.vector_math_parts import (
    absolute,
    bits_of_float,
    call_lanes,
    float_of_bits,
    is_single,
    like,
    target_of,
    with_sign,
)

QUOTIENT_BITS = 28
# A float's quotient is below 2^(128 + 149), and each round takes off 27 bits at least.
ROUNDS = 11


def fmod(b: Builder, x: Value, y: Value) -> Value:
    """x - trunc(x/y)·y without rounding; the sign of x, also on zeros; NaN for x = ±infinity or y = 0."""
    target = target_of(b)
    if target is not None and target.fma:
        rest, quotient = fused_rest(b, x, y)
        limit = 2.0**22 if is_single(x) else 2.0**51
        return with_large_quotients(b, x, y, with_sign(b, rest, x), quotient, limit)
    if not is_single(x):
        return call_lanes(b, "fmod", [x, y])
    return b.call(distant(b, x.type), x.type, [x, y])


def fused_rest(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The rest of |x| by |y| and the quotient that must be moderate for it to be right."""
    above, below = absolute(b, x), absolute(b, y)
    quotient = b.divide(above, below)
    whole = b.intrinsic("trunc", x.type, [quotient])
    rest = b.fma(b.negative(whole), below, above)
    rest = b.select(b.compare("olt", rest, 0.0), b.add(rest, below), rest)
    return b.select(small_beside(b, above, below), above, rest), quotient


def small_beside(b: Builder, above: Value, below: Value) -> Value:
    """Where |x| < |y|: x is its own rest, also beside infinity."""
    return b.compare("olt", above, below)


def with_large_quotients(
    b: Builder, x: Value, y: Value, moderate: Value, quotient: Value, limit: float
) -> Value:
    """Replace lanes whose quotient is beyond the limit, unless their rest is NaN in any case."""
    large = b.compare("oge", quotient, limit)
    finite = b.compare("olt", absolute(b, x), math.inf)
    large = b.bit_and(large, b.bit_and(finite, b.compare("one", y, 0.0)))
    some = large
    if large.type != "i1":
        some = b.call(f"llvm.vector.reduce.or.v{lanes_of(x.type)}i1", "i1", [large])
    before = b.block
    helper = distant(b, x.type)
    with b.when(some):
        mended = b.select(large, b.call(helper, x.type, [x, y]), moderate)
        inside = b.block
    return b.phi([(moderate, before), (mended, inside)])


def distant(b: Builder, kind: str) -> str:
    """Define, once in the module, the road for large quotients."""
    label = "fmod_" + kind.strip("<>").replace(" ", "_")
    if not any(built.name == label for built in b.module.builders):
        parameters = [(kind, "x"), (kind, "y")]
        f = b.module.function(label, parameters, kind, "nounwind noinline", internal=True)
        x, y = f.arguments
        f.ret(rest_in_double(f, x, y) if is_single(x) else call_lanes(f, "fmod", [x, y]))
    return label


def rest_in_double(f: Builder, x: Value, y: Value) -> Value:
    """Any quotient of floats: subtract the largest multiples that keep every product exact."""
    wide = like(x, "double")
    above = absolute(f, f.cast("fpext", x, wide))
    below = absolute(f, f.cast("fpext", y, wide))
    with f.carrying_loop(0, ROUNDS, 1, [above]) as loop:
        rest = loop.values[0]
        quotient = f.divide(rest, below)
        factor, inverse = excess(f, quotient)
        whole = f.intrinsic("trunc", wide, [f.multiply(quotient, inverse)])
        less = f.subtract(rest, f.multiply(whole, f.multiply(below, factor)))
        loop.carry([f.select(small_beside(f, rest, below), rest, less)])
        large = f.compare("oge", quotient, 2.0**QUOTIENT_BITS)
        large = f.bit_and(large, f.compare("olt", quotient, math.inf))
        some = large
        if large.type != "i1":
            some = f.call(f"llvm.vector.reduce.or.v{lanes_of(x.type)}i1", "i1", [large])
        loop.step = f.select(some, constant(1, "i64"), constant(ROUNDS, "i64"))
    return with_sign(f, f.cast("fptrunc", loop.results[0], x.type), x)


def excess(f: Builder, quotient: Value) -> tuple[Value, Value]:
    """The power of two, 1 or more, by which a quotient lies beyond QUOTIENT_BITS bits, and its inverse."""
    bits = f.bit_and(bits_of_float(f, quotient), 0x7FF0000000000000)
    power = f.subtract(bits, constant(QUOTIENT_BITS - 1 << 52, bits.type))
    unit = constant(0x3FF0000000000000, bits.type)
    power = f.select(f.compare("oge", quotient, 2.0**QUOTIENT_BITS), power, unit)
    inverse = f.subtract(constant(0x7FE0000000000000, bits.type), power)
    return float_of_bits(f, power), float_of_bits(f, inverse)
