"""The matrix product against NumPy: shapes, strides, edges, epilogues, threads, other targets."""

from __future__ import annotations

import os

import numpy
import pytest

from lampas.engine.device.pool import get_num_threads, set_num_threads
from lampas.engine.dtype import bfloat16, bool_, float16, float32, float64
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops.brgemm import build_plan, kernel_text, plan_gemm
from lampas.engine.loops.brgemm_batch import fold_batches
from lampas.engine.loops.brgemm_dot import DotKernel
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_kernel import GemmKernel
from lampas.engine.loops.brgemm_pack import PackKernel
from lampas.engine.loops.brgemm_plan import (
    Matrix,
    Problem,
    best_choice,
    candidates,
    crowding_rows,
    cut_of,
)
from lampas.engine.loops.brgemm_tile import tile_shape
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, STRIDED
from tests.unit.gemm_programs import (
    element_strides,
    guarded,
    multiply,
    program_of,
)

TARGETS = (x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon())
LAYOUTS = ("NN", "NT", "TN", "TT")
# fmt: off
SHAPES = [
    (1, 1, 1), (1, 5, 7), (3, 1, 2), (2, 40, 3), (13, 33, 17), (14, 32, 4), (15, 31, 5), (29, 64, 16), (64, 10, 50),
    (10, 64, 33), (4, 90, 70), (90, 4, 70), (1, 50, 129), (2, 3, 40), (100, 37, 129), (6, 200, 1), (200, 3, 20), (37, 70, 600), (28, 65, 31),
]
# fmt: on


@pytest.fixture(autouse=True)
def threads_restored():
    before = get_num_threads()
    yield
    set_num_threads(before)


def operand(rows: int, columns: int, letter: str, kind: str = "float32") -> numpy.ndarray:
    """Return a random matrix, stored by columns for the letter T."""
    shape = (rows, columns) if letter == "N" else (columns, rows)
    values = numpy.random.standard_normal(shape).astype(kind)
    return values if letter == "N" else values.T


def check(result: numpy.ndarray, a: numpy.ndarray, b: numpy.ndarray) -> None:
    """Compare with the product in long precision; the bound is that of a sum of k products."""
    exact = a.astype("longdouble") @ b.astype("longdouble")
    scale = numpy.abs(a).astype("f8") @ numpy.abs(b).astype("f8")
    unit = numpy.finfo(result.dtype).eps
    bound = unit * scale * (2 + numpy.sqrt(a.shape[-1])) + 1e-300
    assert (numpy.abs(result - exact) <= bound).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_numpy(shape: tuple[int, int, int], layout: str) -> None:
    m, n, k = shape
    a, b = operand(m, k, layout[0]), operand(k, n, layout[1])
    check(multiply(a, b, numpy.full((m, n), numpy.nan, "f4")), a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_double_precision(layout: str) -> None:
    a, b = operand(31, 70, layout[0], "f8"), operand(70, 45, layout[1], "f8")
    check(multiply(a, b, numpy.full((31, 45), numpy.nan, "f8")), a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(30, 70, 40), (64, 96, 600), (3, 33, 18)], ids=str)
def test_every_way_to_compute_gives_the_product(shape: tuple[int, int, int], layout: str) -> None:
    m, n, k = shape
    a, b = operand(m, k, layout[0]), operand(k, n, layout[1])
    matrices = [Matrix(*element_strides(x), kind=float32) for x in (a, b)]
    problem = Problem(m, n, k, *matrices, Matrix(n, 1, kind=float32), (1, 1), "float", "float")
    part = fold_batches(problem, (), [(), (), ()], [])[0]
    ways = candidates(problem, host())
    assert len(ways) >= 4
    assert any(way.feed == "dot" for way in ways) == (m == 3 and layout == "NT")
    for way in ways:
        c = numpy.full((m, n), numpy.nan, "f4")
        program_of(build_plan(part, way, host(), 1), {"a": a, "b": b, "c": c}, 1)()
        check(c, a, b)


