"""Running sums, products and extremes along a dimension, differences, and integrals.

A linear recurrence, which the derivative of a running product needs, is derived by another one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, dtype, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.host.recurrence import recurrence
from lampas.engine.host.shares import in_shares
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.dimensions import one_dim
from lampas.engine.tensor.door import record
from lampas.engine.tensor.joining import cat
from lampas.engine.tensor.operands import require_tensor
from lampas.engine.tensor.reduction import sum_dtype
from lampas.engine.tensor.returns import return_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]

CUMMAX_RESULT = return_type("cummax", "values", "indices")
CUMMIN_RESULT = return_type("cummin", "values", "indices")


def _running(kind_of_scan: str) -> Any:
    def forward(x: Node, dim: int, kind: dtype) -> Node:
        x = g.cast(x, kind)
        return g.cumulative(x, dim, kind_of_scan) if x.shape else x

    return forward


CUMSUM = Operation("cumsum", _running("sum"), saves="none")
CUMPROD = Operation("cumprod", _running("product"), saves="inputs")


def _scan(operation: Operation, input: Tensor, dim: int, kind: dtype | None) -> Tensor:
    name = operation.name
    own = require_tensor(name, "input", input)._node.dtype
    return record(
        operation, (input,), (one_dim(name, dim, len(input._shape)), sum_dtype(own, kind))
    )


@public(method=True, inplace=True, out=True)
def cumsum(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """The running sum along `dim`; integers and booleans give int64."""
    return _scan(CUMSUM, input, dim, dtype)


@public(method=True, inplace=True, out=True)
def cumprod(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """The running product along `dim`; integers and booleans give int64."""
    return _scan(CUMPROD, input, dim, dtype)


def _running_extreme(largest: bool) -> Any:
    name = "maximum" if largest else "minimum"

    def forward(x: Node, dim: int) -> tuple[Node, Node]:
        if not x.shape:
            return x, g.full((), 0, int64)
        order = g.cast(x, int64) if x.dtype is bool_ else x
        values = g.cumulative(order, dim, name)
        shape = tuple(n if d == dim else 1 for d, n in enumerate(x.shape))
        row = g.expand(g.reshape(g.iota(x.shape[dim]), shape), x.shape)
        reached = g.bitwise_or(g.equal(order, values), g.isnan(order))
        places = g.where(reached, row, g.constant(0, int64))
        return g.cast(values, x.dtype), g.cumulative(places, dim, "maximum")

    return forward


def _extreme_vjp(saved: Saved, ct: Node | None, _: Node | None = None) -> Grads:
    x = saved.inputs[0]
    if ct is None or not x.shape:
        return (ct,)
    zeros = g.full(x.shape, 0, ct.dtype)
    return (g.scatter(zeros, saved.attributes[0], saved.outputs[1], ct, "add"),)


CUMMAX = Operation("cummax", _running_extreme(True), vjp=_extreme_vjp, multiple=True)
CUMMIN = Operation("cummin", _running_extreme(False), vjp=_extreme_vjp, multiple=True)


def _refuse_complex(name: str, input: Tensor) -> None:
    if input.dtype.is_complex:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{input.dtype.title}'")


@public(method=True, out=True)
def cummax(input: Tensor, dim: int) -> Any:
    """(running maximum along `dim`, index of the last place where it was reached)."""
    _refuse_complex("cummax", input)
    return CUMMAX_RESULT(*record(CUMMAX, (input,), (one_dim("cummax", dim, input.ndim),)))


@public(method=True, out=True)
def cummin(input: Tensor, dim: int) -> Any:
    """(running minimum along `dim`, index of the last place where it was reached)."""
    _refuse_complex("cummin", input)
    return CUMMIN_RESULT(*record(CUMMIN, (input,), (one_dim("cummin", dim, input.ndim),)))


host_function("recurrence")(recurrence)


@host_vjp("recurrence")
def _recurrence_rule(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """The cotangents of the terms follow the recurrence in the other direction."""
    factors, terms = inputs
    dim, backwards, _ = parameters
    kinds, rank = ((terms.shape, terms.dtype),), len(terms.shape)
    turned = (dim, not backwards, False)
    flow = g.host("recurrence", (g.conjugate(factors), cts[0]), kinds, turned)[0]
    if not terms.shape[dim]:
        return (flow, flow)
    found = g.conjugate(outputs[0])
    earlier, here = (flow, found) if backwards else (found, flow)
    low = tuple(int(d == dim) for d in range(rank))
    shifted = g.narrow(earlier, dim, 0, terms.shape[dim] - 1)
    before = g.pad(shifted, low, (0,) * rank, g.like(terms, 0))
    return (g.multiply(here, before), flow)


# The logarithm of a running sum of exponentials ---------------------------------------------------


# One exponential and logarithm take as long as so many elements of what `in_shares` was measured with.
_SCAN_WEIGHT = 2
_ROWS = 32  # so many are cut among threads, else the columns
_EXPONENTS = 600.0  # ranges of a scan whose exponentials stay normal numbers of double


@host_function("logcumsumexp")
def _logcumsumexp_array(x: np.ndarray, dim: int) -> np.ndarray:
    if x.dtype.kind == "c":
        return _logcumsumexp_complex(x, dim)
    rows, count, columns = math.prod(x.shape[:dim]), x.shape[dim], math.prod(x.shape[dim + 1 :])
    source = x.reshape(rows, count, columns)
    # Of doubles, differences to the largest number would cost small results digits.
    exact = x.dtype == np.float64
    result = np.empty(source.shape, np.float64 if exact else np.float32)

    def work(start: int, stop: int) -> None:
        part = slice(start, stop) if rows >= _ROWS else (..., slice(start, stop))
        wide = source[part].astype(np.float64)
        if exact:
            np.logaddexp.accumulate(wide, axis=1, out=result[part])
        else:
            result[part] = _log_running_sums(wide)

    if x.size:
        items = rows if rows >= _ROWS else columns
        in_shares(work, items, _SCAN_WEIGHT * (x.size // items))
    return result.reshape(x.shape)


def _log_running_sums(x: np.ndarray) -> np.ndarray:
    """The logarithms of running sums of exponentials along the middle dimension.

    They are taken relative to each scan's largest number; doubles hold them for scans of floats that have no
    infinities and are not too wide. The others go step by step.
    """
    high, low = x.max(1, keepdims=True), x.min(1, keepdims=True)
    sums = np.cumsum(np.exp(x - high), axis=1)
    result = np.add(np.log(sums, out=sums), high, out=sums)
    hard = ~(high - low < _EXPONENTS)[:, 0]
    if hard.any():
        steps = np.logaddexp.accumulate(np.moveaxis(x, 1, -1)[hard], axis=1)
        np.moveaxis(result, 1, -1)[hard] = steps
    return result


def _logcumsumexp_complex(x: np.ndarray, dim: int) -> np.ndarray:
    result = np.moveaxis(np.array(x, np.complex128), dim, 0)
    for step in range(1, len(result)):
        a, b = result[step - 1], result[step]
        high, low = np.where(a.real < b.real, (b, a), (a, b))
        result[step] = high + np.log1p(np.exp(low - high))
    return np.moveaxis(result, 0, dim)


def _logcumsumexp_node(x: Node, dim: int) -> Node:
    return g.host("logcumsumexp", (x,), ((x.shape, x.dtype),), (dim,))[0]


def _weighted_flow(x: Node, out: Node, ct: Node, dim: int) -> Node:
    """Σ over i ≥ j of ct_i·exp(x_j - out_i) as exp(x_j - out_j)·T_j, T_j = ct_j + exp(out_j - out_(j+1))·T_(j+1).

    No exponent is above 0, whatever the signs of the cotangents.
    """
    count = x.shape[dim]
    if not count:
        return ct
    parts = (g.narrow(out, dim, 0, 1), g.narrow(out, dim, 0, count - 1))
    earlier = g.concatenate(parts, dim)
    factors = g.conjugate(g.exp(g.subtract(earlier, out)))
    total = g.host("recurrence", (factors, ct), ((x.shape, x.dtype),), (dim, True, False))[0]
    return g.multiply(g.conjugate(g.exp(g.subtract(x, out))), total)


def _logcumsumexp_vjp(saved: Saved, ct: Node) -> Grads:
    x, out = saved.inputs[0], saved.output
    return (_weighted_flow(x, out, ct, saved.attributes[0]) if x.shape else ct,)


@host_vjp("logcumsumexp")
def _logcumsumexp_rule(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    return (_weighted_flow(inputs[0], outputs[0], cts[0], parameters[0]),)


LOGCUMSUMEXP = Operation(
    "logcumsumexp",
    lambda x, dim: _logcumsumexp_node(x, dim) if x.shape else x,
    vjp=_logcumsumexp_vjp,
)


@public(method=True, out=True)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log of the running sum of exp(input) along `dim`, without overflow."""
    kind = input.dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{kind.title}'")
    return record(LOGCUMSUMEXP, (input,), (one_dim("logcumsumexp", dim, input.ndim),))


