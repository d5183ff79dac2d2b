"""Convolutions as kernels against the NumPy reference: any rank, stride, padding, dilation, groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lampas
from lampas.backends import convolution
from lampas.engine.dtype import dtype, float32, float64
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.node import Node
from lampas.engine.llvm.target import host
from lampas.engine.realize.hosts import HostCall
from lampas.engine.settings import settings
from tests.unit.schedules import check, leaf, records

Sizes = tuple[int, ...]


def random_case(seed: int) -> dict[str, Any]:
    """Sizes of one convolution, small and odd."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    groups = int(rng.integers(1, 4))

    def numbers(low: int, high: int) -> Sizes:
        return tuple(int(n) for n in rng.integers(low, high, rank))

    kernel, dilation, padding = numbers(1, 4), numbers(1, 3), numbers(0, 3)
    room = numbers(0, (40, 12, 6)[rank - 1])
    image = tuple(
        max(d * (k - 1) + 1 - 2 * q, 0) + 1 + more
        for d, k, q, more in zip(dilation, kernel, padding, room, strict=True)
    )
    return {
        "shape": (int(rng.integers(1, 4)), groups * int(rng.integers(1, 4)), *image),
        "weight": (groups * int(rng.integers(1, 18)), kernel),
        "settings": (numbers(1, 5), padding, dilation, groups),
        "kind": float32 if seed % 2 else float64,
    }


def nodes_of(case: dict[str, Any]) -> tuple[Node, Node, Node]:
    """Input, weight and convolution."""
    kind: dtype = case["kind"]
    filters, kernel = case["weight"]
    groups = case["settings"][3]
    x = leaf(*case["shape"], kind=kind, seed=1)
    weight = leaf(filters, case["shape"][1] // groups, *kernel, kind=kind, seed=2)
    return x, weight, g.make(p.CONVOLUTION, (x, weight), case["settings"])


def tolerance(kind: dtype) -> float:
    return 2e-4 if kind is float32 else 1e-10


@pytest.mark.parametrize("seed", range(24))
def test_forward_and_derivatives(seed: int) -> None:
    case = random_case(seed)
    x, weight, made = nodes_of(case)
    grad = leaf(*made.shape, kind=case["kind"], seed=3)
    attributes = case["settings"]
    by_input = g.make(p.CONVOLUTION_BACKWARD_INPUT, (grad, weight), (x.shape, *attributes))
    by_weight = g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (x, grad), (weight.shape, *attributes))
    program = check(made, by_input, by_weight, tolerance=tolerance(case["kind"]))
    assert not any(isinstance(segment, HostCall) for segment in program.segments)


@pytest.mark.parametrize(
    ("image", "kernel", "attributes"),
    [
        ((7, 7), (3, 3), ((1, 1), (1, 1), (1, 1), 1)),
        ((6, 9), (5, 3), ((2, 3), (2, 1), (1, 1), 1)),
        ((9, 5), (3, 2), ((2, 1), (3, 2), (2, 3), 2)),
        ((7,), (3,), ((1,), (2,), (1,), 1)),
    ],
)
def test_a_small_image_gets_margins(image: Sizes, kernel: Sizes, attributes: Any) -> None:
    """One class of positions instead of many, each of which would fetch the weight again."""
    groups = attributes[3]
    width = 256 * groups
    x, weight = leaf(1, width, *image), leaf(width, 256, *kernel, seed=1)
    made = g.make(p.CONVOLUTION, (x, weight), attributes)
    with settings.override(convolution="direct"):
        program = check(made, tolerance=2e-3)
    (record,) = [r for s in program.segments for r in s.records if r.name.startswith("convolution")]
    assert record.extent <= 8 * groups  # no units of edges and corners