def test_arbitrary_strides() -> None:
    a = numpy.random.standard_normal((60, 90)).astype("f4")[::2, ::3]
    b = numpy.random.standard_normal((60, 80)).astype("f4")[::2, ::2]
    c = numpy.full((30, 64), numpy.nan, "f4")
    check(multiply(a, b, c[:, :40]), a, b)
    assert numpy.isnan(c[:, 40:]).all()


def test_result_stored_by_columns() -> None:
    a, b = operand(20, 30, "N"), operand(30, 45, "N")
    c = numpy.full((45, 20), numpy.nan, "f4").T
    check(multiply(a, b, c), a, b)


def test_result_without_contiguous_dimension_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="one of them has to be 1"):
        plan_gemm(float32, 4, 4, 4, (4, 1), (4, 1), (8, 2))


def test_integers_are_refused() -> None:
    from lampas.engine.dtype import int64

    with pytest.raises(NotImplementedError, match="int64"):
        plan_gemm(int64, 4, 4, 4, (4, 1), (4, 1), (4, 1))


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2)], ids=str)
def test_empty_results_need_no_calls(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    assert plan_gemm(float32, m, n, k, (k, 1), (n, 1), (n, 1)).calls == ()


def test_empty_sum_is_zero() -> None:
    c = numpy.full((20, 40), numpy.nan, "f4")
    multiply(numpy.zeros((20, 0), "f4"), numpy.zeros((0, 40), "f4"), c)
    assert (c == 0).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_not_a_number_and_infinity_stay_in_their_rows_and_columns(layout: str) -> None:
    a, b = operand(20, 33, layout[0]).copy(), operand(33, 40, layout[1]).copy()
    a[3, 5], b[7, 11] = numpy.nan, numpy.inf
    c = multiply(a, b, numpy.zeros((20, 40), "f4"))
    assert numpy.isnan(c[3]).all()
    others = numpy.arange(20) != 3
    assert numpy.isinf(c[others, 11]).all()
    assert numpy.isfinite(numpy.delete(c[others], 11, axis=1)).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "shape", [(5, 7, 9), (1, 7, 33), (14, 33, 50), (64, 10, 17), (30, 64, 32)], ids=str
)
def test_nothing_is_read_or_written_outside(shape: tuple[int, int, int], layout: str) -> None:
    m, n, k = shape
    a, b = guarded(operand(m, k, layout[0])), guarded(operand(k, n, layout[1]))
    c = guarded(numpy.full((m, n), numpy.nan, "f4"))
    check(multiply(a, b, c), a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "shape", [(64, 80, 700), (33, 300, 70), (300, 10, 40), (2, 600, 50)], ids=str
)
def test_any_number_of_threads_gives_the_same_bits(
    shape: tuple[int, int, int], layout: str
) -> None:
    m, n, k = shape
    a, b = operand(m, k, layout[0]), operand(k, n, layout[1])
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        results.append(multiply(a, b, numpy.zeros((m, n), "f4"), threads).tobytes())
    assert results[0] == results[1] == results[2]


def test_forked_child_computes_the_same() -> None:
    set_num_threads(2)
    a, b = operand(64, 100, "N"), operand(100, 70, "N")
    expected = multiply(a, b, numpy.zeros((64, 70), "f4"), 2).tobytes()
    child = os.fork()
    if child == 0:
        same = multiply(a, b, numpy.zeros((64, 70), "f4"), 2).tobytes() == expected
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- batches ------------------------------------------------------------------------------------------------


def batched(shape: tuple[int, ...]) -> numpy.ndarray:
    return numpy.random.standard_normal(shape).astype("f4")


@pytest.mark.parametrize("batch", [(3,), (2, 3), (2, 2, 3)], ids=str)
def test_batches(batch: tuple[int, ...]) -> None:
    a, b = batched((*batch, 20, 17)), batched((*batch, 17, 33))
    check(multiply(a, b, numpy.full((*batch, 20, 33), numpy.nan, "f4")), a, b)


