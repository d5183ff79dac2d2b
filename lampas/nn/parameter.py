"""Tensors that a module owns: `Parameter` is trained, `Buffer` is state, and their lazy forms.

A lazy ("uninitialized") parameter has a dtype but no shape until the module has seen its first
input; `materialize` gives it memory and turns it into the ordinary class in place, so that every
reference to it (an optimizer's too) stays valid.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from lampas.engine.tensor import Tensor, empty
from lampas.engine.tensor.core import share

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]


def _share(data: Tensor, kind: type, requires_grad: bool) -> Any:
    """A tensor of class `kind` over the memory of `data`, a leaf of the tape."""
    if not isinstance(data, Tensor):
        raise TypeError(
            f"{kind.__name__}(): argument 'data' must be Tensor, not {type(data).__name__}"
        )
    made = share(data, kind)
    made.requires_grad = requires_grad
    return made


class Parameter(Tensor):
    """A tensor that registers itself as trainable when it is assigned to a module's attribute.

    Shares the memory of `data` (any shape and dtype); without `data` it is empty.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        return _share(data, cls, requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + repr(_share(self, Tensor, self.requires_grad))

    __str__ = __repr__

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild_parameter, (self.detach(), self.requires_grad, OrderedDict())


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Parameter:
    return Parameter(data, requires_grad)


class Buffer(Tensor):
    """A tensor that registers itself as a buffer when it is assigned to a module's attribute."""

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = empty(0)
        result = _share(data, cls, data.requires_grad)
        result.persistent = persistent
        return result

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) in memo:
            return memo[id(self)]
        result = Buffer(self.detach().clone(), persistent=self.persistent)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild_buffer, (self.detach(), self.persistent)


def _rebuild_buffer(data: Tensor, persistent: bool) -> Buffer:
    return Buffer(data, persistent=persistent)


class UninitializedTensorMixin:
    """What lazy parameters and buffers share: no shape, and `materialize`."""

    cls_to_become: type = Tensor

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give the tensor memory of `shape` and make it an ordinary parameter or buffer."""
        tensor: Any = self
        device = tensor.data.device if device is None else device
        dtype = tensor.data.dtype if dtype is None else dtype
        tensor.data = empty(shape, device=device, dtype=dtype)
        tensor.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. "
            "This error usually happens in `load_state_dict` when trying to load "
            "an uninitialized parameter into an initialized one. "
            "Call `forward` to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self) -> Any:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. "
            "Call `forward` to initialize the parameters before calling "
            "`module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        tensor: Any = self
        return type(self), (tensor.requires_grad,)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape the first forward pass will settle."""

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        data = empty(0, device=device, dtype=dtype)
        return _share(data, cls, requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedParameter:
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        memo[id(self)] = result
        return result


class UninitializedBuffer(UninitializedTensorMixin, Buffer):
    """A buffer whose shape the first forward pass will settle."""

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> UninitializedBuffer:
        data = empty(0, device=device, dtype=dtype)
        result = _share(data, cls, requires_grad)
        result.persistent = persistent
        return result

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        pass

    cls_to_become = Buffer


def is_lazy(tensor: Any) -> bool:
    """Whether `tensor` is a parameter or buffer that has no shape yet."""
    return isinstance(tensor, UninitializedTensorMixin)
