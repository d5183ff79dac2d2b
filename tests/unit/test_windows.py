"""Convolutions as matrix products and pooling as a reduction, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from lampas.engine.dtype import bfloat16, dtype, float32, float64, int64
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.node import Node, buffer_node
from tests.unit.schedules import check, leaf, records

# fmt: off
CASES = [  # x, weight, stride, padding, dilation, groups
    ((2, 3, 7, 8), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 9, 8), (4, 3, 3, 2), (2, 2), (1, 0), (1, 1), 1),
    ((2, 4, 9, 9), (6, 2, 3, 3), (2, 1), (2, 1), (2, 1), 2),
    ((1, 4, 6, 5), (4, 1, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    ((3, 5, 6, 6), (7, 5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((3, 5, 6, 6), (7, 5, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 3, 11), (4, 3, 4), (3,), (2,), (1,), 1),
    ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), (1, 2, 1), (0, 1, 1), (1, 1, 2), 1),
    ((2, 3, 5, 5), (4, 3, 2, 2), (3, 3), (0, 0), (1, 1), 1),
]
# fmt: on


def sizes(x: tuple[int, ...], weight: tuple[int, ...], *rest: tuple[int, ...]) -> tuple[int, ...]:
    stride, padding, dilation = rest
    return tuple(
        (n + 2 * q - d * (k - 1) - 1) // s + 1
        for n, k, s, q, d in zip(x[2:], weight[2:], stride, padding, dilation, strict=True)
    )


def native(*nodes: Node) -> None:
    program = check(*nodes, tolerance=1e-4)
    assert not [name for name in records(program) if name.startswith("host")]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [float32, float64])
def test_convolution_and_its_derivatives(case: tuple, kind: dtype) -> None:
    x_shape, weight_shape, stride, padding, dilation, groups = case
    x, weight = leaf(*x_shape, kind=kind), leaf(*weight_shape, kind=kind, seed=1)
    out = sizes(x_shape, weight_shape, stride, padding, dilation)
    grad = leaf(x_shape[0], weight_shape[0], *out, kind=kind, seed=2)
    rest = (stride, padding, dilation, groups)
    native(
        g.make(p.CONVOLUTION, (x, weight), rest),
        g.make(p.CONVOLUTION_BACKWARD_INPUT, (grad, weight), (x_shape, *rest)),
        g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (x, grad), (weight_shape, *rest)),
    )


def test_half_precision_convolution() -> None:
    x, weight = leaf(2, 3, 6, 6, kind=bfloat16), leaf(4, 3, 3, 3, kind=bfloat16, seed=1)
    native(g.make(p.CONVOLUTION, (x, weight), ((1, 1), (1, 1), (1, 1), 1)))


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation", "output"),
    [
        ((2, 3, 8, 9), (2, 2), (2, 2), (0, 0), (1, 1), (4, 4)),
        ((2, 3, 8, 9), (3, 3), (2, 2), (1, 1), (1, 1), (4, 5)),
        ((2, 3, 8, 9), (3, 3), (2, 2), (0, 0), (1, 1), (4, 4)),  # the last row is short
        ((3, 8, 9), (2, 3), (1, 2), (0, 0), (2, 1), (6, 4)),
        ((2, 3, 12), (4,), (3,), (2,), (1,), (5,)),
        ((1, 2, 4, 6, 5), (2, 2, 2), (2, 2, 2), (0, 1, 0), (1, 1, 1), (2, 4, 2)),
    ],
)
def test_max_pooling(
    shape: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, output: tuple
) -> None:
    attributes = (kernel, stride, padding, dilation, output)
    for kind in (float32, int64):
        native(g.make(p.MAX_POOL_INDEX, (leaf(*shape, kind=kind),), attributes))


def test_pooling_takes_nan_and_copes_with_infinity() -> None:
    values = np.full((1, 1, 4, 4), -np.inf, np.float32)
    values[0, 0, 3, 3] = np.nan
    x = buffer_node(values, values.shape, float32)
    node = g.make(p.MAX_POOL_INDEX, (x,), ((2, 2), (2, 2), (1, 1), (1, 1), (3, 3)))
    native(node)
