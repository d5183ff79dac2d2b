"""Long, narrow products are cut along their depth: where, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from lampas.engine.device.pool import get_num_threads, set_num_threads
from lampas.engine.dtype import dtype, float32, float64, int64
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import linearize
from lampas.engine.graph.node import Node, buffer_node
from lampas.engine.realize.building import build_program
from lampas.engine.schedule.depths import split_depths
from lampas.engine.schedule.simplify import simplify
from tests.unit.schedules import check, graph_of, leaves_of, records


def random(*shape: int, kind: dtype = float32, seed: int = 0) -> Node:
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return buffer_node(np.ascontiguousarray(numbers.astype(kind.numpy)), shape, kind)


def derivative(depth: int, m: int, n: int, kind: dtype = float32) -> Node:
    """That of a layer's weight: the gradient, turned, by the input."""
    flow, x = random(depth, m, kind=kind), random(depth, n, kind=kind, seed=1)
    return g.matmul(g.permute(flow, [1, 0]), x)


def parts(node: Node) -> int:
    """Into how many a product is cut."""
    graph = split_depths(simplify(linearize([node]).graph()))
    (product,) = [entry for entry in graph.entries if entry.op is p.MATMUL]
    return product.shape[0] if len(product.shape) == 3 else 1


@pytest.mark.parametrize(
    ("depth", "m", "n", "count"),
    [
        (4096, 64, 64, 4),  # as a hidden layer's
        (1290, 20, 2, 5),
        (1025, 64, 64, 1),  # 1025 = 5 · 205: parts would be short
        (1031, 16, 16, 1),  # a prime number
        (1024, 256, 64, 1),  # not long beside its width
        (2048, 1, 64, 1),
    ],
)
def test_where_products_are_cut(depth: int, m: int, n: int, count: int) -> None:
    node = derivative(depth, m, n)
    assert parts(node) == count
    check(node, tolerance=1e-4)


@pytest.mark.parametrize("kind", [float32, float64, int64], ids=str)
def test_dtypes(kind: dtype) -> None:
    node = derivative(1024, 24, 40, kind)
    assert parts(node) == (1 if kind is int64 else 4)
    check(node, tolerance=1e-4)


def test_an_update_still_follows_in_the_kernel_that_ends_the_product() -> None:
    weight = random(24, 40, seed=2)
    gradient = derivative(2048, 24, 40)
    program = check(g.subtract(weight, g.multiply(gradient, g.like(gradient, 0.1))), tolerance=1e-4)
    assert len(records(program)) == 2


def test_several_of_one_graph() -> None:
    first, second = derivative(1024, 24, 40), derivative(1536, 8, 8)
    check(first, g.matmul(first, g.permute(first, [1, 0])), second, tolerance=1e-3)


def test_threads_change_no_bit() -> None:
    node = derivative(2048, 24, 40)
    before, found = get_num_threads(), list[bytes]()
    try:
        for threads in (1, 2):
            set_num_threads(threads)
            buffers, scalars, _ = leaves_of(node)
            (result,) = build_program(graph_of(node)).run(buffers, scalars)
            found.append(result.array(np.float32, node.shape).tobytes())
    finally:
        set_num_threads(before)
    assert found[0] == found[1]
