"""Moments that convolutions find of their results: by every kernel, and where the schedule asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lampas
from lampas import nn
from lampas.engine.device.pool import get_num_threads, set_num_threads
from lampas.engine.dtype import float32
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import LinearGraph, linearize
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import Target, aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops.brgemm import GemmPlan
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER
from lampas.engine.loops.convolution_forward import ConvolutionSizes, plan_convolution
from lampas.engine.loops.convolution_geometry import forward_line, three_lines
from lampas.engine.loops.winograd import WinogradInteger
from lampas.engine.loops.winograd_matrices import SINGLE
from lampas.engine.loops.winograd_plan import WinogradSizes, plan_winograd
from lampas.engine.realize.building import build_program
from lampas.engine.schedule import moments
from lampas.engine.schedule.copying import GraphCopy
from lampas.engine.schedule.lay_out import arrange
from lampas.engine.schedule.moments import find_moments
from lampas.engine.schedule.settle import settle
from lampas.engine.schedule.simplify import simplify
from lampas.engine.settings import settings
from tests.unit.gemm_programs import guarded, program_of

Array = np.ndarray
Size = tuple[int, int, int, int]  # images, channels, height, width


def direct(size: Size, filters: int, target: Target, threads: int = 1) -> GemmPlan:
    """A convolution by 3×3 filters with a stride of 2."""
    images, channels, *extent = size
    places = [(n - 1) // 2 + 1 for n in extent]
    each = zip(extent, places, strict=True)
    d, h, w = three_lines([forward_line(n, q, 3, 2, 1, 1) for n, q in each])
    sizes = ConvolutionSizes(
        images, 1, channels, filters, (d, h, w), (1, 3, 3), (1, places[0], places[1])
    )
    return plan_convolution(float32, sizes, threads=threads, target=target, moments=True)


def winograd(size: Size, filters: int, way: int, target: Target, threads: int = 1) -> GemmPlan:
    images, channels, height, width = size
    sizes = WinogradSizes(images, channels, filters, height, width, (1, 1), height, width)
    return plan_winograd(float32, sizes, way, threads=threads, target=target, moments=True)


def run(plan: GemmPlan, size: Size, filters: int, units: int, threads: int) -> tuple[Array, Array]:
    """The result (positions, filters), whatever the weight means, and the moments (3, units, filters)."""
    rng = np.random.default_rng(3)
    image = guarded((rng.standard_normal((size[0], size[2], size[3], size[1])) + 9).astype("f"))
    weight = guarded(rng.standard_normal(filters * size[1] * 9).astype("f"))
    positions = positions_of(plan, size, filters)
    out = guarded(np.full((positions, filters), np.nan, np.float32))
    found = guarded(np.full((3, units, filters), np.nan, np.float32))
    arrays = {"a": image, "b": weight, "c": out, "moments": found}
    program_of(plan, arrays, threads)()
    return out, found


def positions_of(plan: GemmPlan, size: Size, filters: int) -> int:
    """Positions of a result: those of the image, or a quarter for a stride."""
    images, _, height, width = size
    if plan.calls[-1].kernel.name.startswith("winograd"):
        return images * height * width
    return images * ((height - 1) // 2 + 1) * ((width - 1) // 2 + 1)


def assert_moments(out: Array, found: Array) -> None:
    """Counts are exact; mean and variance of the whole are as NumPy finds them in float64."""
    counts, sums, squares = found.astype(np.float64)
    values = out.astype(np.float64)
    assert (counts == counts[:, :1]).all()
    assert counts[:, 0].sum() == len(values)
    np.testing.assert_allclose(sums.sum(0), values.sum(0), rtol=1e-4, atol=1e-2)
    mean = values.mean(0)
    variance = (squares + counts * (sums / counts - mean) ** 2).sum(0) / len(values)
    np.testing.assert_allclose(variance, values.var(0), rtol=2e-5)


SIZES: list[tuple[Size, int]] = [
    ((2, 16, 30, 26), 64), ((3, 16, 13, 9), 48), ((1, 32, 40, 17), 16), ((2, 16, 8, 8), 144),
]  # fmt: skip


@pytest.mark.parametrize("target", [host(), x86_sse2()], ids=["host", "sse2"])
@pytest.mark.parametrize(("size", "filters"), SIZES, ids=str)
def test_of_the_direct_way(size: Size, filters: int, target: Target) -> None:
    plan = direct(size, filters, target)
    units = plan.calls[-1].integers[FIRST_INTEGER]
    assert_moments(*run(plan, size, filters, units, 1))


@pytest.mark.parametrize("target", [host(), x86_sse2()], ids=["host", "sse2"])
@pytest.mark.parametrize("way", [2, 4])
@pytest.mark.parametrize(("size", "filters"), SIZES, ids=str)
def test_of_winograds_way(size: Size, filters: int, way: int, target: Target) -> None:
    plan = winograd(size, filters, way, target)
    units = plan.calls[-1].integers[WinogradInteger.BLOCKS]
    assert_moments(*run(plan, size, filters, units, 1))


def test_of_images_of_two_by_two() -> None:
    size, filters = (70, 32, 2, 2), 64
    plan = winograd(size, filters, SINGLE, host())
    assert_moments(*run(plan, size, filters, plan.calls[-1].integers[WinogradInteger.BLOCKS], 1))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    size, filters = SIZES[0]
    for make in (direct, lambda *rest: winograd(*rest[:2], 4, *rest[2:])):
        found = []
        for threads in (1, 3):
            plan = make(size, filters, host(), threads)
            by_tiles = plan.calls[-1].kernel.name.startswith("winograd")
            place = WinogradInteger.BLOCKS if by_tiles else FIRST_INTEGER
            found.append(run(plan, size, filters, plan.calls[-1].integers[place], threads)[1])
        assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.parametrize(
    "target", [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()], ids=lambda t: t.name
)
def test_kernels_compile_for_other_machines(target: Target) -> None:
    for plan in (direct(*SIZES[0], target), winograd(*SIZES[0], 4, target)):
        kernel = plan.calls[-1].kernel
        assert object_code(str(kernel.module()), target)[:4] == b"\x7fELF"


# ---- where they are asked for -------------------------------------------------------------------------------


def moments_in(value: Any) -> int:
    """How many products of a value's graph are asked for moments."""
    graph = arrange(linearize([value._node]).graph()).graph
    found = find_moments(settle(simplify(graph)))
    return sum(entry.op is p.OUTPUT for entry in found.entries)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small images do."""
    monkeypatch.setattr(moments, "LEAST_VALUES", 1)


def image(channels: int = 16, extent: int = 12) -> Any:
    return lampas.randn(2, channels, extent, extent) * 2 + 1


NETWORKS: dict[str, tuple[int, Callable[[], list[nn.Module]]]] = {
    "normalised": (1, lambda: [nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)]),
    "not scaled": (1, lambda: [nn.Conv2d(16, 64, 1, bias=False), nn.BatchNorm2d(64, affine=False)]),
    "a bias is added": (0, lambda: [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)]),
    "rectified before": (
        0,
        lambda: [nn.Conv2d(16, 32, 3, bias=False), nn.ReLU(), nn.BatchNorm2d(32)],
    ),
    "few channels": (0, lambda: [nn.Conv2d(16, 16, 3, bias=False), nn.BatchNorm2d(16)]),
    "groups": (0, lambda: [nn.Conv2d(16, 32, 3, groups=2, bias=False), nn.BatchNorm2d(32)]),
    "each image": (0, lambda: [nn.Conv2d(16, 32, 3, bias=False), nn.InstanceNorm2d(32)]),
    "running statistics": (
        0,
        lambda: [nn.Conv2d(16, 32, 3, bias=False), nn.BatchNorm2d(32).eval()],
    ),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", NETWORKS)
def test_where_the_schedule_asks_for_them(name: str) -> None:
    count, make = NETWORKS[name]
    x, model = image(), nn.Sequential(*make())
    with lampas.no_grad():
        assert moments_in(model(x)) == count
    with settings.override(tier="compiled", verify=True):
        found = model(x).detach().numpy()
    with settings.override(tier="reference"):
        np.testing.assert_allclose(found, model(x).detach().numpy(), atol=1e-3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("columns", [32, 2])
def test_columns_of_another_shape_are_others(columns: int) -> None:
    """Read in narrower rows, a product's memory has sums of its own, which are not those of the channels."""
    with lampas.no_grad():
        value = nn.Conv2d(16, 32, 1, bias=False)(image())
    graph = settle(simplify(arrange(linearize([value._node]).graph()).graph))
    copy = GraphCopy()
    copy.write(graph, lambda number, entry: None)
    product = next(n for n, entry in enumerate(copy.entries) if moments.fits(entry))
    shape = (copy.entries[product].numel // columns, columns)
    row = (1, columns)
    rows = copy.add(p.RESHAPE, (product,), shape, float32, shape)
    total = copy.add(p.SUM, (rows,), row, float32, (0,))
    part = copy.add(p.CONSTANT, (), (), float32, 1 / shape[0], repr(1 / shape[0]))
    mean = copy.add(p.MULTIPLY, (total, part), row, float32)
    away = copy.add(p.SUBTRACT, (rows, mean), shape, float32)
    squared = copy.add(p.MULTIPLY, (away, away), shape, float32)
    made = copy.add(p.SUM, (squared,), row, float32, (0,))
    whole = LinearGraph(tuple(copy.entries), graph.leaves, (made,), tuple(copy.origins))
    assert (find_moments(whole) is whole) is (columns == 2)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("extent", [1, 2, 4, 6])
def test_one_unit_may_be_all(extent: int) -> None:
    model = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32))
    x = image(extent=extent)
    with settings.override(tier="compiled", verify=True):
        found = model(x).detach().numpy()
    with settings.override(tier="reference"):
        np.testing.assert_allclose(found, model(x).detach().numpy(), atol=1e-3)


