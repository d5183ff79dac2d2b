"""Simplification: what goes, what stays, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lampas.engine.dtype import bool_, float32, float64, int32, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.engine.schedule.simplify import simplify
from tests.unit.schedules import check, graph_of, leaf, simplified


def operations(*outputs: Node) -> list[str]:
    """The primitives left, leaves not counted."""
    graph = simplify(graph_of(*outputs))
    return [entry.op.name for entry in graph.entries if entry.op.kind != "leaf"]


def test_equal_nodes_become_one() -> None:
    x = leaf(4)
    assert operations(g.add(g.exp(x), g.exp(x))) == ["exp", "add"]


def test_unused_entries_go_and_leaves_stay() -> None:
    x, y = leaf(4), leaf(4, seed=1)
    graph = graph_of(g.where(g.full((4,), True, bool_), x, g.exp(y)))
    found = simplify(graph)
    assert [entry.op.name for entry in found.entries].count("exp") == 0
    assert len(found.leaves) == len(graph.leaves) == 2


@pytest.mark.parametrize(
    ("value", "build", "stays"),
    [
        (1.0, g.multiply, False),
        (1.0, g.divide, False),
        (-0.0, g.add, False),
        (0.0, g.add, True),  # -0.0 + 0.0 is 0.0
        (0.0, g.subtract, False),
        (-0.0, g.subtract, True),
        (2.0, g.multiply, True),
    ],
)
def test_neutral_numbers(value: float, build: object, stays: bool) -> None:
    x = leaf(4)
    node = build(x, g.constant(value, float32))  # type: ignore[operator]
    assert bool(operations(g.exp(node))[:-1]) is stays


def test_neutral_number_that_widens_the_shape_stays() -> None:
    assert operations(g.multiply(leaf(4), g.full((3, 4), 1.0, float32))) == ["expand", "multiply"]


def test_division_by_a_power_of_two_is_a_product() -> None:
    """A few quotients stay, lest means over 64 and over 36 values need two kernels."""
    x = leaf(4096)
    assert operations(g.divide(x, g.constant(64.0, float32))) == ["multiply"]
    assert operations(g.divide(x, g.constant(10.0, float32))) == ["divide"]
    assert operations(g.divide(leaf(4095), g.constant(64.0, float32))) == ["divide"]


def test_double_negation_and_complement() -> None:
    x = leaf(4, kind=int64)
    assert operations(g.exp(g.negative(g.negative(leaf(4))))) == ["exp"]
    assert operations(g.add(g.bitwise_not(g.bitwise_not(x)), x)) == ["add"]


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (float64, float32, 0),
        (int64, int32, 1),
        (bool_, float32, 2),
    ],
)
def test_cast_chains(first: object, second: object, left: int) -> None:
    x = leaf(4)
    found = operations(g.exp(g.cast(g.cast(g.cast(x, first), second), float32)))  # type: ignore[arg-type]
    assert found.count("cast") >= left
    if not left:
        assert found == ["exp"]


def test_constants_are_folded_in_their_dtype() -> None:
    third = g.divide(g.constant(1.0, float32), g.constant(3.0, float32))
    graph = simplify(graph_of(g.multiply(leaf(4), third)))
    values = [e.attributes[0] for e in graph.entries if e.op.name == "constant"]
    assert values == [float(np.float32(1) / np.float32(3))]


def test_folding_keeps_nan_and_infinity() -> None:
    zero = g.constant(0.0, float32)
    assert check(g.add(leaf(4), g.divide(g.constant(1.0, float32), zero))) is not None
    graph = simplify(graph_of(g.add(leaf(4), g.divide(zero, zero))))
    assert any(e.op.name == "constant" and math.isnan(e.attributes[0]) for e in graph.entries)


def test_views_compose() -> None:
    x = leaf(2, 3, 4)
    swapped = g.make(g.p.PERMUTE, (g.make(g.p.PERMUTE, (x,), ((1, 0, 2),)),), ((1, 0, 2),))
    assert operations(g.exp(swapped)) == ["exp"]
    sliced = g.slice_dims(
        g.slice_dims(x, (0, 1, 0), (2, 2, 4), (1, 1, 1)), (1, 0, 0), (1, 2, 2), (1, 1, 2)
    )
    assert operations(g.exp(sliced)) == ["slice", "exp"]
    check(g.exp(sliced))


def test_small_powers_are_products() -> None:
    x = leaf(4)
    assert operations(g.power(x, g.constant(2.0, float32))) == ["multiply"]
    assert operations(g.power(x, g.constant(3.0, float32))) == ["multiply", "multiply"]
    assert operations(g.power(x, g.constant(2.5, float32))) == ["power"]


def test_reducing_dimensions_of_size_one_does_nothing() -> None:
    assert operations(g.exp(g.sum_dims(leaf(4, 1), [1]))) == ["exp"]
    assert operations(g.exp(g.sum_dims(leaf(4, 2), [1]))) == ["sum", "exp"]


def test_one_element_per_row_is_chosen_by_position() -> None:
    index = leaf(3, 1, kind=int64)
    node = g.scatter(g.full((3, 6), 0.0, float32), 1, index, leaf(3, 1), "add")
    assert "scatter" not in operations(node)
    assert "where" in operations(node)
    check(node)


def test_text_before_and_after() -> None:
    x = leaf(4)
    node = g.add(g.exp(g.multiply(x, g.constant(1.0, float32))), g.exp(x))
    assert simplified(node) == (
        "graph\n"
        "  %0 buffer float32[4]\n"
        "  %1 exp %0 float32[4]\n"
        "  %2 add %1 %1 float32[4]\n"
        "  outputs %2\n"
    )


def test_a_product_read_only_transposed_is_computed_transposed() -> None:
    x, y = leaf(5, 3), leaf(3, 4, seed=1)
    product = g.matmul(x, y)
    assert operations(g.exp(g.transpose(product))) == ["permute", "permute", "matmul", "exp"]
    check(g.exp(g.transpose(product)))
    check(g.exp(g.transpose(product)), product)
    assert operations(g.exp(g.transpose(product)), product).count("matmul") == 1


def padded(x: Node, low: int, high: int) -> Node:
    return g.pad(x, (0, low), (0, high), g.like(x, 0))


def test_padded_parts_that_cover_the_whole_are_joined() -> None:
    a, b, c = leaf(3, 2), leaf(3, 4, seed=1), leaf(3, 1, seed=2)
    whole = g.add(g.add(padded(a, 0, 5), padded(c, 6, 0)), padded(b, 2, 1))
    assert operations(whole) == ["concatenate"]
    check(whole)


@pytest.mark.parametrize("lows", [(0, 1), (1, 2), (0, 3)])
def test_parts_that_overlap_or_leave_a_gap_are_added(lows: tuple[int, int]) -> None:
    a, b = leaf(3, 2), leaf(3, 2, seed=1)
    whole = g.add(*(padded(part, low, 3 - low) for part, low in zip((a, b), lows, strict=True)))
    assert "add" in operations(whole)
    check(whole)


def test_heads_are_joined_while_they_are_apart() -> None:
    heads = [g.reshape(g.permute(leaf(4, 3, 2, seed=s), (1, 0, 2)), (3, 8)) for s in (1, 2)]
    whole = g.concatenate(heads, 1)
    assert operations(whole) == ["permute", "permute", "concatenate", "reshape"]
    check(whole)
