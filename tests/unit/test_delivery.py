"""Delivery: values are written where a copy would bring them, and nowhere else where they are read twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lampas.engine.dtype import float32, int64
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.node import buffer_node
from tests.unit.schedules import check, leaf, records

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

BATCH, HEADS, ROWS, SIZE = 2, 3, 17, 16
WIDTH = HEADS * SIZE
SCALE = 0.02  # small scores: what is compared is where values go


def heads_of(x: Node, first: int) -> Node:
    """Some columns of (batch, rows, …) as (batch, heads, rows, size)."""
    batch, rows, _ = x.shape
    part = g.slice_dims(x, (0, 0, first), (batch, rows, WIDTH), (1, 1, 1))
    return g.permute(g.reshape(part, (batch, rows, HEADS, SIZE)), (0, 2, 1, 3))


def attention(x: Node) -> Node:
    return g.make(p.ATTENTION, tuple(heads_of(x, n * WIDTH) for n in range(3)), (SCALE, True))


def joined(x: Node) -> Node:
    """Heads beside one another again."""
    batch, _, rows, _ = x.shape
    return g.reshape(g.permute(x, (0, 2, 1, 3)), (batch, rows, WIDTH))


def gradients(x: Node, flow: Node) -> list[Node]:
    """What the three parts of a projection get, as (batch, heads, rows, size)."""
    operands = (*(heads_of(x, n * WIDTH) for n in range(3)), heads_of(flow, 0))
    flat = g.make(p.ATTENTION_BACKWARD, operands, (SCALE, True))
    return g.parts_of(flat, [part.shape for part in operands[:3]])


def projected(batch: int = BATCH, rows: int = ROWS) -> Node:
    return leaf(batch, rows, 3 * WIDTH)


@pytest.mark.parametrize(("batch", "rows"), [(BATCH, ROWS), (1, 40)])
def test_heads_are_written_side_by_side(batch: int, rows: int) -> None:
    made = records(check(joined(attention(projected(batch, rows)))))
    assert [name.split("_")[0] for name in made] == ["attention"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_derivatives_of_a_projection_are_written_in_its_own_form(order: tuple[int, ...]) -> None:
    parts = gradients(projected(), leaf(BATCH, ROWS, WIDTH, seed=1))
    made = records(check(g.concatenate([joined(parts[n]) for n in order], 2)))
    assert [name.split("_")[0] for name in made] == ["attention"]


def test_what_is_read_twice_stays_where_it_is() -> None:
    x = attention(projected())
    assert len(records(check(joined(x), g.exp(x)))) > 1
    assert len(records(check(joined(x), x))) > 1


def test_parts_of_others_are_copied() -> None:
    parts = gradients(projected(), leaf(BATCH, ROWS, WIDTH, seed=1))
    other = leaf(BATCH, ROWS, WIDTH, seed=2)
    check(g.concatenate([*(joined(part) for part in parts), other], 2))
    check(g.concatenate([joined(parts[0]), joined(parts[0]), joined(parts[1])], 2))
    check(g.concatenate([joined(parts[0]), joined(parts[1])], 2))
    half = g.narrow(parts[0], 3, 0, SIZE // 2)
    check(g.concatenate([half, *parts[1:]], 3))


def test_rows_that_are_turned_over_are_copied() -> None:
    x = attention(projected())
    check(g.reshape(g.permute(x, (0, 3, 1, 2)), (BATCH, SIZE, HEADS * ROWS)))


def added(base: Node, seed: int = 3) -> Node:
    """A few rows added to a table's."""
    rows = buffer_node(np.array([1, 4, 1, 0]), (4,), int64)
    return g.make(p.INDEX_ADD, (base, rows, leaf(4, 6, seed=seed)), (0,))


def names_of(*outputs: Node) -> list[str]:
    """Kinds of the records, without those that look at the indices first."""
    names = [name.replace("_", " ").split()[0] for name in records(check(*outputs))]
    return [name for name in names if name != "row"]


def test_sums_of_rows_begin_where_their_result_lies() -> None:
    zeros = g.expand(g.constant(0, float32), (5, 6))
    assert names_of(added(zeros)) == ["map", "scatter"]
    assert names_of(added(zeros), added(zeros, 4)) == ["map", "scatter"] * 2
    turned = g.permute(leaf(6, 5), (1, 0))
    assert names_of(added(turned)) == ["map", "scatter"]


def test_what_sums_begin_with_stays_where_it_is_read_again() -> None:
    begun = g.permute(leaf(6, 5), (1, 0))
    check(added(begun), g.exp(begun), begun)
    check(g.add(added(g.exp(begun)), g.exp(begun)))
    rows = buffer_node(np.array([1, 4, 1, 0, 2]), (5,), int64)
    check(g.make(p.INDEX_ADD, (begun, rows, begun), (0,)))
