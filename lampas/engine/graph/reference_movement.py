"""The reference of views, movement and scans in NumPy."""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
Arrays = list[np.ndarray]
Shape = tuple[int, ...]


def _strided(flat: Array, shape: Shape, strides: Shape, offset: int) -> Array:
    """A writable strided reading of a 1-d array, checked against its length."""
    if 0 in shape:
        return np.empty(shape, flat.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if offset < 0 or last >= flat.size:
        raise IndexError(f"as_strided reaches element {last} of {flat.size}")
    steps = tuple(s * flat.itemsize for s in strides)
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps)


def _slice(arrays: Arrays, starts: Shape, lengths: Shape, steps: Shape) -> Array:
    picks = tuple(
        slice(a, a + (n - 1) * s + 1 if n else a, s)
        for a, n, s in zip(starts, lengths, steps, strict=True)
    )
    return arrays[0][picks]


def _as_strided(arrays: Arrays, shape: Shape, strides: Shape, offset: int) -> Array:
    return _strided(np.ascontiguousarray(arrays[0]).reshape(-1), shape, strides, offset)


def _as_strided_scatter(arrays: Arrays, shape: Shape, strides: Shape, offset: int) -> Array:
    base, value = arrays
    result = np.array(base, order="C")
    if 0 not in shape:
        np.copyto(_strided(result.reshape(-1), shape, strides, offset), value)
    return result


def _as_strided_accumulate(arrays: Arrays, base_shape: Shape, strides: Shape, offset: int) -> Array:
    value = arrays[0]
    places = np.full(value.shape, offset, np.int64)
    for dim, (size, stride) in enumerate(zip(value.shape, strides, strict=True)):
        axis = [1] * value.ndim
        axis[dim] = size
        places += (np.arange(size) * stride).reshape(axis)
    count = int(np.prod(base_shape, dtype=np.int64))
    return _sum_at(places.reshape(-1), value.reshape(-1), count).reshape(base_shape)


def _sum_at(places: Array, values: Array, count: int) -> Array:
    """Sums of `values` by place, of the values' dtype."""
    kind = values.dtype
    if kind.kind == "f" and kind.itemsize >= 4:
        return np.bincount(places, weights=values, minlength=count)[:count].astype(kind)
    wide = values.astype(np.float32) if kind.itemsize == 2 and kind.kind not in "iu" else values
    result = np.zeros(count, wide.dtype)
    np.add.at(result, places, wide)
    return result.astype(kind)


def _pad(arrays: Arrays, low: Shape, high: Shape) -> Array:
    x, fill = arrays
    shape = tuple(a + n + b for a, n, b in zip(low, x.shape, high, strict=True))
    result = np.full(shape, fill, x.dtype)
    # Negative padding crops.
    inside = tuple(
        slice(max(a, 0), max(a, 0) + _kept(a, n, b))
        for a, n, b in zip(low, x.shape, high, strict=True)
    )
    source = tuple(
        slice(max(-a, 0), max(-a, 0) + _kept(a, n, b))
        for a, n, b in zip(low, x.shape, high, strict=True)
    )
    np.copyto(result[inside], x[source])
    return result


def _kept(low: int, size: int, high: int) -> int:
    return max(size + min(low, 0) + min(high, 0), 0)


_UFUNCS: dict[str, Any] = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


def _grid(index: Array, dim: int) -> tuple[Array, ...]:
    """Coordinates that `index` names along `dim`, with its own positions elsewhere."""
    grid: list[Array] = list(np.indices(index.shape, sparse=True))
    grid[dim] = index
    return tuple(grid)


def _gather(arrays: Arrays, dim: int) -> Array:
    x, index = arrays
    return x[_grid(index, dim)] if index.ndim else x


def _scatter(arrays: Arrays, dim: int, mode: str) -> Array:
    x, index, source = arrays
    if not index.ndim:
        index, source, flat = index.reshape(1), source.reshape(-1)[:1], x.reshape(1)
        return _scatter([flat, index, source], 0, mode).reshape(())
    used = source[tuple(slice(n) for n in index.shape)]
    result = np.array(x)
    if mode == "set":
        result[_grid(index, dim)] = used
    else:
        _UFUNCS[mode].at(result, _grid(index, dim), used)
    return result


def _index_select(arrays: Arrays, dim: int) -> Array:
    x, index = arrays
    return np.take(x, index, axis=dim)


def _index_add(arrays: Arrays, dim: int) -> Array:
    x, index, source = arrays
    result = np.array(x)
    np.add.at(np.moveaxis(result, dim, 0), index, np.moveaxis(source, dim, 0))
    return result


def _selector(rank: int, dims: Shape, indices: Arrays) -> tuple[Any, ...]:
    picks: list[Any] = [slice(None)] * rank
    for dim, index in zip(dims, indices, strict=True):
        picks[dim] = index
    return tuple(picks)


def _index(arrays: Arrays, dims: Shape) -> Array:
    x, *indices = arrays
    return x[_selector(x.ndim, dims, indices)]


def _index_put(arrays: Arrays, dims: Shape, accumulate: bool) -> Array:
    x, value, *indices = arrays
    result = np.array(x)
    picks = _selector(x.ndim, dims, indices)
    if accumulate:
        np.add.at(result, picks, value)
    else:
        result[picks] = value
    return result


_SCANS: dict[str, Any] = {
    "sum": np.add,
    "product": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


def _cumulative(arrays: Arrays, dim: int, kind: str) -> Array:
    x = arrays[0]
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
    return _SCANS[kind].accumulate(wide, axis=dim, dtype=wide.dtype).astype(x.dtype)


def _sort_index(arrays: Arrays, dim: int, descending: bool) -> Array:
    x = arrays[0]
    if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
        x = x.astype(np.float32)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    backwards = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - backwards, dim)


MOVEMENT_RULES: dict[p.Primitive, Callable[..., Any]] = {
    p.RESHAPE: lambda arrays, shape: arrays[0].reshape(shape),
    p.PERMUTE: lambda arrays, dims: arrays[0].transpose(dims),
    p.EXPAND: lambda arrays, shape: np.broadcast_to(arrays[0], shape),
    p.SLICE: _slice,
    p.FLIP: lambda arrays, dims: np.flip(arrays[0], dims),
    p.AS_STRIDED: _as_strided,
    p.AS_STRIDED_SCATTER: _as_strided_scatter,
    p.AS_STRIDED_ACCUMULATE: _as_strided_accumulate,
    p.PAD: _pad,
    p.CONCATENATE: lambda arrays, dim: np.concatenate(arrays, axis=dim),
    p.GATHER: _gather,
    p.SCATTER: _scatter,
    p.INDEX_SELECT: _index_select,
    p.INDEX_ADD: _index_add,
    p.INDEX: _index,
    p.INDEX_PUT: _index_put,
    p.CUMULATIVE: _cumulative,
    p.SORT_INDEX: _sort_index,
}
