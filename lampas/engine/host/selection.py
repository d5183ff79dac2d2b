"""Selection on the host: the first few in order, the k-th, the median, the most frequent.

As in `ordering`, equal elements keep their order, -0 equals 0 and all NaN are one greatest value. A
threshold narrows each row down to the few elements that may be chosen, and only those are sorted.
For few choices of many elements the threshold comes from the extremes of chunks: k chunks reach the
k-th best extreme, so k elements do, and only few others. Else it comes from NumPy's partition.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from lampas.engine.host.leaders import leaders, leads
from lampas.engine.host.ordering import (
    SMALL,
    comparable,
    has_nan,
    order_keys,
    order_rows,
    ordered,
    plain_order,
    rows_along,
)
from lampas.engine.host.shares import SHARED, WIDE_BLOCK, in_shares

Array = np.ndarray
CHUNKS_PER_CHOICE: Final = 8
LEAST_CHUNK: Final = 4  # elements
LEAST_CHUNKS: Final = 32  # so that the extremes of chunks are taken in vectors
SEGMENTS: Final = 64


def top(x: Array, dim: int, k: int, largest: bool) -> tuple[Array, Array]:
    """The first k elements in (descending, if `largest`) order along `dim`, and their positions."""
    if x.size < SMALL:
        return _of_order(x, dim, plain_order(x, dim, largest), 0, k)
    count = x.shape[dim]
    outer, inner = math.prod(x.shape[:dim]), math.prod(x.shape[dim + 1 :])
    shape = (*x.shape[:dim], k, *x.shape[dim + 1 :])
    found = np.empty((outer, k, inner), np.int64)
    if found.size:
        block = np.ascontiguousarray(x).reshape(outer, count, inner)
        if outer * inner == 1 and count >= SHARED and k * SEGMENTS * 2 <= count:
            found[...] = _top_of_segments(block.reshape(-1), k, largest).reshape(found.shape)
        elif inner == 1 and leads(block[..., 0], k):
            found[...] = leaders(block[..., 0], k, largest)[..., None]
        elif count >= LEAST_CHUNK * _chunks(k):
            _top_by_chunks(block, k, largest, found)
        else:
            _top_by_partition(x, dim, k, largest, found.reshape(shape))
    return _picked(x, dim, found).reshape(shape), found.reshape(shape)


def _of_order(x: Array, dim: int, order: Array, start: int, stop: int) -> tuple[Array, Array]:
    found = order[(*(slice(None),) * dim, slice(start, stop))]
    return (x[found] if x.ndim == 1 else np.take_along_axis(x, found, dim)), found


def _picked(x: Array, dim: int, found: Array) -> Array:
    """The elements of `x` at positions (outer, some, inner) along `dim`."""
    outer, _, inner = found.shape
    places = found + np.arange(outer)[:, None, None] * x.shape[dim]
    places *= inner
    places += np.arange(inner)
    return np.ascontiguousarray(x).reshape(-1).take(places)


def _top_of_segments(x: Array, k: int, largest: bool) -> Array:
    """A long vector's first k are among those of its segments and the few elements behind."""
    size = len(x) // SEGMENTS
    parts = x[: size * SEGMENTS].reshape(SEGMENTS, size)
    places = top(parts, 1, k, largest)[1] + np.arange(SEGMENTS)[:, None] * size
    places = np.append(places.reshape(-1), np.arange(size * SEGMENTS, len(x)))
    order = order_rows(x[places][None], largest)[0, :k]
    return places[order]


def _chunks(k: int) -> int:
    return max(CHUNKS_PER_CHOICE * k, LEAST_CHUNKS)


def _top_by_chunks(x: Array, k: int, largest: bool, found: Array) -> None:
    outer, count, inner = x.shape

    def of_outer(start: int, stop: int) -> None:
        rows = _top_of_block(comparable(x[start:stop]), k, largest)
        found[start:stop] = rows.reshape(stop - start, inner, k).swapaxes(1, 2)

    def of_columns(start: int, stop: int) -> None:
        rows = _top_of_block(comparable(x[:, :, start:stop]), k, largest)
        found[:, :, start:stop] = rows.reshape(outer, stop - start, k).swapaxes(1, 2)

    if outer == 1:
        in_shares(of_columns, inner, count, WIDE_BLOCK)
    else:
        in_shares(of_outer, outer, count * inner, WIDE_BLOCK)


