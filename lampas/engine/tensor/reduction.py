"""Reductions: sums, products, means and extremes over dimensions.

Where several elements share an extreme, `amax`, `amin` and the full `max`, `min` divide the cotangent
among them; `max(dim)` and `min(dim)` give all of it to the element that `indices` names.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, dtype, int64, uint8
from lampas.engine.graph import build as g
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
    refuse_empty,
)
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import require_tensor
from lampas.engine.tensor.pointwise import maximum, minimum
from lampas.engine.tensor.returns import return_type

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Dims = int | tuple[int, ...] | list[int] | None
Grads = tuple["Node | None", ...]


def spread(ct: Node, shape: tuple[int, ...], dims: tuple[int, ...]) -> Node:
    """A cotangent of a reduced value repeated over the reduced dimensions."""
    return g.expand(g.reshape(ct, kept_shape(shape, dims)), shape)


# Sums ---------------------------------------------------------------------------------------------


def _sum(x: Node, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    return finish(g.sum_dims(g.cast(x, kind), dims), dims, keepdim)


def _sum_vjp(saved: Saved, ct: Node) -> Grads:
    x = saved.inputs[0]
    return (spread(_back_to(ct, x.dtype), x.shape, saved.attributes[0]),)


def _back_to(ct: Node, kind: dtype) -> Node:
    if ct.dtype is kind:
        return ct
    if ct.dtype.is_complex and not kind.is_complex:
        ct = g.real(ct)
    return g.cast(ct, kind)


SUM_ALL = Operation("sum", _sum, vjp=_sum_vjp, grad_name="SumBackward0", saves="none")
SUM_DIMS = Operation("sum", _sum, vjp=_sum_vjp, grad_name="SumBackward1", saves="none")


def sum_dtype(kind: dtype, wanted: dtype | None) -> dtype:
    """The dtype of a sum or product: integers and booleans become int64."""
    if wanted is not None:
        return wanted
    return kind if kind.is_floating_point or kind.is_complex else int64


@public(method=True, out=True)
def sum_(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: dtype | None = None,
    **renamed: Any,
) -> Tensor:
    """The sum over `dim` (all dimensions if none); integers and booleans give int64.

    >>> sum(tensor([[1, 2], [3, 4]]), 0)
    tensor([4, 6])
    """
    if renamed:
        dim, keepdim = numpy_names("sum", renamed, dim, keepdim)
    node = require_tensor("sum", "input", input)._node
    kind = node.dtype
    if dtype is not None or not (kind.is_floating_point or kind.is_complex):
        kind = sum_dtype(kind, dtype)
    if dim is None and not keepdim:
        return record(SUM_ALL, (input,), (tuple(range(len(input._shape))), False, kind))
    check_keepdim("sum", keepdim)
    dims = reduced_dims("sum", dim, len(input._shape))
    return record(SUM_DIMS, (input,), (dims, keepdim, kind))


def _mean(x: Node, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    count = count_of(x.shape, dims)
    total = g.sum_dims(g.cast(x, kind), dims)
    return finish(g.divide(total, g.like(total, float(count))), dims, keepdim)


def _mean_vjp(saved: Saved, ct: Node) -> Grads:
    x = saved.inputs[0]
    dims = saved.attributes[0]
    count = count_of(x.shape, dims)
    share = g.divide(ct, g.like(ct, float(count)))
    return (spread(_back_to(share, x.dtype), x.shape, dims),)


MEAN_ALL = Operation("mean", _mean, vjp=_mean_vjp, grad_name="MeanBackward0", saves="none")
MEAN_DIMS = Operation("mean", _mean, vjp=_mean_vjp, grad_name="MeanBackward1", saves="none")


def require_floating(name: str, kind: dtype, what: str = "Input dtype") -> None:
    """RuntimeError unless `kind` is floating or complex."""
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. {what} must be either a floating point or "
            f"complex dtype. Got: {kind.title}"
        )


@public(method=True, out=True)
def mean(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: dtype | None = None,
    **renamed: Any,
) -> Tensor:
    """The mean over `dim` (all dimensions if none); RuntimeError for integers without `dtype`."""
    if renamed:
        dim, keepdim = numpy_names("mean", renamed, dim, keepdim)
    kind = require_tensor("mean", "input", input)._node.dtype if dtype is None else dtype
    if not (kind.is_floating_point or kind.is_complex):
        require_floating("mean", kind, "Input dtype" if dtype is None else "Optional dtype")
    if dim is None and not keepdim:
        return record(MEAN_ALL, (input,), (tuple(range(len(input._shape))), False, kind))
    check_keepdim("mean", keepdim)
    dims = reduced_dims("mean", dim, len(input._shape))
    return record(MEAN_DIMS, (input,), (dims, keepdim, kind))


def _without_nan(x: Node) -> Node:
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        return x
    return g.where(g.isnan(x), g.like(x, 0), x)


NANSUM = Operation(
    "nansum",
    lambda x, dims, keepdim, kind: _sum(_without_nan(x), dims, keepdim, kind),
    saves="inputs",
)


@public(method=True, out=True)
def nansum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """The sum of the elements that are not NaN."""
    kind = input._node.dtype
    if kind.is_complex:
        raise RuntimeError("nansum does not support complex inputs")
    dims = reduced_dims("nansum", dim, len(input._shape))
    return record(NANSUM, (input,), (dims, keepdim, sum_dtype(kind, dtype)))


def _nanmean(x: Node, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    x = g.cast(x, kind)
    present = g.cast(g.logical_not(g.isnan(x)), kind)
    total = g.sum_dims(_without_nan(x), dims)
    return finish(g.divide(total, g.sum_dims(present, dims)), dims, keepdim)


NANMEAN = Operation("nanmean", _nanmean, saves="inputs")


@public(method=True, out=True)
def nanmean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None
) -> Tensor:
    """The mean of the elements that are not NaN."""
    kind = input._node.dtype if dtype is None else dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            f"nanmean(): expected input to have floating point or complex dtype but got {kind.title}"
        )
    dims = reduced_dims("nanmean", dim, len(input._shape))
    return record(NANMEAN, (input,), (dims, keepdim, kind))


def _prod(x: Node, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    return finish(g.prod_dims(g.cast(x, kind), dims), dims, keepdim)


PROD_ALL = Operation("prod", _prod, grad_name="ProdBackward0")
PROD_DIM = Operation("prod", _prod, grad_name="ProdBackward1")


@public(method=True, out=True)
def prod(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: dtype | None = None,
    **renamed: Any,
) -> Tensor:
    """The product over `dim` (all dimensions if none); integers and booleans give int64."""
    if renamed:
        dim, keepdim = numpy_names("prod", renamed, dim, keepdim)
    kind = sum_dtype(require_tensor("prod", "input", input)._node.dtype, dtype)
    rank = len(input._shape)
    if dim is None:
        return record(PROD_ALL, (input,), (tuple(range(rank)), keepdim, kind))
    place = one_dim("prod", dim, rank)
    dims = (place,) if rank else ()
    return record(PROD_DIM, (input,), (dims, keepdim, kind))


# Booleans -----------------------------------------------------------------------------------------


def _all(x: Node, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    return g.cast(finish(g.min_dims(g.cast(x, bool_), dims), dims, keepdim), kind)


def _any(x: Node, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    return g.cast(finish(g.max_dims(g.cast(x, bool_), dims), dims, keepdim), kind)


ALL = Operation("all", _all, saves="none")
ANY = Operation("any", _any, saves="none")


def _truth(operation: Operation, input: Tensor, dim: Dims, keepdim: bool, renamed: Any) -> Tensor:
    if renamed:
        dim, keepdim = numpy_names(operation.name, renamed, dim, keepdim)
    kind = require_tensor(operation.name, "input", input)._node.dtype
    dims = reduced_dims(operation.name, dim, len(input._shape))
    return record(operation, (input,), (dims, keepdim, uint8 if kind is uint8 else bool_))


@public(method=True, out=True)
def all_(input: Tensor, dim: Dims = None, keepdim: bool = False, **renamed: Any) -> Tensor:
    """Whether no element over `dim` is zero."""
    return _truth(ALL, input, dim, keepdim, renamed)


@public(method=True, out=True)
def any_(input: Tensor, dim: Dims = None, keepdim: bool = False, **renamed: Any) -> Tensor:
    """Whether some element over `dim` is not zero."""
    return _truth(ANY, input, dim, keepdim, renamed)


COUNT_NONZERO = Operation(
    "count_nonzero",
    lambda x, dims: finish(g.sum_dims(g.cast(g.cast(x, bool_), int64), dims), dims, False),
    saves="none",
)


@public(method=True)
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements over `dim` are not zero, as int64."""
    dims = reduced_dims("count_nonzero", dim, len(input._shape))
    return record(COUNT_NONZERO, (input,), (dims,))


