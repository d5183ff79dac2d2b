"""Random matrix products against NumPy: sizes, storage, batches, epilogues, threads."""

from __future__ import annotations

import numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lampas.engine.device.pool import get_num_threads, set_num_threads
from lampas.engine.dtype import float32
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, STRIDED
from tests.unit.gemm_programs import guarded, multiply

SIZES = st.one_of(st.integers(1, 40), st.sampled_from([0, 14, 28, 32, 64, 65, 128, 130]))


def matrix(rows: int, columns: int, turned: bool, seed: int) -> numpy.ndarray:
    """Return a matrix (stored by columns if `turned`) whose memory ends at a forbidden page."""
    random = numpy.random.default_rng(seed)
    values = random.standard_normal((columns, rows) if turned else (rows, columns)).astype("f4")
    return guarded(values.T if turned else values)


def scaled_sum() -> NestEpilogue:
    """sums·2 + column bias."""
    build = NestBuilder(kept=2)
    sums = build.load(build.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    bias = build.load(build.operand(float32, "input", (BROADCAST, CONTIGUOUS)))
    result = build.operand(float32, "output", (STRIDED, CONTIGUOUS))
    twice = build.apply("multiply", sums, build.constant(2.0, float32))
    build.store(result, build.apply("add", twice, bias))
    return NestEpilogue(build.build())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    SIZES,
    SIZES,
    SIZES,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2]),
)
def test_random_products(
    m: int, n: int, k: int, turn_a: bool, turn_b: bool, with_epilogue: bool, threads: int
) -> None:
    a, b = matrix(m, k, turn_a, 1), matrix(k, n, turn_b, 2)
    c = guarded(numpy.full((m, n), numpy.nan, "f4"))
    bias = numpy.linspace(-1, 1, n, dtype="f4")
    options = {}
    if with_epilogue:
        options = {"epilogue": scaled_sum(), "extras": [(0, 1)], "arrays": {"extra0": bias}}
    before = get_num_threads()
    set_num_threads(threads)
    try:
        multiply(a, b, c, threads, **options)
    finally:
        set_num_threads(before)
    exact = a.astype("f8") @ b.astype("f8")
    expected = exact * 2 + bias if with_epilogue else exact
    numpy.testing.assert_allclose(c, expected, rtol=2e-5, atol=2e-5 * (1 + k) ** 0.5)
