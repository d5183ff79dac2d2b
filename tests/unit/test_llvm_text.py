"""The text builder: LLVM accepts what it writes, and it computes what it should."""

from __future__ import annotations

import ctypes
import math
import struct

import numpy
import pytest

from lampas.engine.llvm.compiler import compile_function, optimized_text
from lampas.engine.llvm.text import (
    Builder,
    Module,
    Value,
    bits_of,
    bytes_of,
    constant,
    element_of,
    lanes_of,
    number,
    suffix_of,
    vector,
)


def run(body, *arguments: int) -> int:
    """Compile i64 f(i64 …) whose body returns its result, and call it."""
    module = Module()
    b = module.function("f", [("i64", f"x{i}") for i in range(len(arguments))], "i64")
    b.ret(body(b, *b.arguments))
    types = [ctypes.c_int64] * (1 + len(arguments))
    return ctypes.CFUNCTYPE(*types)(compile_function(module, "f"))(*arguments)


def test_types() -> None:
    assert vector("float", 16) == "<16 x float>"
    assert vector("float", 1) == "float"
    assert (element_of("<4 x i32>"), lanes_of("<4 x i32>")) == ("i32", 4)
    assert (bits_of("<2 x double>"), bytes_of("i1")) == (64, 1)
    assert [suffix_of(kind) for kind in ("<8 x bfloat>", "ptr", "i64")] == ["v8bf16", "p0", "i64"]


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, 1e-45, 3.4e38, 1e300, math.inf, -math.inf])
def test_float_constants_are_exact(value: float) -> None:
    with numpy.errstate(over="ignore"):
        bits = struct.pack(">d", float(numpy.float32(value)))
    assert number(value, "float") == "0x" + bits.hex().upper()
    assert number(value, "double") == "0x" + struct.pack(">d", value).hex().upper()


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 65504.0, 1e-7, 1e9, -1e9, math.inf])
def test_half_constants_are_numpys(value: float) -> None:
    with numpy.errstate(over="ignore"):
        assert number(value, "half") == "0xH" + numpy.float16(value).tobytes()[::-1].hex().upper()


@pytest.mark.parametrize("value", [1.0, -2.5, 1 / 3, 3.4e38, 1.00390625, 1.01171875])
def test_bfloat_constants_round_to_even(value: float) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    expected = ml_dtypes.bfloat16(value).tobytes()[::-1].hex().upper()
    assert number(value, "bfloat") == "0xR" + expected


def test_integer_constants_fold() -> None:
    b = Module().function("f", [("i64", "x")])
    x = b.arguments[0]
    before = len(b.lines)
    assert b.add(2, 3) == constant(5, "i64")
    assert b.multiply(b.value(4), 5) == constant(20, "i64")
    assert b.add(x, 0) is x
    assert b.multiply(1, x) is x
    assert b.subtract(x, 0) is x
    assert len(b.lines) == before


def test_mixed_types_are_refused() -> None:
    b = Module().function("f", [("i64", "x"), ("float", "y")])
    with pytest.raises(TypeError, match="types i64 and float"):
        b.add(*b.arguments)


def test_loop_counts_and_carries() -> None:
    def body(b: Builder, n: Value) -> Value:
        with b.carrying_loop(0, n, 3, [b.value(0)]) as loop:
            loop.carry([b.add(loop.values[0], loop.index)])
        return loop.results[0]

    for n in (-1, 0, 1, 3, 10):
        assert run(body, n) == sum(range(0, n, 3))


def test_nested_loops() -> None:
    def body(b: Builder, n: Value) -> Value:
        total = b.allocate("i64")
        b.store(b.value(0), total)
        with b.loop(0, n) as i, b.loop(i, n) as j:
            b.store(b.add(b.load("i64", total), b.multiply(i, j)), total)
        return b.load("i64", total)

    assert run(body, 6) == sum(i * j for i in range(6) for j in range(i, 6))


def test_branch_and_when() -> None:
    def body(b: Builder, x: Value) -> Value:
        place = b.allocate("i64")
        b.store(b.value(7), place)
        with b.when(b.compare("sgt", x, 10)):
            b.store(b.value(8), place)
        with b.branch(b.compare("slt", x, 0)) as (yes, no):
            with yes:
                low = b.multiply(x, -1)
            with no:
                high = b.add(x, 100)
        merged = b.phi([(low, yes.end), (high, no.end)])
        return b.add(merged, b.load("i64", place))

    assert [run(body, x) for x in (-5, 5, 50)] == [12, 112, 158]


def test_masked_memory_touches_only_its_lanes() -> None:
    module = Module()
    b = module.function("f", [("ptr", "x"), ("ptr", "y"), ("i64", "n")])
    x, y, n = b.arguments
    mask = b.lane_mask(8, n)
    kind = vector("float", 8)
    b.masked_store(b.add(b.masked_load(kind, x, mask, 5.0), 1.0), y, mask)
    b.ret()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
        compile_function(module, "f")
    )
    source, target = numpy.arange(8, dtype="f4"), numpy.zeros(8, "f4")
    for count in (-3, 0, 3, 8, 20):
        target[:] = -1
        call(source.ctypes.data, target.ctypes.data, count)
        used = min(max(count, 0), 8)
        assert target.tolist() == (source + 1)[:used].tolist() + [-1] * (8 - used)


def test_vectors_and_calls() -> None:
    def body(b: Builder, x: Value) -> Value:
        kind = vector("i64", 4)
        both = b.add(b.splat(x, kind), 3)
        mixed = b.shuffle(both, b.insert(both, b.value(9), 2), [0, 6])
        return b.add(b.extract(mixed, 1), b.maximum(x, 1))

    assert run(body, 5) == 14


def test_tables_are_stored_once() -> None:
    module = Module()
    b = module.function("f", [("i64", "x")], "i64")
    for _ in range(2):
        table = module.table("squares", "i64", [0, 1, 4, 9])
    b.ret(b.load_element("i64", table, b.arguments[0]))
    assert str(module).count("@squares =") == 1
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(compile_function(module, "f"))(3) == 9


def test_the_passes_remove_what_is_not_needed() -> None:
    module = Module()
    b = module.function("f", [("i64", "x")], "i64")
    b.multiply(b.arguments[0], 12345)
    b.ret(b.add(b.arguments[0], 1))
    assert "12345" in str(module)
    assert "12345" not in optimized_text(module)
