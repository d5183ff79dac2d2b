"""Machine code for the two loops of random numbers that NumPy cannot do fast.

``fill_normal`` is ``box_muller.fill_normal``, operation by operation, in vectors of 8; results are
the same to the last bit. ``swap_chain`` is the serial part of a random permutation. Both are
compiled on first use, and only for the amounts of work named below.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.target import host
from lampas.engine.llvm.text import Builder, Module, Operand, Value
from lampas.engine.settings import settings
from lampas.engine.tensor import box_muller

ENOUGH_NUMBERS = 4096
ENOUGH_SWAPS = 20_000
SINGLES = "<8 x float>"
WORDS = "<8 x i32>"


def fill_normal(uniform: NDArray[np.float32], mean: float, std: float) -> None:
    """Turn a flat array of uniform numbers, a whole number of blocks of 16, into normal numbers."""
    if len(uniform) < ENOUGH_NUMBERS or settings.tier == "reference" or not host().fma:
        box_muller.fill_normal(uniform, mean, std)
        return
    _functions()["normal"](uniform.ctypes.data, len(uniform) // box_muller.BLOCK, mean, std)


def swap_chain(partners: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The numbers below ``count`` after swapping places i and partners[i], in order of i."""
    if count < ENOUGH_SWAPS or settings.tier == "reference":
        order = list(range(count))
        for place, partner in enumerate(partners.tolist()):
            order[place], order[partner] = order[partner], order[place]
        return np.array(order, np.int64)
    result = np.arange(count)
    _functions()["swap"](result.ctypes.data, partners.ctypes.data, len(partners))
    return result


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    found = compile_functions(kernels(), ["lampas_normal", "lampas_swap"])
    pointer, whole, single = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    return {
        "normal": ctypes.CFUNCTYPE(None, pointer, whole, single, single)(found["lampas_normal"]),
        "swap": ctypes.CFUNCTYPE(None, pointer, pointer, whole)(found["lampas_swap"]),
    }


def kernels() -> Module:
    """The module of both functions."""
    module = Module()
    _write_normal(
        module.function(
            "lampas_normal",
            [("ptr", "data"), ("i64", "blocks"), ("float", "mean"), ("float", "std")],
        )
    )
    _write_swap(
        module.function("lampas_swap", [("ptr", "order"), ("ptr", "partners"), ("i64", "n")])
    )
    return module


def _write_swap(b: Builder) -> None:
    order, partners, count = b.arguments
    with b.loop(0, count, 1) as place:
        partner = b.load("i64", b.element_pointer(partners, place, "i64"))
        here, there = (b.element_pointer(order, each, "i64") for each in (place, partner))
        first, second = b.load("i64", here), b.load("i64", there)
        b.store(second, here)
        b.store(first, there)
    b.ret()


def _write_normal(b: Builder) -> None:
    data, blocks, mean, std = b.arguments
    means, stds = b.splat(mean, SINGLES), b.splat(std, SINGLES)
    with b.loop(0, blocks, 1) as block:
        first = b.element_pointer(data, b.multiply(block, box_muller.BLOCK), "float")
        second = b.element_pointer(first, 8, "float")
        chance = b.subtract(b.value(1.0, SINGLES), b.load(SINGLES, first, 4))
        radius = b.intrinsic("sqrt", SINGLES, [b.multiply(_log(b, chance), -2.0)])
        turn = b.multiply(b.load(SINGLES, second, 4), 2.0 * np.pi)
        sine, cosine = _sine_and_cosine(b, turn)
        b.store(b.fma(b.multiply(radius, cosine), stds, means), first, 4)
        b.store(b.fma(b.multiply(radius, sine), stds, means), second, 4)
    b.ret()


def _polynomial(b: Builder, x: Value, coefficients: list[float]) -> Value:
    result: Operand = coefficients[0]
    for coefficient in coefficients[1:]:
        result = b.fma(result, x, b.value(coefficient, SINGLES))
    return b.value(result, SINGLES)


def _log(b: Builder, x: Value) -> Value:
    bits = b.cast("bitcast", x, WORDS)
    exponent = b.subtract(b.shift_right(bits, 23, signed=False), 126)
    fraction = b.cast("bitcast", b.bit_or(b.bit_and(bits, 0x007FFFFF), 0x3F000000), SINGLES)
    power = b.cast("sitofp", exponent, SINGLES)
    is_low = b.compare("olt", fraction, float(np.float32(0.707106781186547524)))
    power = b.subtract(power, b.select(is_low, b.value(1.0, SINGLES), b.value(0.0, SINGLES)))
    doubled = b.select(is_low, fraction, b.value(0.0, SINGLES))
    fraction = b.add(fraction, b.subtract(doubled, 1.0))
    square = b.multiply(fraction, fraction)
    tail = b.multiply(_polynomial(b, fraction, box_muller.LOG), fraction)
    tail = b.fma(tail, square, b.multiply(power, float(box_muller.LN2_LOW)))
    tail = b.subtract(tail, b.multiply(square, 0.5))
    return b.fma(power, box_muller.LN2_HIGH, b.add(fraction, tail))


def _sine_and_cosine(b: Builder, angle: Value) -> tuple[Value, Value]:
    scaled = b.multiply(angle, float(np.float32(1.27323954473516)))
    octant = b.bit_and(b.add(b.cast("fptosi", scaled, WORDS), 1), ~1)
    steps = b.cast("sitofp", octant, SINGLES)
    reduced = angle
    for part in box_muller.QUARTER_PI:
        reduced = b.fma(steps, -part, reduced)
    square = b.multiply(reduced, reduced)
    cosine = b.multiply(_polynomial(b, square, box_muller.COS), square)
    cosine = b.add(b.fma(cosine, square, b.multiply(square, -0.5)), 1.0)
    sine = b.multiply(_polynomial(b, square, box_muller.SIN), square)
    sine = b.fma(sine, reduced, reduced)
    is_straight = b.compare("eq", b.bit_and(octant, 2), 0)
    return (
        _signed(b, b.select(is_straight, sine, cosine), octant),
        _signed(b, b.select(is_straight, cosine, sine), b.add(octant, 2)),
    )


def _signed(b: Builder, value: Value, octant: Value) -> Value:
    """The value, negated where bit 2 of the octant is set."""
    sign = b.shift_left(b.bit_and(octant, 4), 29)
    return b.cast("bitcast", b.bit_xor(b.cast("bitcast", value, WORDS), sign), SINGLES)
