"""Which leaves a run may overwrite: only those that nobody can ask for again.

The calls stand outside of the assertions, which hold on to what they evaluate.
"""

from __future__ import annotations

import numpy as np
import pytest

import lampas
from lampas import nn, optim
from lampas.engine.device.buffer import Buffer
from lampas.engine.dtype import float32
from lampas.engine.graph import build as g
from lampas.engine.graph.layout import Layout
from lampas.engine.graph.linear import linearize
from lampas.engine.graph.node import Node, buffer_node
from lampas.engine.realize import realize
from lampas.engine.realize.building import build_program
from lampas.engine.realize.donation import Donor, find_lone
from lampas.engine.settings import settings


def owned(value: float) -> Node:
    """A leaf in memory of its own."""
    buffer = Buffer.allocate(400)
    buffer.array(np.float32, (100,))[...] = value
    buffer.exported = False
    return buffer_node(buffer, (100,), float32)


def given(target: Node) -> set[int]:
    """The positions that a run for `target` would give away, as `realize` asks for them."""
    line = linearize([target])
    program = build_program(line.graph())
    leaves = [line.nodes[number] for number in line.leaves]
    buffers = [node.buffer for node in leaves]
    donor = Donor(line.skeleton(), list(program.donations.values()))
    found = find_lone(donor.find(line.nodes), buffers)
    assert len(leaves) == 2
    return set(found)


def test_a_dead_leaf_is_given() -> None:
    target = g.subtract(owned(3.0), owned(1.0))
    found = given(target)
    assert found == {0}


def test_a_leaf_that_somebody_holds_is_kept() -> None:
    kept = owned(3.0)
    target = g.subtract(kept, owned(1.0))
    found = given(target)
    assert found == set()
    del kept
    found = given(target)
    assert found == {0}


def test_a_leaf_behind_a_held_inner_value_is_kept() -> None:
    inner = g.exp(owned(3.0))
    target = g.subtract(inner, owned(1.0))
    found = given(target)
    assert found == set()
    del inner
    found = given(target)
    assert found == {0}


def test_memory_that_an_array_shows_is_kept() -> None:
    first = owned(3.0)
    shown = first.buffer.array(np.float32, (100,))
    target = g.subtract(first, owned(1.0))
    del first
    found = given(target)
    assert found == set()
    assert shown[0] == 3.0


def test_a_buffer_of_two_nodes_is_kept() -> None:
    first = owned(3.0)
    twin = buffer_node(first.buffer, (100,), float32)
    target = g.subtract(first, owned(1.0))
    del first
    found = given(target)
    assert found == set()
    del twin
    found = given(target)
    assert found == {0}


def test_nothing_wanted_is_found_at_once() -> None:
    line = linearize([g.sum_dims(owned(1.0), [0])])
    assert Donor(line.graph(), []).find(line.nodes) == []


def test_weights_that_were_moved_to_another_layout_are_given_in_the_same_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A first training step moves them, and plans anew: nothing of the first plan may refer to them then."""
    given: list[int] = []
    find = Donor.find

    def note(donor: Donor, nodes: tuple[Node, ...]) -> list[int]:
        found = find(donor, nodes)
        given.append(len(found))
        assert len(found) == len(donor.wanted)
        return found

    settle = realize.settle_in
    moved: list[bool] = []

    def note_move(node: Node, layout: Layout) -> bool:
        moved.append(settle(node, layout))
        return moved[-1]

    monkeypatch.setattr(realize, "settle_in", note_move)
    monkeypatch.setattr(Donor, "find", note)
    model = nn.Sequential(nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with settings.override(tier="compiled"):
        model(lampas.ones(2, 16, 12, 12)).square().mean().backward()
        optimizer.step()
    assert True in moved
    assert not any(p._storage.node.buffer.exported for p in model.parameters() if p.dim() > 1)
    assert max(given) == 4
