"""Making tensors: from data, from values, from ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.dtype import (
    bool_,
    complex64,
    complex128,
    dtype,
    float64,
    from_numpy_dtype,
    get_default_dtype,
    int64,
)
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.engine.tensor.conversion import array_of, cast, from_numpy
from lampas.engine.tensor.core import Tensor, share, wrap
from lampas.engine.tensor.declare import method, public
from lampas.engine.tensor.device import CPU, META, resolve_device
from lampas.engine.tensor.operands import is_number, number, plain_number
from lampas.engine.tensor.storage import storage_of_array

if TYPE_CHECKING:
    from collections.abc import Sequence


# From data ----------------------------------------------------------------------------------------


@public()
def tensor(
    data: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with a copy of `data`: nested sequences, numbers, NumPy arrays, tensors.

    Python floats take the default dtype, integers int64.  ValueError for ragged sequences, TypeError for
    what is no number.

    >>> tensor([[1, 2], [3, 4]]).shape
    torch.Size([2, 2])
    """
    if isinstance(data, Tensor):
        result = _copied(data, dtype)
    else:
        array, kind = _array_from(data, dtype)
        result = _from_private(array, kind)
    place = resolve_device(device)
    if place is META:
        result = wrap(Node(result._node.op, (), (), result._shape, result.dtype), META)
    result.requires_grad = requires_grad
    return result


def _copied(source: Tensor, kind: dtype | None) -> Tensor:
    import warnings

    warnings.warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() "
        "or sourceTensor.detach().clone().requires_grad_(True), rather than "
        "torch.tensor(sourceTensor).",
        UserWarning,
        stacklevel=3,
    )
    copy = share(source).clone()
    return cast(copy, kind) if kind is not None else copy


def _from_private(array: np.ndarray, kind: dtype) -> Tensor:
    storage = storage_of_array(array, kind, CPU)
    result = wrap(storage.node, CPU)
    result._storage = storage
    return result


def _array_from(data: Any, kind: dtype | None) -> tuple[np.ndarray, dtype]:
    """A fresh C-ordered array of the data, and its dtype."""
    if isinstance(data, str):
        raise _unknown_data(data)
    if isinstance(data, np.ndarray):
        found = kind or from_numpy_dtype(data.dtype)
        return np.array(data, dtype=found.numpy, order="C"), found
    if is_number(data):
        found = kind or number_dtype(data)
        return _checked_array(data, found), found
    if isinstance(data, (list, tuple, range)) or hasattr(data, "__len__"):
        if hasattr(data, "__array__") and not isinstance(data, (list, tuple)):
            return _array_from(np.asarray(data), kind)
        shape = _sequence_shape(data)
        leaf = _first_leaf(data)
        found = kind or _sequence_dtype(data, leaf)
        plain = (
            _plain(data) if isinstance(leaf, (Tensor, np.ndarray)) or _has_tensors(data) else data
        )
        return _checked_array(plain, found).reshape(shape), found
    if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        return _array_from(np.asarray(data), kind)
    raise _unknown_data(data)


def _unknown_data(data: Any) -> Exception:
    if isinstance(data, str):
        return TypeError("new(): invalid data type 'str'")
    return RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def number_dtype(value: Any) -> dtype:
    if isinstance(value, np.generic):
        return from_numpy_dtype(value.dtype)
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return get_default_dtype()
    return complex128 if get_default_dtype() is float64 else complex64


def _checked_array(data: Any, kind: dtype) -> np.ndarray:
    try:
        if kind is bool_:
            return np.array(data).astype(bool)
        wide = np.array(data)
        if wide.dtype.kind == "c" and not kind.is_complex and is_number(data):
            raise TypeError("can't convert complex to a real dtype")
        if wide.dtype.kind == "O":
            raise _bad_leaf(data)
        if kind.is_floating_point or kind.is_complex:
            return np.array(data, dtype=kind.numpy, order="C")
        return np.trunc(wide).astype(kind.numpy) if wide.dtype.kind == "f" else _whole(wide, kind)
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None


def _whole(wide: np.ndarray, kind: dtype) -> np.ndarray:
    return wide.astype(kind.numpy, order="C")


def _bad_leaf(data: Any) -> Exception:
    leaf = _first_leaf(data)
    if isinstance(leaf, int):
        return ValueError("Overflow when unpacking long long")
    if isinstance(leaf, str):
        return ValueError("too many dimensions 'str'")
    return TypeError(f"not a sequence or a number: {type(leaf).__name__}")


