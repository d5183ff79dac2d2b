"""The emission table: how each elementwise primitive is written in LLVM, for scalars and vectors alike.

A rule gets the builder, the arguments (equal types, in register form) and their dtype, and returns the result.
Corner cases agree with the NumPy reference: division of an integer by zero does not trap, shifts by the width or
more give 0 or the sign, NaN wins in maximum and minimum.
"""

from __future__ import annotations

from collections.abc import Callable

from lampas.engine.dtype import bool_, dtype
from lampas.engine.llvm import vector_math_division as division
from lampas.engine.llvm.text import (
    Builder,
    Value,
    bits_of,
    constant,
    element_of,
    is_float,
    lanes_of,
    vector,
)
from lampas.engine.llvm.vector_math import VECTOR_MATH
from lampas.engine.llvm.vector_math_parts import bits_of_float, float_of_bits, with_sign

Rule = Callable[[Builder, list[Value], dtype], Value]


def negative(b: Builder, values: list[Value], kind: dtype) -> Value:
    x = values[0]
    return b.negative(x) if is_float(x.type) else b.subtract(constant(0, x.type), x)


def absolute(b: Builder, values: list[Value], kind: dtype) -> Value:
    x = values[0]
    if is_float(x.type):
        return b.intrinsic("fabs", x.type, [x])
    if kind.kind != "signed":
        return x
    return b.select(b.compare("slt", x, 0), negative(b, [x], kind), x)


def sign(b: Builder, values: list[Value], kind: dtype) -> Value:
    x = values[0]
    if kind is bool_:
        return x
    if not is_float(x.type):
        above = b.cast("zext", b.compare(greater_word(kind), x, 0), x.type)
        below = b.cast("zext", b.compare(less_word(kind), x, 0), x.type)
        return b.subtract(above, below)
    one = b.intrinsic("copysign", x.type, [constant(1.0, x.type), x])
    return b.select(b.compare("one", x, 0.0), one, constant(0.0, x.type))


def rounding(name: str) -> Rule:
    """Return the rule of a rounding; integers are round already."""

    def rule(b: Builder, values: list[Value], kind: dtype) -> Value:
        x = values[0]
        return b.intrinsic(name, x.type, [x]) if is_float(x.type) else x

    return rule


def bitwise_not(b: Builder, values: list[Value], kind: dtype) -> Value:
    return b.bit_xor(values[0], -1)


def logical_not(b: Builder, values: list[Value], kind: dtype) -> Value:
    x = values[0]
    return b.compare("oeq" if is_float(x.type) else "eq", x, 0)


def isnan(b: Builder, values: list[Value], kind: dtype) -> Value:
    x = values[0]
    if not is_float(x.type):
        return constant(False, vector("i1", lanes_of(x.type)))
    return b.compare("uno", x, x)


def isinf(b: Builder, values: list[Value], kind: dtype) -> Value:
    x = values[0]
    if not is_float(x.type):
        return constant(False, vector("i1", lanes_of(x.type)))
    return b.compare("oeq", absolute(b, values, kind), float("inf"))


def arithmetic(method: Callable[[Builder, Value, Value], Value], of_bools: str) -> Rule:
    """Return the rule of an arithmetic operation; on bools it is a logical one."""

    def rule(b: Builder, values: list[Value], kind: dtype) -> Value:
        if kind is bool_:
            return b.binary(of_bools, of_bools, values[0], values[1])
        return method(b, values[0], values[1])

    return rule


def less_word(kind: dtype) -> str:
    if kind.is_floating_point:
        return "olt"
    return "slt" if kind.kind == "signed" else "ult"


def greater_word(kind: dtype) -> str:
    if kind.is_floating_point:
        return "ogt"
    return "sgt" if kind.kind == "signed" else "ugt"


def comparison(integer: str, floating: str) -> Rule:
    """Return the rule of a comparison; `integer` is LLVM's word without its sign letter."""

    def rule(b: Builder, values: list[Value], kind: dtype) -> Value:
        if kind.is_floating_point:
            return b.compare(floating, values[0], values[1])
        plain = integer in ("eq", "ne")
        word = integer if plain else ("s" if kind.kind == "signed" else "u") + integer
        return b.compare(word, values[0], values[1])

    return rule


def extreme(largest: bool) -> Rule:
    """Return the rule of maximum or minimum."""

    def rule(b: Builder, values: list[Value], kind: dtype) -> Value:
        x, y = values
        word = greater_word(kind) if largest else less_word(kind)
        if is_number(y):  # one instruction: a comparison with NaN is false and leaves x
            return b.select(b.compare(word, y, x), y, x)
        chosen = b.select(b.compare(word, x, y), x, y)
        if not is_float(x.type):
            return chosen
        return b.select(b.compare("uno", x, x), x, chosen)

    return rule


