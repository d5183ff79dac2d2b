"""Compiled loop nests against the interpreter: primitives, dtypes, shapes, partitions, memory bounds."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest

from lampas.engine.dtype import (
    bfloat16,
    bool_,
    complex64,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint8,
)
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import Target, aarch64_neon, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.emit import emit
from lampas.engine.loops.emit_elements import ELEMENT_RULES
from lampas.engine.loops.emit_parking import early_stores, parking_of
from lampas.engine.loops.emit_scope import dependences
from lampas.engine.loops.nest import (
    BINARY,
    BROADCAST,
    COMPARISONS,
    CONTIGUOUS,
    ELEMENTWISE,
    STRIDED,
    UNARY,
    Nest,
)
from lampas.engine.loops.verification import FLOATING_ONLY, INTEGERS_ONLY, NestError
from tests.unit.nests import DTYPES, check, random_nest, reduction, run, sample, simple, span

NOT_FOR_BOOL = {
    "negative",
    "subtract",
    "sign",
    "floor_divide",
    "remainder",
    "fmod",
    "power",
    "shift_left",
    "shift_right",
}
ROW, COLUMN = ((STRIDED,), (CONTIGUOUS,)), ((CONTIGUOUS,), (STRIDED,))


def fits(op: str, kind: dtype) -> bool:
    if kind is bool_ and op in NOT_FOR_BOOL:
        return False
    if kind.is_floating_point:
        return op not in INTEGERS_ONLY
    return op not in FLOATING_ONLY | {"divide", "atan2", "copysign", "nextafter"}


@pytest.mark.parametrize("rows", [8, 31, 77])
@pytest.mark.parametrize("width", range(1, 8))
@pytest.mark.parametrize("kind", [float32, float64, int32], ids=lambda kind: kind.name)
def test_rows_shorter_than_a_vector(kind: dtype, width: int, rows: int) -> None:
    """Values, their reduction, what follows it, and a number for each row; lanes run across."""
    nest = NestBuilder(1, 1, narrow=True)
    value = nest.load(nest.operand(kind, "input", (STRIDED, CONTIGUOUS)))
    largest = nest.reduce("max", value)
    rest = nest.apply("subtract", value, largest)
    nest.store(nest.operand(kind, "output", (STRIDED, CONTIGUOUS)), rest)
    total = nest.reduce("sum", rest)
    nest.store(nest.operand(kind, "output", (CONTIGUOUS, BROADCAST)), total)
    built = nest.build()
    assert built.mode == "column"
    check(built, (rows, width))


@pytest.mark.parametrize("columns", [1, 7, 8, 16, 17, 24, 31, 40])
def test_columns_that_fill_no_unit(columns: int) -> None:
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (CONTIGUOUS, STRIDED)))
    nest.store(nest.operand(float32, "output", (CONTIGUOUS, BROADCAST)), nest.reduce("sum", value))
    check(nest.build(), (columns, 19))


def test_every_elementwise_primitive_has_a_rule() -> None:
    assert set(ELEMENT_RULES) | {"cast", "bitcast"} == ELEMENTWISE


@pytest.mark.parametrize("kind", DTYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("op", sorted(UNARY | {"isnan", "isinf", "logical_not"}))
def test_unary(op: str, kind: dtype) -> None:
    if fits(op, kind):
        check(simple(op, [kind]), (103,))


@pytest.mark.parametrize("kind", DTYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("op", sorted(BINARY | COMPARISONS))
def test_binary(op: str, kind: dtype) -> None:
    if fits(op, kind):
        check(simple(op, [kind, kind]), (103,))


@pytest.mark.parametrize("kind", DTYPES, ids=lambda kind: kind.name)
def test_where(kind: dtype) -> None:
    check(simple("where", [bool_, kind, kind]), (70,))


@pytest.mark.parametrize("source", DTYPES, ids=lambda kind: kind.name)
def test_casts_from(source: dtype) -> None:
    nest = NestBuilder(1)
    value = nest.load(nest.operand(source, "input", (CONTIGUOUS,)))
    for target in DTYPES:
        nest.store(nest.operand(target, "output", (CONTIGUOUS,)), nest.cast(value, target))
    check(nest.build(), (75,))


def test_casts_of_what_does_not_fit() -> None:
    nest = NestBuilder(1)
    value = nest.load(nest.operand(float32, "input", (CONTIGUOUS,)))
    for target in (int32, int64):
        nest.store(nest.operand(target, "output", (CONTIGUOUS,)), nest.cast(value, target))
    source = np.array([1e10, -1e10, 1e30, np.nan, np.inf, -np.inf, 2.0**31, -(2.0**31)], np.float32)
    narrow, wide = np.zeros(8, np.int32), np.zeros(8, np.int64)
    run(nest.build(), [source, narrow, wide], (8,), [(1,)] * 3)
    least, lowest = np.iinfo(np.int32).min, np.iinfo(np.int64).min
    assert narrow.tolist() == [least] * 8
    assert wide.tolist() == [10**10, -(10**10), *([lowest] * 4), 2**31, -(2**31)]


def test_bitcasts() -> None:
    nest = NestBuilder(1)
    value = nest.load(nest.operand(float32, "input", (CONTIGUOUS,)))
    bits = nest.append("bitcast", (value,), int32)
    nest.store(nest.operand(int32, "output", (CONTIGUOUS,)), bits)
    half = nest.append("bitcast", (nest.cast(value, bfloat16),), float16)
    nest.store(nest.operand(float16, "output", (CONTIGUOUS,)), half)
    check(nest.build(), (33,))


@pytest.mark.parametrize("kind", [float16, bfloat16], ids=lambda kind: kind.name)
def test_half_types_round_to_nearest_even(kind: dtype) -> None:
    nest = NestBuilder(1)
    value = nest.load(nest.operand(float32, "input", (CONTIGUOUS,)))
    nest.store(nest.operand(kind, "output", (CONTIGUOUS,)), nest.cast(value, kind))
    back = nest.cast(nest.cast(value, kind), float32)
    nest.store(nest.operand(float32, "output", (CONTIGUOUS,)), back)
    bits = np.arange(0, 1 << 32, 65521, dtype=np.uint64).astype(np.uint32)
    source = bits.view(np.float32)
    target, again = np.zeros(len(source), kind.numpy), np.zeros_like(source)
    run(nest.build(), [source, target, again], (len(source),), [(1,)] * 3)
    with np.errstate(all="ignore"):
        wanted = source.astype(kind.numpy)
    np.testing.assert_array_equal(target.astype(np.float32), wanted.astype(np.float32))
    np.testing.assert_array_equal(again, wanted.astype(np.float32))


@pytest.mark.parametrize("kind", DTYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("op", ["sum", "prod", "max", "min", "argmax", "argmin"])
@pytest.mark.parametrize("classes", [ROW, COLUMN], ids=["row", "column"])
def test_reductions(op: str, kind: dtype, classes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    if kind is bool_ and op in ("sum", "prod"):
        return
    size = 9 if op == "prod" else 131
    check(reduction(op, kind, *classes), (70, size), tolerance=1e-5)


SIZES = [(1, 1), (1, 7), (3, 0), (0, 3), (3, 16), (2, 64), (5, 65), (17, 1000), (64, 5), (130, 3)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("classes", [ROW, COLUMN], ids=["row", "column"])
def test_sizes_of_reductions(
    sizes: tuple[int, int], classes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    for op in ("sum", "max", "argmin") if sizes[1] else ("sum", "prod", "max"):
        check(reduction(op, float32, *classes), sizes)


@pytest.mark.parametrize("classes", [(0, 0), (0, 1), (2, 1), (2, 2), (1, 2), (2, 0)], ids=str)
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (7, 33), (2, 4097), (0, 5), (40, 3)], ids=str)
def test_maps_of_two_dimensions(sizes: tuple[int, int], classes: tuple[int, int]) -> None:
    nest = NestBuilder(2)
    left = nest.load(nest.operand(float32, "input", classes))
    right = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    nest.store(
        nest.operand(float32, "output", (STRIDED, CONTIGUOUS)), nest.apply("add", left, right)
    )
    check(nest.build(), sizes)


@pytest.mark.parametrize("start", range(0, 240, 8))
def test_random_nests(start: int) -> None:
    for seed in range(start, start + 8):
        nest, sizes = random_nest(seed)
        check(nest, sizes, seed)


def test_nan_wins_in_extremes() -> None:
    source = np.array([[1, np.nan, 3, -1], [np.nan, 0, 0, np.nan], [2, 2, 1, 2]], np.float32)
    strides = [(4, 1), (1, 0)]
    for op in ("max", "min"):
        target = np.zeros(3, np.float32)
        run(reduction(op, float32, *ROW), [source.ravel(), target], (3, 4), strides)
        assert np.isnan(target[:2]).all()
    for op, wanted in (("argmax", [1, 0, 0]), ("argmin", [1, 0, 2])):
        where = np.zeros(3, np.int64)
        run(reduction(op, float32, *ROW), [source.ravel(), where], (3, 4), strides)
        assert where.tolist() == wanted


@pytest.mark.parametrize("place", [0, 1, 63, 64, 99])
def test_argmax_takes_the_first_of_equals(place: int) -> None:
    source = np.zeros(100, np.int32)
    source[place:] = 5
    where = np.zeros(1, np.int64)
    run(reduction("argmax", int32, (), (CONTIGUOUS,)), [source, where], (100,), [(1,), (0,)])
    assert where[0] == place


def test_integers_do_not_trap() -> None:
    for kind in (int8, int32, int64):
        least = np.iinfo(kind.numpy).min
        left = np.array([least, least, 7, -7, 0], kind.numpy)
        right = np.array([-1, 0, 0, 0, 0], kind.numpy)
        for op in ("floor_divide", "remainder", "fmod"):
            target = np.zeros(5, kind.numpy)
            run(simple(op, [kind, kind]), [left, right, target], (5,), [(1,)] * 3)
            assert op == "floor_divide" or not target.any()


def test_float_sums_are_accurate() -> None:
    values = np.random.default_rng(1).random(1_000_003).astype(np.float32)
    exact = values.astype(np.float64).sum()
    row, column = np.zeros(1, np.float32), np.zeros(1, np.float32)
    run(reduction("sum", float32, (), (CONTIGUOUS,)), [values, row], (len(values),), [(1,), (0,)])
    run(reduction("sum", float32, *COLUMN), [values, column], (1, len(values)), [(1, 1), (1, 0)])
    assert abs(row[0] - exact) <= exact * 1e-7
    assert abs(column[0] - exact) <= exact * 1e-7


def masked_sums(source: tuple[int, ...], late: bool) -> Nest:
    """A masked array, its sum, and its sum with another array; `late`, what is stored also needs the sum."""
    nest = NestBuilder(1, 1)
    own = (STRIDED, BROADCAST) if source[1] == CONTIGUOUS else (CONTIGUOUS, BROADCAST)
    flow, other = (nest.load(nest.operand(float32, "input", source)) for _ in range(2))
    zero = nest.constant(0.0, float32)
    masked = nest.apply("where", nest.apply("less_equal", other, zero), zero, flow)
    total = nest.reduce("sum", masked)
    both = nest.reduce("sum", nest.apply("multiply", masked, other))
    kept = nest.apply("add", masked, total) if late else masked
    for kind, value in ((source, kept), (own, total), (own, both)):
        nest.store(nest.operand(float32, "output", kind), value)
    return nest.build()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("classes", [(STRIDED, CONTIGUOUS), (CONTIGUOUS, STRIDED)])
@pytest.mark.parametrize(("rows", "length"), [(3, 70), (2, 5), (33, 9), (70, 300)])
def test_what_needs_no_sum_is_stored_while_summing(
    classes: tuple[int, int], rows: int, length: int, late: bool
) -> None:
    nest = masked_sums(classes, late)
    assert bool(early_stores(nest)) is not late
    numbers = np.random.default_rng(0).integers(-9, 9, (2, rows, length))  # sums are exact
    flow, other = numbers.astype(np.float32)
    masked = np.where(other <= 0, np.float32(0), flow)
    total = masked.sum(1)
    along = classes[1] == CONTIGUOUS
    laid = [np.ascontiguousarray(each if along else each.T).ravel() for each in (flow, other)]
    found = [np.zeros(rows, np.float32) for _ in range(2)]
    strides = (length, 1) if along else (1, rows)
    own = (1, 0)
    run(nest, [*laid, laid[0], *found], (rows, length), [strides] * 3 + [own] * 2)
    stored = laid[0].reshape((rows, length) if along else (length, rows))
    expected = masked + total[:, None] if late else masked
    np.testing.assert_array_equal(stored if along else stored.T, expected)
    np.testing.assert_array_equal(found[0], total)
    np.testing.assert_array_equal(found[1], (masked * other).sum(1))


def normalised() -> Nest:
    """Layer norm's forward pass with its mean as a second result."""
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    weight = nest.load(nest.operand(float32, "input", (BROADCAST, CONTIGUOUS)))
    count = nest.cast(nest.load(nest.operand(int64, "input", (BROADCAST, BROADCAST))), float32)
    mean = nest.apply("divide", nest.reduce("sum", value), count)
    centred = nest.apply("subtract", value, mean)
    variance = nest.apply(
        "divide", nest.reduce("sum", nest.apply("multiply", centred, centred)), count
    )
    scaled = nest.apply("multiply", centred, nest.apply("rsqrt", variance))
    nest.store(
        nest.operand(float32, "output", (STRIDED, CONTIGUOUS)),
        nest.apply("multiply", scaled, weight),
    )
    nest.store(nest.operand(float32, "output", (CONTIGUOUS, BROADCAST)), mean)
    return nest.build()


