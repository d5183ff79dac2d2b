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


KEYS = [
    3,
    (3, 1),
    (-1, -4),
    (slice(2, 9), 2),
    (slice(None), slice(1, 3)),
    (slice(150, 999, 3),),
    (5, slice(3, 1)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_key_of_ints_and_slices_is_one_view(stored: lampas.Tensor, key) -> None:
    expected = numpy.arange(640.0, dtype=numpy.float32).reshape(160, 4)[key]
    part = stored[key]
    numpy.testing.assert_array_equal(part.numpy(), expected)
    assert part._base is stored
    assert part.stride() == tuple(step // 4 for step in expected.strides) or not expected.size
    part.add_(1000.0)
    assert stored.sum().item() == 639 * 320 + 1000.0 * expected.size


def test_a_part_of_shared_memory_is_no_copy_and_follows_the_array() -> None:
    array = numpy.arange(640.0, dtype=numpy.float32).reshape(160, 4)
    shared = lampas.from_numpy(array)
    row, column = shared[3], shared[:, 1]
    assert row.data_ptr() == array[3].__array_interface__["data"][0]
    array[3] = -1.0
    assert row.tolist() == [-1.0] * 4
    assert column[3].item() == -1.0
    row.mul_(5.0)
    assert array[3].tolist() == [-5.0] * 4
    copied = row + 0
    array[3] = 9.0
    del array
    assert copied.tolist() == [-5.0] * 4
    assert (row + 0).tolist() == [9.0] * 4


def test_single_values_are_read_where_they_lie(stored: lampas.Tensor) -> None:
    assert stored[7, 2].item() == 30.0
    assert stored.t()[2, 7].item() == 30.0
    assert stored[7].view(lampas.int32)[2].item() == numpy.float32(30.0).view(numpy.int32)
    assert (stored.double()[7])[2].item() == 30.0


@pytest.mark.parametrize("key", [160, -161, (0, 4), (slice(None), -5)], ids=str)
def test_a_key_outside_is_an_index_error(stored: lampas.Tensor, key) -> None:
    with pytest.raises(IndexError, match=r"out of (bounds|range)"):
        stored[key]


def test_new_dimensions_behind_the_last_are_kept(stored: lampas.Tensor) -> None:
    assert stored[0][1:3, None].shape == (2, 1)
    assert stored[2, 1, None].tolist() == [9.0]
