"""Types, constants and operands of LLVM IR text.

Types are LLVM's own words as plain strings ("float", "i64", "ptr", "<16 x float>"); a `Value` is the text of an
operand with its type.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

FLOATS = ("half", "bfloat", "float", "double")
BITS = {"half": 16, "bfloat": 16, "float": 32, "double": 64, "ptr": 64}
SUFFIXES = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64", "ptr": "p0"}


def vector(element: str, lanes: int) -> str:
    """Return the type of `lanes` elements; one lane is the scalar type itself."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def element_of(kind: str) -> str:
    """Return the element type of a vector type, or a scalar type itself."""
    return kind[kind.index(" x ") + 3 : -1] if kind[0] == "<" else kind


def lanes_of(kind: str) -> int:
    """Return how many lanes a type has (1 for a scalar)."""
    return int(kind[1 : kind.index(" ")]) if kind[0] == "<" else 1


def bits_of(kind: str) -> int:
    """Return the width in bits of one element of a type."""
    element = element_of(kind)
    return BITS[element] if element in BITS else int(element[1:])


def bytes_of(kind: str) -> int:
    """Return the size in bytes of one element of a type (i1 counts as one byte)."""
    return max(1, bits_of(kind) // 8)


def is_float(kind: str) -> bool:
    """Tell whether a type's elements are floating point."""
    return element_of(kind) in FLOATS


def suffix_of(kind: str) -> str:
    """Return a type as LLVM spells it inside an intrinsic's name, e.g. ``v16f32``."""
    element = element_of(kind)
    word = SUFFIXES.get(element, element)
    return f"v{lanes_of(kind)}{word}" if kind[0] == "<" else word


class Value(NamedTuple):
    """The text of one SSA operand and its type."""

    text: str
    type: str

    def __str__(self) -> str:
        return f"{self.type} {self.text}"

    @property
    def known(self) -> int | None:
        """The integer this value is a constant of, else None."""
        plain = self.text.lstrip("-").isdigit()
        return int(self.text) if plain else None


Operand = Value | int | float | bool


def number(value: int | float | bool, element: str) -> str:
    """Spell a Python number as a constant of a scalar type, floats by their exact bits.

    >>> number(0.1, "float"), number(3, "i64")
    ('0x3FB99999A0000000', '3')
    """
    if element == "i1":
        return "true" if value else "false"
    if element not in FLOATS:
        return str(int(value))
    return float_bits(float(value), element)


def float_bits(value: float, element: str) -> str:
    if element == "half":
        return "0xH" + half_bits(value)
    if element == "bfloat":
        return "0xR" + bfloat_bits(value)
    if element == "float" and math.isfinite(value):
        try:
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            value = math.copysign(math.inf, value)
    return "0x" + struct.pack(">d", value).hex().upper()


def half_bits(value: float) -> str:
    try:
        return struct.pack(">e", value).hex().upper()
    except OverflowError:
        return "7C00" if value > 0 else "FC00"


def bfloat_bits(value: float) -> str:
    if math.isnan(value):
        return "7FC0"
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return f"{((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) & 0xFFFF:04X}"


def constant(value: int | float | bool, kind: str) -> Value:
    """Return a constant of a scalar type, or the same constant in every lane of a vector type."""
    element = element_of(kind)
    text = number(value, element)
    return Value(text if kind[0] != "<" else f"splat ({element} {text})", kind)


def lane_constants(values: Sequence[int | float | bool], element: str) -> Value:
    """Return a constant vector from one number a lane.

    >>> str(lane_constants([0, 1], "i32"))
    '<2 x i32> <i32 0, i32 1>'
    """
    lanes = ", ".join(f"{element} {number(value, element)}" for value in values)
    return Value(f"<{lanes}>", vector(element, len(values)))


def type_word(text: str) -> str:
    """Return the type at the head of a parameter's text, without its attributes.

    >>> type_word("ptr noalias nocapture"), type_word("<4 x float> noundef")
    ('ptr', '<4 x float>')
    """
    return text[: text.index(">") + 1] if text[0] == "<" else text.split(" ")[0]


def undefined(kind: str) -> Value:
    return Value("poison", kind)
