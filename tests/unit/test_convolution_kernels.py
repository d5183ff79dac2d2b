"""The kernels of convolutions and pooling: memory they touch, threads, other machines."""

from __future__ import annotations

import numpy as np
import pytest

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import Target, aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops.brgemm import kernel_text
from lampas.engine.loops.brgemm_arguments import Integer
from lampas.engine.loops.convolution import WindowKernel
from lampas.engine.loops.convolution_plan import Windows, plan_forward, plan_weight
from lampas.engine.loops.convolution_windows import Columns, Step, step_word
from lampas.engine.loops.pooling import PoolKernel, lanes_for, stride_word
from lampas.engine.loops.winograd import Part, WinogradKernel
from lampas.engine.loops.winograd_matrices import filter_matrix, input_matrix, output_matrix
from lampas.engine.loops.winograd_plan import WinogradSizes, plan_winograd
from tests.unit.gemm_programs import guarded, program_of

Array = np.ndarray
TARGETS = [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()]
CASES = [
    ((2, 3, 9, 17), (5, 3, 3, 3), (1, 1), (1, 1), 1),
    ((1, 4, 40, 35), (30, 4, 3, 3), (2, 2), (1, 1), 1),
    ((3, 4, 8, 70), (18, 2, 2, 3), (1, 3), (2, 2), 2),
    ((5, 20, 7, 7), (16, 20, 1, 1), (2, 2), (1, 1), 1),
    ((2, 6, 30, 30), (6, 1, 3, 3), (1, 1), (1, 1), 6),
    ((2, 65, 6, 50), (33, 65, 3, 3), (1, 1), (1, 1), 1),
]


def windows_of(case: tuple) -> Windows:
    shape, weight, stride, dilation, groups = case
    return Windows(groups, weight[1], shape[2:], weight[2:], stride, dilation)


