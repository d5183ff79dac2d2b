"""Variances, medians, quantiles, norms and correlations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import dtype, get_default_dtype, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.host import selection
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.dimensions import (
    check_keepdim,
    count_of,
    finish,
    kept_shape,
    numpy_names,
    one_dim,
    reduced_dims,
)
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import accumulation_dtype, require_tensor
from lampas.engine.tensor.reduction import Dims, selected_vjp, spread
from lampas.engine.tensor.returns import return_type

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]

# Variance -----------------------------------------------------------------------------------------


def _centred(x: Node, dims: tuple[int, ...]) -> tuple[Node, Node]:
    """(x - mean, mean), the reduced dimensions kept."""
    total = g.sum_dims(x, dims)
    mean = g.divide(total, g.like(total, float(count_of(x.shape, dims))))
    return g.subtract(x, mean), mean


def _wide(x: Node) -> Node:
    return g.cast(x, accumulation_dtype(x.dtype))


def _squares(x: Node) -> Node:
    if not x.dtype.is_complex:
        return g.multiply(x, x)
    a, b = g.real(x), g.imaginary(x)
    return g.add(g.multiply(a, a), g.multiply(b, b))


def _divisor(x: Node, dims: tuple[int, ...], correction: float) -> float:
    return max(count_of(x.shape, dims) - correction, 0.0)


def _divided(total: Node, divisor: float) -> Node:
    if divisor == 0.0:
        return g.divide(total, g.full(total.shape, 0.0, total.dtype))
    return g.divide(total, g.like(total, divisor))


def _variance(x: Node, dims: tuple[int, ...], correction: float) -> tuple[Node, Node]:
    gap, mean = _centred(x, dims)
    return _divided(g.sum_dims(_squares(gap), dims), _divisor(x, dims, correction)), mean


def _var(x: Node, dims: tuple[int, ...], correction: float, keepdim: bool) -> Node:
    spread_ = _variance(_wide(x), dims, correction)[0]
    return finish(g.cast(spread_, x.dtype.to_real()), dims, keepdim)


def _std(x: Node, dims: tuple[int, ...], correction: float, keepdim: bool) -> Node:
    spread_ = g.sqrt(_variance(_wide(x), dims, correction)[0])
    return finish(g.cast(spread_, x.dtype.to_real()), dims, keepdim)


def _var_mean(x: Node, dims: tuple[int, ...], c: float, keepdim: bool) -> tuple[Node, Node]:
    return _pair(*_variance(_wide(x), dims, c), x, dims, keepdim)


def _std_mean(x: Node, dims: tuple[int, ...], c: float, keepdim: bool) -> tuple[Node, Node]:
    spread_, mean = _variance(_wide(x), dims, c)
    return _pair(g.sqrt(spread_), mean, x, dims, keepdim)


def _pair(
    spread_: Node, mean: Node, x: Node, dims: tuple[int, ...], keepdim: bool
) -> tuple[Node, Node]:
    first, second = g.cast(spread_, x.dtype.to_real()), g.cast(mean, x.dtype)
    return finish(first, dims, keepdim), finish(second, dims, keepdim)


def _var_flow(x: Node, ct: Node, dims: tuple[int, ...], correction: float) -> Node:
    """2/(n - correction) · (x - mean) · ct."""
    gap = _centred(_wide(x), dims)[0]
    flow = _wide(g.reshape(ct, kept_shape(x.shape, dims)))
    twice = g.multiply(flow, g.like(flow, 2))
    weight = _divided(twice, _divisor(x, dims, correction))
    return g.cast(g.multiply(g.cast(weight, gap.dtype), gap), x.dtype)


def _std_flow(x: Node, ct: Node, out: Node) -> Node:
    share = g.divide(ct, g.multiply(out, g.like(out, 2)))
    return g.where(g.equal(out, g.like(out, 0)), g.like(out, 0), share)


def _var_vjp(saved: Saved, ct: Node) -> Grads:
    dims, correction, _ = saved.attributes
    return (_var_flow(saved.inputs[0], ct, dims, correction),)


def _std_vjp(saved: Saved, ct: Node) -> Grads:
    dims, correction, _ = saved.attributes
    x = saved.inputs[0]
    return (_var_flow(x, _std_flow(x, ct, saved.output), dims, correction),)


def _mean_flow(x: Node, ct: Node, dims: tuple[int, ...]) -> Node:
    return spread(g.divide(ct, g.like(ct, float(count_of(x.shape, dims)))), x.shape, dims)


def _pair_vjp(root: bool) -> Any:
    def vjp(saved: Saved, ct: Node | None, ct_mean: Node | None) -> Grads:
        dims, correction, _ = saved.attributes
        x = saved.inputs[0]
        flow = None
        if ct is not None:
            inner = _std_flow(x, ct, saved.outputs[0]) if root else ct
            flow = _var_flow(x, inner, dims, correction)
        if ct_mean is not None:
            part = _mean_flow(x, ct_mean, dims)
            flow = part if flow is None else g.add(flow, part)
        return (flow,)

    return vjp


VAR = Operation("var", _var, vjp=_var_vjp, saves="inputs")
STD = Operation("std", _std, vjp=_std_vjp)
VAR_MEAN = Operation("var_mean", _var_mean, vjp=_pair_vjp(False), multiple=True)
STD_MEAN = Operation("std_mean", _std_mean, vjp=_pair_vjp(True), multiple=True)


def _spread_arguments(
    name: str, input: Tensor, dim: Any, unbiased: Any, keepdim: bool, given: dict[str, Any]
) -> tuple[tuple[int, ...], float, bool]:
    """(dims, correction, keepdim) of var, std and their pairs, in all the forms they are called."""
    kind = require_tensor(name, "input", input)._node.dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError("std and var only support floating point and complex dtypes")
    correction = given.pop("correction", None)
    if given:
        dim, keepdim = numpy_names(name, given, dim, keepdim)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    check_keepdim(name, keepdim)
    return reduced_dims(name, dim, len(input._shape)), float(correction), keepdim


@public(method=True, out=True)
def var(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **given: Any
) -> Tensor:
    """The variance over `dim`, divided by n - correction (1 if not given)."""
    return record(VAR, (input,), _spread_arguments("var", input, dim, unbiased, keepdim, given))


@public(method=True, out=True)
def std(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **given: Any
) -> Tensor:
    """The standard deviation over `dim`: the root of `var`."""
    return record(STD, (input,), _spread_arguments("std", input, dim, unbiased, keepdim, given))


@public()
def var_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **given: Any
) -> tuple[Tensor, Tensor]:
    """(variance, mean) over `dim`."""
    arguments = _spread_arguments("var_mean", input, dim, unbiased, keepdim, given)
    return record(VAR_MEAN, (input,), arguments)


@public()
def std_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **given: Any
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean) over `dim`."""
    arguments = _spread_arguments("std_mean", input, dim, unbiased, keepdim, given)
    return record(STD_MEAN, (input,), arguments)


