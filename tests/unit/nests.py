"""Helpers for tests of loop nests: building arrays for operands, running compiled kernels, random nests."""

from __future__ import annotations

import ctypes
import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from lampas.engine.dtype import (
    bfloat16,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from lampas.engine.llvm.compiler import compile_function
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.emit import emit
from lampas.engine.loops.interpretation import interpret
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, STRIDED, Nest

Array = np.ndarray[Any, Any]
KERNEL = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64
)
FLOATS = [float32, float64, float16, bfloat16]
INTEGERS = [uint8, int8, int16, int32, int64]
DTYPES = [*FLOATS, *INTEGERS, bool_]


def run(
    nest: Nest,
    arrays: Sequence[Array],
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
    block: int = 0,
    cuts: Sequence[float] = (0.0, 1.0),
) -> None:
    """Compile a nest and run it on flat arrays, its units cut at fractions of the extent."""
    name, text, signature = emit(nest)
    kernel = KERNEL(compile_function(text, name))
    integers = np.array(signature.integers(sizes, strides, block), dtype=np.int64)
    pointers = np.array([array.ctypes.data for array in arrays], dtype=np.int64)
    extent = signature.extent(sizes)
    places = [int(cut * extent) for cut in cuts]
    for begin, end in itertools.pairwise(places):
        kernel(pointers.ctypes.data, integers.ctypes.data, begin, end, 0)


def sample(generator: np.random.Generator, count: int, kind: dtype) -> Array:
    """Return `count` values of a dtype, with a few special ones among them."""
    if kind is bool_:
        return generator.random(count) < 0.5
    if kind.is_floating_point:
        values = generator.normal(size=count) * 3
        where = generator.random(count)
        values[where < 0.02] = 0.0
        values[where > 0.98] = np.round(values[where > 0.98])
        return values.astype(kind.numpy)
    low = 0 if kind is uint8 else -20
    return generator.integers(low, 20, count).astype(kind.numpy)


def strides_for(sizes: Sequence[int], classes: Sequence[int], padding: int = 0) -> tuple[int, ...]:
    """Return strides of a row-major array over the walked dimensions; a class of STRIDED innermost gets a gap."""
    step, strides = 1, [0] * len(sizes)
    places = [d for d in range(len(sizes)) if classes[d] == CONTIGUOUS]
    places += [d for d in reversed(range(len(sizes))) if classes[d] == STRIDED]
    for d in places:
        if classes[d] == STRIDED and step == 1:
            step = 2
        strides[d] = step
        step *= max(sizes[d], 1)
        step += padding
    return tuple(strides)


def span(sizes: Sequence[int], strides: Sequence[int]) -> int:
    """Return how many elements strides reach over."""
    pairs = zip(sizes, strides, strict=True)
    return 1 + sum(max(size - 1, 0) * stride for size, stride in pairs)


def check(
    nest: Nest,
    sizes: Sequence[int],
    seed: int = 0,
    tolerance: float = 2e-5,
    block: int = 0,
    strides: Sequence[Sequence[int]] | None = None,
) -> list[Array]:
    """Compare the compiled nest with the interpreter on random arrays; return the compiled outputs."""
    generator = np.random.default_rng(seed)
    if strides is None:
        strides = [strides_for(sizes, o.classes) for o in nest.operands]
    arrays = [
        sample(generator, span(sizes, own), operand.dtype)
        for own, operand in zip(strides, nest.operands, strict=True)
    ]
    wanted, found = [a.copy() for a in arrays], [a.copy() for a in arrays]
    interpret(nest, wanted, sizes, strides, block)
    run(nest, found, sizes, strides, block)
    for operand, expected, got in zip(nest.operands, wanted, found, strict=True):
        compare(expected, got, operand.dtype, tolerance, str(nest))
    return [a for a, o in zip(found, nest.operands, strict=True) if o.role == "output"]


def compare(expected: Array, got: Array, kind: dtype, tolerance: float, message: str = "") -> None:
    """Assert equality, within a relative tolerance for floats."""
    if not kind.is_floating_point:
        np.testing.assert_array_equal(got, expected, err_msg=message)
        return
    allowed = {"float16": 2e-3, "bfloat16": 1.6e-2}.get(kind.name, tolerance)
    wide = np.float64
    np.testing.assert_allclose(
        got.astype(wide), expected.astype(wide), rtol=allowed, atol=allowed, err_msg=message
    )


def simple(op: str, kinds: Sequence[dtype], classes: Sequence[int] = (CONTIGUOUS,)) -> Nest:
    """A map of one elementwise primitive over one dimension."""
    nest = NestBuilder(1)
    values = [nest.load(nest.operand(kind, "input", classes)) for kind in kinds]
    result = nest.apply(op, *values)
    nest.store(nest.operand(nest.instructions[result].dtype, "output", (CONTIGUOUS,)), result)
    return nest.build()