def test_small_images_are_summed_as_they_lie() -> None:
    model = nn.Sequential(nn.Conv2d(16, 32, 3, bias=False), nn.BatchNorm2d(32))
    with lampas.no_grad():
        assert moments_in(model(image())) == 0
        assert moments_in(model(image(extent=80))) == 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("width", [1, 3], ids=["direct", "winograd"])
def test_a_first_value_far_from_all_others_costs_little(width: int) -> None:
    """Distances are taken from the mean of a sample, of which it is part."""
    layer = nn.Conv2d(16, 32, width, padding=width // 2, bias=False)
    normal = nn.BatchNorm2d(32, momentum=1.0)
    with lampas.no_grad():
        layer.weight.zero_()
        layer.weight[:, :, width // 2, width // 2] = lampas.eye(32, 16)
        x = lampas.randn(4, 16, 32, 32)
        x[:, :, 0, 0] = 3000
        with settings.override(tier="compiled"):
            normal(layer(x))
            variance = normal.running_var[:16].numpy()
    wanted = np.asarray(x.numpy(), np.float64).var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(variance, wanted, rtol=1e-4)


@pytest.mark.usefixtures("small")
def test_a_variance_small_beside_its_mean_is_exact() -> None:
    """Squares are taken around each unit's own mean: the mean of all may be a thousand times the deviation."""
    layer = nn.Conv2d(16, 32, 1, bias=False)
    normal = nn.BatchNorm2d(32, momentum=1.0)
    with lampas.no_grad():
        layer.weight.copy_(lampas.eye(32, 16).reshape(32, 16, 1, 1))
        x = 1000 + lampas.randn(4, 16, 20, 20)
        with settings.override(tier="compiled"):
            normal(layer(x))
            variance = normal.running_var[:16].numpy()
    wanted = np.asarray(x.numpy(), np.float64).var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(variance, wanted, rtol=1e-4)


@pytest.mark.usefixtures("small")
def test_a_training_step_gives_the_same_bits_with_any_number_of_threads() -> None:
    def step() -> bytes:
        lampas.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 1, bias=False), nn.BatchNorm2d(32),
        )  # fmt: skip
        model(image()).square().mean().backward()
        return b"".join([each.grad.numpy().tobytes() for each in model.parameters()])

    before, found = get_num_threads(), []
    try:
        with settings.override(tier="compiled"):
            for threads in (1, 2):
                set_num_threads(threads)
                found.append(step())
    finally:
        set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.usefixtures("small")
def test_the_product_itself_may_be_asked_for() -> None:
    layer, normal = nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32)
    x = image()
    with lampas.no_grad():
        made = layer(x)
        graph = linearize([made._node, normal(made)._node]).graph()
    with settings.override(verify=True):
        program = build_program(graph)
    records = [record.name for segment in program.segments for record in segment.records]
    assert not [name for name in records if name.startswith("column sum [")]
