"""Weights are laid out before a program is compiled: values stay, and arrays that share their memory are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lampas
from lampas.engine.llvm.target import host
from lampas.engine.settings import settings

LANES = host().lanes("float")


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "tier", "compiled")


def convolve(x: Any, weight: Any) -> np.ndarray:
    return lampas.nn.functional.conv2d(x, weight, padding=1).numpy().copy()


def exact(x: Any, weight: Any) -> np.ndarray:
    return convolve(x.double(), weight.double())


def test_a_weight_stays_laid_out_and_reads_as_before() -> None:
    x, weight = lampas.randn(2, 3, 6, 6), lampas.randn(LANES, 3, 3, 3) * 1
    before = weight.tolist()
    first, second = convolve(x, weight), convolve(x, weight)
    assert weight._storage.node.attributes
    assert weight.tolist() == before
    assert np.array_equal(first, second)
    np.testing.assert_allclose(first, exact(x, weight), atol=1e-4)


def test_a_shared_weight_is_left_where_the_array_sees_it() -> None:
    array = np.random.default_rng(0).standard_normal((LANES, 3, 3, 3)).astype(np.float32)
    x, weight = lampas.randn(2, 3, 6, 6), lampas.from_numpy(array)
    convolve(x, weight)
    array[:] *= 2
    assert weight.tolist() == array.tolist()
    np.testing.assert_allclose(convolve(x, weight), exact(x, weight), atol=1e-4)
    weight.mul_(3)
    assert array.tolist() == weight.tolist()


def test_a_view_of_a_laid_out_weight_reads_it_row_major() -> None:
    x, weight = lampas.randn(2, 3, 6, 6), lampas.randn(LANES, 3, 3, 3) * 1
    before = np.array(weight.tolist(), np.float32)
    for _ in range(6):
        convolve(x, weight)
        assert np.array_equal(weight[1:3].numpy(), before[1:3])