@pytest.mark.parametrize("filters", [1, 3, 6, 8, 13, 24, 40, 72])
def test_bias_and_activation_join_the_product(filters: int) -> None:
    """Whatever the width of its tiles: one vector, two or three."""
    x, weight = leaf(2, 4, 9, 7), leaf(filters, 4, 3, 3, seed=1)
    bias = g.reshape(leaf(filters, seed=2), (1, filters, 1, 1))
    made = g.make(p.CONVOLUTION, (x, weight), ((1, 1), (1, 1), (1, 1), 1))
    shifted = g.add(made, bias)
    program = check(g.maximum(g.tanh(shifted), g.like(shifted, 0)), tolerance=1e-4)
    names = [name for name in records(program) if name.startswith("convolution")]
    assert len(names) == 1
    assert program.schedule.steps[-1].region.members, "the product has an epilogue"


def test_the_derivative_by_the_weight_may_be_used_by_another_dtype() -> None:
    x, grad = leaf(3, 4, 9, 7), leaf(3, 6, 9, 7, seed=1)
    attributes = ((6, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1)
    made = g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (x, grad), attributes)
    check(g.cast(g.multiply(made, g.like(made, 0.5)), float64), tolerance=1e-3)


def test_the_derivative_by_the_weight_keeps_what_its_epilogue_reads() -> None:
    """Partial sums lie in the result, which must not share memory with the old weight."""
    x, grad, old = leaf(3, 4, 9, 7), leaf(3, 6, 9, 7, seed=1), leaf(6, 4, 3, 3, seed=2)
    attributes = (old.shape, (1, 1), (1, 1), (1, 1), 1)
    made = g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (x, grad), attributes)
    moved = g.exp(old)
    check(g.subtract(moved, g.multiply(made, g.like(made, 0.01))), tolerance=1e-4)


def test_operands_that_do_not_lie_row_major() -> None:
    x = g.permute(leaf(9, 2, 7, 4), (1, 3, 0, 2))
    weight = g.permute(leaf(3, 3, 4, 6, seed=1), (3, 2, 0, 1))
    check(g.make(p.CONVOLUTION, (x, weight), ((2, 1), (1, 2), (1, 2), 1)), tolerance=1e-4)


def test_an_empty_batch() -> None:
    x, weight = leaf(0, 4, 9, 7), leaf(6, 4, 3, 3, seed=1)
    check(g.make(p.CONVOLUTION, (x, weight), ((1, 1), (1, 1), (1, 1), 1)))


def test_a_whole_step_stays_in_one_layout() -> None:
    """Between convolutions nothing is turned: copies are made of the image and of the weights only."""
    x = leaf(2, 3, 12, 12)
    first, second = leaf(16, 3, 3, 3, seed=1), leaf(32, 16, 3, 3, seed=2)
    settled = ((1, 1), (1, 1), (1, 1), 1)
    inner = g.make(p.CONVOLUTION, (x, first), settled)
    mean = g.multiply(g.sum_dims(inner, (0, 2, 3)), g.like(inner, 1 / 288))
    inner = g.maximum(g.subtract(inner, mean), g.like(inner, 0))
    made = g.make(p.CONVOLUTION, (inner, second), settled)
    program = check(g.sum_dims(made, (2, 3)), tolerance=1e-3)
    names = records(program)
    assert len([n for n in names if n.startswith(("transposition", "map copy"))]) == 3, names


def test_layouts_pass_through_movement() -> None:
    x, weight = leaf(2, 3, 6, 5), leaf(16, 3, 3, 3, seed=1)
    made = g.make(p.CONVOLUTION, (x, weight), ((1, 1), (1, 1), (1, 1), 1))
    zero = g.like(made, 0)
    parts = (
        g.pad(made, (0, 1, 0, 2), (1, 0, 1, 0), zero),
        g.concatenate((made, leaf(2, 4, 6, 5, seed=2)), 1),
        g.flip(made, (2, 3)),
        g.reshape(g.permute(made, (0, 2, 3, 1)), (2, 30, 16)),
        g.reshape(made, (2, 16, 30)),
        g.reshape(made, (2, 480)),
        g.sum_dims(made, (1,)),
    )
    check(*parts, tolerance=1e-4)