# Differences and integrals ------------------------------------------------------------------------


def _diff(x: Node, dim: int, times: int) -> Node:
    for _ in range(times):
        size = x.shape[dim]
        if size == 0:
            return x
        later, before = g.narrow(x, dim, 1, size - 1), g.narrow(x, dim, 0, size - 1)
        x = g.not_equal(later, before) if x.dtype is bool_ else g.subtract(later, before)
    return x


DIFF = Operation("diff", _diff, grad_name="SubBackward0", saves="none")


@public(method=True, out=True)
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The n-th forward difference along `dim`, the ends prolonged by `prepend` and `append`."""
    if not input._shape:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    place = one_dim("diff", dim, input.ndim)
    parts = []
    for extra in (prepend, input, append):
        if extra is None:
            continue
        if extra is not input and not extra._shape:
            extra = extra.expand([1 if d == place else s for d, s in enumerate(input._shape)])  # type: ignore[attr-defined]
        if len(extra._shape) != len(input._shape):
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")
        parts.append(extra)
    joined = input if len(parts) == 1 else cat(parts, place)
    return record(DIFF, (joined,), (place, min(n, joined._shape[place])))


def _steps(name: str, y: Tensor, x: Any, dx: Any, place: int) -> Any:
    """The widths of the intervals, ready to be multiplied with the sums of neighbours."""
    if x is None:
        return 1 if dx is None else dx
    if dx is not None:
        raise TypeError(f"{name}() received both x and dx, but only one of them may be given")
    widths = diff(x, 1, -1 if x.ndim == 1 else place)
    if x.ndim == 1:
        if x._shape[0] != y._shape[place]:
            raise RuntimeError(
                f"{name}: There must be one `x` value for each sample point: "
                f"{x._shape[0]} != {y._shape[place]}"
            )
        return widths.reshape([-1 if d == place else 1 for d in range(y.ndim)])  # type: ignore[attr-defined]
    return widths


def _areas(name: str, y: Tensor, x: Any, dx: Any, dim: int) -> tuple[Tensor, int]:
    place = one_dim(name, dim, y.ndim)
    size = y._shape[place] if y._shape else 0
    if size == 0:
        return y, place
    if x is not None and 0 in (len(x._shape),):
        raise RuntimeError(f"{name}: expected x to have at least one dimension")
    pairs = y.narrow(place, 1, size - 1) + y.narrow(place, 0, size - 1)  # type: ignore[attr-defined]
    return pairs * _steps(name, y, x, dx, place) / 2.0, place


@public("trapz")
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of y along `dim` by the trapezoidal rule."""
    areas, place = _areas("trapezoid", y, x, dx, dim)
    return areas.sum(place)  # type: ignore[attr-defined]


