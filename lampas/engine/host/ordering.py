"""Stable sorting on the host: which positions put the elements of an array in order.

Equal elements keep their order, -0 equals 0, and all NaN are one value above every other. An integer
key of that order and the position are packed into one 64-bit number: an unstable sort of plain
numbers, which NumPy does in vector instructions, is then stable and yields the positions. The numbers
are sorted as float64, for which AVX2 has a comparison in one instruction and for int64 a slower one.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lampas.engine.host.shares import in_shares

Array = np.ndarray
POSITION_BITS: Final = 29
POSITIONS: Final = 1 << POSITION_BITS
SMALL: Final = 1 << 11  # elements up to which packing costs more than it saves
KEYS: Final = 1 << 32
# The numbers lie in [2**61, 2**62): the bits of float64 that are positive, normal and finite.
BASE: Final = 1 << 61


def comparable(x: Array) -> Array:
    """The array in a dtype that NumPy orders fast: half types as float32, booleans as bytes."""
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    if x.dtype.kind not in "iu" and x.dtype.itemsize < 4:
        return x.astype(np.float32)
    return x


def has_nan(x: Array) -> bool:
    """Whether an array that is `comparable` holds a NaN."""
    return x.dtype.kind == "f" and bool(np.isnan(x).any())


def order_keys(x: Array) -> Array:
    """Signed integers (32 or 64 bits) in the order of `x`, equal where elements count as equal."""
    if x.dtype.kind not in "iub":
        return _float_keys(x if x.dtype.itemsize > 1 else comparable(x))
    x = comparable(x)
    if x.dtype.itemsize < 4:
        return x.astype(np.int32)
    if x.dtype.kind == "i":
        return x
    signed = np.dtype(f"i{x.dtype.itemsize}")
    return x.view(signed) ^ signed.type(np.iinfo(signed).min)


def _float_keys(x: Array) -> Array:
    """The bits without their sign, negative where it is set: -0 becomes 0."""
    kind = np.dtype(f"i{x.dtype.itemsize}")
    bits = x.view(kind)
    keys = bits & np.iinfo(kind).max
    lost = keys > np.array(np.inf, x.dtype).view(kind)
    sign = bits >> kind.type(8 * kind.itemsize - 1)
    keys ^= sign
    keys -= sign
    if lost.any():
        keys[lost] = np.iinfo(kind).max
    return keys if kind.itemsize >= 4 else keys.astype(np.int32)


def _pack(keys: Array, out: Array) -> bool:
    """Key and position of each element of rows in one number; False where 61 bits are too few."""
    count = keys.shape[-1]
    if not keys.size or count > POSITIONS:
        return not keys.size
    low = -(1 << 31)
    if keys.dtype.itemsize > 4:
        low = int(keys.min())
        if int(keys.max()) - low >= KEYS:
            return False
        keys = keys - low
        low = 0
    np.copyto(out, keys)
    out <<= POSITION_BITS
    start = BASE - (low << POSITION_BITS)
    out += np.arange(start, start + count)
    return True


def ordered(keys: Array) -> tuple[Array, Array]:
    """The sorted keys of rows (or numbers equal where those are), and the positions they came from."""
    packed = np.empty(keys.shape, np.int64)
    if _pack(keys, packed):
        packed.view(np.float64).sort(axis=-1)
        return packed >> POSITION_BITS, packed & (POSITIONS - 1)
    positions = _order_of_wide(keys)
    return np.take_along_axis(keys, positions, -1), positions


def order_rows(x: Array, descending: bool, out: Array | None = None) -> Array:
    """The positions that sort each row of a matrix, written to `out`."""
    keys = order_keys(np.ascontiguousarray(x))
    if descending:
        keys = ~keys
    if out is None:
        out = np.empty(keys.shape, np.int64)
    if _pack(keys, out):
        out.view(np.float64).sort(axis=-1)
        out &= POSITIONS - 1
    else:
        out[...] = _order_of_wide(keys)
    return out


def _order_of_wide(keys: Array) -> Array:
    """As `order_rows` for keys that cannot be packed: an unstable sort, then runs of equals."""
    if keys.shape[-1] > POSITIONS:
        return np.argsort(keys, -1, kind="stable")
    order = np.argsort(keys, -1)
    lined = np.take_along_axis(keys, order, -1)
    fresh = lined[:, 1:] != lined[:, :-1]
    tied = np.flatnonzero(~fresh.all(axis=-1))
    if tied.size:
        runs = np.zeros((len(tied), keys.shape[-1]), np.int64)
        np.cumsum(fresh[tied], -1, out=runs[:, 1:])
        runs <<= POSITION_BITS
        runs |= order[tied]
        runs.sort(axis=-1)
        order[tied] = runs & (POSITIONS - 1)
    return order


def plain_order(x: Array, dim: int, descending: bool) -> Array:
    """The positions that sort a small array along `dim`: few calls, each of which costs more than its work."""
    x = comparable(x)
    if not descending:
        return x.argsort(dim, kind="stable")
    backwards = np.flip(x, dim).argsort(dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(backwards, dim)


def rows_along(x: Array, dim: int) -> Array:
    """An array that is not empty as a matrix of which the rows run along `dim`; a view if possible."""
    return np.moveaxis(x, dim, -1).reshape(-1, x.shape[dim])


def sort_index(x: Array, dim: int, descending: bool, out: Array) -> None:
    """Write the positions that sort `x` along `dim` to `out`, an int64 array of the same shape."""
    if x.size < SMALL:
        out[...] = plain_order(x, dim, descending)
        return
    rows, target = rows_along(x, dim), rows_along(out, dim)

    def work(start: int, stop: int) -> None:
        part = target[start:stop]
        if part.flags.c_contiguous:
            order_rows(rows[start:stop], descending, part)
        else:
            part[...] = order_rows(rows[start:stop], descending)

    in_shares(work, *rows.shape)
    if not np.may_share_memory(target, out):
        moved = np.moveaxis(out, dim, -1)
        moved[...] = target.reshape(moved.shape)