# Extremes -----------------------------------------------------------------------------------------


def _extreme(largest: bool) -> Any:
    reduce = g.max_dims if largest else g.min_dims

    def forward(x: Node, dims: tuple[int, ...], keepdim: bool) -> Node:
        return finish(reduce(x, dims), dims, keepdim)

    return forward


def _shared_vjp(saved: Saved, ct: Node) -> Grads:
    """The cotangent is divided among the elements that are the extreme (or NaN)."""
    x = saved.inputs[0]
    dims = saved.attributes[0]
    best = g.reshape(saved.outputs[0], kept_shape(x.shape, dims))
    chosen = g.bitwise_or(g.equal(x, best), g.bitwise_and(g.isnan(x), g.isnan(best)))
    count = g.sum_dims(g.cast(chosen, x.dtype), dims)
    share = g.divide(g.reshape(ct, best.shape), count)
    return (g.where(chosen, share, g.like(share, 0)),)


AMAX = Operation("amax", _extreme(True), vjp=_shared_vjp)
AMIN = Operation("amin", _extreme(False), vjp=_shared_vjp)
MAX_ALL = Operation("max", _extreme(True), vjp=_shared_vjp, grad_name="MaxBackward1")
MIN_ALL = Operation("min", _extreme(False), vjp=_shared_vjp, grad_name="MinBackward1")