def test_batches_of_permuted_heads() -> None:
    query = batched((2, 30, 3, 8)).transpose(0, 2, 1, 3)
    key = batched((2, 30, 3, 8)).transpose(0, 2, 3, 1)
    check(multiply(query, key, numpy.full((2, 3, 30, 30), numpy.nan, "f4")), query, key)


def test_repeated_operands_are_not_copied() -> None:
    a = numpy.broadcast_to(batched((20, 17)), (5, 20, 17))
    b = batched((5, 17, 33))
    check(multiply(a, b, numpy.full((5, 20, 33), numpy.nan, "f4")), a, b)
    b = numpy.broadcast_to(batched((33, 17)).T, (5, 17, 33))
    a = batched((5, 20, 17))
    check(multiply(a, b, numpy.full((5, 20, 33), numpy.nan, "f4")), a, b)


def test_batch_before_one_weight_becomes_rows() -> None:
    problem = Problem(
        20, 33, 17, Matrix(17, 1, kind=float32), Matrix(33, 1, kind=float32), Matrix(33, 1, kind=float32),
        (1, 1), "float", "float",
    )  # fmt: skip
    walked = [(20 * 17 * 2, 20 * 17), (0, 0), (20 * 33 * 2, 20 * 33)]
    (part,) = fold_batches(problem, (5, 2), walked, [])
    assert (part.problem.m, part.problem.batch) == (200, (1, 1))


# ---- epilogues ----------------------------------------------------------------------------------------------


def bias_relu(row: int, column: int) -> NestEpilogue:
    """max(sums + bias, 0); the bias has the given stride classes."""
    build = NestBuilder(kept=2)
    sums = build.operand(float32, "input", (STRIDED, CONTIGUOUS))
    bias = build.operand(float32, "input", (row, column))
    result = build.operand(float32, "output", (STRIDED, CONTIGUOUS))
    total = build.apply("add", build.load(sums), build.load(bias))
    build.store(result, build.apply("maximum", total, build.constant(0.0, float32)))
    return NestEpilogue(build.build())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(20, 45, 30), (64, 40, 900), (33, 96, 1), (3, 20, 50)], ids=str)
def test_bias_and_activation(shape: tuple[int, int, int], layout: str) -> None:
    m, n, k = shape
    a, b = operand(m, k, layout[0]), operand(k, n, layout[1])
    # fmt: off
    ways = [
        (numpy.random.standard_normal((1, n)), BROADCAST, CONTIGUOUS, (0, 1)),
        (numpy.random.standard_normal((m, 1)), STRIDED, BROADCAST, (1, 0)),
        (numpy.random.standard_normal((m, n)), STRIDED, CONTIGUOUS, (n, 1)),
        (numpy.random.standard_normal((n, m)).T, CONTIGUOUS, STRIDED, (1, m)),
    ]
    # fmt: on
    for bias, row, column, strides in ways:
        bias = bias.astype("f4")
        options = {
            "epilogue": bias_relu(row, column),
            "extras": [strides],
            "arrays": {"extra0": bias},
        }
        c = multiply(a, b, numpy.full((m, n), numpy.nan, "f4"), **options)
        expected = numpy.maximum(a.astype("f8") @ b.astype("f8") + bias, 0)
        numpy.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5 * numpy.sqrt(k) * 4)