def reduction(op: str, kind: dtype, kept: Sequence[int], reduced: Sequence[int]) -> Nest:
    """A reduction of one operand with the given stride classes."""
    nest = NestBuilder(len(kept), len(reduced))
    value = nest.reduce(op, nest.load(nest.operand(kind, "input", (*kept, *reduced))))
    classes = [STRIDED] * len(kept)
    if kept and kept[-1] == CONTIGUOUS:
        classes[-1] = CONTIGUOUS
    target = nest.operand(
        nest.instructions[value].dtype, "output", (*classes, *([BROADCAST] * len(reduced)))
    )
    nest.store(target, value)
    return nest.build()


# fmt: off
SMOOTH = ("add", "subtract", "multiply", "maximum", "minimum", "negative", "absolute", "sin", "tanh", "sigmoid")
DISCRETE = ("add", "subtract", "multiply", "maximum", "minimum", "bitwise_xor", "floor_divide", "remainder")
# fmt: on


def random_nest(seed: int) -> tuple[Nest, tuple[int, ...]]:
    """Return a random well-formed nest with sizes for it."""
    choose = random.Random(seed)
    kept, reduced = choose.choice(
        [(1, 0), (2, 0), (3, 0), (1, 1), (1, 1), (0, 1), (2, 1), (1, 2), (2, 2), (0, 2)]
    )
    nest = NestBuilder(kept, reduced)
    rank = kept + reduced
    kind = choose.choice(
        [float32, float32, float32, float64, bfloat16, float16, int32, int64, uint8]
    )
    values = [
        nest.load(nest.operand(kind, "input", random_classes(choose, kept, rank))) for _ in range(3)
    ]
    if choose.random() < 0.3:
        values.append(nest.cast(nest.index(choose.randrange(rank)), kind))
    values.append(nest.constant(choose.choice([1, 2, 3]), kind))
    names = SMOOTH if kind.is_floating_point else DISCRETE
    sums = 0
    for _ in range(choose.randrange(1, 9)):
        grown(nest, choose, values, names, kind)
        if reduced and choose.random() < 0.4 and sums < 3:
            sums += 1
            half = (
                kind.is_floating_point and kind.itemsize == 2
            )  # a last place of a sum is much to sin
            reduce_kind = choose.choice(["max" if half else "sum", "max", "min", "argmax"])
            values.append(nest.cast(nest.reduce(reduce_kind, values[-1]), kind))
    store_all(nest, choose, values, kept, reduced, kind)
    return nest.build(), tuple(choose.choice([1, 2, 3, 5, 17, 33, 70]) for _ in range(rank))


def random_classes(choose: random.Random, kept: int, rank: int) -> tuple[int, ...]:
    classes = [choose.choice([BROADCAST, STRIDED, STRIDED]) for _ in range(rank)]
    last = choose.choice([rank - 1, max(kept - 1, 0)])
    classes[last] = choose.choice([BROADCAST, STRIDED, CONTIGUOUS, CONTIGUOUS, CONTIGUOUS])
    return tuple(classes)


def grown(
    nest: NestBuilder, choose: random.Random, values: list[int], names: Sequence[str], kind: dtype
) -> None:
    """Append one random elementwise value."""
    op = choose.choice([*names, "where"])
    left, right = choose.choice(values), choose.choice(values)
    if op == "where":
        condition = nest.apply(choose.choice(["less", "greater_equal", "equal"]), left, right)
        values.append(nest.apply("where", condition, choose.choice(values), choose.choice(values)))
    elif op in ("negative", "absolute", "sin", "tanh", "sigmoid"):
        values.append(nest.apply(op, left))
    else:
        values.append(nest.apply(op, left, right))


def store_all(
    nest: NestBuilder,
    choose: random.Random,
    values: list[int],
    kept: int,
    reduced: int,
    kind: dtype,
) -> None:
    """Store the last value, and a row value where there is one."""
    last = choose.choice([STRIDED, CONTIGUOUS, CONTIGUOUS])
    full = [STRIDED] * (kept + reduced - 1) + [last]
    nest.store(nest.operand(kind, "output", full), values[-1])
    rows = [n for n, i in enumerate(nest.instructions) if i.op == "reduce"]
    if rows and choose.random() < 0.6:
        result = nest.instructions[rows[-1]].dtype
        classes = [STRIDED] * kept + [BROADCAST] * reduced
        if kept and choose.random() < 0.7:
            classes[kept - 1] = CONTIGUOUS
        nest.store(nest.operand(result, "output", classes), rows[-1])
