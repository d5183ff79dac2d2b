"""Maximum pooling of random sizes beside PyTorch: values, places and gradients, with equal values and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lampas
from lampas.engine.settings import settings

torch = pytest.importorskip("torch")


def random_case(seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Values of one to three dimensions, and the settings."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    window = rng.integers(1, 4, rank)
    stride, dilation = rng.integers(1, 5, rank), rng.choice((1, 1, 1, 2), rank)
    if rank == 3 and seed % 2:
        window[0] = stride[0] = 1
    padding = window // 2 * (rng.random(rank) < 0.3)
    size = dilation * (window - 1) + 1 + rng.integers(0, 10, rank)
    channels = int(rng.choice((3, 8, 9, 33)))
    values = rng.integers(-3, 4, (2, channels, *size)).astype(np.float32)
    values[rng.random(values.shape) < 0.1 * (seed % 3)] = np.nan
    numbers = {"kernel_size": window, "stride": stride, "padding": padding, "dilation": dilation}
    listed: dict[str, Any] = {name: each.tolist() for name, each in numbers.items()}
    return values, {**listed, "ceil_mode": bool(rng.random() < 0.2), "return_indices": True}


def pooled(library: Any, values: np.ndarray, given: dict[str, Any]) -> list[np.ndarray]:
    """Values, places, and the gradient for a flow that counts."""
    x = library.tensor(values, requires_grad=True)
    pool = getattr(library.nn.functional, f"max_pool{values.ndim - 2}d")
    found, places = pool(x * 1.0, **given)
    found.backward(library.arange(found.numel()).reshape(found.shape).to(found.dtype))
    return [found.detach().numpy(), places.numpy(), x.grad.numpy()]


@pytest.mark.parametrize("tier", ["compiled", "reference"])
@pytest.mark.parametrize("seed", range(14))
def test_values_places_and_gradients(seed: int, tier: str) -> None:
    values, given = random_case(seed)
    wanted = pooled(torch, values, given)
    with settings.override(tier=tier):
        got = pooled(lampas, values, given)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)
