"""The loops of random numbers as LLVM text: the Mersenne Twister, its conversions, Box-Muller.

Every kernel gives what the NumPy form of it gives, to the last bit, on every machine: products and
sums are fused only where the NumPy form fuses them.
"""

from lampas.engine.llvm.text import Builder, Module, Operand, Value
from lampas.engine.tensor import cephes

WORDS, SHIFT = 624, 397
LANES = 16
SINGLES, OCTET = "<8 x float>", "<8 x i32>"
WIDE = f"<{LANES} x i32>"
LIBM = ("log", "log1p", "cos", "sin", "tan", "exp")


def kernels() -> Module:
    """The module of all kernels; `random_native` says what they take."""
    module = Module()
    _write_blocks(
        module.function("lampas_blocks", [("ptr", "state"), ("ptr", "out"), ("i64", "n")])
    )
    _write_singles(
        module.function(
            "lampas_singles",
            [
                ("ptr", "words"),
                ("i64", "n"),
                ("float", "low"),
                ("float", "span"),
                ("float", "high"),
            ],
        )
    )
    _write_doubles(module.function("lampas_doubles", [("ptr", "words"), ("i64", "n")]))
    for name, element in (("lampas_trials", "float"), ("lampas_flags", "i8")):
        arguments = [("ptr", "words"), ("ptr", "out"), ("i64", "n"), ("i64", "limit")]
        _write_trials(module.function(name, arguments), element)
    _write_normal(
        module.function(
            "lampas_normal",
            [("ptr", "data"), ("i64", "blocks"), ("float", "mean"), ("float", "std")],
        )
    )
    _write_swap(
        module.function("lampas_swap", [("ptr", "order"), ("ptr", "partners"), ("i64", "n")])
    )
    _write_fused(
        module.function(
            "lampas_fused",
            [("ptr", "data"), ("i64", "n"), ("double", "factor"), ("double", "addend")],
        )
    )
    for name in LIBM:
        _write_libm(module.function(f"lampas_{name}", [("ptr", "data"), ("i64", "n")]), name)
    return module


# The Mersenne Twister -------------------------------------------------------------------------


def _word(value: int) -> int:
    """A 32-bit constant as LLVM writes it, with a sign."""
    return value - (1 << 32) if value >> 31 else value


def _write_blocks(b: Builder) -> None:
    """Advance the 624 words of state `n` times; each time write them, tempered, to `out`."""
    state, out, count = b.arguments
    with b.loop(0, count, 1) as block:
        head = WORDS - SHIFT
        _twist_run(b, state, 0, head - head % LANES, SHIFT)
        _twist_rest(b, state, head - head % LANES, head, SHIFT)
        body = head + (WORDS - 1 - head) // LANES * LANES
        _twist_run(b, state, head, body, -head)
        _twist_rest(b, state, body, WORDS - 1, -head)
        _twist(b, state, WORDS - 1, 0, SHIFT - 1, 1)
        target = b.element_pointer(out, b.multiply(block, WORDS), "i32")
        with b.loop(0, WORDS, LANES) as place:
            word = b.load(WIDE, b.element_pointer(state, place, "i32"))
            b.store(_temper(b, word), b.element_pointer(target, place, "i32"))
    b.ret()


def _twist_run(b: Builder, state: Value, start: int, stop: int, shift: int) -> None:
    with b.loop(start, stop, LANES) as place:
        _twist(b, state, place, b.add(place, 1), b.add(place, shift), LANES)


def _twist_rest(b: Builder, state: Value, start: int, stop: int, shift: int) -> None:
    """What is left of a run, in the widest vectors that fit."""
    place, lanes = start, LANES // 2
    while place < stop:
        if stop - place >= lanes:
            _twist(b, state, place, place + 1, place + shift, lanes)
            place += lanes
        else:
            lanes //= 2


def _twist(
    b: Builder, state: Value, place: Operand, following: Operand, far: Operand, lanes: int
) -> None:
    kind = "i32" if lanes == 1 else f"<{lanes} x i32>"
    upper, lower, mixed = (
        b.load(kind, b.element_pointer(state, b.value(each), "i32"))
        for each in (place, following, far)
    )
    joined = b.bit_or(b.bit_and(upper, _word(0x80000000)), b.bit_and(lower, 0x7FFFFFFF))
    odd = b.bit_and(b.subtract(0, b.bit_and(lower, 1)), _word(0x9908B0DF))
    twisted = b.bit_xor(b.bit_xor(mixed, b.shift_right(joined, 1, signed=False)), odd)
    b.store(twisted, b.element_pointer(state, b.value(place), "i32"))


