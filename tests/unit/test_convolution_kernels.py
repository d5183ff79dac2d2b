"""The kernels of convolutions and pooling: memory they touch, threads, other machines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import pytest

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.layout import as_row_major, blocked_weight, channels_last, depthwise_weight
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import Target, aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops import brgemm_store
from lampas.engine.loops.brgemm import GemmPlan
from lampas.engine.loops.convolution_forward import ConvolutionSizes, plan_convolution
from lampas.engine.loops.convolution_geometry import Line, forward_line, phase_lines, three_lines
from lampas.engine.loops.convolution_tile import TILE_PARAMETERS, TileValues
from lampas.engine.loops.convolution_weight_plan import plan_convolution_weight
from lampas.engine.loops.convolution_weight_tile import SPAN_TILE_PARAMETERS, SpanTileValues
from lampas.engine.loops.depthwise_plan import plan_depthwise, plan_depthwise_weight
from lampas.engine.loops.image_pooling import ImagePoolKernel, Part
from lampas.engine.loops.image_windows import WindowPoolKernel
from lampas.engine.loops.pooling import PoolKernel, lanes_for, stride_word
from lampas.engine.loops.transposition import plan_transposition
from lampas.engine.loops.winograd_matrices import (
    SINGLE,
    filter_matrix,
    gradient_steps,
    input_matrix,
    input_steps,
    output_matrix,
    outputs_of,
    result_steps,
    transposed,
)
from lampas.engine.loops.winograd_plan import WinogradSizes, plan_winograd
from lampas.engine.loops.winograd_tile import ROWS_PARAMETERS, RowsValues
from lampas.engine.loops.winograd_weight_plan import plan_winograd_weight
from tests.unit.gemm_programs import WIDE, guarded, program_of

Array = np.ndarray
TARGETS = [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()]
NARROW = [x86_sse2(), x86_avx2()]


@dataclass(frozen=True)
class Case:
    """One convolution: shapes and the four settings of PyTorch."""

    shape: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def attributes(self) -> tuple:
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def places(self) -> tuple[int, ...]:
        each = zip(
            self.shape[2:], self.weight[2:], self.stride, self.padding, self.dilation, strict=True
        )
        return tuple((n + 2 * q - d * (k - 1) - 1) // s + 1 for n, k, s, q, d in each)

    @property
    def sizes(self) -> ConvolutionSizes:
        rank = len(self.shape) - 2
        each = zip(self.shape[2:], self.places, self.weight[2:], *self.attributes[:3], strict=True)
        d, h, w = three_lines([forward_line(*numbers) for numbers in each])
        ones = (1,) * (3 - rank)
        kernel, places = (*ones, *self.weight[2:]), (*ones, *self.places)
        filters = self.weight[0] // self.groups
        return ConvolutionSizes(
            self.shape[0], self.groups, self.weight[1], filters, (d, h, w), kernel, places
        )

    @property
    def is_depthwise(self) -> bool:
        return self.groups > 1 and self.weight[0] == self.groups and self.weight[1] == 1


CASES = [
    Case((2, 3, 9, 17), (64, 3, 3, 3)),
    Case((1, 4, 40, 35), (32, 4, 3, 3), (2, 2)),
    Case((3, 8, 8, 20), (96, 4, 2, 3), (1, 3), (0, 2), (2, 2), 2),
    Case((5, 20, 7, 7), (16, 20, 1, 1), (2, 2), (0, 0)),
    Case((2, 70, 6, 5), (48, 70, 3, 3)),
    Case((7, 130, 2, 2), (160, 130, 3, 3)),
    Case((2, 16, 6, 6), (64, 16, 5, 5), (1, 1), (4, 3)),
    Case((2, 3, 5, 6, 7), (64, 3, 3, 2, 3), (1, 2, 1), (1, 1, 1), (1, 1, 2)),
    Case((2, 40, 31), (32, 40, 5), (2,), (2,), (1,)),
    Case((3, 24, 5, 7), (144, 24, 1, 1), padding=(0, 0)),  # positions that follow each other
    Case((2, 144, 5, 5), (24, 144, 1, 1), padding=(0, 0)),
    Case((5, 32, 9), (40, 32, 1), (1,), (0,), (1,)),
    Case((2, 32, 5, 5), (48, 16, 1, 1), (1, 1), (0, 0), (1, 1), 2),
    Case((1, 7, 3, 5, 3), (16, 7, 1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
    Case((2, 9, 10, 7), (8, 9, 3, 3)),
    Case((2, 9, 4, 7), (48, 9, 3, 3)),
    Case((2, 9, 10, 7), (24, 9, 3, 3), (2, 1)),
    Case((2, 24, 5, 6), (72, 24, 3, 2)),
    Case((2, 48, 5, 6), (24, 16, 3, 3), (1, 1), (1, 1), (1, 1), 3),
    Case((1, 64, 5, 4), (128, 64, 3, 3)),  # many rows and panels of few positions: gathered
    Case((2, 37, 9, 8), (37, 1, 3, 3), (1, 1), (1, 1), (1, 1), 37),
    Case((3, 16, 12, 9), (16, 1, 5, 3), (2, 1), (3, 0), (1, 2), 16),
    Case((2, 21, 12, 19), (21, 1, 3, 3), (2, 2), (1, 1), (1, 1), 21),
    Case((2, 16, 9, 23), (16, 1, 3, 3), (1, 1), (2, 2), (2, 1), 16),
    Case((2, 8, 31), (8, 1, 2), (1,), (1,), (1,), 8),
    Case((2, 8, 5, 4, 11), (8, 1, 1, 3, 3), (1, 1, 3), (0, 1, 1), (1, 1, 1), 8),
    Case((1, 24, 7, 12), (24, 1, 2, 3), (1, 1), (0, 0), (1, 1), 24),
]


def lanes_of(target: Target, kind: type) -> int:
    return target.lanes("float" if kind is np.float32 else "double")


def laid(array: Array, layout) -> Array:
    """An array's values as they lie in a layout, at the end of a page."""
    return guarded(np.ascontiguousarray(array.reshape(layout.split).transpose(layout.order)))


