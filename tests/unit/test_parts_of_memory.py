"""Contiguous parts of stored memory are leaves: one plan serves them all, and no value changes late."""

import numpy
import pytest

import lampas
from lampas.engine.realize import realize


@pytest.fixture
def stored() -> lampas.Tensor:
    values = lampas.arange(640.0).reshape(160, 4) + 0
    values.sum().item()
    return values


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: [x[start : start + 16] for start in range(0, 160, 16)],
        lambda x: x.split(16),
        lambda x: x.chunk(10),
        lambda x: x.unbind(0),
        lambda x: [x.narrow(0, start, 16) for start in range(0, 160, 16)],
    ],
    ids=["slice", "split", "chunk", "unbind", "narrow"],
)
def test_all_parts_share_a_plan(stored: lampas.Tensor, cut) -> None:
    parts = cut(stored)
    (parts[0] * 3).sum().item()
    before = len(realize._PLANS)
    sums = [(part * 3).sum().item() for part in parts]
    assert len(realize._PLANS) == before
    assert sum(sums) == 3 * sum(range(640))


def test_a_part_is_read_before_a_later_write(stored: lampas.Tensor) -> None:
    part = stored[2:5]
    doubled = part * 2
    stored[2] = -1.0
    assert doubled[0].tolist() == [16.0, 18.0, 20.0, 22.0]
    assert part[0].tolist() == [-1.0] * 4
    part.add_(1)
    assert stored[2].tolist() == [0.0] * 4


def test_a_part_is_read_before_a_later_write_through_numpy(stored: lampas.Tensor) -> None:
    doubled = stored[2:5] * 2
    array = stored.numpy()
    array[2] = -1.0
    assert doubled[0].tolist() == [16.0, 18.0, 20.0, 22.0]
    assert stored[2:5][0].tolist() == [-1.0] * 4


def test_a_part_keeps_its_memory(stored: lampas.Tensor) -> None:
    part = stored[3:4]
    del stored
    numpy.testing.assert_array_equal((part + 0).numpy(), [[12.0, 13.0, 14.0, 15.0]])


def test_an_update_in_place_leaves_what_was_read(stored: lampas.Tensor) -> None:
    kept = stored[1:2] + 0
    for _ in range(4):
        stored.mul_(2)
        stored.sum().item()
    assert kept.tolist() == [[4.0, 5.0, 6.0, 7.0]]
    assert stored[1:2].tolist() == [[64.0, 80.0, 96.0, 112.0]]


def test_gradients_reach_the_whole(stored: lampas.Tensor) -> None:
    stored.requires_grad_()
    (stored[10:12] * 3).sum().backward()
    expected = numpy.zeros((160, 4))
    expected[10:12] = 3
    numpy.testing.assert_array_equal(stored.grad.numpy(), expected)
