"""Random networks of convolutions, batch norms and rectifiers: the losses of a few steps are PyTorch's.

What lies behind a normalisation is computed in several ways, by size: with moments from the convolution, with masks made
again from its input, in one kernel or in blocks.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import lampas
from lampas.engine.schedule import moments
from lampas.engine.settings import settings

torch = pytest.importorskip("torch")

GROUP = 8


def network(library: Any, seed: int) -> tuple[Any, tuple[int, ...]]:
    """A network, and the shape of its images."""
    choose, nn = random.Random(seed), library.nn
    channels, extent = choose.choice([3, 8, 16]), choose.choice([8, 12, 20])
    shape = choose.choice([4, 7, 16]), channels, extent, extent
    layers: list[Any] = []
    for _ in range(choose.randint(1, 3)):
        filters, kernel = choose.choice([8, 16, 24, 32, 64]), choose.choice([1, 3, 3, 5])
        stride, bias = choose.choice([1, 1, 2]), choose.random() < 0.3
        layers.append(nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=bias))
        if choose.random() < 0.85:
            layers.append(nn.BatchNorm2d(filters, affine=choose.random() < 0.8))
        layers.append(choose.choice([nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.SiLU])())
        channels = filters
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]
    return nn.Sequential(*layers, *head), shape


def losses(library: Any, seed: int) -> list[float]:
    """Those of three steps."""
    library.manual_seed(seed)
    model, shape = network(library, seed)
    optimizer = library.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    images, labels = library.randn(*shape), library.randint(0, 5, (shape[0],))
    found: list[float] = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = library.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("first", [0, GROUP])
@pytest.mark.parametrize("least", [1, moments.LEAST_VALUES], ids=["moments", "as usual"])
def test_losses(first: int, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "LEAST_VALUES", least)
    monkeypatch.setattr(moments, "LEAST_COLUMNS", 8 if least == 1 else moments.LEAST_COLUMNS)
    for seed in range(first, first + GROUP):
        with settings.override(tier="compiled", verify=True):
            found = losses(lampas, seed)
        np.testing.assert_allclose(
            found, losses(torch, seed), rtol=2e-3, atol=2e-4, err_msg=f"{seed}"
        )
