"""Linear recurrences, alignments with labels and largest elements of windows against plain loops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas.engine.host import alignment, corners, recurrence

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def as_a_host_step() -> Iterator[None]:
    """Where programs call these functions NumPy keeps silent."""
    with np.errstate(all="ignore"):
        yield


def stepwise(factors: Array, terms: Array, backwards: bool) -> Array:
    """The recurrence along the middle of three dimensions."""
    found = np.zeros_like(terms)
    count = terms.shape[1]
    for step in range(count):
        place = count - 1 - step if backwards else step
        found[:, place] = terms[:, place]
        if step:
            before = place + 1 if backwards else place - 1
            found[:, place] += (
                factors[:, max(place, before) if backwards else place] * found[:, before]
            )
    return found


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("shape", [(3, 5, 2), (7, 700, 1), (2, 90, 37), (1, 1, 5000), (2, 0, 3)])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.complex128])
def test_recurrence(backwards: bool, shape: tuple[int, ...], kind: Any) -> None:
    generator = np.random.default_rng(0)
    factors = generator.uniform(-1, 1, shape).astype(kind)
    terms = generator.normal(size=shape).astype(kind)
    found = recurrence.recurrence(factors, terms, 1, backwards, False)
    tolerance = 1e-5 if kind is np.float32 else 1e-12
    assert found.dtype == terms.dtype
    np.testing.assert_allclose(found, stepwise(factors, terms, backwards), tolerance, tolerance)


def test_shares_of_a_recurrence_do_not_show() -> None:
    generator, threads = np.random.default_rng(0), torch.get_num_threads()
    factors, terms = generator.uniform(-1, 1, (2, 900, 1000)).astype(np.float32)
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(recurrence.recurrence(factors, terms, 1, True, False))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("function", [torch.cumprod, torch.logcumsumexp])
def test_second_derivatives_with_zeros(function: Any) -> None:
    values = [[0.0, 2, 3, 0, 4], [1, 2, -3, 1, 4], [1, 2, 0, 3, 0]]
    x = torch.tensor(values, dtype=torch.float64).requires_grad_()
    for dim in (0, 1):
        assert torch.autograd.gradcheck(lambda x: function(x, dim), (x,))  # noqa: B023
        assert torch.autograd.gradgradcheck(lambda x: function(x, dim), (x,))  # noqa: B023


def probability(scores: Array, labels: list[int]) -> float:
    """The sum over all paths of blanks (0) and labels that collapse to the labels."""
    total = 0.0
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        merged = [label for label, _ in itertools.groupby(path)]
        if [label for label in merged if label] == labels:
            total += np.exp(sum(scores[step, label] for step, label in enumerate(path)))
    return total


def test_losses_are_sums_over_all_paths() -> None:
    scores = np.log(np.random.default_rng(1).dirichlet(np.ones(3), (5, 4)))
    rows = [[1, 1], [2, 1], [], [2, 2]]
    lengths = np.array([5, 4, 5, 2]), np.array([2, 2, 0, 2])
    labels = np.array([[1, 1], [2, 1], [0, 0], [2, 2]])
    states = alignment.states_of(labels, *lengths, 0, 3)
    found, _ = alignment.align(scores, states, False)
    for number, (row, time) in enumerate(zip(rows[:3], lengths[0], strict=False)):
        wanted = -np.log(probability(scores[:time, number], row))
        np.testing.assert_allclose(found[number], wanted, 1e-12)
    assert found[3] == np.inf


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_compiled_alignments_equal_those_of_numpy(kind: Any, monkeypatch: Any) -> None:
    """Sequences of all lengths, one after the other in the same memory; impossible and NaN scores."""
    generator = np.random.default_rng(2)
    scores = np.log(generator.dirichlet(np.ones(9), (40, 20))).astype(kind)
    scores[:, 3, 2], scores[7, 5] = -np.inf, np.nan
    times, sizes = generator.integers(0, 41, 20), generator.integers(0, 12, 20)
    states = alignment.states_of(generator.integers(1, 9, (20, 11)), times, sizes, 0, 9)
    found = alignment.align(scores, states, True)
    monkeypatch.setattr(alignment, "ENOUGH", 1 << 30)
    wanted = alignment.align(scores, states, True)
    tolerance = 1e-4 if kind is np.float32 else 1e-10
    for ours, plain in zip(found, wanted, strict=True):
        assert ours is not None
        assert plain is not None
        np.testing.assert_allclose(ours, plain, tolerance, tolerance)


def test_second_derivative_of_an_alignment() -> None:
    """The curvature against differences of the gradient, along random directions."""
    generator = np.random.default_rng(3)
    scores = np.log(generator.dirichlet(np.ones(4), (7, 5)))
    lengths = np.array([7, 5, 6, 7, 1]), np.array([3, 2, 0, 1, 3])
    states = alignment.states_of(generator.integers(1, 4, (5, 3)), *lengths, 0, 4)
    change = generator.normal(size=scores.shape)
    ends = [alignment.align(scores + step * change, states, True)[1] for step in (1e-6, -1e-6)]
    wanted = np.nan_to_num((ends[0] - ends[1]) / 2e-6)  # type: ignore[operator]
    np.testing.assert_allclose(alignment.curvature(scores, states, change), wanted, 1e-5, 1e-7)


def test_loss_of_alignments_derives_twice() -> None:
    scores = np.random.default_rng(4).normal(size=(6, 2, 4))
    labels, times, sizes = torch.tensor([[1, 2], [3, 3]]), (6, 5), (2, 2)

    def slope(x: Any) -> Any:
        loss = torch.nn.functional.ctc_loss(x.log_softmax(2), labels, times, sizes)
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        return (first * first).sum()

    x = torch.tensor(scores).requires_grad_()
    (found,) = torch.autograd.grad(slope(x), x)
    for place in ((0, 0, 1), (3, 1, 2), (5, 1, 0)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = scores.copy()
            moved[place] += step
            ends.append(slope(torch.tensor(moved).requires_grad_()).item())
        np.testing.assert_allclose(found[place].item(), (ends[0] - ends[1]) / 2e-5, 1e-5, 1e-8)


def test_labels_have_to_be_classes() -> None:
    scores = torch.zeros(6, 1, 4).log_softmax(2)
    with pytest.raises(IndexError, match="target 4 is out of bounds"):
        torch.nn.functional.ctc_loss(scores, torch.tensor([[1, 4]]), [6], [2]).item()
    torch.nn.functional.ctc_loss(scores, torch.tensor([[1, -1]]), [6], [1]).item()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_greatest_in_windows(kind: Any) -> None:
    generator = np.random.default_rng(5)
    planes = generator.integers(0, 9, (6, 200)).astype(kind)
    planes[generator.random(planes.shape) < 0.05] = np.nan
    places = generator.integers(0, 150, (6, 301))
    offsets = np.array([0, 1, 20, 21, 40])
    found = corners.greatest_in_windows(planes, places, offsets)
    for row, window in np.ndindex(places.shape):
        inside = planes[row, places[row, window] + offsets]
        lost = np.flatnonzero(np.isnan(inside))
        chosen = lost[-1] if len(lost) else int(np.argmax(inside))
        assert found[row, window] == places[row, window] + offsets[chosen]