@public()
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The running integral of y along `dim` by the trapezoidal rule."""
    areas, place = _areas("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, place)


@public()
def gradient(
    input: Tensor,
    *,
    spacing: Any = 1,
    dim: Any = None,
    edge_order: int = 1,
) -> list[Tensor]:
    """The derivative along each `dim` by second-order differences (first or second order at the ends)."""
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if dim is None:
        several = isinstance(spacing, (list, tuple))
        dims: Sequence[int] = range(len(spacing) if several else input.ndim)
    else:
        dims = [dim] if isinstance(dim, int) else dim
    places = [one_dim("gradient", d, input.ndim) for d in dims]
    if len(set(places)) != len(places):
        raise RuntimeError("dim appears multiple times in the list of dims")
    spacing = 1 if spacing is None else spacing
    gaps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(places)
    if len(gaps) != len(places):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length "
            f"equal to dims, {len(places)}, but got {len(gaps)}"
        )
    for place in places:
        if input._shape[place] < edge_order + 1:
            raise RuntimeError(
                "torch.gradient expected each dimension size to be at least edge_order+1"
            )
    return [_slope(input, place, gap, edge_order) for place, gap in zip(places, gaps, strict=True)]


def _slope(y: Tensor, dim: int, gap: Any, edge_order: int) -> Tensor:
    """Weights of the three-point formula on an uneven grid (Fornberg's rule for three points)."""
    size = y._shape[dim]

    def at(start: int, length: int) -> Any:
        return y.narrow(dim, start, length)  # type: ignore[attr-defined]

    if isinstance(gap, Tensor) and gap.ndim:
        shape = [-1 if d == dim else 1 for d in range(y.ndim)]
        steps = diff(gap).reshape(shape)  # type: ignore[attr-defined]
        first, last = steps.narrow(dim, 0, 1), steps.narrow(dim, size - 2, 1)
        a, b = steps.narrow(dim, 0, size - 2), steps.narrow(dim, 1, size - 2)
        c, d = (steps.narrow(dim, 1, 1), steps.narrow(dim, size - 3, 1)) if size > 2 else (0, 0)
    else:
        first = last = a = b = c = d = gap
    parts = []
    if size > 2:
        low, mid, high = at(0, size - 2), at(1, size - 2), at(2, size - 2)
        inside = (high - mid) / b * (a / (a + b)) + (mid - low) / a * (b / (a + b))
        parts = [inside]
    start, end = (at(1, 1) - at(0, 1)) / first, (at(size - 1, 1) - at(size - 2, 1)) / last
    if edge_order == 2:
        bend = (at(2, 1) - at(1, 1)) / c - start
        start = start - bend * (first / (first + c))
        bend = end - (at(size - 2, 1) - at(size - 3, 1)) / d
        end = end + bend * (last / (last + d))
    return cat([start, *parts, end], dim)
