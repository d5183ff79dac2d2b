"""What every test starts from."""

import random

import numpy
import pytest


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Seed Python's and NumPy's random numbers before each test."""
    random.seed(0)
    numpy.random.seed(0)