def _temper(b: Builder, word: Value) -> Value:
    word = b.bit_xor(word, b.shift_right(word, 11, signed=False))
    word = b.bit_xor(word, b.bit_and(b.shift_left(word, 7), _word(0x9D2C5680)))
    word = b.bit_xor(word, b.bit_and(b.shift_left(word, 15), _word(0xEFC60000)))
    return b.bit_xor(word, b.shift_right(word, 18, signed=False))


# Conversions of words ---------------------------------------------------------------------------


def _write_singles(b: Builder) -> None:
    """Words to float32 in place: 24 bits, times span, plus low; what reaches high becomes low."""
    words, count, low, span, high = b.arguments
    whole = b.bit_and(count, -LANES)
    with b.loop(0, whole, LANES) as place:
        _single(b, b.element_pointer(words, place, "i32"), low, span, high, LANES)
    with b.loop(whole, count, 1) as place:
        _single(b, b.element_pointer(words, place, "i32"), low, span, high, 1)
    b.ret()


def _single(b: Builder, place: Value, low: Value, span: Value, high: Value, lanes: int) -> None:
    word, number = ("i32", "float") if lanes == 1 else (f"<{lanes} x i32>", f"<{lanes} x float>")
    unit = b.cast("sitofp", b.bit_and(b.load(word, place), 0xFFFFFF), number)
    unit = b.multiply(unit, 2.0**-24)
    lows, spans, highs = (b.splat(each, number) for each in (low, span, high))
    ranged = b.fma(unit, spans, lows)
    b.store(b.select(b.compare("oge", ranged, highs), lows, ranged), place, 4)


def _pair(b: Builder, words: Value, place: Value) -> Value:
    """The low 53 bits of two words, the first of them above."""
    both = b.load("i64", b.element_pointer(words, place, "i64"), 4)
    first, second = b.shift_left(both, 32), b.shift_right(both, 32, signed=False)
    return b.bit_and(b.bit_or(first, second), (1 << 53) - 1)


def _write_doubles(b: Builder) -> None:
    """Pairs of words to float64 in place: 53 bits in [0, 1)."""
    words, count = b.arguments
    with b.loop(0, count, 1) as place:
        unit = b.multiply(b.cast("sitofp", _pair(b, words, place), "double"), 2.0**-53)
        b.store(unit, b.element_pointer(words, place, "double"), 4)
    b.ret()


def _write_trials(b: Builder, element: str) -> None:
    """1 where 53 bits of two words are below the limit, else 0."""
    words, out, count, limit = b.arguments
    whole = b.bit_and(count, -8)
    with b.loop(0, whole, 8) as place:
        both = b.load("<8 x i64>", b.element_pointer(words, place, "i64"), 4)
        first, second = b.shift_left(both, 32), b.shift_right(both, 32, signed=False)
        value = b.bit_and(b.bit_or(first, second), (1 << 53) - 1)
        is_below = b.compare("slt", value, b.splat(limit, "<8 x i64>"))
        found = _flag(b, is_below, f"<8 x {element}>")
        b.store(found, b.element_pointer(out, place, element), 1 if element == "i8" else 4)
    with b.loop(whole, count, 1) as place:
        is_below = b.compare("slt", _pair(b, words, place), limit)
        b.store(_flag(b, is_below, element), b.element_pointer(out, place, element))
    b.ret()


def _flag(b: Builder, condition: Value, kind: str) -> Value:
    one, zero = (1.0, 0.0) if "float" in kind else (1, 0)
    return b.select(condition, b.value(one, kind), b.value(zero, kind))


# Functions of doubles -----------------------------------------------------------------------------


def _write_fused(b: Builder) -> None:
    """data · factor + addend in place, rounded once."""
    data, count, factor, addend = b.arguments
    with b.loop(0, count, 1) as place:
        where = b.element_pointer(data, place, "double")
        b.store(b.fma(b.load("double", where), factor, addend), where)
    b.ret()


def _write_libm(b: Builder, name: str) -> None:
    """A function of the C library in place."""
    data, count = b.arguments
    with b.loop(0, count, 1) as place:
        where = b.element_pointer(data, place, "double")
        b.store(b.call(name, "double", [b.load("double", where)]), where)
    b.ret()


