"""Counting and marking on the host: true places, tallies, distinct values, membership."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from lampas.engine.host.ordering import comparable, has_nan, order_rows
from lampas.engine.host.searching import search
from lampas.engine.host.shares import BLOCK, WIDE_BLOCK, in_shares
from lampas.engine.host.tallies import count_each

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
MANY: Final = 1 << 21  # numbers that are worth counting in shares
FEW_TESTS: Final = 12  # as many comparisons cost less than a search


def nonzero_places(x: Array) -> Array:
    """The row-major positions of what is not zero, as int64."""
    return np.flatnonzero(x if x.dtype == np.bool_ else x != 0)


def nonzero_coordinates(x: Array) -> list[Array]:
    """The positions of what is not zero, an array for each dimension."""
    places = nonzero_places(x)
    if x.ndim < 2:
        return [places] * x.ndim
    found = [np.empty(len(places), np.int64) for _ in x.shape]
    _split(places, x.shape, found)
    return found


def nonzero_table(x: Array) -> Array:
    """The positions of what is not zero, a row each."""
    places = nonzero_places(x)
    if x.ndim == 1:
        return places[:, None].copy()
    table = np.empty((len(places), x.ndim), np.int64)
    _split(places, x.shape, list(table.T))
    return table


def _split(places: Array, shape: tuple[int, ...], columns: list[Array]) -> None:
    """Write the coordinates of row-major places."""

    def work(start: int, stop: int) -> None:
        rest = places[start:stop]
        for size, column in zip(reversed(shape[1:]), reversed(columns[1:]), strict=True):
            over = rest // size
            np.subtract(rest, over * size, out=column[start:stop])
            rest = over
        for column in columns[:1]:
            column[start:stop] = rest

    in_shares(work, len(places), 1)


def tally(count: int, bins: int, places_of: Callable[[int, int], Array]) -> Array:
    """How often each number in [0, bins) occurs in places_of(start, stop), over range(count); there are no others."""
    if bins > BLOCK:
        return count_each(places_of(0, count), bins)
    total = np.zeros(bins, np.int64)
    lock = threading.Lock()

    def work(start: int, stop: int) -> None:
        found = count_each(places_of(start, stop), bins)
        with lock:
            np.add(total, found, out=total)

    in_shares(work, count, 1, WIDE_BLOCK)
    return total


def occurrences(x: Array, bins: int) -> Array:
    """How often each number occurs in a vector of integers in [0, bins)."""
    if len(x) < MANY:
        return count_each(x, bins)
    return tally(len(x), bins, lambda start, stop: x[start:stop])


def distinct(x: Array, inverse: bool, counts: bool) -> tuple[Array, Array | None, Array | None]:
    """The distinct elements of a vector, ascending, where each element went, and how many did.

    Of elements that are equal (0 and -0) the first stands for all; each NaN stands for itself.
    """
    low, span = _span(x)
    if 0 <= span <= 2 * len(x):
        return _distinct_by_table(x, low, span + 1, inverse, counts)
    if inverse or counts or has_nan(x):
        return _distinct_by_order(x, inverse, counts)
    lined = np.sort(x)
    values = lined[_run_starts(lined)]
    zero = np.flatnonzero(values == 0) if x.dtype.kind == "f" else ()
    if len(zero):
        values[zero] = x[np.argmax(x == 0)]
    return values, None, None


def _span(x: Array) -> tuple[int, int]:
    """The least of some integers, and how far the greatest lies from it; -1 if there are none."""
    if not x.size or x.dtype.kind not in "iub":
        return 0, -1
    low = int(x.min())
    return low, int(x.max()) - low


def _wide(kind: np.dtype) -> type[np.integer]:
    return np.uint64 if kind == np.uint64 else np.int64


def _offsets(x: Array, low: int) -> Array:
    """How far integers lie above one that is not far away, as int64."""
    wide = _wide(x.dtype)
    return (x.astype(wide, copy=False) - wide(low)).astype(np.int64, copy=False)


def _distinct_by_table(
    x: Array, low: int, size: int, inverse: bool, counts: bool
) -> tuple[Array, Array | None, Array | None]:
    places = _offsets(x, low)
    if counts:
        numbers = tally(len(x), size, lambda start, stop: places[start:stop])
        present = numbers != 0
    else:
        numbers = None
        present = np.zeros(size, np.bool_)
        present[places] = True
    found = np.flatnonzero(present)
    wide = _wide(x.dtype)
    values = (found.astype(wide) + wide(low)).astype(x.dtype)
    rank = np.cumsum(present) - 1
    return (
        values,
        rank.take(places) if inverse else None,
        None if numbers is None else numbers[found],
    )


def _distinct_by_order(
    x: Array, inverse: bool, counts: bool
) -> tuple[Array, Array | None, Array | None]:
    order = order_rows(x[None], False)[0]
    lined = x.take(order)
    starts = _run_starts(lined)
    origin = None
    if inverse:
        origin = np.empty(len(x), np.int64)
        origin[order] = np.cumsum(starts) - 1
    places = np.flatnonzero(starts)
    return lined[places], origin, np.diff(places, append=len(x)) if counts else None


def _run_starts(lined: Array) -> Array:
    starts = np.ones(len(lined), np.bool_)
    np.not_equal(lined[1:], lined[:-1], out=starts[1:])
    return starts


def membership(elements: Array, tests: Array, invert: bool) -> Array:
    """Whether each element equals one of the tests; both of one dtype. A NaN equals nothing."""
    flat, tests = comparable(elements).reshape(-1), comparable(tests).reshape(-1)
    result = np.zeros(flat.shape, np.bool_)
    finder = _finder(flat.dtype, tests) if tests.size else None

    def work(start: int, stop: int) -> None:
        if finder is not None:
            finder(flat[start:stop], result[start:stop])
        if invert:
            np.logical_not(result[start:stop], out=result[start:stop])

    in_shares(work, len(flat), 1)
    return result.reshape(elements.shape)


def _finder(kind: np.dtype, tests: Array) -> Callable[[Array, Array], object]:
    low, span = _span(tests)
    if kind.kind in "iu" and 0 <= span <= BLOCK:
        limits = np.iinfo(kind)
        if low > limits.min and low + span < limits.max:
            return _table_finder(kind, tests, low, span)
    if len(tests) <= FEW_TESTS:
        return lambda part, out: [np.logical_or(out, part == each, out=out) for each in tests]
    lined = np.sort(tests)

    def by_search(part: Array, out: Array) -> object:
        places = np.minimum(search(lined, part, "left"), len(lined) - 1)
        return np.equal(lined.take(places), part, out=out)

    return by_search


def _table_finder(
    kind: np.dtype, tests: Array, low: int, span: int
) -> Callable[[Array, Array], object]:
    """Finds small integers in a table, of which both ends stand for all that lie outside."""
    table = np.zeros(span + 3, np.bool_)
    table[_offsets(tests, low - 1)] = True
    first, last = kind.type(low - 1), kind.type(low + span + 1)

    def by_table(part: Array, out: Array) -> object:
        places = _offsets(np.clip(part, first, last), low - 1)
        return table.take(places, out=out, mode="clip")

    return by_table