def weight_layout(case: Case, lanes: int):
    if case.is_depthwise:
        return depthwise_weight(case.weight)
    return blocked_weight(case.weight, case.groups, lanes)


def run(plan: GemmPlan, a: Array, b: Array, c: Array, threads: int) -> None:
    program_of(plan, {"a": a, "b": b, "c": c}, threads)()


def forward(case: Case, x: Array, weight: Array, target: Target, threads: int = 1) -> Array:
    kind = float32 if x.itemsize == 4 else float64
    make = plan_depthwise if case.is_depthwise else plan_convolution
    plan = make(kind, case.sizes, threads=threads, target=target)
    layout = channels_last((case.shape[0], case.weight[0], *case.places))
    out = guarded(np.full(layout.memory, np.nan, x.dtype))
    lying = laid(weight, weight_layout(case, lanes_of(target, x.dtype.type)))
    run(plan, laid(x, channels_last(case.shape)), lying, out, threads)
    return np.ascontiguousarray(as_row_major(out, layout))


def by_weight(case: Case, x: Array, grad: Array, target: Target, threads: int = 1) -> Array:
    kind = float32 if x.itemsize == 4 else float64
    make = plan_depthwise_weight if case.is_depthwise else plan_convolution_weight
    plan = make(kind, case.sizes, threads=threads, target=target)
    layout = weight_layout(case, lanes_of(target, x.dtype.type))
    out = guarded(np.full(layout.memory, np.nan, x.dtype))
    lying = laid(grad, channels_last(grad.shape))
    run(plan, laid(x, channels_last(case.shape)), lying, out, threads)
    return np.ascontiguousarray(as_row_major(out, layout))


def operands_of(case: Case, kind: type = np.float32) -> tuple[Array, Array, Array]:
    """Image, weight and gradient."""
    rng = np.random.default_rng(7)
    sizes = case.shape, case.weight, (case.shape[0], case.weight[0], *case.places)
    x, weight, grad = (rng.standard_normal(size).astype(kind) for size in sizes)
    return x, weight, grad


