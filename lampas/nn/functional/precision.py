"""Ways to call a composition: in float32 and rounded once for half precision, or into `out=`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from lampas.engine.tensor import Tensor
from lampas.engine.tensor.declare import store_out

__all__ = ["rounded_once", "writes_out"]

F = TypeVar("F", bound=Callable[..., Any])


def _is_half(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.itemsize == 2 and value.is_floating_point()


def _wide(value: Any) -> Any:
    return value.float() if _is_half(value) else value


def writes_out(function: F) -> F:
    """The function with PyTorch's `out=`: a tensor that receives the result."""

    @functools.wraps(function)
    def call(*args: Any, out: Tensor | None = None, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return result if out is None else store_out(function.__name__, result, out)

    return call  # type: ignore[return-value]


def rounded_once(function: F) -> F:
    """The function with half-precision tensors widened first, its result given their dtype."""

    @functools.wraps(function)
    def call(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not _is_half(input):
            return function(input, *args, **kwargs)
        others = [_wide(value) for value in args]
        named = {key: _wide(value) for key, value in kwargs.items()}
        return function(input.float(), *others, **named).to(input.dtype)

    return call  # type: ignore[return-value]
