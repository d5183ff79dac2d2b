"""The table of host functions: NumPy and SciPy calls behind the `host` primitive.

`HOST_FUNCTIONS[name](*arrays, *parameters) -> array or tuple of arrays`.  Op families register theirs
with `@host_function("name")`; results are converted to the shapes and dtypes that the node declares.
"""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.dtype import dtype

HOST_FUNCTIONS: dict[str, Callable[..., Any]] = {}

F = TypeVar("F", bound="Callable[..., Any]")


def host_function(name: str) -> Callable[[F], F]:
    """Register a NumPy-level function under `name`."""

    def register(function: F) -> F:
        if name in HOST_FUNCTIONS:
            raise ValueError(f"host function {name!r} is declared twice")
        HOST_FUNCTIONS[name] = function
        return function

    return register


@host_function("reinterpret")
def _reinterpret(array: np.ndarray, target: dtype) -> np.ndarray:
    """The bytes of a 1-d array as another dtype."""
    return np.ascontiguousarray(array).view(target.numpy)
