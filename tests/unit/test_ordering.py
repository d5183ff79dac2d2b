"""Sorting, selecting, searching and counting on the host, beside NumPy's plain functions."""

import itertools
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import lampas
from lampas.engine.device.pool import get_num_threads, set_num_threads
from lampas.engine.host import counting, leaders, ordering, searching, selection, shares
from lampas.engine.settings import settings

KINDS = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "bfloat16", "f4", "f8"]
SHAPES = [(1,), (1, 6), (6, 1), (3, 40, 5), (2, 1500), (40, 160)]
STYLES = ["plain", "tied", "constant", "wide", "special"]
SPECIAL = (np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0)


def made(kind: str, shape: tuple[int, ...], style: str) -> np.ndarray:
    """Random numbers of a dtype; `wide` integers use their whole range, `special` floats have NaN."""
    rng = np.random.default_rng(len(style) + sum(shape))
    dtype = np.dtype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    if dtype.kind in "iu" and style == "wide":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    scale = 1 if style == "tied" else 40
    values = np.full(shape, 2.0) if style == "constant" else rng.standard_normal(shape) * scale
    if style == "tied":
        values = np.round(values)
    values = np.abs(values) if dtype.kind in "bu" else values
    result = values.astype(dtype)
    if style == "special" and dtype.kind not in "iub":
        chosen = rng.random(shape)
        for place, value in enumerate(SPECIAL):
            result[(chosen >= place / 12) & (chosen < (place + 1) / 12)] = value
    return result


def widened(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if x.dtype.kind not in "iub" and x.dtype.itemsize == 2 else x


def stable_order(x: np.ndarray, dim: int, descending: bool = False) -> np.ndarray:
    x = widened(x)
    if not descending:
        return np.argsort(x, dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), dim, kind="stable"), dim)


def in_small_shares(work: Any, count: int, size: int, block: int = 0) -> None:
    shares.in_shares(work, count, size, 1500)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Arrays as small as the tests' are not `SMALL`, are cut into blocks and shared by two threads."""
    monkeypatch.setattr(shares, "SHARED", 100)
    for module in (ordering, selection):
        monkeypatch.setattr(module, "SMALL", 0)
    for module in (ordering, selection, counting, searching, leaders):
        monkeypatch.setattr(module, "in_shares", in_small_shares)
    before = get_num_threads()
    set_num_threads(2)
    yield
    set_num_threads(before)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
