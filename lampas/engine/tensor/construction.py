"""The class as a constructor: `Tensor(2, 3)`, `Tensor([1.0, 2.0])`, subclasses of `Tensor`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lampas.engine.dtype import DTYPES, get_default_dtype
from lampas.engine.tensor.conversion import cast
from lampas.engine.tensor.core import Tensor, share
from lampas.engine.tensor.creation import empty, tensor
from lampas.engine.tensor.declare import method


def construct(kind: type, *args: Any, device: Any = None, **options: Any) -> Any:
    """`kind(*sizes)` is uninitialised, `kind(data)` takes the data as the default dtype."""
    options.pop("dtype", None)
    options.pop("requires_grad", None)
    if len(args) == 1 and isinstance(args[0], Tensor):
        if args[0].dtype is not get_default_dtype() and kind is Tensor:
            raise TypeError(
                f"expected {get_default_dtype()} (got {args[0].dtype}): Tensor(other) takes a "
                "tensor of the default dtype; use other.to(dtype)"
            )
        return share(args[0], kind)
    if len(args) == 1 and isinstance(args[0], (list, tuple, np.ndarray)) and not _is_size(args[0]):
        return share(tensor(args[0], dtype=get_default_dtype(), device=device), kind)
    return share(empty(*(args or (0,)), device=device), kind)


def _is_size(value: Any) -> bool:
    return type(value).__name__ == "Size"


def _new(cls: type, *args: Any, **options: Any) -> Any:
    return construct(cls, *args, **options)


def _make_subclass(cls: type, data: Tensor, require_grad: bool = False, **_: Any) -> Any:
    """A tensor of class `cls` over data's storage, a leaf."""
    made = share(data, cls)
    if require_grad:
        made.requires_grad = True
    return made


Tensor.__new__ = staticmethod(_new)  # type: ignore[assignment]
Tensor.__init__ = lambda self, *args, **options: None  # type: ignore[misc, method-assign]
Tensor._make_subclass = staticmethod(_make_subclass)  # type: ignore[attr-defined]


@method()
def as_subclass(self: Tensor, cls: type) -> Any:
    """The same tensor as an instance of a subclass."""
    made = share(self, cls)
    made._edge, made._requires_grad = self._edge, self._requires_grad
    return made


def _define_typed(title: str, kind: Any) -> Any:
    """`FloatTensor(…)` and its like: constructors of one dtype, and names for `isinstance`."""

    class TypedMeta(type):
        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, Tensor) and value.dtype is kind

    def make(cls: type, *args: Any, **options: Any) -> Tensor:
        if len(args) == 1 and isinstance(args[0], (list, tuple, np.ndarray)):
            return tensor(args[0], dtype=kind)
        return cast(empty(*(args or (0,))), kind)

    return TypedMeta(f"{title}Tensor", (), {"__new__": make, "dtype": kind})


def typed_constructors() -> dict[str, Any]:
    """FloatTensor, LongTensor, … by name."""
    return {
        f"{kind.title}Tensor": _define_typed(kind.title, kind)
        for kind in DTYPES.values()
        if kind.name not in ("complex32", "uint16", "uint32", "uint64")
    }
