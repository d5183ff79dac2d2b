"""Compiled nests that read or write neighbours backwards, and those that read beyond a padded array's ends."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest

from lampas.engine.dtype import (
    bfloat16,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int64,
)
from lampas.engine.llvm.compiler import compile_function, object_code
from lampas.engine.llvm.target import aarch64_neon, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.emit import emit
from lampas.engine.loops.nest import CONTIGUOUS, REVERSED, Nest
from tests.unit.nests import KERNEL, sample

KINDS = [float32, float64, float16, bfloat16, int8, int64, bool_]


def fenced(array: np.ndarray, at_end: bool) -> np.ndarray:
    """A copy that ends, or begins, where memory may not be touched."""
    page = mmap.PAGESIZE
    size = -(-array.nbytes // page) * page
    area = mmap.mmap(-1, size + page)
    whole = np.frombuffer(area, np.uint8)
    library = ctypes.CDLL(None, use_errno=True)
    library.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    fence, first = (size, size - array.nbytes) if at_end else (0, page)
    assert library.mprotect(whole.ctypes.data + fence, page, 0) == 0
    made = whole[first : first + array.nbytes].view(array.dtype)
    made[:] = array
    return made


def call(nest: Nest, pointers: list[int], size: int) -> None:
    name, text, signature = emit(nest)
    integers = np.array([size], np.int64)
    table = np.array(pointers, np.int64)
    kernel = KERNEL(compile_function(text, name))
    kernel(table.ctypes.data, integers.ctypes.data, 0, signature.extent((size,)), 0)


def turned(kind: dtype, read: int, written: int) -> Nest:
    nest = NestBuilder(1)
    value = nest.load(nest.operand(kind, "input", (read,)))
    nest.store(nest.operand(kind, "output", (written,)), value)
    return nest.build()


def padded(kind: dtype) -> Nest:
    """The inside where the index reaches it, else 0; the operand is placed as if it went on on both sides."""
    nest = NestBuilder(1)
    low, high = (nest.load(nest.operand(int64, "input", (0,))) for _ in range(2))
    place = nest.append("index", (), int64, 0)
    after, before = nest.apply("greater_equal", place, low), nest.apply("less", place, high)
    valid = nest.apply("bitwise_and", after, before)
    operand = nest.operand(kind, "input", (CONTIGUOUS,))
    taken = nest.gather(operand, nest.constant(0, int64), valid)
    nest.store(nest.operand(kind, "output", (CONTIGUOUS,)), taken)
    return nest.build()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [1, 7, 8, 15, 33, 100])
@pytest.mark.parametrize("at_end", [True, False])
def test_backwards(kind: dtype, size: int, at_end: bool) -> None:
    start = sample(np.random.default_rng(size), size, kind)
    for read, written in ((REVERSED, CONTIGUOUS), (CONTIGUOUS, REVERSED), (REVERSED, REVERSED)):
        given, target = fenced(start, at_end), fenced(np.zeros_like(start), at_end)
        last = (size - 1) * start.itemsize
        pointers = [
            given.ctypes.data + last * (read == REVERSED),
            target.ctypes.data + last * (written == REVERSED),
        ]
        call(turned(kind, read, written), pointers, size)
        np.testing.assert_array_equal(target, start if read == written else start[::-1])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("low", [0, 1, 13, 5000])
@pytest.mark.parametrize("at_end", [True, False])
def test_beyond_both_ends(kind: dtype, low: int, at_end: bool) -> None:
    start = sample(np.random.default_rng(low), 37, kind)
    given = fenced(start, at_end)
    wanted = np.concatenate([np.zeros(low, start.dtype), start, np.zeros(low, start.dtype)])
    target = np.ones_like(wanted)
    bounds = np.array([low, low + len(start)])
    pointers = [
        bounds.ctypes.data,
        bounds.ctypes.data + 8,
        given.ctypes.data - low * start.itemsize,
        target.ctypes.data,
    ]
    call(padded(kind), pointers, len(wanted))
    np.testing.assert_array_equal(target, wanted)


@pytest.mark.parametrize(
    "target", [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()], ids=lambda t: t.name
)
def test_kernels_for_other_machines(target) -> None:
    for kind in KINDS:
        for nest in (turned(kind, REVERSED, CONTIGUOUS), padded(kind)):
            assert object_code(emit(nest, target)[1], target)
