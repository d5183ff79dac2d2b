"""Small things about elements: Python functions applied one by one, diagonals filled, ranges, truth."""

from __future__ import annotations

import builtins
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.dtype import get_default_dtype
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import check_in_place, method, public
from lampas.engine.tensor.operands import check_broadcast
from lampas.engine.tensor.ranges import arange
from lampas.engine.tensor.values import array_of, tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.dtype import dtype as Dtype


@method()
def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace every element by what a Python function makes of it (slow)."""
    if self.requires_grad:
        raise TypeError("apply_() on a tensor that requires gradients is not supported")
    found = [callable(value) for value in array_of(self).reshape(-1).tolist()]
    return self.copy_(_shaped(found, self))  # type: ignore[attr-defined]


@method()
def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace every element by a Python function of it and of the other tensor's (slow)."""
    check_broadcast("map_", [self._shape, tensor._shape])
    other = np.broadcast_to(array_of(tensor), self._shape).reshape(-1).tolist()
    own = array_of(self).reshape(-1).tolist()
    found = [callable(a, b) for a, b in zip(own, other, strict=True)]
    return self.copy_(_shaped(found, self))  # type: ignore[attr-defined]


def _shaped(values: list[Any], like: Tensor) -> Tensor:
    return tensor_of(np.asarray(values).reshape(like._shape).astype(like.dtype.numpy), like.dtype)


@public(method=True)
def is_nonzero(input: Tensor) -> bool:
    """Whether the single element of a tensor is not zero."""
    if input._node.numel != 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(array_of(input).reshape(-1)[0] != 0)


@method()
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write a value to the main diagonal; with `wrap` it starts anew below a tall matrix's square."""
    rank = len(self._shape)
    if rank < 2:
        raise RuntimeError("dimensions must larger than 1")
    if rank > 2 and len(set(self._shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    check_in_place(self, "fill_diagonal_")
    strides = self._layout()
    count, width = min(self._shape), self._shape[-1]
    step = sum(strides)
    parts = [(count, 0)]
    if wrap and rank == 2 and self._shape[0] > width + 1:
        rows = builtins.range(width + 1, self._shape[0], width + 1)
        parts += [(min(width, self._shape[0] - row), row * strides[0]) for row in rows]
    for size, start in parts:
        self.as_strided((size,), (step,), self._offset + start).fill_(fill_value)  # type: ignore[attr-defined]
    return self


@method()
def narrow_copy(self: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A copy of a range of one dimension."""
    return self.narrow(dim, start, length).clone()  # type: ignore[attr-defined]


@public(out=True)
def range(
    start: float = 0,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Dtype | None = None,
    **options: Any,
) -> Tensor:
    """Numbers from start to end, both included (deprecated in favour of `arange`)."""
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is "
        "inconsistent with Python's range builtin. Instead, use torch.arange, which produces values "
        "in [start, end).",
        UserWarning,
        stacklevel=3,
    )
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = math.floor((end - start) / step) + 1
    places = arange(count, dtype=dtype or get_default_dtype(), **options)
    return places * step + start  # type: ignore[operator]
