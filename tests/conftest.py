"""What every test starts from."""

import random
import zlib

import numpy
import pytest

import lampas
from lampas.engine.graph import sightings


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Seed Python's, NumPy's and our own random numbers before each test."""
    random.seed(0)
    numpy.random.seed(0)
    lampas.manual_seed(0)


@pytest.fixture(autouse=True)
def paths_learned_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the tests, by their names, learn paths when they meet them for the first time.

    What a test does only once would else never take the ways that loops take.
    """
    if zlib.crc32(request.node.nodeid.encode()) % 2 and not request.node.get_closest_marker(
        "plain_paths"
    ):
        monkeypatch.setattr(sightings, "was_met", lambda path: True)