def _top_of_block(x: Array, k: int, largest: bool) -> Array:
    """Positions (outer · inner, k) of the first k along the middle dimension."""
    outer, count, inner = x.shape
    chunks = _chunks(k)
    length = count // chunks
    pick = np.maximum if largest else np.minimum
    whole = x[:, : length * chunks].reshape(outer, length, chunks, inner)
    best = pick.reduce(whole, axis=1)
    rest = x[:, length * chunks :]
    pick(best[:, : rest.shape[1]], rest, out=best[:, : rest.shape[1]])
    if has_nan(best):
        return _top_of_block(order_keys(x), k, largest)
    place = chunks - k if largest else k - 1
    limit = np.partition(best, place, axis=1)[:, place : place + 1]
    return _top_of_admitted(x, x >= limit if largest else x <= limit, k, largest)


def _top_by_partition(x: Array, dim: int, k: int, largest: bool, found: Array) -> None:
    rows = rows_along(x, dim)
    count = rows.shape[1]
    result = np.empty((len(rows), k), np.int64)
    place = count - k if largest else k - 1

    def work(start: int, stop: int) -> None:
        part = np.ascontiguousarray(rows[start:stop])
        if 4 * k > count:
            result[start:stop] = order_rows(part, largest)[:, :k]
            return
        if part.dtype.itemsize < 4 or has_nan(part):
            part = order_keys(part)
        limit = np.partition(part, place, axis=1)[:, place : place + 1]
        admitted = part >= limit if largest else part <= limit
        result[start:stop] = _top_of_admitted(part[..., None], admitted, k, largest)

    in_shares(work, *rows.shape, block=WIDE_BLOCK)
    moved = np.moveaxis(found, dim, -1)
    moved[...] = result.reshape(moved.shape)