# Log of a sum of exponentials ---------------------------------------------------------------------


def _logsumexp(x: Node, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    x = g.cast(x, kind)
    if 0 in x.shape:
        return finish(g.log(g.sum_dims(g.exp(x), dims)), dims, keepdim)
    size = g.real(x) if kind.is_complex else x
    peak = g.max_dims(size, dims)
    finite = g.less(g.absolute(peak), g.like(peak, math.inf))
    peak = g.cast(g.where(finite, peak, g.like(peak, 0)), kind)
    total = g.sum_dims(g.exp(g.subtract(x, peak)), dims)
    return finish(g.add(g.log(total), peak), dims, keepdim)


def _logsumexp_vjp(saved: Saved, ct: Node) -> Grads:
    dims, _, kind = saved.attributes
    x = g.cast(saved.inputs[0], kind)
    kept = kept_shape(x.shape, dims)
    out = g.reshape(saved.output, kept)
    weight = g.exp(g.subtract(x, out))
    return (g.multiply(g.reshape(ct, kept), g.conjugate(weight)),)


LOGSUMEXP = Operation("logsumexp", _logsumexp, vjp=_logsumexp_vjp)


@public(method=True, out=True)
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False, **renamed: Any) -> Tensor:
    """log Σ exp(input) over `dim`, without overflow."""
    kind = require_tensor("logsumexp", "input", input)._node.dtype
    kind = kind if kind.is_floating_point or kind.is_complex else get_default_dtype()
    dims = reduced_dims("logsumexp", dim, len(input._shape))
    return record(LOGSUMEXP, (input,), (dims, keepdim, kind))


# Order statistics ---------------------------------------------------------------------------------

MEDIAN_RESULT = return_type("median", "values", "indices")
NANMEDIAN_RESULT = return_type("nanmedian", "values", "indices")
MODE_RESULT = return_type("mode", "values", "indices")


@host_function("median")
def _median_arrays(x: np.ndarray, dim: int, ignore_nan: bool) -> tuple[np.ndarray, np.ndarray]:
    return selection.median(x, dim, ignore_nan)