def _sequence_shape(data: Any) -> tuple[int, ...]:
    """The shape of nested sequences; ValueError where they are ragged."""
    shape: list[int] = []
    level = data
    while not is_number(level):
        if isinstance(level, (Tensor, np.ndarray)):
            shape.extend(level.shape)
            break
        if isinstance(level, str):
            raise ValueError("too many dimensions 'str'")
        try:
            length = len(level)
        except TypeError:
            raise _unknown_data(level) from None
        shape.append(length)
        if not length:
            break
        level = level[0]
    _check_lengths(data, shape, 0)
    return tuple(shape)


def _check_lengths(data: Any, shape: list[int], dim: int) -> None:
    if dim == len(shape):
        if not is_number(data) and not (isinstance(data, Tensor) and not data._shape):
            raise TypeError(f"expected a number at depth {dim}, got {type(data).__name__}")
        return
    if is_number(data):
        raise TypeError(f"expected a sequence at dim {dim}, got {type(data).__name__}")
    if isinstance(data, (Tensor, np.ndarray)):
        if list(data.shape) != shape[dim:]:
            raise ValueError(
                f"expected sequence of length {shape[dim]} at dim {dim} (got {len(data)})"
            )
        return
    if len(data) != shape[dim]:
        raise ValueError(f"expected sequence of length {shape[dim]} at dim {dim} (got {len(data)})")
    if dim + 1 == len(shape) and all(type(item) in (float, int, bool) for item in data):
        return
    for item in data:
        _check_lengths(item, shape, dim + 1)


def _first_leaf(data: Any) -> Any:
    while isinstance(data, (list, tuple, range)) and len(data):
        data = data[0]
    return data


def _has_tensors(data: Any) -> bool:
    if isinstance(data, Tensor):
        return True
    return isinstance(data, (list, tuple)) and any(_has_tensors(item) for item in data)


def _plain(data: Any) -> Any:
    """Tensors inside the sequences as arrays."""
    if isinstance(data, Tensor):
        return array_of(data)
    if isinstance(data, (list, tuple)):
        return [_plain(item) for item in data]
    return data


def _sequence_dtype(data: Any, leaf: Any) -> dtype:
    if isinstance(leaf, Tensor):
        return leaf.dtype
    if isinstance(leaf, (np.ndarray, np.generic)):
        return from_numpy_dtype(leaf.dtype)
    kind = np.array(_plain(data) if _has_tensors(data) else data).dtype.kind
    if kind == "b":
        return bool_
    if kind in "iu":
        return int64
    if kind == "c":
        return number_dtype(1j)
    return get_default_dtype()


@public("asarray")
def as_tensor(data: Any, dtype: dtype | None = None, device: Any = None, **options: Any) -> Tensor:
    """A tensor over `data`'s memory where that is possible (tensors, NumPy arrays), else a copy."""
    if isinstance(data, Tensor):
        result = data
    elif isinstance(data, np.ndarray) and all(step >= 0 for step in data.strides):
        result = from_numpy(data)
    else:
        result = tensor(data, dtype=dtype)
    if dtype is not None:
        result = cast(result, dtype)
    result = result.to(resolve_device(device)) if device is not None else result  # type: ignore[attr-defined]
    if options.get("copy"):
        result = result.clone()  # type: ignore[attr-defined]
    if options.get("requires_grad"):
        result.requires_grad_()
    return result


@public()
def scalar_tensor(s: Any, *, dtype: dtype | None = None, device: Any = None, **_: Any) -> Tensor:
    """A 0-d tensor of a number."""
    return full((), s, dtype=dtype or get_default_dtype(), device=device)