def test_layer_norm_is_one_kernel() -> None:
    source = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32)
    weight = np.linspace(0, 1, 50, dtype=np.float32)
    target, means = np.zeros_like(source), np.zeros(6, np.float32)
    arrays = [source.ravel(), weight, np.array([50]), target.ravel(), means]
    run(normalised(), arrays, (6, 50), [(50, 1), (0, 1), (0, 0), (50, 1), (1, 0)])
    centred = source - source.mean(1, keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean(1, keepdims=True)) * weight
    np.testing.assert_allclose(target, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(means, source.mean(1), rtol=1e-5, atol=1e-6)


def softmax() -> Nest:
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    power = nest.apply("exp", nest.apply("subtract", value, nest.reduce("max", value)))
    result = nest.apply("divide", power, nest.reduce("sum", power))
    nest.store(nest.operand(float32, "output", (STRIDED, CONTIGUOUS)), result)
    return nest.build()


@pytest.mark.parametrize("size", [1, 2, 10, 16, 33, 64, 100, 1000])
def test_softmax_in_place(size: int) -> None:
    source = np.random.default_rng(0).normal(size=(7, size)).astype(np.float32) * 5
    power = np.exp(source - source.max(1, keepdims=True), dtype=np.float64)
    flat = source.ravel()
    run(softmax(), [flat, flat], (7, size), [(size, 1), (size, 1)])
    np.testing.assert_allclose(source, power / power.sum(1, keepdims=True), rtol=2e-6)


def test_only_what_is_safe_waits_in_the_output() -> None:
    nest = softmax()
    assert parking_of(nest, dependences(nest)) == (3, 1)
    again = NestBuilder(1, 1)
    value = again.load(again.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    power = again.apply("exp", value)
    total = again.reduce("sum", power)
    result = again.apply("multiply", again.apply("divide", power, total), value)
    again.store(again.operand(float32, "output", (STRIDED, CONTIGUOUS)), result)
    nest = again.build()
    assert parking_of(nest, dependences(nest)) is None
    check(nest, (3, 77))


CUTS = [(0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.1, 0.11, 0.7, 1.0)]


@pytest.mark.parametrize(
    ("nest", "sizes"),
    [
        (normalised(), (37, 100)),
        (reduction("sum", float32, *COLUMN), (1000, 300)),
        (simple("tanh", [float32]), (50_000,)),
    ],
    ids=["row", "column", "map"],
)
def test_results_do_not_depend_on_the_partition(nest: Nest, sizes: tuple[int, ...]) -> None:
    strides = [(100, 1), (0, 1), (0, 0), (100, 1), (1, 0)]
    if len(nest.operands) == 2:
        strides = [(1, 1000), (1, 0)] if nest.reduced else [(1,), (1,)]
    generator = np.random.default_rng(0)
    arrays = [
        sample(generator, span(sizes, s), o.dtype)
        for o, s in zip(nest.operands, strides, strict=True)
    ]
    found = []
    for cuts in CUTS:
        own = [a.copy() for a in arrays]
        run(nest, own, sizes, strides, cuts=cuts)
        found.append([a.tobytes() for a in own])
    assert found[0] == found[1] == found[2]


def test_blocked_nests_know_their_positions() -> None:
    nest = NestBuilder(1, 1, blocked=True)
    nest.operand(int64, "input", (BROADCAST, BROADCAST))
    nest.store(
        nest.operand(int64, "output", (CONTIGUOUS, BROADCAST)), nest.reduce("max", nest.index(1))
    )
    target = np.zeros(4, np.int64)
    run(nest.build(), [np.zeros(1, np.int64), target], (4, 35), [(0, 0), (1, 0)], block=10)
    assert target.tolist() == [9, 19, 29, 34]


@pytest.mark.parametrize("columns", [1, 37, 130, 4103])
@pytest.mark.parametrize("kind", [float32, float64, bfloat16], ids=lambda kind: kind.name)
def test_streamed_columns(kind: dtype, columns: int) -> None:
    """Two reductions of what is made of an array and of a row, in whole strips, single vectors and a tail."""
    nest = NestBuilder(2, 1, blocked=True, streamed=True)
    x = nest.load(nest.operand(kind, "input", (STRIDED, CONTIGUOUS, STRIDED)))
    row = nest.load(nest.operand(kind, "input", (BROADCAST, CONTIGUOUS, BROADCAST)))
    away = nest.apply("subtract", x, row)
    for op in ("sum", "max"):
        out = nest.operand(kind, "output", (STRIDED, CONTIGUOUS, BROADCAST))
        nest.store(out, nest.reduce(op, nest.apply("multiply", away, away)))
    strides = [(50 * columns, 1, columns), (0, 1, 0), (columns, 1, 0), (columns, 1, 0)]
    tolerance = 2e-2 if kind is bfloat16 else 2e-5
    check(nest.build(), (3, columns, 120), tolerance=tolerance, block=50, strides=strides)


@pytest.mark.parametrize("target", [x86_sse2(), x86_avx512(), aarch64_neon()], ids=str)
def test_streamed_columns_elsewhere(target: Target) -> None:
    nest = NestBuilder(2, 1, blocked=True, streamed=True)
    x = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS, STRIDED)))
    out = nest.operand(float32, "output", (STRIDED, CONTIGUOUS, BROADCAST))
    nest.store(out, nest.reduce("max", x))
    assert object_code(emit(nest.build(), target)[1], target)


