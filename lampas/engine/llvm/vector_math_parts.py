"""What the vector functions are made of: polynomials, powers of two, calls of libm.

Everything works for scalars and for vectors of any width. Additions of large constants round to integers without
conversions, so that NaN and infinity pass through without undefined behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import (
    Builder,
    Module,
    Value,
    constant,
    element_of,
    lanes_of,
    suffix_of,
    vector,
)

ROUNDER32 = 12582912.0  # 1.5·2^23
ROUNDER64 = 6755399441055744.0  # 1.5·2^52


class TargetModule(Module):
    """A module whose functions may use what one target is good at; plain modules suit all."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target


def target_of(b: Builder) -> Target | None:
    """Return the target a builder writes for, if it is known."""
    return b.module.target if isinstance(b.module, TargetModule) else None


def like(value: Value, element: str) -> str:
    """Return the type with as many lanes as a value's and another element."""
    return vector(element, lanes_of(value.type))


def is_single(value: Value) -> bool:
    return element_of(value.type) == "float"


def polynomial(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """Evaluate by Horner's rule, constant coefficient first."""
    total = constant(coefficients[-1], x.type)
    for coefficient in reversed(coefficients[:-1]):
        total = b.multiply_add(total, x, constant(coefficient, x.type))
    return total


def split_polynomial(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """Evaluate even and odd parts side by side: half the latency of Horner's rule."""
    square = b.multiply(x, x)
    even = polynomial(b, square, coefficients[0::2])
    odd = polynomial(b, square, coefficients[1::2])
    return b.multiply_add(odd, x, even)


def bits_of_float(b: Builder, x: Value) -> Value:
    return b.cast("bitcast", x, like(x, "i32" if is_single(x) else "i64"))


def float_of_bits(b: Builder, x: Value) -> Value:
    return b.cast("bitcast", x, like(x, "float" if element_of(x.type) == "i32" else "double"))


def nearest(b: Builder, x: Value) -> tuple[Value, Value]:
    """Return the nearest integer to a small x as a float and as an integer of its width."""
    rounder = constant(ROUNDER32 if is_single(x) else ROUNDER64, x.type)
    shifted = b.add(x, rounder)
    bits = bits_of_float(b, shifted)
    whole = b.subtract(bits, bits_of_rounder(x))
    return b.subtract(shifted, rounder), whole


def nearest_product(b: Builder, x: Value, factor: float) -> tuple[Value, Value]:
    """Like `nearest`, of x·factor."""
    rounder = constant(ROUNDER32 if is_single(x) else ROUNDER64, x.type)
    shifted = b.multiply_add(x, factor, rounder)
    whole = b.subtract(bits_of_float(b, shifted), bits_of_rounder(x))
    return b.subtract(shifted, rounder), whole


def bits_of_rounder(x: Value) -> Value:
    if is_single(x):
        return constant(0x4B400000, like(x, "i32"))
    return constant(0x4338000000000000, like(x, "i64"))


def power_of_two(b: Builder, exponent: Value) -> Value:
    """Return 2^exponent for an integer vector in the range of normal numbers."""
    single = element_of(exponent.type) == "i32"
    bias, place = (127, 23) if single else (1023, 52)
    return float_of_bits(b, b.shift_left(b.add(exponent, bias), place))


def scale(b: Builder, x: Value, exponent: Value, sign: Value) -> Value:
    """Return x·2^exponent where the exponent has the sign of a number, or is 0.

    By AVX-512's instruction, or as two products, which reach denormals and infinity: a power that stays normal
    because it is nearer to 1 by a fixed one, and that one.
    """
    target = target_of(b)
    if target is not None and target.vector_bytes == 64 and lanes_of(x.type) >= 8:
        name = f"llvm.ldexp.{suffix_of(x.type)}.{suffix_of(exponent.type)}"
        return b.call(name, x.type, [x, exponent])
    bias, place, apart = (127, 23, 64) if is_single(x) else (1023, 52, 512)
    below = b.compare("slt", bits_of_float(b, sign), 0)
    biases = [constant(bias + part, exponent.type) for part in (apart, -apart)]
    factors = [constant(2.0**part, x.type) for part in (-apart, apart)]
    power = float_of_bits(b, b.shift_left(b.add(exponent, b.select(below, *biases)), place))
    return b.multiply(b.multiply(x, power), b.select(below, *factors))


def absolute(b: Builder, x: Value) -> Value:
    return b.intrinsic("fabs", x.type, [x])


def with_sign(b: Builder, magnitude: Value, sign: Value) -> Value:
    return b.intrinsic("copysign", magnitude.type, [magnitude, sign])


def clamp_low(b: Builder, x: Value, low: float) -> Value:
    """Raise x to `low`; NaN stays."""
    return b.select(b.compare("olt", x, low), constant(low, x.type), x)


def clamp_high(b: Builder, x: Value, high: float) -> Value:
    """Lower x to `high`; NaN stays."""
    return b.select(b.compare("ogt", x, high), constant(high, x.type), x)


def call_lanes(b: Builder, name: str, values: list[Value]) -> Value:
    """Call libm's function once a lane, its float form (…f) for float."""
    kind = values[0].type
    element = element_of(kind)
    symbol = name + "f" if element == "float" else name
    if kind[0] != "<":
        return b.call(symbol, kind, values)
    result = Value("poison", kind)
    for lane in range(lanes_of(kind)):
        scalars = [b.extract(value, lane) for value in values]
        result = b.insert(result, b.call(symbol, element, scalars), lane)
    return result
