"""Where new tensors go that name no device."""

import pytest

import lampas
from lampas import nn


def test_a_device_is_a_context() -> None:
    with lampas.device("meta") as place:
        assert place == lampas.get_default_device() == lampas.device("meta")
        layer = nn.Linear(3, 4)
        made = [lampas.zeros(2), lampas.rand(2), lampas.tensor([1.0]), lampas.arange(3)]
        made += [lampas.linspace(0, 1, 3), lampas.full((1,), 2.0), lampas.eye(2)]
        with lampas.device("cpu"):
            assert lampas.ones(1).device.type == "cpu"
        assert lampas.zeros(1, device="cpu").device.type == "cpu"
    assert layer.weight.is_meta
    assert [tensor.device.type for tensor in made] == ["meta"] * 7
    assert lampas.zeros(1).device.type == "cpu"


def test_like_follows_its_input() -> None:
    x = lampas.ones(2)
    with lampas.device("meta"):
        assert lampas.zeros_like(x).device.type == "cpu"
        assert (x + 1).device.type == "cpu"


def test_setting_the_default() -> None:
    lampas.set_default_device("meta")
    try:
        assert lampas.zeros(1).is_meta
        with lampas.device("cpu"):
            assert not lampas.zeros(1).is_meta
    finally:
        lampas.set_default_device(None)
    assert lampas.get_default_device() == lampas.device("cpu")


def test_what_is_absent_is_told_when_it_is_used() -> None:
    with lampas.device("cuda"), pytest.raises(AssertionError, match="not compiled with CUDA"):
        lampas.zeros(1)
    assert not lampas.zeros(1).is_meta
