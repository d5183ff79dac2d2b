"""Transformed filters are kept while the weight stays as it is, and made again as soon as it may have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas import nn
from lampas.engine.realize import preparation
from lampas.engine.realize.realize import forget_plans
from lampas.engine.settings import settings
from lampas.nn import functional as F

CHANNELS = 32


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many preparations each run had to make."""
    counts: list[int] = []
    make = preparation.make_prepared

    def told(missing: preparation.Missing, address: int) -> None:
        counts.append(len(missing))
        make(missing, address)

    monkeypatch.setattr("lampas.engine.realize.program.make_prepared", told)
    monkeypatch.setattr(settings, "tier", "compiled")
    monkeypatch.setattr(settings, "convolution", "winograd4")
    forget_plans()
    yield counts
    forget_plans()


def layer_and_image() -> tuple[nn.Conv2d, Any]:
    layer = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    return layer, torch.randn(1, CHANNELS, 8, 8)


def expected(layer: nn.Conv2d, image: Any) -> Any:
    """By the definition, in float64."""
    weight = layer.weight.detach().double()
    windows = F.unfold(image.double(), 3, padding=1)
    return (weight.reshape(CHANNELS, -1) @ windows).reshape(1, CHANNELS, 8, 8)


def assert_right(layer: nn.Conv2d, image: Any) -> None:
    with torch.no_grad():
        found = layer(image)
    assert torch.allclose(found.double(), expected(layer, image), atol=2e-3)


def test_made_once(made: list[int]) -> None:
    layer, image = layer_and_image()
    for _ in range(4):
        assert_right(layer, image)
    assert [count for count in made if count] == [1]
    other = torch.randn(3, CHANNELS, 12, 8)
    with torch.no_grad():
        layer(other).sum().item()
    assert sum(made) == 1  # another size of image, the same filters


def add_in_place(layer: nn.Conv2d) -> None:
    with torch.no_grad():
        layer.weight.add_(1)


def train_a_step(layer: nn.Conv2d) -> None:
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.randn(1, CHANNELS, 8, 8)).square().mean().backward()
    optimizer.step()


def copy_another(layer: nn.Conv2d) -> None:
    layer.load_state_dict({"weight": torch.randn(CHANNELS, CHANNELS, 3, 3)})


def write_part(layer: nn.Conv2d) -> None:
    layer.weight.data[0, 0] = 7


@pytest.mark.parametrize("change", [add_in_place, train_a_step, copy_another, write_part])
def test_a_changed_weight(change: Callable[[nn.Conv2d], None], made: list[int]) -> None:
    layer, image = layer_and_image()
    for _ in range(3):
        assert_right(layer, image)
        assert_right(layer, image)
        change(layer)
    assert_right(layer, image)
    assert sum(made) >= 3  # where the change is pending, it is part of the run, and nothing is kept


def test_memory_that_an_array_shares(made: list[int]) -> None:
    layer, image = layer_and_image()
    array = layer.weight.detach().numpy()
    for scale in (1, 2, 3):
        array *= np.float32(scale)
        assert_right(layer, image)


def test_learning_keeps_nothing(made: list[int]) -> None:
    layer, image = layer_and_image()
    for _ in range(3):
        layer(image.requires_grad_()).sum().backward()
        assert layer.weight.grad.isfinite().all()
    assert made == []


def test_what_is_kept_dies_with_the_weight(made: list[int]) -> None:
    layer, image = layer_and_image()
    assert_right(layer, image)
    buffer = layer.weight._node.buffer
    assert len(buffer.prepared) == 1
    add_in_place(layer)
    assert_right(layer, image)
    assert layer.weight._node.buffer is not buffer or sum(made) == 2