def _median(ignore_nan: bool) -> Any:
    def forward(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
        """The lower of the two middle elements; a NaN (the first) unless they are ignored."""
        if not x.shape:
            return x, g.full((), 0, int64)
        kept = kept_shape(x.shape, (dim,))
        results = ((kept, x.dtype), (kept, int64))
        values, indices = g.host("median", (x,), results, (dim, ignore_nan))
        return finish(values, (dim,), keepdim), finish(indices, (dim,), keepdim)

    return forward


MEDIAN = Operation("median", _median(False), vjp=selected_vjp, multiple=True)
NANMEDIAN = Operation("nanmedian", _median(True), vjp=selected_vjp, multiple=True)


def _median_forms(operation: Operation, input: Tensor, dim: Any, keepdim: bool) -> Any:
    name = operation.name
    if require_tensor(name, "input", input).dtype.is_complex:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{input.dtype.title}'")
    if dim is None:
        if 0 in input._shape:
            return input.new_full((), math.nan)  # type: ignore[attr-defined]
        return record(operation, (input.reshape(-1),), (0, False))[0]  # type: ignore[attr-defined]
    place = one_dim(name, dim, len(input._shape))
    if input._shape and input._shape[place] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {place} to have non-zero size.")
    pair = record(operation, (input,), (place, keepdim))
    return (MEDIAN_RESULT if operation is MEDIAN else NANMEDIAN_RESULT)(*pair)


@public(method=True, out=True)
def median(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The middle value (the lower of two); with `dim`, (values, indices)."""
    return _median_forms(MEDIAN, input, dim, keepdim)


@public(method=True, out=True)
def nanmedian(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The middle of the values that are not NaN."""
    return _median_forms(NANMEDIAN, input, dim, keepdim)


@host_function("mode")
def _mode_arrays(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return selection.most_frequent(x)


def _mode(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
    if not x.shape:
        return x, g.full((), 0, int64)
    rank = len(x.shape)
    last = g.permute(x, [*(d for d in range(rank) if d != dim), dim])
    shape = kept_shape(x.shape, (dim,)) if keepdim else last.shape[:-1]
    results = ((last.shape[:-1], x.dtype), (last.shape[:-1], int64))
    values, indices = g.host("mode", (last,), results)
    return g.reshape(values, shape), g.reshape(indices, shape)


MODE = Operation("mode", _mode, vjp=selected_vjp, multiple=True)


@public(method=True, out=True)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(the most frequent value along `dim`, the smallest of several; its last index)."""
    place = one_dim("mode", dim, len(input._shape))
    return MODE_RESULT(*record(MODE, (input,), (place, keepdim)))


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    x: Node, q: Node, dim: int, keepdim: bool, interpolation: str, ignore_nan: bool
) -> Node:
    """Sorted rows, read at q·(n-1) between two neighbours; q's dimension comes in front."""
    rank = len(x.shape)
    rows = (
        g.permute(x, [*(d for d in range(rank) if d != dim), dim]) if rank else g.reshape(x, (1,))
    )
    rows = g.gather(rows, len(rows.shape) - 1, g.sort_index(rows, len(rows.shape) - 1))
    last = len(rows.shape) - 1
    bad = g.isnan(rows)
    numbers = g.sum_dims(g.cast(g.logical_not(bad), x.dtype), (last,))
    top = g.subtract(numbers, g.like(x, 1))
    if ignore_nan:
        top = g.maximum(top, g.like(x, 0))
    else:
        top = g.like(x, float(rows.shape[last] - 1))
    points = g.reshape(q, (q.numel,))
    ranks = g.expand(g.multiply(points, top), (*rows.shape[:-1], q.numel))
    if not ignore_nan:
        any_bad = g.max_dims(bad, (last,))
        ranks = g.where(any_bad, g.like(x, float(rows.shape[last] - 1)), ranks)
    values = _interpolated(rows, ranks, last, interpolation)
    values = g.permute(values, [last, *range(last)])
    lead = q.shape
    rest = (
        kept_shape(x.shape, (dim,))
        if keepdim
        else tuple(n for d, n in enumerate(x.shape) if d != dim)
    )
    return g.reshape(values, (*lead, *(rest if rank else ())))


def _interpolated(rows: Node, ranks: Node, last: int, interpolation: str) -> Node:
    if interpolation in ("lower", "higher", "nearest"):
        to_whole = {"lower": g.floor, "higher": g.ceil, "nearest": g.round_half_even}
        return g.gather(rows, last, g.cast(to_whole[interpolation](ranks), int64))
    below = g.floor(ranks)
    low = g.gather(rows, last, g.cast(below, int64))
    high = g.gather(rows, last, g.cast(g.ceil(ranks), int64))
    weight = (
        g.full(ranks.shape, 0.5, ranks.dtype)
        if interpolation == "midpoint"
        else g.subtract(ranks, below)
    )
    gap = g.subtract(high, low)
    near = g.less(weight, g.like(weight, 0.5))
    from_high = g.subtract(high, g.multiply(gap, g.subtract(g.like(weight, 1), weight)))
    return g.where(near, g.add(low, g.multiply(weight, gap)), from_high)


QUANTILE = Operation("quantile", _quantile, grad_name="SqueezeBackward4", saves="inputs")


def _quantile_forms(
    name: str, input: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str
) -> Tensor:
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    kind = require_tensor(name, "input", input)._node.dtype
    if kind.name not in ("float32", "float64"):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if 0 in input._shape:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")
        q = input.new_full((), q)  # type: ignore[attr-defined]
    if len(q._shape) > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if q.dtype is not kind:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    flat = dim is None
    source = input.reshape(-1) if flat else input  # type: ignore[attr-defined]
    place = 0 if flat else one_dim(name, dim, len(input._shape))
    result = record(QUANTILE, (source, q), (place, keepdim, interpolation, name.startswith("nan")))
    if flat and keepdim:
        return result.reshape((*q._shape, *(1,) * len(input._shape)))
    return result


@public(method=True, out=True)
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-quantiles along `dim`; q's dimension comes first in the result."""
    return _quantile_forms("quantile", input, q, dim, keepdim, interpolation)


@public(method=True, out=True)
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-quantiles of the values that are not NaN."""
    return _quantile_forms("nanquantile", input, q, dim, keepdim, interpolation)
