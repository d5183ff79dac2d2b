"""Dtypes in memory and in registers, and the conversions between them.

In memory a bool is a byte and a bfloat16 is 16 bits; in registers a bool is i1 and both half types are float.
"""

from __future__ import annotations

from lampas.engine.dtype import bfloat16, bool_, dtype, float16
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
from lampas.engine.llvm.vector_math_parts import target_of

# fmt: off
MEMORY_TYPES = {
    "bool": "i8", "uint8": "i8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "float16": "half", "bfloat16": "i16", "float32": "float", "float64": "double",
}
REGISTER_TYPES = MEMORY_TYPES | {"bool": "i1", "float16": "float", "bfloat16": "float"}
# fmt: on


def converts_half(b: Builder) -> bool:
    """Whether the target has instructions for float16: of x86 processors, those with AVX2."""
    target = target_of(b)
    return target is None or target.vector_bytes > 16 or not target.triple.startswith("x86_64")


def memory_type(kind: dtype, lanes: int = 1) -> str:
    """Return LLVM's type of `lanes` elements in memory; NotImplementedError for complex types."""
    return vector(look_up(MEMORY_TYPES, kind), lanes)


def register_type(kind: dtype, lanes: int = 1) -> str:
    """Return LLVM's type of `lanes` elements in registers; NotImplementedError for complex types."""
    return vector(look_up(REGISTER_TYPES, kind), lanes)


def look_up(table: dict[str, str], kind: dtype) -> str:
    if kind.name not in table:
        raise NotImplementedError(f"compiled loops do not handle {kind.name}")
    return table[kind.name]


def from_memory(b: Builder, value: Value, kind: dtype) -> Value:
    """Convert loaded elements to their register form."""
    lanes = lanes_of(value.type)
    if kind is bool_:
        return b.compare("ne", value, 0)
    if kind is float16:
        if not converts_half(b):
            return widen_half(b, b.cast("bitcast", value, vector("i16", lanes)))
        return b.cast("fpext", value, vector("float", lanes))
    if kind is bfloat16:
        wide = b.cast("zext", value, vector("i32", lanes))
        return b.cast("bitcast", b.shift_left(wide, 16), vector("float", lanes))
    return value


def to_memory(b: Builder, value: Value, kind: dtype) -> Value:
    """Convert a register value to the form that is stored."""
    lanes = lanes_of(value.type)
    if kind is bool_:
        return b.cast("zext", value, vector("i8", lanes))
    if kind is float16:
        if not converts_half(b):
            return b.cast("bitcast", narrow_half(b, value), vector("half", lanes))
        return b.cast("fptrunc", value, vector("half", lanes))
    return round_to_bfloat(b, value) if kind is bfloat16 else value


def round_to_bfloat(b: Builder, value: Value) -> Value:
    """Round float32 to the nearest bfloat16, ties to even; a NaN stays one."""
    lanes = lanes_of(value.type)
    bits = b.cast("bitcast", value, vector("i32", lanes))
    upper = b.shift_right(bits, 16, signed=False)
    rounded = b.add(b.add(bits, 0x7FFF), b.bit_and(upper, 1))
    rounded = b.shift_right(rounded, 16, signed=False)
    unordered = b.compare("uno", value, value)
    chosen = b.select(unordered, b.bit_or(upper, 0x40), rounded)
    return b.cast("trunc", chosen, vector("i16", lanes))


def widen_half(b: Builder, value: Value) -> Value:
    """Read float16 bits: shift the fields into place and let a product with 2^112 mend the exponent."""
    kind, floats = vector("i32", lanes_of(value.type)), vector("float", lanes_of(value.type))
    bits = b.cast("zext", value, kind)
    field = b.shift_left(b.bit_and(bits, 0x7FFF), 13)
    finite = b.cast("bitcast", b.multiply(b.cast("bitcast", field, floats), 2.0**112), kind)
    special = b.compare("uge", field, 0x7C00 << 13)
    size = b.select(special, b.bit_or(field, 0x7F800000), finite)
    sign = b.shift_left(b.bit_and(bits, 0x8000), 16)
    return b.cast("bitcast", b.bit_or(size, sign), floats)