def forward(case: tuple, x: Array, weight: Array, out: Array, **options) -> Array:
    kind = float32 if x.itemsize == 4 else float64
    threads = options.get("threads", 1)
    plan = plan_forward(kind, windows_of(case), len(x), len(weight) // case[4], **options)
    program_of(plan, {"a": weight, "b": x, "c": out}, threads)()
    return out


def by_weight(case: tuple, x: Array, grad: Array, out: Array, **options) -> Array:
    kind = float32 if x.itemsize == 4 else float64
    threads = options.get("threads", 1)
    plan = plan_weight(kind, windows_of(case), len(x), grad.shape[1] // case[4], **options)
    program_of(plan, {"a": grad, "b": x, "c": out}, threads)()
    return out


def operands_of(case: tuple, kind: type = np.float32) -> tuple[Array, Array, Array]:
    """Image, weight and gradient."""
    rng = np.random.default_rng(7)
    found = windows_of(case)
    sizes = (case[0], case[1], (case[0][0], case[1][0], *found.places))
    x, weight, grad = (rng.standard_normal(size).astype(kind) for size in sizes)
    return x, weight, grad


def expected(case: tuple, x: Array, weight: Array, grad: Array) -> tuple[Array, Array]:
    attributes = (case[2], (0, 0), case[3], case[4])
    wide = [a.astype(np.float64) for a in (x, weight, grad)]
    out = REFERENCE_RULES[p.CONVOLUTION](wide[:2], *attributes)
    by = REFERENCE_RULES[p.CONVOLUTION_BACKWARD_WEIGHT](wide[::2], weight.shape, *attributes)
    return out, by


def close(got: Array, wanted: Array) -> None:
    scale = float(np.abs(wanted).max())
    limit = (3e-6 if got.itemsize == 4 else 1e-14) * scale
    np.testing.assert_allclose(got, wanted, rtol=0, atol=limit)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=["float32", "float64"])
def test_nothing_is_read_or_written_outside(case: tuple, kind: type) -> None:
    """Every array ends at a page that must not be touched; the errors are those of sums in the dtype."""
    x, weight, grad = (guarded(a) for a in operands_of(case, kind))
    wanted, wanted_by_weight = expected(case, x, weight, grad)
    close(forward(case, x, weight, guarded(np.full_like(grad, np.nan))), wanted)
    close(by_weight(case, x, grad, guarded(np.full_like(weight, np.nan))), wanted_by_weight)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_number_of_threads_gives_the_same_bits(case: tuple) -> None:
    x, weight, grad = operands_of(case)
    for make, other, like in ((forward, weight, grad), (by_weight, grad, weight)):
        one, many = (make(case, x, other, np.empty_like(like), threads=n) for n in (1, 3))
        assert one.tobytes() == many.tobytes()


def test_long_derivatives_pass_over_the_images_in_blocks() -> None:
    case = CASES[5]
    plan = plan_weight(float32, windows_of(case), 9, 33)
    integers = plan.calls[-1].integers
    assert integers[Integer.DEPTH] == 9 * 4 * 48
    assert integers[Integer.DEPTH_BLOCK] == 4 * 48


@pytest.mark.parametrize("target", [x86_sse2(), x86_avx2()], ids=lambda target: target.name)
@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_narrower_vectors_give_the_convolution(target: Target, case: tuple) -> None:
    if host().vector_bytes <= target.vector_bytes:
        pytest.skip("this machine has no wider vectors")
    x, weight, grad = operands_of(case)
    wanted, wanted_by_weight = expected(case, x, weight, grad)
    close(forward(case, x, weight, np.empty_like(grad), target=target), wanted)
    close(by_weight(case, x, grad, np.empty_like(weight), target=target), wanted_by_weight)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("columns", ["positions", "taps"])
@pytest.mark.parametrize("step", ["one", "two", "any"])
def test_kernels_compile_for_other_machines(target: Target, columns: Columns, step: Step) -> None:
    kernel = WindowKernel(target, "float", 4, "row", "across", "float", columns=columns, step=step)
    assert object_code(kernel_text(kernel), target)[:4] == b"\x7fELF"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("element", ["float", "double"])
def test_pooling_compiles_for_other_machines(target: Target, element: str) -> None:
    for stride in (1, 2, 3):
        kernel = PoolKernel(target, element, stride_word(stride), lanes_for(target, element, 14))
        assert object_code(str(kernel.module()), target)[:4] == b"\x7fELF"


def test_words_of_strides() -> None:
    assert [step_word(jump) for jump in (1, 2, 3, 7)] == ["one", "two", "any", "any"]
    assert [stride_word(stride) for stride in (1, 2, 3, 7)] == [1, 2, 0, 0]


def test_a_new_size_needs_no_new_kernel() -> None:
    """The same filters over any number of images of any size."""
    kernels = set()
    for images, height, width in ((1, 30, 30), (7, 30, 30), (2, 64, 51)):
        windows = Windows(1, 16, (height, width), (3, 3), (1, 1), (1, 1))
        plan = plan_forward(float32, windows, images, 32)
        kernels |= {call.kernel for call in plan.calls if isinstance(call.kernel, WindowKernel)}
    assert len({kernel.name for kernel in kernels}) == 1


# ---- Winograd's algorithm -----------------------------------------------------------------------------------


def test_the_matrices_filter() -> None:
    rng = np.random.default_rng(1)
    values, taps = rng.standard_normal(6), rng.standard_normal(3)
    product = (np.array(filter_matrix()) @ taps) * (np.array(input_matrix()) @ values)
    wanted = [values[k : k + 3] @ taps for k in range(4)]
    np.testing.assert_allclose(np.array(output_matrix()) @ product, wanted, rtol=1e-13)


def winograd(x: Array, weight: Array, target: Target | None = None, threads: int = 1) -> Array:
    """The unpadded convolution; every array ends at a page that must not be touched."""
    (images, channels, height, width), filters = x.shape, len(weight)
    sizes = WinogradSizes(images, channels, filters, height - 2, width - 2)
    whole = guarded(np.zeros((images, channels, *sizes.padded), np.float32))
    whole[:, :, :height, :width] = x
    out = guarded(np.full((images, filters, height - 2, width - 2), np.nan, np.float32))
    plan = plan_winograd(sizes, threads, target)
    program_of(plan, {"a": guarded(weight), "b": whole, "c": out}, threads)()
    return out


def winograd_operands(shape: tuple[int, ...], filters: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype(np.float32)
    weight = rng.standard_normal((filters, shape[1], 3, 3)).astype(np.float32)
    wide = [x.astype(np.float64), weight.astype(np.float64)]
    return x, weight, REFERENCE_RULES[p.CONVOLUTION](wide, (1, 1), (0, 0), (1, 1), 1)


WINOGRAD_CASES = [((5, 33, 18, 18), 35), ((1, 32, 50, 41), 64), ((3, 40, 19, 24), 33)]


@pytest.mark.parametrize("target", [None, x86_avx2(), x86_sse2()], ids=["host", "avx2", "sse2"])
@pytest.mark.parametrize(("shape", "filters"), WINOGRAD_CASES, ids=str)
def test_winograd(shape: tuple[int, ...], filters: int, target: Target | None) -> None:
    if target and host().vector_bytes < target.vector_bytes:
        pytest.skip("this machine has no such vectors")
    x, weight, wanted = winograd_operands(shape, filters)
    error = winograd(x, weight, target) - wanted
    scale = float(np.sqrt((wanted**2).mean()))
    assert float(np.sqrt((error**2).mean())) < 4e-6 * scale
    assert float(np.abs(error).max()) < 4e-5 * scale


def test_winograd_with_any_number_of_threads_gives_the_same_bits() -> None:
    x, weight, _ = winograd_operands((5, 33, 30, 30), 40)
    assert winograd(x, weight).tobytes() == winograd(x, weight, threads=3).tobytes()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("part", ["image", "filter", "result"])
def test_winograd_compiles_for_other_machines(target: Target, part: Part) -> None:
    kernel = WinogradKernel(target, part, target.lanes("float"))
    assert object_code(str(kernel.module()), target)[:4] == b"\x7fELF"
