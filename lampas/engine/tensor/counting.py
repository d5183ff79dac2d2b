"""Counting values: unique, bincount, histograms.  The result's shape depends on the values (mostly)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import bool_, dtype, float64, int64, uint64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.host.counting import distinct, occurrences, tally
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.dimensions import finish, kept_shape, reduced_dims
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import require_tensor
from lampas.engine.tensor.returns import return_type
from lampas.engine.tensor.values import stored_bounds, tensor_of, wide_array_of

HISTOGRAM_RESULT = return_type("histogram", "hist", "bin_edges")
HISTOGRAMDD_RESULT = return_type("histogramdd", "hist", "bin_edges")

# Distinct values ----------------------------------------------------------------------------------


def _results(
    source: Tensor,
    values: np.ndarray,
    inverse: np.ndarray | None,
    counts: np.ndarray | None,
    wanted: tuple[bool, bool],
) -> Any:
    found = [tensor_of(values, source.dtype)]
    if wanted[0]:
        found.append(tensor_of(inverse, int64))
    if wanted[1]:
        found.append(tensor_of(counts, int64))
    return found[0] if len(found) == 1 else tuple(found)


@public(method=True)
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along `dim`), sorted, with their inverse and counts if wanted."""
    array = wide_array_of(require_tensor("unique", "input", input))
    wanted = (return_inverse, return_counts)
    if dim is None:
        values, places, counts = distinct(array.reshape(-1), return_inverse, return_counts)
        origin = None if places is None else places.reshape(array.shape)
        return _results(input, values, origin, counts, wanted)
    rows = np.moveaxis(array, dim, 0)
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    order = np.lexsort(flat.T[::-1]) if flat.shape[1] else np.arange(len(flat))
    ordered = flat[order]
    fresh = np.ones(len(flat), bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    if not flat.shape[1]:
        fresh[1:] = False
    inverse = np.empty(len(flat), np.int64)
    inverse[order] = np.cumsum(fresh) - 1
    values = np.moveaxis(rows[order[fresh]], 0, dim)
    return _results(input, values, inverse, np.bincount(inverse), wanted)


@public(method=True)
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The first of every run of equal elements (or slices along `dim`)."""
    array = wide_array_of(require_tensor("unique_consecutive", "input", input))
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, dim, 0)
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (flat[1:] != flat[:-1]).any(axis=1)
    inverse = np.cumsum(fresh) - 1
    counts = np.bincount(inverse, minlength=0) if len(rows) else np.zeros(0, np.int64)
    values = rows[fresh] if dim is None else np.moveaxis(rows[fresh], 0, dim)
    if dim is None:
        inverse = inverse.reshape(array.shape)
    return _results(input, values, inverse, counts, (return_inverse, return_counts))


@public(method=True)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs, or the sum of its weights."""
    kind = require_tensor("bincount", "input", input).dtype
    if kind.is_floating_point or kind.is_complex or kind is bool_:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{kind.title}'")
    shape = input._shape
    low, high = stored_bounds(input) if 0 not in shape else (0, -1)
    if len(shape) != 1 or low < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    array = wide_array_of(input).astype(np.int64, copy=False)
    if weights is None:
        return tensor_of(occurrences(array, max(high + 1, minlength)), int64)
    if weights._shape != input._shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    sums = np.bincount(array, wide_array_of(weights), minlength)
    single = weights.dtype.name == "float32"
    return tensor_of(sums, weights.dtype if single else float64)


# Histograms ---------------------------------------------------------------------------------------


def _bounds(
    name: str, array: np.ndarray, low: float, high: float, margin: float
) -> tuple[float, float]:
    if low == high and not array.size and margin < 1:
        high = low + 1
    elif low == high and array.size:
        low, high = float(array.min()), float(array.max())
    if low == high:
        low, high = low - margin, high + margin
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min")
    return low, high


@public(method=True, out=True)
def histc(input: Tensor, bins: int = 100, min: Any = 0, max: Any = 0) -> Tensor:
    """How many elements fall into each of `bins` equal intervals of [min, max] (of the data if equal)."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    array = wide_array_of(input).reshape(-1)
    low, high = _bounds("torch.histc", array, min, max, 1.0)

    def places_of(start: int, stop: int) -> np.ndarray:
        part = array[start:stop]
        inside = (part >= low) & (part <= high)
        chosen = part if inside.all() else part.take(np.flatnonzero(inside))
        scaled = chosen.astype(np.float64)
        scaled -= low
        scaled /= high - low
        scaled *= bins
        places = scaled.astype(np.int64)
        return np.minimum(places, bins - 1, out=places)

    return tensor_of(tally(len(array), bins, places_of), input.dtype)


def _edges(bins: Any, array: np.ndarray, limits: Any, kind: dtype) -> np.ndarray:
    if isinstance(bins, Tensor):
        return wide_array_of(bins)
    low, high = (0.0, 0.0) if limits is None else limits
    low, high = _bounds("torch.histogramdd", array, low, high, 0.5)
    return np.linspace(low, high, int(bins) + 1, dtype=kind.numpy)


def _shares(
    points: np.ndarray, edges: list[np.ndarray], weights: np.ndarray | None, density: bool
) -> np.ndarray:
    """Sums of weights by cell; the last interval holds its right end, what lies outside is dropped."""
    sizes = [len(line) - 1 for line in edges]
    inside = np.ones(len(points), bool)
    places = np.zeros(len(points), np.int64)
    for line, column, size in zip(edges, points.T, sizes, strict=True):
        inside &= (column >= line[0]) & (column <= line[-1])
        place = np.searchsorted(line, column, side="right") - 1
        places = places * size + np.clip(place, 0, size - 1)
    given = None if weights is None else weights[inside]
    total = int(np.prod(sizes))
    counts = np.bincount(places[inside], given, total).reshape(sizes).astype(np.float64)
    if density:
        counts = counts / counts.sum()
        for d, line in enumerate(edges):
            shape = [-1 if k == d else 1 for k in range(len(edges))]
            counts = counts / np.diff(line).reshape(shape)
    return counts


@public(method=True, out=True)
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(counts, edges) of the flattened input; `bins` is a number or the edges."""
    _require_floating("histogram", input)
    array = wide_array_of(input).reshape(-1)
    edges = _edges(bins, array, range, input.dtype)
    weights = None if weight is None else wide_array_of(weight).reshape(-1)
    counts = _shares(array[:, None], [edges], weights, density)
    return HISTOGRAM_RESULT(tensor_of(counts, input.dtype), tensor_of(edges, input.dtype))


@public()
def histogramdd(
    input: Tensor,
    bins: Any,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(counts, tuple of edges) of points in several dimensions: input is (…, dimensions)."""
    _require_floating("histogramdd", input)
    array = wide_array_of(input).reshape(-1, input._shape[-1])
    width = array.shape[1]
    each = [bins] * width if isinstance(bins, int) else list(bins)
    if len(each) != width:
        raise RuntimeError(
            f"histogramdd: The size of bins must be equal to the innermost dimension of the input, "
            f"but got {len(each)} and {width}"
        )
    limits = [None] * width if range is None else list(zip(range[::2], range[1::2], strict=True))
    edges = [_edges(count, array[:, d], limits[d], input.dtype) for d, count in enumerate(each)]
    weights = None if weight is None else wide_array_of(weight).reshape(-1)
    counts = _shares(array, edges, weights, density)
    lines = tuple(tensor_of(line, input.dtype) for line in edges)
    return HISTOGRAMDD_RESULT(tensor_of(counts, input.dtype), lines)


def _require_floating(name: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{input.dtype.title}'")


@host_function("hash_tensor")
def _hash_array(x: np.ndarray, dims: tuple[int, ...]) -> np.ndarray:
    wide = x.astype(np.int64 if x.dtype.kind in "iub" else np.float64)
    return np.bitwise_xor.reduce(np.ascontiguousarray(wide).view(np.uint64), dims, keepdims=True)


HASH = Operation(
    "hash_tensor",
    lambda x, dims, keepdim: finish(
        g.host("hash_tensor", (x,), ((kept_shape(x.shape, dims), uint64),), (dims,))[0],
        dims,
        keepdim,
    ),
    saves="none",
)


@public(method=True, out=True)
def hash_tensor(input: Tensor, dim: Any = (), *, keepdim: bool = False, mode: int = 0) -> Tensor:
    """The exclusive or of all elements' bits over `dim`, as float64 or int64, in a uint64."""
    if mode != 0:
        raise RuntimeError(f"hash_tensor: unknown mode {mode}, expected 0")
    dims = reduced_dims("hash_tensor", dim, len(input._shape))
    if 0 in input._shape and dim in ((), None):
        raise RuntimeError(
            "hash_tensor: Expected reduction dim to be specified for input.numel() == 0. Specify "
            "the reduction dim with the 'dim' argument."
        )
    return record(HASH, (input,), (dims, keepdim))