def test_streams_refuse_what_they_cannot_do() -> None:
    nest = NestBuilder(1, 1, blocked=True, streamed=True)
    nest.store(
        nest.operand(float32, "output", (CONTIGUOUS, BROADCAST)),
        nest.reduce("sum", nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))),
    )
    with pytest.raises(NestError, match="lanes run across"):
        nest.build()


def gathering(valid: bool) -> Nest:
    """Rows of a table by number, zeros where the number is negative."""
    nest = NestBuilder(2)
    table = nest.operand(float32, "input", (BROADCAST, CONTIGUOUS))
    row = nest.load(nest.operand(int64, "input", (STRIDED, BROADCAST)))
    width = nest.load(nest.operand(int64, "input", (BROADCAST, BROADCAST)))
    offset = nest.apply("multiply", row, width)
    inside = nest.apply("greater_equal", row, nest.constant(0, int64)) if valid else None
    value = nest.gather(table, offset, inside)
    nest.store(nest.operand(float32, "output", (STRIDED, CONTIGUOUS)), value)
    return nest.build()


@pytest.mark.parametrize("valid", [True, False])
def test_gathered_rows(valid: bool) -> None:
    table = np.random.default_rng(0).random((9, 37), dtype=np.float32)
    rows = np.array([3, -1, 0, 8, 3]) if valid else np.array([3, 1, 0, 8, 3])
    target = np.ones((5, 37), np.float32)
    arrays = [table.ravel(), rows, np.array([37]), target.ravel()]
    run(gathering(valid), arrays, (5, 37), [(0, 1), (1, 0), (0, 0), (37, 1)])
    np.testing.assert_array_equal(target, np.where(rows[:, None] >= 0, table[rows], 0))


