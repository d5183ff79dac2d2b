"""The declaration of a public operation: one function gives everything under which users know it.

    @public(method=True, inplace=True, out=True)
    def sigmoid(input: Tensor) -> Tensor: ...

makes the function `lampas.sigmoid` (with `out=`), the method `Tensor.sigmoid` and the in-place method
`Tensor.sigmoid_` (function too, with `inplace="both"`).  `PUBLIC` lists every declaration; the tests are
parametrised from it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, final

from lampas.engine.derive.tape import OperationGrad
from lampas.engine.derive.trail import Mark
from lampas.engine.dtype import can_cast
from lampas.engine.tensor.autocast import wrap as wrap_for_autocast
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.grad_mode import grad_mode

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


@final
class Declaration(NamedTuple):
    """A public operation and the forms in which it exists."""

    name: str
    function: Callable[..., Any]
    namespace: str
    method: bool
    inplace: bool
    out: bool


PUBLIC: dict[str, Declaration] = {}


def public(
    *names: str,
    namespace: str = "",
    method: bool = False,
    inplace: bool = False,
    out: bool = False,
) -> Callable[[F], F]:
    """Declare a function as public under its own name and any further `names`.

    `namespace` is "" for `lampas.name`, or "linalg", "fft", "special", "nn.functional".  With
    `method`, `Tensor.name` exists; with `inplace`, `Tensor.name_` and the function `name_`; with `out`,
    the function takes `out=`.
    """

    def declare(function: F) -> F:
        prefix = f"{namespace}." if namespace in ("fft", "linalg") else ""
        function = wrap_for_autocast(prefix + function.__name__.rstrip("_"), function)
        for name in (function.__name__.rstrip("_") if not names else function.__name__, *names):
            _declare(function, name, namespace, method, inplace, out)
        return function

    return declare


def _declare(
    function: Callable[..., Any], name: str, namespace: str, method: bool, inplace: bool, out: bool
) -> None:
    exported = with_out(function, name) if out else function
    place = f"{namespace}.{name}" if namespace else name
    PUBLIC[place] = Declaration(name, exported, namespace, method, inplace, out)
    if method:
        setattr(Tensor, name, function)
    if inplace:
        written = in_place(function, f"{name}_")
        setattr(Tensor, f"{name}_", written)
        if not namespace:
            PUBLIC[f"{name}_"] = Declaration(f"{name}_", written, "", True, False, False)


def method(*names: str) -> Callable[[F], F]:
    """Attach a function to `Tensor` as a method only."""

    def attach(function: F) -> F:
        for name in names or (function.__name__,):
            setattr(Tensor, name, function)
        return function

    return attach


def with_out(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function with PyTorch's `out=` argument (a tensor, or a tuple for several results)."""

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return result if out is None else store_out(name, result, out)

    call.__name__ = name
    return call


def store_out(name: str, result: Any, out: Any) -> Any:
    """Write a result, or a tuple of results, into the tensors given as `out=`."""
    if isinstance(result, tuple):
        for value, target in zip(result, out, strict=True):
            _store(name, value, target)
        return type(result)(*out) if hasattr(result, "_fields") else tuple(out)
    _store(name, result, out)
    return out


def _store(name: str, value: Tensor, target: Tensor) -> None:
    if not isinstance(target, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(target).__name__}")
    if grad_mode.enabled and (value.requires_grad or target.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic "
            "differentiation, but one of the arguments requires grad."
        )
    if not can_cast(value.dtype, target.dtype):
        raise RuntimeError(
            f"result type {value.dtype.title} can't be cast to the desired output type "
            f"{target.dtype.title}"
        )
    if any(n > 1 and step == 0 for n, step in zip(target._shape, target._layout(), strict=True)):
        raise RuntimeError(
            f"{name}(): unsupported operation: more than one element of the written-to tensor "
            "refers to a single memory location. Please clone() the tensor before performing the "
            "operation."
        )
    if target._shape != value._shape:
        target.resize_(value._shape)  # type: ignore[attr-defined]
    target.copy_(value)  # type: ignore[attr-defined]


def in_place(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The form of an operation that overwrites its first argument with the result."""

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return overwrite(self, function(self, *args, **kwargs), name)

    call.__name__ = name
    call.__qualname__ = f"Tensor.{name}"
    call.__doc__ = f"In-place form of `{name[:-1]}`: overwrites the tensor and returns it."
    return call


def overwrite(tensor: Tensor, result: Tensor, name: str) -> Tensor:
    """Make `result`, computed from `tensor`, its new value, if that is allowed."""
    check_in_place(tensor, name)
    return assign(tensor, result, name)


def check_in_place(tensor: Tensor, name: str) -> None:
    """Refuse to overwrite what the tape needs as it is."""
    if grad_mode.enabled and tensor._requires_grad and tensor.is_leaf:
        raise RuntimeError(
            f"{name}: a leaf Variable that requires grad is being used in an in-place operation."
        )
    base = tensor._base
    if base is None:
        return
    if grad_mode.enabled and base._requires_grad and base.is_leaf:
        raise RuntimeError(
            f"{name}: a view of a leaf Variable that requires grad is being used in an in-place "
            "operation."
        )
    strides = tensor._layout()
    if any(step == 0 and size > 1 for step, size in zip(strides, tensor._shape, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )


def assign(tensor: Tensor, result: Tensor, name: str) -> Tensor:
    """Make `result` the new value of `tensor`, dtype and shape staying."""
    if result._shape != tensor._shape:
        raise RuntimeError(
            f"{name}: output with shape {list(tensor._shape)} doesn't match the broadcast shape "
            f"{list(result._shape)}"
        )
    if result.dtype is not tensor.dtype:
        if not can_cast(result.dtype, tensor.dtype):
            raise RuntimeError(
                f"result type {result.dtype.title} can't be cast to the desired output type "
                f"{tensor.dtype.title}"
            )
        result = result.to(tensor.dtype)  # type: ignore[attr-defined]
    if grad_mode.enabled:
        edge = result._edge
        if type(edge) is Mark:
            tensor._write(result._value(), edge)
            trail = edge.trail
            if trail.entries is None:
                trail.move_guards(edge.place, tensor._storage, result._storage)
            else:
                _move_guards(trail.entries[edge.place], tensor, result)
            return tensor
        edge = result._tape_edge()
        tensor._write(result._value(), edge)
        if edge is not None and isinstance(edge.node, OperationGrad):
            _move_guards(edge.node, tensor, result)
    else:
        tensor._write(result._value(), None, recorded=False)
    return tensor


def _move_guards(entry: OperationGrad, tensor: Tensor, result: Tensor) -> None:
    """After an in-place operation: its old input is kept as a value, its result is the tensor now."""
    ours, made = tensor._storage, result._storage
    moved = []
    for storage, version in entry.guards or ():
        if storage is ours:
            moved.append((None, 0))
        elif storage is made:
            moved.append((ours, ours.version))
        else:
            moved.append((storage, version))
    entry.guards = tuple(moved)