def _extreme_dim(largest: bool) -> Any:
    reduce, place = (g.max_dims, g.argmax) if largest else (g.min_dims, g.argmin)

    def forward(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
        if not x.shape:
            return x, g.full((), 0, int64)
        dims = (dim,)
        order = g.cast(x, uint8) if x.dtype is bool_ else x
        return finish(reduce(x, dims), dims, keepdim), finish(place(order, dim), dims, keepdim)

    return forward


def selected_vjp(saved: Saved, ct: Node | None, _: Node | None = None) -> Grads:
    """The cotangent goes to the elements that `indices`, the second output, name."""
    x = saved.inputs[0]
    dim = saved.attributes[0]
    if ct is None or not x.shape:
        return (ct,)
    kept = kept_shape(x.shape, (dim,))
    indices = g.reshape(saved.outputs[1], kept)
    row = g.reshape(
        g.iota(x.shape[dim]), tuple(n if d == dim else 1 for d, n in enumerate(x.shape))
    )
    return (g.where(g.equal(row, indices), g.reshape(ct, kept), g.like(ct, 0)),)


MAX_DIM = Operation(
    "max", _extreme_dim(True), vjp=selected_vjp, grad_name="MaxBackward0", multiple=True
)
MIN_DIM = Operation(
    "min", _extreme_dim(False), vjp=selected_vjp, grad_name="MinBackward0", multiple=True
)
MAX_RESULT = return_type("max", "values", "indices")
MIN_RESULT = return_type("min", "values", "indices")
AMINMAX_RESULT = return_type("aminmax", "min", "max")


def _refuse_complex(name: str, kernel: str, kind: dtype) -> None:
    if kind.is_complex:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{kind.title}' (in {name}())")


def _reduce_extreme(operation: Operation, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    name = operation.name
    node = require_tensor(name, "input", input)._node
    _refuse_complex(name, f"{name}_cpu", node.dtype)
    shape = input._shape
    dims = reduced_dims(name, dim, len(shape))
    check_keepdim(name, keepdim)
    if 0 in shape:
        refuse_empty(name, shape, dims, dim is not None and dim != ())
    return record(operation, (input,), (dims, keepdim))


@public(method=True, out=True)
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False, **renamed: Any) -> Tensor:
    """The largest element over `dim`; equal ones share the gradient."""
    if renamed:
        dim, keepdim = numpy_names("amax", renamed, dim, keepdim)
    return _reduce_extreme(AMAX, input, dim, keepdim)


@public(method=True, out=True)
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False, **renamed: Any) -> Tensor:
    """The smallest element over `dim`; equal ones share the gradient."""
    if renamed:
        dim, keepdim = numpy_names("amin", renamed, dim, keepdim)
    return _reduce_extreme(AMIN, input, dim, keepdim)


