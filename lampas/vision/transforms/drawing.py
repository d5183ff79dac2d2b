"""Draws from the random stream, one number at a time, as the random transforms make them."""

import lampas


def uniform(low: float, high: float) -> float:
    """A float32 between `low` and `high`."""
    return float(lampas.empty(1).uniform_(low, high).item())


def whole(low: int, high: int) -> int:
    """A whole number, `high` excluded."""
    return int(lampas.randint(low, high, size=(1,)).item())


def chance(p: float) -> bool:
    """Whether a fresh number in [0, 1) is below `p`."""
    return bool(lampas.rand(1).item() < p)