# Permutations and normal numbers --------------------------------------------------------------------


def _write_swap(b: Builder) -> None:
    """For each i in order: swap order[i] with order[partners[i]]."""
    order, partners, count = b.arguments
    with b.loop(0, count, 1) as place:
        partner = b.load("i64", b.element_pointer(partners, place, "i64"))
        here, there = (b.element_pointer(order, each, "i64") for each in (place, partner))
        first, second = b.load("i64", here), b.load("i64", there)
        b.store(second, here)
        b.store(first, there)
    b.ret()


def _write_normal(b: Builder) -> None:
    """Blocks of 16 uniform numbers to normal numbers, as `box_muller` has it."""
    data, blocks, mean, std = b.arguments
    means, stds = b.splat(mean, SINGLES), b.splat(std, SINGLES)
    with b.loop(0, blocks, 1) as block:
        first = b.element_pointer(data, b.multiply(block, 16), "float")
        second = b.element_pointer(first, 8, "float")
        chance = b.subtract(b.value(1.0, SINGLES), b.load(SINGLES, first, 4))
        radius = b.intrinsic("sqrt", SINGLES, [b.multiply(_log(b, chance), -2.0)])
        angle = b.multiply(b.load(SINGLES, second, 4), cephes.TWO_PI)
        sine, cosine = _sine_and_cosine(b, angle)
        b.store(b.fma(b.multiply(radius, cosine), stds, means), first, 4)
        b.store(b.fma(b.multiply(radius, sine), stds, means), second, 4)
    b.ret()


def _polynomial(b: Builder, x: Value, coefficients: tuple[float, ...]) -> Value:
    result: Operand = coefficients[0]
    for coefficient in coefficients[1:]:
        result = b.fma(result, x, b.value(coefficient, SINGLES))
    return b.value(result, SINGLES)


def _log(b: Builder, x: Value) -> Value:
    bits = b.cast("bitcast", x, OCTET)
    exponent = b.subtract(b.shift_right(bits, 23, signed=False), 126)
    fraction = b.cast("bitcast", b.bit_or(b.bit_and(bits, 0x007FFFFF), 0x3F000000), SINGLES)
    power = b.cast("sitofp", exponent, SINGLES)
    is_low = b.compare("olt", fraction, cephes.ROOT_HALF)
    power = b.subtract(power, b.select(is_low, b.value(1.0, SINGLES), b.value(0.0, SINGLES)))
    doubled = b.select(is_low, fraction, b.value(0.0, SINGLES))
    fraction = b.add(fraction, b.subtract(doubled, 1.0))
    square = b.multiply(fraction, fraction)
    tail = b.multiply(_polynomial(b, fraction, cephes.LOG), fraction)
    tail = b.fma(tail, square, b.multiply(power, cephes.LN2_LOW))
    tail = b.subtract(tail, b.multiply(square, 0.5))
    return b.fma(power, cephes.LN2_HIGH, b.add(fraction, tail))


def _sine_and_cosine(b: Builder, angle: Value) -> tuple[Value, Value]:
    scaled = b.multiply(angle, cephes.FOUR_OVER_PI)
    octant = b.bit_and(b.add(b.cast("fptosi", scaled, OCTET), 1), ~1)
    steps = b.cast("sitofp", octant, SINGLES)
    reduced = angle
    for part in cephes.QUARTER_PI:
        reduced = b.fma(steps, -part, reduced)
    square = b.multiply(reduced, reduced)
    cosine = b.multiply(_polynomial(b, square, cephes.COS), square)
    cosine = b.add(b.fma(cosine, square, b.multiply(square, -0.5)), 1.0)
    sine = b.multiply(_polynomial(b, square, cephes.SIN), square)
    sine = b.fma(sine, reduced, reduced)
    is_straight = b.compare("eq", b.bit_and(octant, 2), 0)
    return (
        _signed(b, b.select(is_straight, sine, cosine), octant),
        _signed(b, b.select(is_straight, cosine, sine), b.add(octant, 2)),
    )


def _signed(b: Builder, value: Value, octant: Value) -> Value:
    """The value, negated where bit 2 of the octant is set."""
    sign = b.shift_left(b.bit_and(octant, 4), 29)
    return b.cast("bitcast", b.bit_xor(b.cast("bitcast", value, OCTET), sign), SINGLES)