def expected(case: Case, x: Array, weight: Array, grad: Array) -> tuple[Array, Array]:
    wide = [a.astype(np.float64) for a in (x, weight, grad)]
    out = REFERENCE_RULES[p.CONVOLUTION](wide[:2], *case.attributes)
    rule = REFERENCE_RULES[p.CONVOLUTION_BACKWARD_WEIGHT]
    return out, rule(wide[::2], weight.shape, *case.attributes)


def close(got: Array, wanted: Array) -> None:
    scale = float(np.abs(wanted).max())
    limit = (3e-6 if got.itemsize == 4 else 1e-14) * scale
    np.testing.assert_allclose(got, wanted, rtol=0, atol=limit)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=["float32", "float64"])
def test_nothing_is_read_or_written_outside(case: Case, kind: type) -> None:
    """Every array ends at a page that must not be touched; the errors are those of sums in the dtype."""
    x, weight, grad = operands_of(case, kind)
    wanted, wanted_by_weight = expected(case, x, weight, grad)
    close(forward(case, x, weight, host()), wanted)
    close(by_weight(case, x, grad, host()), wanted_by_weight)


@pytest.mark.parametrize("channels", [513, 520, 640, 690, 1032, 1540])
@pytest.mark.parametrize("turns", [False, True], ids=["forward", "turned"])
def test_depths_beyond_a_panel(channels: int, turns: bool) -> None:
    """A run's last piece is shorter than the others, so that more runs of it lie in a panel side by side."""
    channels += -channels % 8 if turns else 0
    case = Case((2, channels, 4, 3), (8, channels, 3, 3))
    x, weight, grad = operands_of(case)
    wanted, wanted_by_weight = expected(case, x, weight, grad)
    if not turns:
        close(forward(case, x, weight, host()), wanted)
        close(by_weight(case, x, grad, host()), wanted_by_weight)
        return
    lanes = lanes_of(host(), np.float32)
    lying = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    out = guarded(np.full((2, 4, 3, 8), np.nan, np.float32))
    layout = blocked_weight(lying.shape, 1, lanes)
    plan = plan_convolution(float32, case.sizes, turned=True)
    run(plan, laid(x, channels_last(case.shape)), laid(lying, layout), out, 1)
    close(np.ascontiguousarray(out.transpose(0, 3, 1, 2)), wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_number_of_threads_gives_the_same_bits(case: Case) -> None:
    x, weight, grad = operands_of(case)
    for make, other in ((forward, weight), (by_weight, grad)):
        one, many = (make(case, x, other, host(), n) for n in (1, 3))
        assert one.tobytes() == many.tobytes()


@pytest.mark.parametrize("target", [*NARROW, WIDE], ids=["sse2", "avx2", "wide"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_other_vectors_give_the_convolution(target: Target, case: Case) -> None:
    if host().vector_bytes <= target.vector_bytes and target is not WIDE:
        pytest.skip("this machine has no wider vectors")
    if not case.is_depthwise and case.weight[0] // case.groups % lanes_of(target, np.float32):
        pytest.skip("filters do not fill vectors")
    x, weight, grad = operands_of(case)
    wanted, wanted_by_weight = expected(case, x, weight, grad)
    close(forward(case, x, weight, target), wanted)
    close(by_weight(case, x, grad, target), wanted_by_weight)


def plans(target: Target) -> list[GemmPlan]:
    """Plans that use every kernel of convolutions."""
    found: list[GemmPlan] = []
    for kind in (float32, float64):
        for case in (CASES[0], CASES[4], CASES[-2]):
            deep = case.is_depthwise
            forward_plan = plan_depthwise if deep else plan_convolution
            weight_plan = plan_depthwise_weight if deep else plan_convolution_weight
            found += [make(kind, case.sizes, target=target) for make in (forward_plan, weight_plan)]
    for filters in (16, 48):
        sizes = Case((2, 9, 4, 7), (filters, 9, 3, 3)).sizes
        found.append(plan_convolution(float32, sizes, target=target))
        found.append(plan_convolution_weight(float32, sizes, target=target))
    for channels in (64, 256):
        sizes = WinogradSizes(2, channels, channels, 16, 16, (1, 1), 16, 16)
        for outputs in (2, 4):
            found.append(plan_winograd(float32, sizes, outputs, target=target))
            found.append(plan_winograd(float32, sizes, outputs, target=target, turned=True))
            found.append(plan_winograd_weight(float32, sizes, outputs, target=target))
    return found


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_kernels_compile_for_other_machines(target: Target) -> None:
    kernels = {call.kernel for plan in plans(target) for call in plan.calls}
    call = plan_transposition(target, 4, (64, 64), (64, 1), (1, 64))
    assert call is not None
    for kernel in {*kernels, call.kernel}:
        assert object_code(str(kernel.module()), target)[:4] == b"\x7fELF"


def kernels_of(case: Case) -> set[Any]:
    plan = plan_depthwise if case.is_depthwise else plan_convolution
    return {call.kernel for call in plan(float32, case.sizes).calls}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_new_size_needs_no_new_kernel(case: Case) -> None:
    """The same filters over any number of images of any size are the same code."""
    images, channels, *places = case.shape
    larger = (images + 3, channels, *(2 * size + 1 for size in places))
    assert kernels_of(case) == kernels_of(replace(case, shape=larger))


@pytest.mark.parametrize(
    ("parameters", "values"),
    [
        (TILE_PARAMETERS, TileValues),
        (SPAN_TILE_PARAMETERS, SpanTileValues),
        (ROWS_PARAMETERS, RowsValues),
        (brgemm_store.TILE_PARAMETERS, brgemm_store.TileCall),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_arguments_stand_in_the_order_of_the_parameters(parameters: Any, values: Any) -> None:
    """They are handed over as they stand."""
    assert [name for _, name in parameters] == list(values._fields)


def test_few_kernels_serve_all_filters() -> None:
    """Tiles of one, two or three vectors, that read what was gathered or where it lies."""
    found = set().union(*(kernels_of(case) for case in CASES if not case.is_depthwise))
    assert len(found) <= 6


# ---- geometry -----------------------------------------------------------------------------------------------


def meetings(line: Line) -> set[tuple[int, int, int]]:
    """(output, input, tap) of all taps that a line meets."""
    found: set[tuple[int, int, int]] = set()
    for stretch in line.stretches():
        for j in range(stretch.first, stretch.first + stretch.length):
            for offset, tap in line.taps[stretch.tap : stretch.tap + stretch.taps]:
                found.add((line.start + j * line.out_step, j * line.in_step + offset, tap))
    return found


@pytest.mark.parametrize("stride", range(1, 6))
@pytest.mark.parametrize("dilation", range(1, 4))
def test_lines_meet_every_tap_once(stride: int, dilation: int) -> None:
    size, taps, padding = 17, 4, 2
    places = (size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    wanted = {
        (q, q * stride + r * dilation - padding, r) for q in range(places) for r in range(taps)
    }
    wanted = {(q, i, r) for q, i, r in wanted if 0 <= i < size}
    assert meetings(forward_line(size, places, taps, stride, padding, dilation)) == wanted
    back = [meetings(line) for line in phase_lines(size, places, taps, stride, padding, dilation)]
    assert set().union(*back) == {(i, q, taps - 1 - r) for q, i, r in wanted}
    assert sum(map(len, back)) == len(wanted)


# ---- Winograd's algorithm -----------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [SINGLE, 2, 4])
def test_the_matrices_filter(outputs: int) -> None:
    rng = np.random.default_rng(1)
    values, taps = rng.standard_normal(outputs_of(outputs) + 2), rng.standard_normal(3)
    if outputs == SINGLE:
        values[[0, -1]] = 0
    inner = (np.array(filter_matrix(outputs)) @ taps) * (np.array(input_matrix(outputs)) @ values)
    wanted = [values[k : k + 3] @ taps for k in range(outputs_of(outputs))]
    np.testing.assert_allclose(np.array(output_matrix(outputs)) @ inner, wanted, rtol=1e-13)


@pytest.mark.parametrize("way", [SINGLE, 2, 4])
def test_chains_of_sums_make_the_matrices(way: int) -> None:
    assert input_steps(way).matrix == input_matrix(way)
    assert result_steps(way).matrix == output_matrix(way)
    assert gradient_steps(way).matrix == transposed(output_matrix(way))


WINOGRAD = [
    Case((5, 32, 18, 18), (64, 32, 3, 3), padding=(0, 0)),
    Case((1, 96, 50, 41), (32, 96, 3, 3), padding=(1, 2)),
    Case((3, 32, 19, 24), (160, 32, 3, 3)),
    Case((9, 64, 4, 4), (64, 64, 3, 3)),
    Case((2, 32, 3, 5), (32, 32, 3, 3), padding=(7, 9)),  # windows that lie wholly outside
    Case((3, 32, 1, 9), (32, 32, 3, 3), padding=(1, 2)),
    Case((9, 160, 17, 17), (208, 160, 3, 3)),  # a large weight, three blocks of tiles in two groups
]
DIRECT_ERROR = 4.5e-7  # root mean square of the direct way's error, of that of the result
DIRECT_WEIGHT_ERROR = 2.7e-7
MOST_OF_DIRECT = 4.0


def winograd(
    case: Case, outputs: int, x: Array, weight: Array, grad: Array, target: Target, threads: int = 1
) -> tuple[Array, Array]:
    """Forward and derivative by the weight."""
    images, filters = case.shape[0], case.weight[0]
    sizes = WinogradSizes(
        images, case.shape[1], filters, *case.shape[2:], case.padding, *case.places
    )
    lanes = lanes_of(target, np.float32)
    layouts = channels_last((images, filters, *case.places)), weight_layout(case, lanes)
    found = []
    image = laid(x, channels_last(case.shape))
    for make, other, layout in (
        (plan_winograd, laid(weight, layouts[1]), layouts[0]),
        (plan_winograd_weight, laid(grad, layouts[0]), layouts[1]),
    ):
        out = guarded(np.full(layout.memory, np.nan, np.float32))
        plan = make(float32, sizes, outputs, threads=threads, target=target)
        run(plan, image, other, out, threads)
        found.append(np.ascontiguousarray(as_row_major(out, layout)))
    return found[0], found[1]


@pytest.mark.parametrize("target", [host(), *NARROW, WIDE], ids=["host", "sse2", "avx2", "wide"])
@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("case", WINOGRAD, ids=str)
def test_winograd(case: Case, outputs: int, target: Target) -> None:
    """Its error stays within four times the direct way's, whatever the number of channels."""
    if host().vector_bytes < target.vector_bytes and target is not WIDE:
        pytest.skip("this machine has no such vectors")
    x, weight, grad = operands_of(case)
    found = winograd(case, outputs, x, weight, grad, target)
    for got, wanted in zip(found, expected(case, x, weight, grad), strict=True):
        scale = float(np.sqrt((wanted**2).mean()))
        error = float(np.sqrt(((got - wanted) ** 2).mean()))
        assert error < MOST_OF_DIRECT * DIRECT_ERROR * scale


@pytest.mark.parametrize("images", [1, 9], ids=["one slice", "three slices"])
def test_sums_over_many_tiles_are_exact(images: int) -> None:
    """The direct way's derivative by the weight is more exact than its result: chains of tiles must be short."""
    case = Case((images, 32, 50, 50), (32, 32, 3, 3))
    x, weight, grad = operands_of(case)
    got, wanted = winograd(case, 4, x, weight, grad, host())[1], expected(case, x, weight, grad)[1]
    error, scale = np.sqrt(((got - wanted) ** 2).mean()), np.sqrt((wanted**2).mean())
    assert error < MOST_OF_DIRECT * DIRECT_WEIGHT_ERROR * scale


@pytest.mark.parametrize("target", [host(), *NARROW, WIDE], ids=["host", "sse2", "avx2", "wide"])
@pytest.mark.parametrize("images", [1, 9, 50])
def test_images_of_one_tile(images: int, target: Target) -> None:
    if host().vector_bytes < target.vector_bytes and target is not WIDE:
        pytest.skip("this machine has no such vectors")
    test_winograd(Case((images, 96, 2, 2), (64, 96, 3, 3)), SINGLE, target)


PANELS = [
    (Case((9, 160, 17, 17), (208, 160, 3, 3)), 4),
    (Case((2, 448, 8, 5), (176, 448, 3, 3)), 2),
    (Case((9, 320, 2, 2), (400, 320, 3, 3)), SINGLE),
]


@pytest.mark.parametrize(("case", "way"), PANELS, ids=["4", "2", "single"])
def test_large_weights(case: Case, way: int) -> None:
    """Transformed by the units that need them, as they lie and turned; a pass, and what is left over, in each direction."""
    x, weight, grad = operands_of(case)
    wanted = expected(case, x, weight, grad)
    got = winograd(case, way, x, weight, grad, host(), 2)
    layout = channels_last((case.shape[0], case.weight[0], *case.places))
    out = guarded(np.full(layout.memory, np.nan, np.float32))
    images, channels, *places = case.shape
    sizes = WinogradSizes(images, channels, case.weight[0], *places, case.padding, *case.places)
    plan = plan_winograd(float32, sizes, way, threads=2, turned=True)
    assert "panel_turned" in plan.calls[-1].kernel.name
    lying = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    laid_weight = laid(lying, blocked_weight(lying.shape, 1, lanes_of(host(), np.float32)))
    run(plan, laid(x, channels_last(case.shape)), laid_weight, out, 2)
    turned = np.ascontiguousarray(as_row_major(out, layout))
    for found, right in ((got[0], wanted[0]), (got[1], wanted[1]), (turned, wanted[0])):
        error, scale = np.sqrt(((found - right) ** 2).mean()), np.sqrt((right**2).mean())
        assert error < MOST_OF_DIRECT * DIRECT_ERROR * scale


@pytest.mark.parametrize("case", [WINOGRAD[0], WINOGRAD[-1]], ids=["blocks", "panels"])
def test_winograd_with_any_number_of_threads_gives_the_same_bits(case: Case) -> None:
    x, weight, grad = operands_of(case)
    one, many = (winograd(case, 4, x, weight, grad, host(), n) for n in (1, 3))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, many, strict=True))


# ---- pooling and copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("element", ["float", "double"])
def test_pooling_compiles_for_other_machines(target: Target, element: str) -> None:
    parts: tuple[Part, ...] = ("index", "value", "both", "back")
    kernels = [ImagePoolKernel(target, element, part) for part in parts]
    kernels += [WindowPoolKernel(target, element, part, 3, 2) for part in parts]
    lanes = lanes_for(target, element, 14)
    kernels += [PoolKernel(target, element, stride_word(stride), lanes) for stride in (1, 2, 3)]
    for kernel in kernels:
        assert object_code(str(kernel.module()), target)[:4] == b"\x7fELF"


def test_words_of_strides() -> None:
    assert [stride_word(stride) for stride in (1, 2, 3, 7)] == [1, 2, 0, 0]


@pytest.mark.parametrize("target", [host(), *NARROW, WIDE], ids=["host", "sse2", "avx2", "wide"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("shape", "order"),
    [((33, 47), (1, 0)), ((6, 20, 5, 18), (3, 1, 2, 0)), ((4, 3, 2, 6, 5, 70), (5, 1, 3, 2, 4, 0))],
    ids=str,
)
def test_transpositions(target: Target, kind: type, shape: tuple, order: tuple) -> None:
    if host().vector_bytes < target.vector_bytes and target is not WIDE:
        pytest.skip("this machine has no such vectors")
    source = guarded(np.arange(prod(shape)).astype(kind).reshape(shape))
    wanted = source.transpose(order)
    made = guarded(np.zeros(wanted.shape, kind))
    steps = [[step // source.itemsize for step in array.strides] for array in (wanted, made)]
    call = plan_transposition(target, source.itemsize, wanted.shape, *steps)
    assert call is not None
    program_of(GemmPlan((call,), 0), {"a": source, "c": made}, 2)()
    np.testing.assert_array_equal(made, wanted)