def test_second_output_and_other_dtypes() -> None:
    """C gets the sums, and a mask of the positive ones is stored beside it."""
    build = NestBuilder(kept=2)
    sums = build.load(build.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    result = build.operand(float32, "output", (STRIDED, CONTIGUOUS))
    mask = build.operand(bool_, "output", (STRIDED, CONTIGUOUS))
    build.store(result, sums)
    build.store(mask, build.apply("greater", sums, build.constant(0.0, float32)))
    a, b = operand(20, 30, "N"), operand(30, 45, "T")
    c, positive = numpy.zeros((20, 45), "f4"), numpy.zeros((20, 45), bool)
    options = {"extras": [(45, 1)], "arrays": {"extra0": positive}}
    multiply(a, b, c, epilogue=NestEpilogue(build.build()), **options)
    check(c, a, b)
    assert (positive == (c > 0)).all()


def test_a_matrix_that_shares_the_memory_of_the_result() -> None:
    """C = relu(A·B + C) in place, also where K is long enough to be cut into blocks."""
    a, b = operand(40, 2500, "N"), operand(2500, 64, "N")
    c = numpy.random.standard_normal((40, 64)).astype("f4")
    expected = numpy.maximum(a.astype("f8") @ b.astype("f8") + c, 0)
    options = {"epilogue": bias_relu(STRIDED, CONTIGUOUS), "extras": [(64, 1)]}
    multiply(a, b, c, arrays={"extra0": c}, **options)
    numpy.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-3)


def test_long_sums_are_cut_into_blocks() -> None:
    a, b = operand(40, 2500, "N"), operand(2500, 64, "N")
    check(multiply(a, b, numpy.full((40, 64), numpy.nan, "f4")), a, b)
    bias = numpy.random.standard_normal(64).astype("f4")
    options = {"epilogue": bias_relu(BROADCAST, CONTIGUOUS), "extras": [(0, 1)]}
    c = multiply(a, b, numpy.zeros((40, 64), "f4"), arrays={"extra0": bias}, **options)
    expected = numpy.maximum(a.astype("f8") @ b.astype("f8") + bias, 0)
    numpy.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-3)
    assert best_choice(plain_problem(40, 64, 2500, "NN"), host()).depth_block < 2500


def test_epilogue_of_batches() -> None:
    a, b, bias = batched((3, 20, 17)), batched((3, 17, 33)), batched((3, 33))
    c = numpy.full((3, 20, 33), numpy.nan, "f4")
    options = {"extras": [(33, 0, 1)], "arrays": {"extra0": bias}}
    multiply(a, b, c, epilogue=bias_relu(BROADCAST, CONTIGUOUS), **options)
    expected = numpy.maximum(a @ b + bias[:, None], 0)
    numpy.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [float16, bfloat16], ids=str)
def test_half_types_are_summed_in_float32(kind) -> None:
    a = numpy.random.standard_normal((20, 50)).astype(kind.numpy)
    b = numpy.random.standard_normal((50, 37)).astype(kind.numpy)
    c = multiply(a, b, numpy.zeros((20, 37), kind.numpy))
    exact = (a.astype("f4") @ b.astype("f4")).astype("f8")
    step = 2.0**-11 if kind is float16 else 2.0**-8
    assert (numpy.abs(c.astype("f8") - exact) <= numpy.abs(exact) * step + 1e-5).all()


def test_an_epilogue_needs_two_kept_dimensions() -> None:
    build = NestBuilder(kept=1)
    source = build.operand(float32, "input", (CONTIGUOUS,))
    result = build.operand(float32, "output", (CONTIGUOUS,))
    build.store(result, build.load(source))
    with pytest.raises(ValueError, match="2 kept dimensions"):
        NestEpilogue(build.build())


# ---- plans and targets --------------------------------------------------------------------------------------


def plain_problem(m: int, n: int, k: int, layout: str) -> Problem:
    a = (k, 1) if layout[0] == "N" else (1, m)
    b = (n, 1) if layout[1] == "N" else (1, k)
    matrices = (Matrix(*strides, kind=float32) for strides in (a, b, (n, 1)))
    return Problem(m, n, k, *matrices, (1, 1), "float", "float")


