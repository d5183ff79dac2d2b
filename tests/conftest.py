"""What every test starts from."""

import random
import sys
import zlib

import numpy
import pytest

import lampas
from lampas.engine.graph import sightings
from lampas.engine.realize import program_store


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Seed Python's, NumPy's and our own random numbers before each test."""
    random.seed(0)
    numpy.random.seed(0)
    lampas.manual_seed(0)


@pytest.fixture(autouse=True)
def programs_built(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests build their programs: what one leaves on the disk must not hide what another looks at, or changes."""
    if not request.node.get_closest_marker("stored_programs"):
        monkeypatch.setattr(program_store, "LEAST_ENTRIES", sys.maxsize)


@pytest.fixture(autouse=True)
def paths_learned_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the tests, by their names, learn paths when they meet them for the first time.

    What a test does only once would else never take the ways that loops take.
    """
    if zlib.crc32(request.node.nodeid.encode()) % 2:
        monkeypatch.setattr(sightings, "was_met", lambda path: True)
