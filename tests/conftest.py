"""What every test starts from."""

import random

import numpy
import pytest

import lampas


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Seed Python's, NumPy's and our own random numbers before each test."""
    random.seed(0)
    numpy.random.seed(0)
    lampas.manual_seed(0)
