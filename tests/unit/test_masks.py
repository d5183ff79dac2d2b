"""Masks behind a normalisation are made of its input; all others stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from lampas.engine.dtype import float32
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import LinearGraph, linearize
from lampas.engine.graph.node import Node
from lampas.engine.schedule.masks import remake_masks
from lampas.engine.schedule.settle import settle
from lampas.engine.schedule.simplify import simplify
from tests.unit.schedules import check, leaf

ROWS, COLUMNS = 64, 8
PART = 1 / ROWS


def normalised(x: Node) -> Node:
    """(x − mean)/√variance over the rows."""
    part = g.constant(PART, float32)
    away = g.subtract(x, g.multiply(g.sum_dims(x, [0]), part))
    variance = g.multiply(g.sum_dims(g.multiply(away, away), [0]), part)
    return g.multiply(away, g.rsqrt(g.add(variance, g.constant(1e-5, float32))))


def rectified(value: Node) -> Node:
    return g.maximum(value, g.constant(0.0, float32))


def behind(result: Node, flow: Node, kind: str = "less_equal") -> Node:
    """The flow where the rectifier let something pass."""
    zero = g.constant(0.0, float32)
    if kind == "greater":
        return g.where(g.greater(result, zero), flow, zero)
    return g.where(g.less_equal(result, zero), zero, flow)


def block(x: Node, kind: str = "less_equal") -> tuple[Node, ...]:
    """A normalisation and rectifier between products: the result, and sums and derivative for the way back."""
    made = g.matmul(x, leaf(COLUMNS, COLUMNS, seed=7))
    normal = normalised(made)
    result = rectified(g.add(g.multiply(normal, leaf(COLUMNS, seed=8)), leaf(COLUMNS, seed=9)))
    after = g.matmul(result, leaf(COLUMNS, COLUMNS, seed=10))
    flow = g.matmul(after, leaf(COLUMNS, COLUMNS, seed=11))
    passed = behind(result, flow, kind)
    total, along = g.sum_dims(passed, [0]), g.sum_dims(g.multiply(passed, normal), [0])
    back = g.subtract(g.subtract(passed, total), g.multiply(normal, along))
    return after, total, along, back


def settled(*nodes: Node) -> LinearGraph:
    return settle(simplify(linearize(nodes).graph()))


def remade(*nodes: Node) -> int:
    """How many entries the pass changes."""
    before = settled(*nodes)
    after = remake_masks(before)
    return sum(a != b for a, b in zip(before.entries, after.entries, strict=True))


@pytest.mark.parametrize("kind", ["less_equal", "greater"])
def test_a_mask_behind_a_normalisation_is_made_of_its_input(kind: str) -> None:
    nodes = block(leaf(ROWS, COLUMNS), kind)
    assert remade(*nodes) == 1
    program = check(*nodes, tolerance=1e-3)
    entries = program.schedule.graph.entries
    stored = {number for step in program.schedule.steps for number in step.stores}
    masks = {p.WHERE, p.LESS_EQUAL, p.GREATER}
    assert not [n for n in stored if entries[n].op in masks], (
        "what the mask lets pass is not stored"
    )


def test_nan_and_infinity_pass_as_they_did() -> None:
    x = leaf(ROWS, COLUMNS)
    array = np.array(x.buffer).reshape(ROWS, COLUMNS)
    array[3, 2], array[5, 4] = np.nan, np.inf
    check(*block(x), tolerance=1e-3)


def test_a_mask_of_a_sum_of_two_arrays_stays() -> None:
    """Behind a residual block nothing is spared."""
    x = leaf(ROWS, COLUMNS)
    made = g.matmul(x, leaf(COLUMNS, COLUMNS, seed=7))
    normal = normalised(made)
    result = rectified(g.add(normal, x))
    passed = behind(result, g.matmul(result, leaf(COLUMNS, COLUMNS, seed=8)))
    nodes = passed, g.sum_dims(g.multiply(passed, normal), [0])
    assert remade(*nodes) == 0
    check(*nodes, tolerance=1e-3)


def test_a_mask_behind_a_bias_stays() -> None:
    """The product is not wanted in memory, and need not go there for the mask."""
    made = g.add(
        g.matmul(leaf(ROWS, COLUMNS), leaf(COLUMNS, COLUMNS, seed=7)), leaf(COLUMNS, seed=8)
    )
    result = rectified(made)
    passed = behind(result, g.matmul(result, leaf(COLUMNS, COLUMNS, seed=9)))
    nodes = g.sum_dims(passed, [0]), passed
    assert remade(*nodes) == 0
    check(*nodes, tolerance=1e-3)


def test_another_bound_is_another_question() -> None:
    """max(v, 0) ≤ 1 does not tell whether v ≤ 0."""
    made = g.matmul(leaf(ROWS, COLUMNS), leaf(COLUMNS, COLUMNS, seed=7))
    normal = normalised(made)
    result = rectified(normal)
    passed = g.where(g.less_equal(result, g.constant(1.0, float32)), result, normal)
    nodes = (
        g.matmul(result, leaf(COLUMNS, COLUMNS, seed=8)),
        g.sum_dims(g.multiply(passed, normal), [0]),
    )
    assert remade(*nodes) == 0
    check(*nodes, tolerance=1e-3)


def test_two_thresholds_are_computed_again_too() -> None:
    """The derivative of a value that is kept between 0 and 6 stores neither of its masks."""
    zero, six = g.constant(0.0, float32), g.constant(6.0, float32)
    made = g.matmul(leaf(ROWS, COLUMNS), leaf(COLUMNS, COLUMNS, seed=7))
    normal = normalised(made)
    low = g.less_equal(normal, zero)
    above = g.where(low, zero, normal)
    high = g.greater_equal(above, six)
    after = g.matmul(g.where(high, six, above), leaf(COLUMNS, COLUMNS, seed=8))
    passed = g.where(
        low, zero, g.where(high, zero, g.matmul(after, leaf(COLUMNS, COLUMNS, seed=9)))
    )
    total, along = g.sum_dims(passed, [0]), g.sum_dims(g.multiply(passed, normal), [0])
    program = check(
        after, g.subtract(g.subtract(passed, total), g.multiply(normal, along)), tolerance=1e-3
    )
    entries = program.schedule.graph.entries
    stored = {number for step in program.schedule.steps for number in step.stores}
    assert not [n for n in stored if entries[n].dtype.name == "bool"]