@pytest.mark.parametrize("kind", [float32, uint8, bfloat16], ids=lambda kind: kind.name)
def test_gathered_lanes(kind: dtype) -> None:
    nest = NestBuilder(1)
    source = nest.operand(kind, "input", (BROADCAST,))
    places = nest.load(nest.operand(int64, "input", (CONTIGUOUS,)))
    inside = nest.apply("greater_equal", places, nest.constant(0, int64))
    nest.store(nest.operand(kind, "output", (CONTIGUOUS,)), nest.gather(source, places, inside))
    generator = np.random.default_rng(0)
    values, numbers = sample(generator, 50, kind), generator.integers(-10, 50, 101)
    target = np.ones(101, kind.numpy)
    run(nest.build(), [values, numbers, target], (101,), [(0,), (1,), (1,)])
    wanted = np.where(numbers >= 0, values[numbers].astype(np.float32), 0)
    np.testing.assert_array_equal(target.astype(np.float32), wanted)


def guarded(count: int, kind: dtype) -> np.ndarray:
    """Return a zeroed array whose end is the end of its memory: the page behind it cannot be touched."""
    page = mmap.PAGESIZE
    size = -(-count * kind.itemsize // page) * page
    area = mmap.mmap(-1, size + page)
    whole = np.frombuffer(area, np.uint8)
    library = ctypes.CDLL(None, use_errno=True)
    library.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert library.mprotect(whole.ctypes.data + size, page, 0) == 0
    end = whole[size - count * kind.itemsize : size]
    return end.view(kind.numpy)


@pytest.mark.parametrize(
    "kind", [float32, float64, uint8, bool_, bfloat16, float16], ids=lambda kind: kind.name
)
@pytest.mark.parametrize("size", [1, 15, 16, 17, 63, 100])
def test_nothing_is_touched_behind_the_end(kind: dtype, size: int) -> None:
    for nest in (
        simple("maximum", [kind, kind]),
        simple("where", [bool_, kind, kind], (STRIDED,)),
    ):
        strides = [(3,) if o.classes == (STRIDED,) else (1,) for o in nest.operands]
        arrays = [
            guarded(span((size,), s), o.dtype) for o, s in zip(nest.operands, strides, strict=True)
        ]
        run(nest, arrays, (size,), strides)
    for classes, strides in ((ROW, [(size, 1), (1, 0)]), (COLUMN, [(1, 3), (1, 0)])):
        sizes = (3, size)
        nest = reduction("max", kind, *classes)
        arrays = [
            guarded(span(sizes, s), o.dtype) for o, s in zip(nest.operands, strides, strict=True)
        ]
        run(nest, arrays, sizes, strides)


@pytest.mark.parametrize(
    "target", [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()], ids=lambda t: t.name
)
def test_kernels_for_other_machines(target) -> None:
    for nest in (normalised(), reduction("argmax", float16, *COLUMN), simple("sin", [bfloat16])):
        _, text, _ = emit(nest, target)
        assert object_code(text, target)


def test_equal_nests_have_equal_text() -> None:
    emit.cache_clear()
    first = emit(normalised())
    emit.cache_clear()
    assert emit(normalised()) == first


def test_complex_is_refused_by_name() -> None:
    nest = Nest(1, 0, (), (NestBuilder(1).instructions or ()))
    builder = NestBuilder(1)
    value = builder.load(builder.operand(complex64, "input", (CONTIGUOUS,)))
    builder.store(builder.operand(complex64, "output", (CONTIGUOUS,)), value)
    nest = builder.build()
    with pytest.raises(NotImplementedError, match="complex64"):
        emit(nest)


@pytest.mark.parametrize("bound", [0.0, float("nan")])
@pytest.mark.parametrize("first", [True, False])
def test_nan_passes_extremes_with_constants(bound: float, first: bool) -> None:
    for op in ("maximum", "minimum"):
        nest = NestBuilder(1)
        value = nest.load(nest.operand(float32, "input", (CONTIGUOUS,)))
        pair = (
            (nest.constant(bound, float32), value)
            if first
            else (value, nest.constant(bound, float32))
        )
        nest.store(nest.operand(float32, "output", (CONTIGUOUS,)), nest.apply(op, *pair))
        source = np.array([-1.0, 2.0, np.nan, -np.inf, np.inf], np.float32)
        target = np.zeros_like(source)
        run(nest.build(), [source, target], (5,), [(1,), (1,)])
        wanted = {"maximum": np.maximum, "minimum": np.minimum}[op](source, np.float32(bound))
        np.testing.assert_array_equal(target, wanted)


@pytest.mark.parametrize("kind", [float32, uint8, bfloat16], ids=lambda kind: kind.name)
def test_negative_strides_walk_backwards(kind: dtype) -> None:
    source, target = np.arange(60).astype(kind.numpy), np.zeros(60, kind.numpy)
    last = source[59:]
    run(
        simple("maximum", [kind, kind], (STRIDED,)),
        [last, last, target],
        (60,),
        [(-1,), (-1,), (1,)],
    )
    np.testing.assert_array_equal(target, source[::-1])
    where = np.full(1, 7)
    run(reduction("argmax", kind, (), (STRIDED,)), [last, where], (60,), [(-1,), (0,)])
    assert where[0] == 0
