"""Random graphs: a program that comes from the disk is the one that was built."""

from __future__ import annotations

import os

import pytest

from lampas.engine.graph.linear import linearize
from lampas.engine.realize import building
from lampas.engine.realize.parts import ProgramParts, blueprint_of
from lampas.engine.realize.program_store import Stored, decode, encode, is_storable, store_key
from tests.fuzz.random_graphs import random_graph

COUNT = 200 if os.environ.get("CI") else 40
GROUP = 20


def parts_of(seed: int) -> ProgramParts | None:
    """The parts of a random graph's program, if it may be kept."""
    graph = random_graph(seed)
    if not graph.outputs:
        return None
    blueprint = blueprint_of(linearize([item.node for item in graph.outputs]).graph())
    parts = building.make_parts(blueprint, building.arrange(blueprint.graph))
    return parts if is_storable(parts) else None


@pytest.mark.parametrize("first", range(7000, 7000 + COUNT, GROUP))
def test_decoded_equals_encoded(first: int) -> None:
    kept = 0
    for seed in range(first, first + GROUP):
        parts = parts_of(seed)
        if parts is not None:
            assert decode(encode(Stored({}, parts))).parts == parts, seed
            kept += 1
    assert kept > GROUP // 4


@pytest.mark.stored_programs
def test_keys_differ() -> None:
    found: dict[str | None, int] = {}
    for seed in range(7000, 7000 + COUNT):
        outputs = [item.node for item in random_graph(seed).outputs]
        if not outputs:
            continue
        key = store_key(blueprint_of(linearize(outputs).graph()))
        assert key is None or key not in found, (seed, found.get(key))
        found[key] = seed
    assert len(found) > COUNT // 2
