"""Reductions over the elements that a mask keeps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lampas.engine.dtype import bool_, get_default_dtype, int64
from lampas.engine.graph.reference import extreme_value
from lampas.engine.tensor import PUBLIC, Tensor

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype as Dtype

Dims = int | tuple[int, ...] | None


def kept(input: Tensor, mask: Tensor | None, fill: Any) -> Tensor:
    """The input with `fill` where the mask (broadcast to it) is false."""
    if mask is None:
        return input
    if mask.dtype is not bool_:
        raise TypeError(f"masked operations expect a boolean mask, but got dtype {mask.dtype}")
    hidden = ~mask.expand(*_common(input, mask))
    return input.masked_fill(hidden, fill)


def _common(input: Tensor, mask: Tensor) -> tuple[int, ...]:
    return tuple(PUBLIC["broadcast_tensors"].function(input, mask)[0].shape)


def all_dims(input: Tensor, dim: Dims) -> tuple[int, ...]:
    """`dim` as a tuple: every dimension if None or empty."""
    rank = input.ndim
    if dim is None or dim == ():
        return tuple(range(rank))
    found = (dim,) if isinstance(dim, int) else tuple(dim)
    return tuple(d % max(rank, 1) for d in found)


def _sum_dtype(input: Tensor, wanted: Dtype | None) -> Dtype | None:
    kind = input.dtype
    floating = kind.is_floating_point or kind.is_complex
    return wanted if wanted is not None or floating else int64


def _cast(input: Tensor, wanted: Dtype | None) -> Tensor:
    return input if wanted is None else input.to(wanted)


def sum(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The sum of the kept elements over `dim`."""
    source = kept(_cast(input, _sum_dtype(input, dtype)), mask, 0)
    dims = all_dims(source, dim)
    return source.sum(dims, keepdim=keepdim) if dims else source.clone()


def prod(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The product of the kept elements over `dim`."""
    result = kept(_cast(input, _sum_dtype(input, dtype)), mask, 1)
    for d in sorted(all_dims(result, dim), reverse=True):
        result = result.prod(d, keepdim=keepdim) if result.ndim else result
    return result


def _extreme(
    input: Tensor, dim: Dims, keepdim: bool, dtype: Any, mask: Any, largest: bool
) -> Tensor:
    source = _cast(input, dtype)
    limit = extreme_value(source.dtype.numpy, not largest)
    filled = kept(source, mask, limit if isinstance(limit, (bool, float)) else int(limit))
    dims = all_dims(filled, dim)
    if not dims:
        return filled.clone()
    return filled.amax(dims, keepdim) if largest else filled.amin(dims, keepdim)


def amax(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The largest kept element over `dim`."""
    return _extreme(input, dim, keepdim, dtype, mask, True)


def amin(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The smallest kept element over `dim`."""
    return _extreme(input, dim, keepdim, dtype, mask, False)


def _place(input: Tensor, dim: Any, keepdim: bool, dtype: Any, mask: Any, largest: bool) -> Tensor:
    source = _cast(input, dtype)
    limit = extreme_value(source.dtype.numpy, not largest)
    filled = kept(source, mask, limit if isinstance(limit, (bool, float)) else int(limit))
    found = filled.argmax(dim, keepdim) if largest else filled.argmin(dim, keepdim)
    return found.to(source.dtype)  # PyTorch's masked forms give the input's dtype


def argmax(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The index of the largest kept element along `dim`."""
    return _place(input, dim, keepdim, dtype, mask, True)


def argmin(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The index of the smallest kept element along `dim`."""
    return _place(input, dim, keepdim, dtype, mask, False)


def _count(input: Tensor, mask: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    """How many elements take part in each result (dimensions kept)."""
    ones = input.detach().new_ones(input.shape, dtype=int64)
    counted = kept(ones, mask, 0)
    return counted.sum(dims, keepdim=True) if dims else counted


def mean(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean of the kept elements over `dim`."""
    source = _cast(input, dtype)
    if not (source.dtype.is_floating_point or source.dtype.is_complex):
        raise ValueError(f"input with dtype {source.dtype} is not supported by masked mean")
    dims = all_dims(source, dim)
    result = sum(source, dims, keepdim=True, mask=mask) / _count(source, mask, dims)
    return result if keepdim else _dropped(result, dims)


def _dropped(result: Tensor, dims: tuple[int, ...]) -> Tensor:
    return result.reshape([n for d, n in enumerate(result.shape) if d not in dims])


def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The median of the kept elements along `dim`."""
    source = _cast(input, dtype)
    if not source.dtype.is_floating_point:
        raise ValueError(f"input with dtype {source.dtype} is not supported by masked median")
    if mask is None:
        return source.median(dim, keepdim).values
    if bool(source.isnan().any()):
        raise ValueError("masked median expected no fully masked out rows and no NaN in the input")
    return kept(source, mask, math.nan).nanmedian(dim, keepdim).values


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The p-norm of the kept elements over `dim`."""
    order = 2.0 if ord is None else float(ord)
    fill = math.inf if order == -math.inf else 0
    source = kept(_cast(input, dtype), mask, fill)
    return PUBLIC["linalg.vector_norm"].function(
        source, order, all_dims(source, dim) or None, keepdim
    )


def _spread(
    input: Tensor, dim: Dims, correction: float, keepdim: bool, dtype: Any, mask: Any, root: bool
) -> Tensor:
    floating = input.dtype.is_floating_point or input.dtype.is_complex
    wanted = dtype if dtype is not None or floating else get_default_dtype()
    source = _cast(input, wanted)
    dims = all_dims(source, dim)
    count = _count(source, mask, dims)
    middle = sum(source, dims, keepdim=True, mask=mask) / count
    gap = kept(source - middle, mask, 0)
    squares = (gap * gap.conj()).real if gap.dtype.is_complex else gap * gap
    total = squares.sum(dims, keepdim=True) if dims else squares
    result = (total / (count - correction).clamp(min=0)).to(source.dtype)
    result = result.sqrt() if root else result
    return result if keepdim else _dropped(result, dims)


def _correction(unbiased: bool | None, correction: float | None) -> float:
    if correction is not None:
        return correction
    return float(unbiased is not False)


def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance of the kept elements over `dim`."""
    less = _correction(unbiased, correction)
    return _spread(input, dim, less, keepdim, dtype, mask, False)


def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The standard deviation of the kept elements over `dim`."""
    less = _correction(unbiased, correction)
    return _spread(input, dim, less, keepdim, dtype, mask, True)


def logsumexp(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """log Σ exp of the kept elements over `dim`."""
    source = kept(_cast(input, dtype), mask, -math.inf)
    dims = all_dims(source, dim)
    return (
        source.logsumexp(dims, keepdim).to(source.dtype)
        if dims
        else source.exp().log().to(source.dtype)
    )


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Dtype | None = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """log(exp(input) + exp(other)); masked elements count as exp(-inf)."""
    a = kept(_cast(input, dtype), input_mask, -math.inf)
    return PUBLIC["logaddexp"].function(a, kept(_cast(other, dtype), other_mask, -math.inf))