@public()
def frombuffer(
    buffer: Any, *, dtype: dtype, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A 1-d tensor over the memory of an object with the buffer protocol."""
    array = np.frombuffer(buffer, dtype=dtype.numpy, count=count, offset=offset)
    result = from_numpy(array) if dtype.name != "bfloat16" else _from_private(array.copy(), dtype)
    result.requires_grad = requires_grad
    return result


# Filled with values -------------------------------------------------------------------------------


def parse_size(name: str, size: Sequence[Any]) -> tuple[int, ...]:
    """The shape that `f(2, 3)`, `f((2, 3))` or `f(size)` means; RuntimeError for negative sizes."""
    if len(size) == 1 and not isinstance(size[0], int) and hasattr(size[0], "__len__"):
        size = size[0]
    try:
        shape = tuple([each if type(each) is int else each.__index__() for each in size])
    except (TypeError, AttributeError):
        kinds = ", ".join(type(each).__name__ for each in size)
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({kinds}), but "
            "expected (tuple of ints size, *, ...)"
        ) from None
    if any(each < 0 for each in shape):
        raise RuntimeError(
            f"{name}: Trying to create tensor with negative dimension "
            f"{next(each for each in shape if each < 0)}: {list(shape)}"
        )
    return shape


def make(node: Node, place: Any, requires_grad: bool = False) -> Tensor:
    """A new leaf for a node, on the device that `place` names."""
    target = resolve_device(place)
    result = wrap(node, target)
    if requires_grad:
        result.requires_grad = True
    return result


def _filled(
    shape: tuple[int, ...], value: Any, kind: dtype, place: Any, requires_grad: bool
) -> Tensor:
    return make(g.full(shape, value, kind), place, requires_grad)


@public()
def zeros(
    *size: Any,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Zeros of a shape, given as `zeros(2, 3)` or `zeros((2, 3))`."""
    shape = parse_size("zeros", size)
    if out is not None:
        return out.resize_(shape).zero_()  # type: ignore[attr-defined]
    return _filled(shape, 0, dtype or get_default_dtype(), device, requires_grad)


@public()
def ones(
    *size: Any,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Ones of a shape."""
    shape = parse_size("ones", size)
    if out is not None:
        return out.resize_(shape).fill_(1)  # type: ignore[attr-defined]
    return _filled(shape, 1, dtype or get_default_dtype(), device, requires_grad)


@public()
def empty(
    *size: Any,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor whose values mean nothing yet (here they are zeros)."""
    shape = parse_size("empty", size)
    if out is not None:
        return out.resize_(shape)  # type: ignore[attr-defined]
    return _filled(shape, 0, dtype or get_default_dtype(), device, requires_grad)


@public()
def empty_strided(
    size: Sequence[int],
    stride: Sequence[int],
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """An uninitialised tensor with the given strides."""
    span = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else 0
    base = empty((span,), dtype=dtype, device=device)
    result = base.as_strided(tuple(size), tuple(stride))  # type: ignore[attr-defined]
    result.requires_grad = requires_grad
    return result


@public()
def full(
    size: Sequence[int],
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """One value everywhere; its kind decides the dtype if none is given."""
    shape = parse_size("full", (size,))
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()  # type: ignore[attr-defined]
    if out is not None:
        return out.resize_(shape).fill_(fill_value)  # type: ignore[attr-defined]
    kind = dtype or number_dtype(plain_number(fill_value))
    node = g.expand(g.cast(number(fill_value), kind), shape)
    return make(node, device, requires_grad)


def _like(name: str, value: Any) -> Any:
    def function(
        input: Tensor,
        *,
        dtype: dtype | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
    ) -> Tensor:
        kind = dtype or input.dtype
        place = input._storage.device if device is None else device
        return _filled(input._shape, value, kind, place, requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"A tensor like input filled with {value}."
    return public()(function)


zeros_like = _like("zeros_like", 0)
ones_like = _like("ones_like", 1)
empty_like = _like("empty_like", 0)


@public()
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **_: Any,
) -> Tensor:
    """A tensor like input with one value everywhere."""
    place = input._storage.device if device is None else device
    return full(
        input._shape,
        fill_value,
        dtype=dtype or input.dtype,
        device=place,
        requires_grad=requires_grad,
    )


def _new(name: str, function: Any) -> None:
    def create(
        self: Tensor, *args: Any, dtype: Any = None, device: Any = None, **options: Any
    ) -> Tensor:
        place = self._storage.device if device is None else device
        return function(*args, dtype=dtype or self.dtype, device=place, **options)

    create.__name__ = name
    create.__doc__ = f"`{function.__name__}` with the tensor's dtype and device."
    method(name)(create)


_new("new_zeros", zeros)
_new("new_ones", ones)
_new("new_empty", empty)
_new("new_full", full)
_new("new_tensor", tensor)
_new("new_empty_strided", empty_strided)
