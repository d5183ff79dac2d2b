"""Bounds of stored indices are found once, and anew wherever the memory may have changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import lampas
from lampas.engine.realize.bounds import known_bounds
from lampas.engine.tensor.values import stored_bounds

Tensor = lampas.Tensor
ERRORS = (RuntimeError, IndexError)


def index() -> Tensor:
    made = lampas.tensor([0, 1, 2]) + 0
    assert stored_bounds(made) == (0, 2)
    return made


def test_bounds_are_kept_at_the_buffer() -> None:
    made = index()
    assert known_bounds(made._storage.node.buffer) == (0, 2)
    assert stored_bounds(made.view(3, 1)) == (0, 2)
    assert stored_bounds(made[1:2]) == (1, 1)
    assert known_bounds(made._storage.node.buffer) == (0, 2)


def test_bounds_of_other_dtypes_are_not_kept() -> None:
    made = lampas.tensor([3, 4], dtype=lampas.int32) + 0
    assert stored_bounds(made) == (3, 4)
    assert made._storage.node.buffer.prepared is None


def by_numpy(made: Tensor) -> None:
    array = made.numpy()
    assert known_bounds(made._storage.node.buffer) is None
    array[1] = 9


def by_number(made: Tensor) -> None:
    made[1] = 9


def by_sum(made: Tensor) -> None:
    made.add_(9)


def by_data(made: Tensor) -> None:
    made.data.mul_(9)


@pytest.mark.parametrize("change", [by_numpy, by_number, by_sum, by_data])
@pytest.mark.parametrize("computed", [True, False])
def test_a_changed_index_is_checked_again(change: Callable[[Tensor], None], computed: bool) -> None:
    x, made = lampas.arange(3.0), index()
    assert x.gather(0, made).tolist() == [0, 1, 2]
    change(made)
    if computed:
        made.tolist()
    with pytest.raises(ERRORS):
        x.gather(0, made).tolist()


@pytest.mark.parametrize(
    "read",
    [
        lambda x, i: x.gather(0, i),
        lambda x, i: x[i],
        lambda x, i: x.index_select(0, i),
        lambda x, i: lampas.nn.functional.embedding(i, x[:, None]),
        lambda x, i: x.scatter_add(0, i, lampas.ones(3)),
    ],
)
def test_known_bounds_are_compared_with_the_size_at_hand(
    read: Callable[[Tensor, Tensor], Tensor],
) -> None:
    made = index()
    for _ in range(3):
        read(lampas.arange(3.0), made).tolist()
        with pytest.raises(ERRORS):
            read(lampas.arange(2.0), made).tolist()