def is_number(value: Value) -> bool:
    """Whether a value is a constant of a floating type other than NaN."""
    return is_float(value.type) and "%" not in value.text and "0x7FF8" not in value.text


def safe_divide(b: Builder, x: Value, y: Value, kind: dtype) -> tuple[Value, Value]:
    """Return x/y truncated and the rest; y = 0 counts as 1, and the overflow of -1 wraps."""
    signed = kind.kind == "signed"
    unsafe = b.compare("eq", y, 0)
    minus = b.compare("eq", y, -1)
    divisor = b.select(b.bit_or(unsafe, minus) if signed else unsafe, constant(1, y.type), y)
    quotient = integer_quotient(b, x, divisor, signed)
    rest = b.subtract(x, b.multiply(quotient, divisor))
    if signed:
        quotient = b.select(minus, b.subtract(constant(0, x.type), quotient), quotient)
    return quotient, rest


def integer_quotient(b: Builder, x: Value, y: Value, signed: bool) -> Value:
    """Divide integers; up to 32 bits through double, which is exact and stays in vectors."""
    if bits_of(x.type) > 32:
        name = "sdiv" if signed else "udiv"
        return b.binary(name, name, x, y)
    kind = vector("double", lanes_of(x.type))
    into, back = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
    return b.cast(back, b.divide(b.cast(into, x, kind), b.cast(into, y, kind)), x.type)


def floor_divide(b: Builder, values: list[Value], kind: dtype) -> Value:
    x, y = values
    if is_float(x.type):
        return floor_divide_float(b, x, y, kind)
    quotient, rest = safe_divide(b, x, y, kind)
    if kind.kind != "signed":
        return quotient
    lower = b.bit_and(b.compare("ne", rest, 0), b.compare("slt", b.bit_xor(x, y), 0))
    return b.select(lower, b.subtract(quotient, constant(1, x.type)), quotient)


def floor_divide_float(b: Builder, x: Value, y: Value, kind: dtype) -> Value:
    """Divide exactly what is left without the remainder, then mend the rounding."""
    plain = b.divide(x, y)
    rest = fmod(b, [x, y], kind)
    quotient = b.divide(b.subtract(x, rest), y)
    differs = b.bit_xor(b.compare("olt", rest, 0), b.compare("olt", y, 0))
    lower = b.bit_and(b.compare("une", rest, 0), differs)
    quotient = b.select(lower, b.subtract(quotient, 1.0), quotient)
    nearest = b.intrinsic("floor", x.type, [quotient])
    over = b.compare("ogt", b.subtract(quotient, nearest), 0.5)
    nearest = b.select(over, b.add(nearest, 1.0), nearest)
    zero = b.intrinsic("copysign", x.type, [constant(0.0, x.type), plain])
    nearest = b.select(b.compare("oeq", quotient, 0.0), zero, nearest)
    return b.select(b.compare("oeq", y, 0.0), plain, nearest)


def remainder(b: Builder, values: list[Value], kind: dtype) -> Value:
    x, y = values
    rest = fmod(b, values, kind)
    if kind.kind == "unsigned":
        return rest
    word = "olt" if is_float(x.type) else "slt"
    differs = b.bit_xor(b.compare(word, rest, 0), b.compare(word, y, 0))
    some = b.compare("une" if is_float(x.type) else "ne", rest, 0)
    return b.select(b.bit_and(some, differs), b.add(rest, y), rest)


def fmod(b: Builder, values: list[Value], kind: dtype) -> Value:
    x, y = values
    if is_float(x.type):
        return division.fmod(b, x, y)
    rest = safe_divide(b, x, y, kind)[1]
    return b.select(b.compare("eq", y, 0), constant(0, x.type), rest)


def power(b: Builder, values: list[Value], kind: dtype) -> Value:
    if is_float(values[0].type):
        return VECTOR_MATH["power"](b, values)
    name = integer_power_function(b, element_of(values[0].type), kind.kind == "signed")
    return each_lane(b, name, values)


def each_lane(b: Builder, name: str, values: list[Value]) -> Value:
    """Call a scalar function once a lane."""
    kind = values[0].type
    if kind[0] != "<":
        return b.call(name, kind, values)
    result = Value("poison", kind)
    for lane in range(lanes_of(kind)):
        scalars = [b.extract(value, lane) for value in values]
        result = b.insert(result, b.call(name, element_of(kind), scalars), lane)
    return result