def _top_of_admitted(x: Array, admitted: Array, k: int, largest: bool) -> Array:
    """As `_top_of_block`, of the admitted elements only: at least k in each row, and no NaN."""
    outer, count, inner = x.shape
    rows = outer * inner
    places = np.flatnonzero(admitted)
    if 2 * len(places) > x.size:
        return order_rows(x.swapaxes(1, 2).reshape(rows, count), largest)[:, :k]
    first, place = np.divmod(places, count * inner)
    position, column = np.divmod(place, inner) if inner > 1 else (place, np.zeros_like(place))
    values, row = x[first, position, column], first * inner + column
    if inner > 1:
        by_row = np.argsort(row, kind="stable")
        values, row, position = values[by_row], row[by_row], position[by_row]
    numbers = np.bincount(row, minlength=rows)
    width = int(numbers.max())
    if rows * width > x.size:
        return order_rows(x.swapaxes(1, 2).reshape(rows, count), largest)[:, :k]
    slot = np.arange(len(row)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    slot += row * width
    # What fills a row up is the last in order, and behind the admitted ones of its value.
    lined = np.full(rows * width, _last_in_order(x.dtype, largest), x.dtype)
    origin = np.zeros(rows * width, np.int64)
    lined[slot], origin[slot] = values, position
    order = order_rows(lined.reshape(rows, width), largest)[:, :k]
    return np.take_along_axis(origin.reshape(rows, width), order, 1)


def _last_in_order(kind: np.dtype, descending: bool) -> float:
    if kind.kind == "f":
        return -math.inf if descending else math.inf
    return np.iinfo(kind).min if descending else np.iinfo(kind).max


def kth(x: Array, dim: int, k: int) -> tuple[Array, Array]:
    """The element at place k (from 0) in ascending order along `dim`, and its position; dim stays."""
    if x.size < SMALL:
        return _of_order(x, dim, plain_order(x, dim, False), k, k + 1)
    rows = rows_along(x, dim)
    result = np.empty(len(rows), np.int64)

    def work(start: int, stop: int) -> None:
        part = comparable(np.ascontiguousarray(rows[start:stop]))
        result[start:stop] = _kth_of_rows(order_keys(part) if has_nan(part) else part, k)

    in_shares(work, *rows.shape, block=WIDE_BLOCK)
    return _of_positions(x, dim, result)


def _of_positions(x: Array, dim: int, positions: Array) -> tuple[Array, Array]:
    """Elements and positions, one for each row along `dim`, in the shape that keeps `dim`."""
    shape = (*x.shape[:dim], 1, *x.shape[dim + 1 :])
    found = positions.reshape(math.prod(x.shape[:dim]), 1, math.prod(x.shape[dim + 1 :]))
    return _picked(x, dim, found).reshape(shape), found.reshape(shape)


def _kth_of_rows(x: Array, k: int) -> Array:
    """The k-th positions of rows without NaN: of the k-th values' equals, the one that is due."""
    value = np.partition(x, k, axis=1)[:, k : k + 1]
    before = np.count_nonzero(x < value, axis=1)
    equal = x == value
    numbers = np.count_nonzero(equal, axis=1)
    due = np.cumsum(numbers) - numbers + k - before
    return np.flatnonzero(equal)[due] - np.arange(len(x)) * x.shape[1]


def median(x: Array, dim: int, ignore_nan: bool) -> tuple[Array, Array]:
    """The lower middle element along `dim` and its position; a NaN (the first) unless ignored."""
    if x.size < SMALL and not has_nan(comparable(x)):
        return kth(x, dim, (x.shape[dim] - 1) // 2)
    rows = rows_along(x, dim)
    count = rows.shape[1]
    result = np.empty(len(rows), np.int64)

    def work(start: int, stop: int) -> None:
        part = comparable(np.ascontiguousarray(rows[start:stop]))
        if not has_nan(part):
            result[start:stop] = _kth_of_rows(part, (count - 1) // 2)
            return
        lost = np.isnan(part)
        found = _kth_of_rows(order_keys(part), (count - 1) // 2)
        holed = np.flatnonzero(lost.any(axis=1))
        lost = lost[holed]
        if ignore_nan:
            middle = np.maximum((count - np.count_nonzero(lost, axis=1) - 1) // 2, 0)
            order = order_rows(part[holed], False)
            found[holed] = np.take_along_axis(order, middle[:, None], 1)[:, 0]
        else:
            found[holed] = lost.argmax(axis=1)
        result[start:stop] = found

    in_shares(work, *rows.shape, block=WIDE_BLOCK)
    return _of_positions(x, dim, result)


def most_frequent(x: Array) -> tuple[Array, Array]:
    """The most frequent element of each row, the least of several, and its last position."""
    rows = x.reshape(-1, x.shape[-1])
    result = np.empty(len(rows), np.int64)

    def work(start: int, stop: int) -> None:
        keys, positions = ordered(order_keys(np.ascontiguousarray(rows[start:stop])))
        result[start:stop] = positions.reshape(-1)[_longest_runs(keys)]

    in_shares(work, *rows.shape)
    values = rows[np.arange(len(rows)), result]
    return values.reshape(x.shape[:-1]), result.reshape(x.shape[:-1])


def _longest_runs(keys: Array) -> Array:
    """Flat positions where the longest run of equals, the first of several, ends in each row."""
    is_end = np.ones(keys.shape, bool)
    np.not_equal(keys[:, 1:], keys[:, :-1], out=is_end[:, :-1])
    ends = np.flatnonzero(is_end)
    lengths = np.diff(ends, prepend=-1)
    numbers = np.count_nonzero(is_end, axis=1)
    starts = np.cumsum(numbers) - numbers
    longest = np.maximum.reduceat(lengths, starts)
    hits = np.flatnonzero(lengths == np.repeat(longest, numbers))
    return ends[hits[np.searchsorted(hits, starts)]]