def test_a_big_transposed_weight_is_not_packed() -> None:
    """64 rows times a weight given transposed: the weight is read where it lies, the rows are packed."""
    choice = best_choice(plain_problem(64, 512, 784, "NT"), x86_avx512())
    assert (choice.layout, choice.access, choice.feed) == ("along", "row", "pack")


def test_a_weight_gradient_packs_nothing() -> None:
    choice = best_choice(plain_problem(512, 784, 64, "TN"), x86_avx512())
    assert (choice.layout, choice.access) == ("across", "column")
    assert choice.feed != "pack"


def test_big_products_are_packed() -> None:
    choice = best_choice(plain_problem(2048, 2048, 2048, "NN"), x86_avx512())
    assert (choice.access, choice.feed, choice.depth_block) == ("packed", "pack", 2048)
    choice = best_choice(plain_problem(2048, 2048, 5000, "NN"), x86_avx512())
    assert choice.depth_block == 1000


@pytest.mark.parametrize(("k", "access"), [(1024, "packed"), (1025, "packed"), (3072, "packed"), (1040, "row"), (768, "row")])  # fmt: skip
def test_rows_that_share_cache_sets_are_packed(k: int, access: str) -> None:
    """Fourteen rows a multiple of 4096 bytes apart, or nearly, do not stay in a cache of eight ways."""
    assert best_choice(plain_problem(512, 512, k, "NN"), x86_avx512()).access == access


def test_rows_crowd_sets_only_where_they_are_many_and_different() -> None:
    problem = plain_problem(512, 512, 1024, "NN")
    assert crowding_rows(1024, 14, problem) == 4
    assert crowding_rows(1024, 9, problem) == 0
    assert crowding_rows(512, 14, problem) == 0
    assert crowding_rows(0, 14, problem) == 0


def test_rows_are_spread_evenly() -> None:
    shape = tile_shape(x86_avx512(), "float")
    cut = cut_of(plain_problem(64, 512, 784, "NT"), shape)
    assert (cut.height, cut.tiles, cut.tall) == (13, 5, 4)
    for m in range(1, 100):
        cut = cut_of(plain_problem(m, 8, 8, "NN"), shape)
        low = max(cut.height - 1, 1)
        assert cut.tall * cut.height + (cut.tiles - cut.tall) * low == m


def test_a_new_size_needs_no_new_kernel() -> None:
    """Rows beyond a dozen tiles: all sizes share their kernels."""
    texts = set()
    for m in (500, 517, 530, 544):
        plan = plan_gemm(float32, 64, m, 700, (700, 1), (1, 700), (m, 1), target=x86_avx512())
        texts |= {kernel_text(call.kernel) for call in plan.calls}
    assert len(texts) == 2  # one that packs, one that multiplies


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("element", ["float", "double"])
def test_kernels_compile_for_other_machines(target, element: str) -> None:
    shape = tile_shape(target, element)
    kind = float32 if element == "float" else float64
    for access, layout in (("row", "across"), ("packed", "along")):
        kernel = GemmKernel(target, element, shape.rows, access, layout, element, b_kind=kind)
        assert object_code(kernel_text(kernel), target)[:4] == b"\x7fELF"
    kind = float32 if element == "float" else float64
    dot = DotKernel(target, element, 1, False, element)
    assert object_code(kernel_text(dot), target)[:4] == b"\x7fELF"
    pack = PackKernel(target, kind, element, shape.columns, shape.columns, "turn")
    assert object_code(kernel_text(pack), target)[:4] == b"\x7fELF"


@pytest.mark.parametrize("target", [x86_sse2(), x86_avx2()], ids=lambda target: target.name)
def test_narrower_vectors_give_the_product(target) -> None:
    if host().vector_bytes <= target.vector_bytes:
        pytest.skip("this machine is no wider")
    for layout in LAYOUTS:
        a, b = operand(37, 50, layout[0]), operand(50, 45, layout[1])
        c = numpy.full((37, 45), numpy.nan, "f4")
        check(multiply(a, b, c, target=target), a, b)
