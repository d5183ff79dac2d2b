"""Pickled tensors come back as they were, and as they lay."""

from __future__ import annotations

import pickle

import pytest

import lampas as torch

TENSORS = {
    "row-major": lambda: torch.arange(6.0).reshape(2, 3),
    "turned": lambda: torch.arange(6.0).reshape(2, 3).t(),
    "channels last": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "a part": lambda: torch.arange(12.0).reshape(3, 4)[:, 1:3],
    "repeated": lambda: torch.arange(3.0).expand(2, 3),
    "empty": lambda: torch.zeros(3, 0, 2).transpose(0, 2),
    "0-d": lambda: torch.tensor(2.5),
    "bfloat16, turned": lambda: torch.randn(2, 3).to(torch.bfloat16).t(),
}
COPIED = ("a part", "repeated")  # with gaps, or with one element in several places


@pytest.mark.parametrize("name", TENSORS)
def test_strides_and_values(name: str) -> None:
    given = TENSORS[name]()
    found = pickle.loads(pickle.dumps(given))
    assert found.dtype is given.dtype
    assert found.shape == given.shape
    assert found.tolist() == given.tolist()
    wanted = given.contiguous().stride() if name in COPIED else given.stride()
    assert found.stride() == wanted
    assert (found + 1).tolist() == (given + 1).tolist()


def test_a_turned_leaf_learns_after_it_came_back() -> None:
    leaf = torch.arange(6.0).reshape(2, 3).t().detach().requires_grad_()
    found = pickle.loads(pickle.dumps(leaf))
    assert found.is_leaf
    assert found.requires_grad
    (found * torch.arange(6.0).reshape(3, 2)).sum().backward()
    assert found.grad.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
