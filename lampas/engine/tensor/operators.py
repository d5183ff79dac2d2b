"""Python's operators on tensors, and the small questions about shape: `a + b`, `len(a)`, `a.size(0)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.device.background import finish
from lampas.engine.shape import Size, normalize_dim
from lampas.engine.tensor import arithmetic, comparison, contraction, parts, pointwise
from lampas.engine.tensor.conversion import from_numpy
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC, method, public
from lampas.engine.tensor.operands import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _declared(name: str) -> Callable[..., Any]:
    """The function of an operation that its family defines by a table."""
    return PUBLIC[name].function


def _operand(value: Any) -> Any:
    """What an operator can work with, or NotImplemented."""
    if isinstance(value, Tensor) or is_number(value):
        return value
    return (
        from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else NotImplemented
    )


def _operator(name: str, function: Callable[..., Any], *, swapped: bool = False) -> None:
    def apply(self: Tensor, other: Any) -> Any:
        if not isinstance(other, Tensor) and type(other) is not float and type(other) is not int:
            other = _operand(other)
            if other is NotImplemented:
                return NotImplemented
        return function(self, other)

    def apply_swapped(self: Tensor, other: Any) -> Any:
        other = _operand(other)
        return NotImplemented if other is NotImplemented else function(other, self)

    chosen = apply_swapped if swapped else apply
    chosen.__name__ = name
    setattr(Tensor, name, chosen)


def _times(other: Any, self: Tensor) -> Tensor:
    """A number stands on the right, where a half tensor does not round it."""
    return arithmetic.mul(self, other)


def _over(other: Any, self: Tensor) -> Tensor:
    """1 / self, rounded, times the number: as PyTorch divides by a tensor."""
    return arithmetic.mul(_declared("reciprocal")(self), other)


def _in_place_operator(name: str, attribute: str) -> None:
    def apply(self: Tensor, other: Any) -> Any:
        other = _operand(other)
        return NotImplemented if other is NotImplemented else getattr(self, attribute)(other)

    apply.__name__ = name
    setattr(Tensor, name, apply)


_SWAPPED: dict[str, Callable[..., Any]] = {"mul": _times, "truediv": _over}

for _symbol, _function in (
    ("add", arithmetic.add),
    ("sub", arithmetic.sub),
    ("mul", arithmetic.mul),
    ("truediv", arithmetic.div),
    ("floordiv", arithmetic.floor_divide),
    ("mod", arithmetic.remainder),
    ("pow", arithmetic.pow),
    ("and", _declared("bitwise_and")),
    ("or", _declared("bitwise_or")),
    ("xor", _declared("bitwise_xor")),
    ("lshift", _declared("bitwise_left_shift")),
    ("rshift", _declared("bitwise_right_shift")),
    ("matmul", contraction.matmul),
):
    _operator(f"__{_symbol}__", _function)
    _operator(f"__r{_symbol}__", _SWAPPED.get(_symbol, _function), swapped=True)

for _symbol, _function in (
    ("eq", _declared("eq")),
    ("ne", _declared("ne")),
    ("lt", _declared("lt")),
    ("le", _declared("le")),
    ("gt", _declared("gt")),
    ("ge", _declared("ge")),
):
    _operator(f"__{_symbol}__", _function)

for _symbol, _attribute in (
    ("add", "add_"),
    ("sub", "sub_"),
    ("mul", "mul_"),
    ("truediv", "div_"),
    ("floordiv", "floor_divide_"),
    ("mod", "remainder_"),
    ("pow", "pow_"),
    ("and", "bitwise_and_"),
    ("or", "bitwise_or_"),
    ("xor", "bitwise_xor_"),
    ("lshift", "bitwise_left_shift_"),
    ("rshift", "bitwise_right_shift_"),
):
    _in_place_operator(f"__i{_symbol}__", _attribute)

Tensor.__neg__ = pointwise.neg  # type: ignore[attr-defined]
Tensor.__pos__ = pointwise.positive  # type: ignore[attr-defined]
Tensor.__abs__ = pointwise.abs  # type: ignore[attr-defined]
Tensor.__invert__ = comparison.bitwise_not  # type: ignore[attr-defined]
Tensor.__hash__ = object.__hash__  # type: ignore[method-assign]


@method()
def __len__(self: Tensor) -> int:
    if not self._shape:
        raise TypeError("len() of a 0-d tensor")
    return self._shape[0]


@method()
def __iter__(self: Tensor) -> Iterator[Tensor]:
    if not self._shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter(parts.unbind(self, 0))


@method()
def __reversed__(self: Tensor) -> Tensor:
    return self if not self._shape else self.flip(0)  # type: ignore[attr-defined]


@method()
def __contains__(self: Tensor, element: Any) -> bool:
    if not isinstance(element, Tensor) and not is_number(element):
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )
    return bool(_declared("eq")(self, element).any())  # type: ignore[attr-defined]


@method()
def size(self: Tensor, dim: int | None = None) -> Any:
    """The sizes, or the size of one dimension."""
    return Size(self._shape) if dim is None else self._shape[normalize_dim(dim, len(self._shape))]


@method()
def stride(self: Tensor, dim: int | None = None) -> Any:
    """The strides in elements, or that of one dimension."""
    layout = self._layout()
    return layout if dim is None else layout[normalize_dim(dim, len(layout))]


@method("dim", "ndimension")
def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return len(self._shape)


@public()
def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._node_count()


method("numel", "nelement")(numel)


@method()
def storage_offset(self: Tensor) -> int:
    """Where in the storage the first element lies."""
    return self._offset


@method()
def element_size(self: Tensor) -> int:
    """Bytes of one element."""
    return self.dtype.itemsize


@method()
def data_ptr(self: Tensor) -> int:
    """The address of the first element of the current value; a write may move it."""
    buffer = self._storage.buffer()
    finish()  # nobody can tell when the address will be used
    return buffer.pointer + self._offset * self.dtype.itemsize


@method()
def get_device(self: Tensor) -> int:
    """-1: the processor."""
    return -1


@public(method=True)
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    return input.dtype.is_floating_point


@public(method=True)
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    return input.dtype.is_complex


@public(method=True)
def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative values."""
    return input.dtype.is_signed