@public(out=True, method=True)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(min, max) over `dim`, or over everything."""
    rank = len(input._shape)
    dims: Dims = () if dim is None else one_dim("aminmax", dim, rank)
    if dim is None and 0 in input._shape:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
            "identity."
        )
    low = _reduce_extreme(AMIN, input, dims, keepdim)
    return AMINMAX_RESULT(low, _reduce_extreme(AMAX, input, dims, keepdim))


def _extreme_forms(
    largest: bool, input: Tensor, dim: Any, keepdim: bool, renamed: dict[str, Any]
) -> Any:
    name = "max" if largest else "min"
    if "other" in renamed:
        dim = renamed.pop("other")
    if renamed:
        dim, keepdim = numpy_names(name, renamed, dim, keepdim)
    if isinstance(dim, Tensor):
        return _PAIRS[largest](input, dim)
    node = require_tensor(name, "input", input)._node
    _refuse_complex(name, f"{name}_all" if dim is None else f"{name}_values_cpu", node.dtype)
    shape = input._shape
    if dim is None:
        if 0 in shape:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
                "the reduction dim with the 'dim' argument."
            )
        full = tuple(range(len(shape)))
        return record(MAX_ALL if largest else MIN_ALL, (input,), (full, False))
    place = one_dim(name, dim, len(shape))
    check_keepdim(name, keepdim)
    if 0 in shape:
        refuse_empty(name, shape, (place,), True)
    pair = record(MAX_DIM if largest else MIN_DIM, (input,), (place, keepdim))
    return (MAX_RESULT if largest else MIN_RESULT)(*pair)


_PAIRS = {True: maximum, False: minimum}


@public(method=True, out=True)
def max_(input: Tensor, dim: Any = None, keepdim: bool = False, **renamed: Any) -> Any:
    """max(x): the largest element; max(x, dim): (values, indices); max(x, y): pairwise."""
    return _extreme_forms(True, input, dim, keepdim, renamed)


@public(method=True, out=True)
def min_(input: Tensor, dim: Any = None, keepdim: bool = False, **renamed: Any) -> Any:
    """min(x): the smallest element; min(x, dim): (values, indices); min(x, y): pairwise."""
    return _extreme_forms(False, input, dim, keepdim, renamed)


def _arg_extreme(largest: bool) -> Any:
    place = g.argmax if largest else g.argmin

    def forward(x: Node, dim: int | None, keepdim: bool) -> Node:
        shape = x.shape
        if not shape:
            return g.full((), 0, int64)
        if dim is None:
            found = place(g.reshape(x, (math.prod(shape),)), 0)
            return g.reshape(found, (1,) * len(shape) if keepdim else ())
        return finish(place(x, dim), (dim,), keepdim)

    return forward


ARGMAX = Operation("argmax", _arg_extreme(True), saves="none")
ARGMIN = Operation("argmin", _arg_extreme(False), saves="none")


def _place(operation: Operation, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    name = operation.name
    kind = require_tensor(name, "input", input)._node.dtype
    if kind is bool_:
        raise RuntimeError(f"{name}(): does not support bool input")
    _refuse_complex(name, f"{name}_cpu", kind)
    shape = input._shape
    place = None if dim is None else one_dim(name, dim, len(shape))
    if 0 in shape:
        refuse_empty(name, shape, () if place is None else (place,), place is not None)
    return record(operation, (input,), (place, keepdim))


@public(method=True, out=True)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False, **renamed: Any) -> Tensor:
    """The index of the first largest element along `dim`, or in the flattened tensor."""
    if renamed:
        dim, keepdim = numpy_names("argmax", renamed, dim, keepdim)
    return _place(ARGMAX, input, dim, keepdim)


@public(method=True, out=True)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False, **renamed: Any) -> Tensor:
    """The index of the first smallest element along `dim`, or in the flattened tensor."""
    if renamed:
        dim, keepdim = numpy_names("argmin", renamed, dim, keepdim)
    return _place(ARGMIN, input, dim, keepdim)