def test_outputs_may_lie_in_a_layout_and_come_back_as_leaves() -> None:
    x, weight = leaf(2, 3, 6, 5), leaf(16, 3, 3, 3, seed=1)
    made = g.make(p.CONVOLUTION, (x, weight), ((1, 1), (1, 1), (1, 1), 1))
    by_weight = g.make(
        p.CONVOLUTION_BACKWARD_WEIGHT, (x, made), (weight.shape, (1, 1), (1, 1), (1, 1), 1)
    )
    program = check(made, by_weight, tolerance=1e-4)
    assert [layout.memory for layout in program.layouts if layout] == [
        (2, 6, 5, 16),
        (1, 16 // lanes(), 3, 3, 3, lanes()),
    ]


def lanes() -> int:
    return host().lanes("float")


# ---- Winograd's algorithm -----------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [(16, 16), (19, 22), (13, 45), (30, 14)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 1)])
def test_winograd(image: Sizes, padding: Sizes) -> None:
    """Images whose last tiles hang over, in several groups; direct where it would not pay."""
    x, weight = leaf(9, 32, *image), leaf(64, 32, 3, 3, seed=1)
    settled = ((1, 1), padding, (1, 1), 1)
    made = g.make(p.CONVOLUTION, (x, weight), settled)
    grad = leaf(*made.shape, seed=2)
    by_input = g.make(p.CONVOLUTION_BACKWARD_INPUT, (grad, weight), (x.shape, *settled))
    program = check(made, by_input, tolerance=2e-3)
    names = records(program)
    assert any(name.startswith("winograd") for name in names)
    with settings.override(convolution="direct"):
        program = check(made, by_input, tolerance=1e-4)
    assert not any(name.startswith("winograd") for name in records(program))


def test_winograd_is_for_float32_without_stride() -> None:
    for kind, stride, groups in ((float64, 1, 1), (float32, 2, 1), (float32, 1, 2)):
        x = leaf(4, 64, 18, 18, kind=kind)
        weight = leaf(64, 64 // groups, 3, 3, kind=kind, seed=1)
        attributes = ((stride, stride), (1, 1), (1, 1), groups)
        program = check(g.make(p.CONVOLUTION, (x, weight), attributes), tolerance=1e-4)
        assert not any(name.startswith("winograd") for name in records(program))


def test_winograd_reads_weights_where_they_lie() -> None:
    """Turned, transposed and repeated weights."""
    x = leaf(4, 32, 18, 18)
    plain = ((1, 1), (1, 1), (1, 1), 1)
    turned = g.flip(g.permute(leaf(3, 32, 64, 3, seed=1), (2, 1, 0, 3)), (3,))
    repeated = g.expand(g.constant(2.0, float32), (64, 32, 3, 3))
    for weight in (turned, repeated):
        program = check(g.make(p.CONVOLUTION, (x, weight), plain), tolerance=2e-3)
        assert any(name.startswith("winograd") for name in records(program))


def test_the_algorithm_can_be_chosen() -> None:
    from_start = convolution.get_algorithm()
    x, weight = lampas.randn(2, 16, 9, 9), lampas.randn(16, 16, 3, 3)
    exact = lampas.nn.functional.conv2d(x.double(), weight.double(), padding=1).numpy()
    found = {}
    for name in ("direct", "winograd2", "winograd4"):
        with settings.override(tier="compiled"), convolution.flags(name):
            found[name] = lampas.nn.functional.conv2d(x, weight, padding=1).numpy()
    assert convolution.get_algorithm() == from_start
    for values in found.values():
        np.testing.assert_allclose(values, exact, atol=2e-4)
    assert not np.array_equal(found["direct"], found["winograd4"])
    assert not np.array_equal(found["winograd2"], found["winograd4"])
    with pytest.raises(ValueError, match="'fast'"):
        convolution.set_algorithm("fast")