@public()
def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


@public(method=True)
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape."""
    return input._shape == other._shape


@method()
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether two tensors are the same reading of the same storage."""
    return (
        self._storage is tensor._storage
        and self._shape == tensor._shape
        and self._layout() == tensor._layout()
        and self._offset == tensor._offset
    )


for _name, _value in (
    ("nbytes", lambda self: self._node_count() * self.dtype.itemsize),
    ("itemsize", lambda self: self.dtype.itemsize),
    ("is_cuda", lambda self: False),
    ("is_cpu", lambda self: not self.is_meta),
    ("is_sparse", lambda self: False),
    ("is_sparse_csr", lambda self: False),
    ("is_quantized", lambda self: False),
    ("is_nested", lambda self: False),
    ("is_mps", lambda self: False),
    ("is_xpu", lambda self: False),
    ("is_mkldnn", lambda self: False),
    ("name", lambda self: None),
    ("names", lambda self: (None,) * len(self._shape)),
):
    setattr(Tensor, _name, property(_value))

for _name, _value in (
    ("is_pinned", lambda self: False),
    ("pin_memory", lambda self: self),
    ("share_memory_", lambda self: self),
    ("is_shared", lambda self: False),
    ("is_inference", lambda self: False),
    ("is_neg", lambda self: False),
    ("is_conj", lambda self: False),
    ("resolve_neg", lambda self: self),
    ("dense_dim", lambda self: len(self._shape)),
    ("is_coalesced", lambda self: True),
):
    setattr(Tensor, _name, _value)