def narrow_half(b: Builder, value: Value) -> Value:
    """Round float32 to float16 bits, ties to even; denormals by adding a half, whose last place is theirs."""
    kind, floats = vector("i32", lanes_of(value.type)), value.type
    bits = b.cast("bitcast", value, kind)
    size = b.bit_and(bits, 0x7FFFFFFF)
    odd = b.bit_and(b.shift_right(size, 13, signed=False), 1)
    normal = b.shift_right(b.add(b.add(size, 0xFFF - (112 << 23)), odd), 13, signed=False)
    half = b.cast("bitcast", b.add(b.cast("bitcast", size, floats), 0.5), kind)
    small = b.subtract(half, constant(0x3F000000, kind))
    result = b.select(b.compare("ult", size, 0x38800000), small, normal)
    infinite = b.select(
        b.compare("ugt", size, 0x7F800000), constant(0x7E00, kind), constant(0x7C00, kind)
    )
    result = b.select(b.compare("uge", size, 0x47800000), infinite, result)
    sign = b.bit_and(b.shift_right(bits, 16, signed=False), 0x8000)
    return b.cast("trunc", b.bit_or(result, sign), vector("i16", lanes_of(value.type)))


def convert(b: Builder, value: Value, source: dtype, target: dtype) -> Value:
    """Convert a register value from one dtype to another."""
    lanes = lanes_of(value.type)
    wanted = register_type(target, lanes)
    if source is target:
        return value
    if target is bool_:
        return b.compare("une" if is_float(value.type) else "ne", value, 0)
    if source.is_floating_point and target.is_floating_point:
        return convert_float(b, value, target, wanted)
    if source.is_floating_point:
        return float_to_integer(b, value, target)
    signed = source.kind == "signed"
    if target.is_floating_point:
        result = b.cast("sitofp" if signed else "uitofp", value, wanted)
        return round_half(b, result, target)
    if bits_of(value.type) > bits_of(wanted):
        return b.cast("trunc", value, wanted)
    return b.cast("sext" if signed else "zext", value, wanted)


def convert_float(b: Builder, value: Value, target: dtype, wanted: str) -> Value:
    before, after = bits_of(value.type), bits_of(wanted)
    if before != after:
        value = b.cast("fpext" if before < after else "fptrunc", value, wanted)
    return round_half(b, value, target)


def round_half(b: Builder, value: Value, kind: dtype) -> Value:
    """Round a register value to what a half type can hold."""
    if kind.itemsize == 2 and kind.is_floating_point:
        return from_memory(b, to_memory(b, value, kind), kind)
    return value


def float_to_integer(b: Builder, value: Value, target: dtype) -> Value:
    """Truncate; what does not fit the processor's conversion gives the smallest integer of its width."""
    lanes = lanes_of(value.type)
    narrow = target.itemsize == 1 and element_of(value.type) == "float"
    bits = 32 if target.name == "int32" or narrow else 64
    limit = 2.0 ** (bits - 1)
    lower = "oge" if bits == 64 or element_of(value.type) == "float" else "ogt"
    least = -limit if lower == "oge" else -limit - 1
    above = b.compare(lower, value, least)
    fits = b.bit_and(above, b.compare("olt", value, limit))
    kind = vector(f"i{bits}", lanes)
    safe = b.select(fits, value, 0.0)
    result = b.select(fits, b.cast("fptosi", safe, kind), -(1 << (bits - 1)))
    wanted = register_type(target, lanes)
    return b.cast("trunc", result, wanted)


def bitcast(b: Builder, value: Value, source: dtype, target: dtype) -> Value:
    """Read a value's bits as another dtype of the same size."""
    stored = to_memory(b, value, source)
    read = b.cast("bitcast", stored, memory_type(target, lanes_of(value.type)))
    return from_memory(b, read, target)


def identity(kind: dtype, reduction: str, type_: str) -> Value:
    """The value that changes nothing in a reduction."""
    if reduction in ("sum", "prod"):
        return constant(int(reduction == "prod"), type_)
    lowest = reduction in ("max", "argmax")
    if kind is bool_:
        return constant(not lowest, type_)
    if kind.is_floating_point:
        return constant(float("-inf") if lowest else float("inf"), type_)
    bits = kind.itemsize * 8
    if kind.kind == "unsigned":
        return constant(0 if lowest else (1 << bits) - 1, type_)
    return constant(-(1 << (bits - 1)) if lowest else (1 << (bits - 1)) - 1, type_)