def integer_power_function(b: Builder, kind: str, signed: bool) -> str:
    """Define base**exponent by squaring once in the module; negative exponents truncate the fraction."""
    name = f"power_{'s' if signed else 'u'}{kind}"
    if any(built.name == name for built in b.module.builders):
        return name
    f = b.module.function(name, [(kind, "base"), (kind, "exponent")], kind, internal=True)
    base, exponent = f.arguments
    one, zero = constant(1, kind), constant(0, kind)
    odd_only = f.select(f.compare("eq", f.bit_and(exponent, 1), 1), base, one)
    unit = f.bit_or(f.compare("eq", base, 1), f.compare("eq", base, -1))
    inverse = f.select(unit, odd_only, zero)
    with f.carrying_loop(0, bits_of(kind), 1, [one, base, exponent]) as loop:
        result, square, left = loop.values
        odd = f.compare("eq", f.bit_and(left, 1), 1)
        product = f.select(odd, f.multiply(result, square), result)
        loop.carry([product, f.multiply(square, square), f.shift_right(left, 1, signed=False)])
    answer = loop.results[0]
    if signed:
        answer = f.select(f.compare("slt", exponent, 0), inverse, answer)
    f.ret(answer)
    return name


def shift(left: bool) -> Rule:
    """Return the rule of a shift."""

    def rule(b: Builder, values: list[Value], kind: dtype) -> Value:
        x, count = values
        bits = bits_of(x.type)
        outside = b.compare("uge", count, bits)
        safe = b.select(outside, constant(0, x.type), count)
        signed = kind.kind == "signed"
        if left:
            return b.select(outside, constant(0, x.type), b.shift_left(x, safe))
        beyond = b.shift_right(x, bits - 1) if signed else constant(0, x.type)
        return b.select(outside, beyond, b.shift_right(x, safe, signed))

    return rule


def where(b: Builder, values: list[Value], kind: dtype) -> Value:
    return b.select(*values)


def nextafter(b: Builder, values: list[Value], kind: dtype) -> Value:
    """The next number by its bits, which are in order on either side of 0; -0 counts as 0."""
    x, y = values
    bits = bits_of_float(b, x)
    outward = b.bit_xor(b.compare("olt", x, y), b.compare("olt", x, 0.0))
    one, minus = constant(1, bits.type), constant(-1, bits.type)
    moved = float_of_bits(b, b.add(bits, b.select(outward, one, minus)))
    least = float_of_bits(b, one)
    moved = b.select(b.compare("oeq", x, 0.0), with_sign(b, least, y), moved)
    moved = b.select(b.compare("oeq", x, y), y, moved)
    return b.select(b.compare("uno", x, y), b.add(x, y), moved)


def bitwise(method: Callable[[Builder, Value, Value], Value]) -> Rule:
    return lambda b, values, kind: method(b, values[0], values[1])


def mathematical(name: str) -> Rule:
    return lambda b, values, kind: VECTOR_MATH[name](b, values)


# fmt: off
ELEMENT_RULES: dict[str, Rule] = {
    "negative": negative, "absolute": absolute, "sign": sign, "floor": rounding("floor"),
    "ceil": rounding("ceil"), "trunc": rounding("trunc"), "round": rounding("rint"),
    "bitwise_not": bitwise_not, "logical_not": logical_not, "isnan": isnan, "isinf": isinf,
    "sqrt": lambda b, values, kind: b.intrinsic("sqrt", values[0].type, values),
    "reciprocal": lambda b, values, kind: b.divide(1.0, values[0]),
    "rsqrt": lambda b, values, kind: b.divide(1.0, b.intrinsic("sqrt", values[0].type, values)),
    "add": arithmetic(Builder.add, "or"), "subtract": arithmetic(Builder.subtract, "xor"),
    "multiply": arithmetic(Builder.multiply, "and"), "divide": bitwise(Builder.divide),
    "floor_divide": floor_divide, "remainder": remainder, "fmod": fmod, "power": power,
    "maximum": extreme(largest=True), "minimum": extreme(largest=False),
    "copysign": lambda b, values, kind: b.intrinsic("copysign", values[0].type, values),
    "nextafter": nextafter,
    "bitwise_and": bitwise(Builder.bit_and), "bitwise_or": bitwise(Builder.bit_or),
    "bitwise_xor": bitwise(Builder.bit_xor),
    "shift_left": shift(left=True), "shift_right": shift(left=False),
    "equal": comparison("eq", "oeq"), "not_equal": comparison("ne", "une"),
    "less": comparison("lt", "olt"), "less_equal": comparison("le", "ole"),
    "greater": comparison("gt", "ogt"), "greater_equal": comparison("ge", "oge"),
    "where": where,
    **{name: mathematical(name) for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
        "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma", "digamma",
        "normal_area", "normal_power", "sigmoid", "atan2",
    )},
}
# fmt: on

HEAVY = frozenset(
    name for name, rule in ELEMENT_RULES.items() if rule.__qualname__.startswith("mathematical")
) | {"power", "fmod", "remainder", "floor_divide", "nextafter"}
