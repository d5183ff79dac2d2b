"""Running sums and normalisations along a dimension, over the elements that a mask keeps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lampas.masked.reductions import kept, norm
from lampas.nn import functional

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype as Dtype
    from lampas.engine.tensor import Tensor


def _scanned(input: Tensor, dtype: Dtype | None) -> Tensor:
    return input if dtype is None else input.to(dtype)


def cumsum(
    input: Tensor, dim: int, *, dtype: Dtype | None = None, mask: Tensor | None = None
) -> Tensor:
    """The running sum of the kept elements."""
    return kept(_scanned(input, dtype), mask, 0).cumsum(dim, dtype=dtype or input.dtype)


def cumprod(
    input: Tensor, dim: int, *, dtype: Dtype | None = None, mask: Tensor | None = None
) -> Tensor:
    """The running product of the kept elements."""
    return kept(_scanned(input, dtype), mask, 1).cumprod(dim, dtype=dtype or input.dtype)


def softmax(
    input: Tensor, dim: int, *, dtype: Dtype | None = None, mask: Tensor | None = None
) -> Tensor:
    """The softmax of the kept elements."""
    source = input if dtype is None else input.to(dtype)
    return functional.softmax(kept(source, mask, -math.inf), dim)


def log_softmax(
    input: Tensor, dim: int, *, dtype: Dtype | None = None, mask: Tensor | None = None
) -> Tensor:
    """The logarithm of the softmax of the kept elements."""
    source = input if dtype is None else input.to(dtype)
    return functional.log_softmax(kept(source, mask, -math.inf), dim)


def softmin(
    input: Tensor, dim: int, *, dtype: Dtype | None = None, mask: Tensor | None = None
) -> Tensor:
    """The softmax of the negated kept elements."""
    source = input if dtype is None else input.to(dtype)
    return functional.softmin(kept(source, mask, math.inf), dim)


def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: Dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The kept elements divided by their p-norm along `dim` (at least eps)."""
    source = input if dtype is None else input.to(dtype)
    size = norm(source, ord, dim, keepdim=True, mask=mask).clamp(min=eps)
    return kept(source, mask, 0) / size