def test_sort_and_select(kind: str, style: str, blocks: None) -> None:
    for shape in SHAPES:
        x = made(kind, shape, style)
        for dim, descending in itertools.product(range(len(shape)), (False, True)):
            wanted = stable_order(x, dim, descending)
            found = np.empty(shape, np.int64)
            ordering.sort_index(x, dim, descending, found)
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(ordering.plain_order(x, dim, descending), wanted)
            size = shape[dim]
            for k in {0, 1, 3, size // 20, size // 3, size} & set(range(size + 1)):
                values, places = selection.top(x, dim, k, descending)
                first = np.take(wanted, range(k), dim)
                np.testing.assert_array_equal(places, first)
                assert values.tobytes() == np.take_along_axis(x, first, dim).tobytes()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
def test_kth_and_median(kind: str, style: str, blocks: None) -> None:
    for shape in SHAPES:
        x = made(kind, shape, style)
        for dim in range(len(shape)):
            order, size = stable_order(x, dim), shape[dim]
            for k in {0, size // 3, size - 1}:
                values, places = selection.kth(x, dim, k)
                np.testing.assert_array_equal(places, np.take(order, [k], dim))
                assert values.tobytes() == np.take_along_axis(x, places, dim).tobytes()
            numbers = np.sum(widened(x) == widened(x), dim, keepdims=True)
            middle = np.maximum((numbers - 1) // 2, 0)
            for ignored in (False, True):
                due = middle if ignored else np.where(numbers == size, middle, numbers)
                places = selection.median(x, dim, ignored)[1]
                np.testing.assert_array_equal(places, np.take_along_axis(order, due, dim))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
def test_most_frequent(kind: str, style: str, blocks: None) -> None:
    x = made(kind, (5, 7, 60), style)
    _, places = selection.most_frequent(x)
    for row, place in zip(widened(x).reshape(35, 60), places.reshape(35), strict=True):
        _, first, counts = np.unique(row[::-1], return_index=True, return_counts=True)
        assert place == 59 - first[np.argmax(counts)]


def test_first_of_long_and_of_ordered_vectors(blocks: None) -> None:
    x = made("f4", (140_003,), "special")
    for k, largest in itertools.product((1, 5, 16, 40), (False, True)):
        wanted = stable_order(x, 0, largest)[:k]
        np.testing.assert_array_equal(selection.top(x, 0, k, largest)[1], wanted)
    ramps = np.tile(np.arange(500, dtype=np.int32) // 3, (40, 1))
    for row in (ramps, ramps[:, ::-1], ramps[:, ::2], ramps.T.copy().T):
        for largest in (False, True):
            wanted = stable_order(row, 1, largest)[:, :9]
            np.testing.assert_array_equal(selection.top(row, 1, 9, largest)[1], wanted)


def test_extreme_keys_are_chosen_in_order() -> None:
    for kind in ("i4", "i8"):
        limits = np.iinfo(kind)
        x = np.tile(np.array([limits.min, limits.max, 0], kind), (40, 100))
        for largest in (False, True):
            wanted = stable_order(x, 1, largest)[:, :7]
            np.testing.assert_array_equal(selection.top(x, 1, 7, largest)[1], wanted)


@pytest.mark.parametrize("tier", ["auto", "reference"])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_search(kind: str, tier: str, blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "tier", tier)
    for count, rows, style in itertools.product((1, 2, 7, 300), (1, 13), ("plain", "special")):
        edges, values = made(kind, (rows, count), style), made(kind, (rows, 601), style)
        edges = np.take_along_axis(edges, stable_order(edges, 1), 1)
        if rows == 1:
            edges, values = edges[0], np.tile(values, (1, 9))[0]
        for side in ("left", "right"):
            found = searching.search(edges, values, side)
            lines = np.atleast_2d(widened(edges))
            for line, some, places in zip(
                lines, np.atleast_2d(widened(values)), np.atleast_2d(found), strict=True
            ):
                np.testing.assert_array_equal(places, np.searchsorted(line, some, side=side))  # type: ignore[call-overload]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
def test_membership(kind: str, style: str, blocks: None) -> None:
    x = made(kind, (30, 20), style)
    for count, invert in itertools.product((0, 1, 5, 200), (False, True)):
        tests = made(kind, (count + 1,), style)[:count]
        wanted = np.isin(widened(x), widened(tests), invert=invert)
        np.testing.assert_array_equal(counting.membership(x, tests, invert), wanted)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
def test_distinct(kind: str, style: str, blocks: None) -> None:
    for count in (0, 1, 300):
        x = widened(made(kind, (count + 1,), style)[:count])
        wanted, counts = np.unique(x, return_counts=True, equal_nan=False)
        for inverse, counted in itertools.product((False, True), repeat=2):
            values, origin, numbers = counting.distinct(x, inverse, counted)
            assert values.dtype == x.dtype
            np.testing.assert_array_equal(values, wanted)
            assert (origin is not None, numbers is not None) == (inverse, counted)
            if origin is not None:
                np.testing.assert_array_equal(values[origin], x)
            if numbers is not None:
                np.testing.assert_array_equal(numbers, counts)


def test_places_and_tallies(blocks: None) -> None:
    for shape in ((), (0,), (7,), (3, 0), (40, 30), (5, 6, 7)):
        x = np.asarray(made("f4", shape or (1,), "special")).reshape(shape)
        table = counting.nonzero_table(x)
        assert table.shape == (np.count_nonzero(x), len(shape))
        if shape:
            np.testing.assert_array_equal(table, np.argwhere(x))
            for found, wanted in zip(counting.nonzero_coordinates(x), np.nonzero(x), strict=True):
                np.testing.assert_array_equal(found, wanted)
    x = np.abs(made("i8", (150_000,), "plain"))
    for bins in (int(x.max()) + 1, shares.BLOCK + 5):
        found = counting.tally(len(x), bins, lambda start, stop: x[start:stop])
        np.testing.assert_array_equal(found, np.bincount(x, minlength=bins))


def test_shares_cover_everything_once_and_pass_errors_on(blocks: None) -> None:
    seen = np.zeros(1000, np.int64)

    def mark(start: int, stop: int) -> None:
        seen[start:stop] += 1

    shares.in_shares(mark, 1000, 5, 35)
    assert (seen == 1).all()

    def fail(start: int, stop: int) -> None:
        raise IndexError(f"at {start}")

    with pytest.raises(IndexError, match="at 0"):
        shares.in_shares(fail, 7, 1000, 1000)


def test_operations_of_every_layout_and_size() -> None:
    x = made("f4", (60, 50), "special")
    t = lampas.from_numpy(x)
    for source, array in ((t, x), (t.T, x.T), (t[::2, 3:], x[::2, 3:]), (t[:, :1], x[:, :1])):
        for dim in (0, 1):
            values, places = source.sort(dim, descending=True)
            wanted = stable_order(array, dim, True)
            np.testing.assert_array_equal(places.numpy(), wanted)
            np.testing.assert_array_equal(values.numpy(), np.take_along_axis(array, wanted, dim))
            best = source.topk(1, dim)
            np.testing.assert_array_equal(best.indices.numpy(), np.take(wanted, [0], dim))
    empty = lampas.zeros(0, 3)
    assert empty.sort(0).values.shape == (0, 3)
    assert empty.sort(1).indices.shape == (0, 3)
    assert empty.topk(0, 0).values.shape == (0, 3)
    assert empty.topk(2, 1).indices.shape == (0, 2)
    assert empty.kthvalue(2, 1).values.shape == (0,)
    assert empty.median(1).indices.shape == (0,)
    assert empty.mode(1).values.shape == (0,)
    assert lampas.unique(empty).shape == (0,)
    assert lampas.searchsorted(lampas.zeros(0), t).sum() == 0
    assert empty.nonzero().shape == (0, 2)


def test_derivatives_go_where_the_values_came_from() -> None:
    x = lampas.from_numpy(made("f4", (9, 300), "plain")).requires_grad_()
    for pick in (lambda: x.topk(4), lambda: x.kthvalue(7), lambda: x.median(1), lambda: x.sort(1)):
        values, places = pick()
        (gradient,) = lampas.autograd.grad(values.sum(), x)
        wanted = np.zeros(x.shape, np.float32)
        found = places.numpy().reshape(9, -1)
        np.put_along_axis(wanted, found, 1.0, 1)
        np.testing.assert_array_equal(gradient.numpy(), wanted)


@pytest.mark.parametrize("repeated", [False, True])
def test_combinations(repeated: bool) -> None:
    pick = itertools.combinations_with_replacement if repeated else itertools.combinations
    for size, r in itertools.product((0, 1, 4, 7), (1, 2, 3, 8)):
        found = lampas.combinations(lampas.arange(size), r, repeated)
        wanted = [list(row) for row in pick(range(size), r)]
        assert found.tolist() == wanted
        assert found.shape == (len(wanted), r)
