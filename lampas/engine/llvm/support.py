"""Functions that LLVM calls where a processor lacks an instruction, and that no library of the process offers.

Processors of the x86 family without F16C convert between float16 and float32 by `__extendhfsf2` and `__truncsfhf2`,
which belong to the compilers' own run-time libraries; from float64 by `__truncdfhf2`, into which LLVM also joins a
rounding to float32 and one to float16. Here they are written on the bits: a half becomes a float by
moving its bits and scaling by 2**112 (exact, also for subnormals); a float is rounded to nearest even by adding half
of the last place, subnormals by an addition that pushes the superfluous bits out.
"""

from __future__ import annotations

import struct

from lampas.engine.llvm.text import Builder, Module, Value, constant

EXTEND, TRUNCATE, TRUNCATE_DOUBLE = "__extendhfsf2", "__truncsfhf2", "__truncdfhf2"
INFINITY_BITS = 0x7F800000
TOO_BIG_BITS = (127 + 16) << 23  # 2**16: the first exponent that float16 lacks
NORMAL_BITS = (127 - 14) << 23  # 2**-14: the smallest normal float16
PUSH_BITS = (127 - 15 + 23 - 10 + 1) << 23  # 1/2: its last place is that of float16's subnormals


def support_module() -> Module:
    """Return the module with the conversions."""
    module = Module()
    write_extend(module.function(EXTEND, [("half", "x")], "float"))
    b = module.function(TRUNCATE, [("float", "x")], "half")
    write_truncate(b, b.arguments[0])
    b = module.function(TRUNCATE_DOUBLE, [("double", "x")], "half")
    write_truncate(b, b.cast("fptrunc", b.arguments[0], "float"))
    return module


def write_extend(b: Builder) -> None:
    bits = b.cast("zext", b.cast("bitcast", b.arguments[0], "i16"), "i32")
    moved = b.shift_left(b.bit_and(bits, 0x7FFF), 13)
    scaled = b.multiply(b.cast("bitcast", moved, "float"), 2.0**112)
    special = b.compare("eq", b.bit_and(bits, 0x7C00), 0x7C00)
    magnitude = b.select(special, b.bit_or(moved, INFINITY_BITS), b.cast("bitcast", scaled, "i32"))
    sign = b.shift_left(b.bit_and(bits, 0x8000), 16)
    b.ret(b.cast("bitcast", b.bit_or(magnitude, sign), "float"))


def write_truncate(b: Builder, value: Value) -> None:
    bits = b.cast("bitcast", value, "i32")
    magnitude = b.bit_and(bits, 0x7FFFFFFF)
    push = constant(struct.unpack("<f", struct.pack("<I", PUSH_BITS))[0], "float")
    pushed = b.cast("bitcast", b.add(b.cast("bitcast", magnitude, "float"), push), "i32")
    odd = b.bit_and(b.shift_right(magnitude, 13, signed=False), 1)
    rounded = b.add(b.add(magnitude, 0xFFF - ((127 - 15) << 23)), odd)
    normal = b.shift_right(rounded, 13, signed=False)
    small = b.compare("ult", magnitude, NORMAL_BITS)
    finite = b.select(small, b.subtract(pushed, PUSH_BITS), normal)
    result = b.select(b.compare("uge", magnitude, TOO_BIG_BITS), special_half(b, magnitude), finite)
    sign = b.bit_and(b.shift_right(bits, 16, signed=False), 0x8000)
    short = b.cast("trunc", b.bit_or(result, sign), "i16")
    b.ret(b.cast("bitcast", short, "half"))


def special_half(b: Builder, magnitude: Value) -> Value:
    """Return the bits of infinity, or of a quiet NaN with the upper part of the payload."""
    payload = b.bit_and(b.shift_right(magnitude, 13, signed=False), 0x3FF)
    nan = b.compare("ugt", magnitude, INFINITY_BITS)
    return b.select(nan, b.bit_or(payload, 0x7E00), 0x7C00)
