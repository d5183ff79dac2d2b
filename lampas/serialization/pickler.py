"""The pickler: writes objects under PyTorch's names, so that PyTorch reads them.

Tensors, parameters, dtypes, sizes and devices become calls of PyTorch's rebuilding functions, which
are written by name without being imported. A storage is written once, as a persistent identifier;
its bytes go into a record of their own. Classes of ours are written under their PyTorch path.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any, ClassVar

import numpy as np

import lampas
from lampas.engine.dtype import dtype
from lampas.engine.shape import Size
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.storage import Storage

_STORAGE_NAMES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}


class Name:
    """A global name to be written as it is."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __call__(self) -> None:
        raise TypeError(f"{self.module}.{self.name} is only a name")


_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_META = Name("torch._utils", "_rebuild_meta_tensor_no_storage")
_TYPED = Name("torch._tensor", "_rebuild_from_type_v2")
_CLASS = Name("torch", "Tensor")
_STATEFUL = Name("torch._utils", "_rebuild_parameter_with_state")
_PARAMETER = Name("torch._utils", "_rebuild_parameter")
_SIZE = Name("torch", "Size")
_DEVICE = Name("torch", "device")


class StoredBytes:
    """A storage on its way into a file; pickled as a persistent identifier."""

    def __init__(self, key: str, storage: Storage, kind: dtype) -> None:
        self.key = key
        self.storage = storage
        self.kind = kind
        self.numel = storage.node.numel

    def array(self) -> np.ndarray:
        """The elements, flat."""
        return self.storage.buffer().array(self.kind.numpy, (self.numel,))


# The stubs of the standard library leave it out.
_PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class Pickler(_PythonPickler):
    """Python's own pickler (the one written in Python, whose name writing can be replaced)."""

    dispatch: ClassVar[dict[Any, Any]] = dict(_PythonPickler.dispatch)

    def __init__(self, stream: Any, protocol: int) -> None:
        super().__init__(stream, protocol)
        self.storages: dict[int, StoredBytes] = {}

    def persistent_id(self, value: Any) -> Any:
        """Storages are written by identifier."""
        if not isinstance(value, StoredBytes):
            return None
        name = Name("torch", _STORAGE_NAMES[value.kind.name])
        return ("storage", name, value.key, "cpu", value.numel)

    def reducer_override(self, value: Any) -> Any:
        """How our own types are written."""
        if isinstance(value, Tensor):
            return self._reduce_tensor(value)
        if isinstance(value, Size):
            return _SIZE, (tuple(value),)
        if isinstance(value, lampas.device):
            index = getattr(value, "index", None)
            return _DEVICE, (value.type,) if index is None else (value.type, index)
        return NotImplemented

    def _reduce_tensor(self, tensor: Tensor) -> Any:
        state = {name: value for name, value in vars(tensor).items() if name[:1] != "_"}
        if isinstance(tensor, lampas.nn.Parameter) and type(tensor) is not Tensor:
            parts = (tensor.data, tensor.requires_grad, OrderedDict())
            return (_PARAMETER, parts) if not state else (_STATEFUL, (*parts, state))
        function, arguments = self._reduce_plain(tensor)
        if state:
            return _TYPED, (function, _CLASS, arguments, state)
        return function, arguments

    def _reduce_plain(self, tensor: Tensor) -> tuple[Name, tuple[Any, ...]]:
        """The tensor without the attributes that the program has set on it."""
        shape, strides = tuple(tensor._shape), tuple(tensor._layout())
        if tensor.is_meta:
            return _META, (tensor.dtype, shape, strides, tensor.requires_grad)
        stored = self._stored(tensor)
        hooks: OrderedDict[Any, Any] = OrderedDict()
        return _TENSOR, (stored, tensor._offset, shape, strides, tensor.requires_grad, hooks)

    def _stored(self, tensor: Tensor) -> StoredBytes:
        storage = tensor._storage
        known = self.storages.get(id(storage))
        if known is None:
            known = StoredBytes(str(len(self.storages)), storage, tensor.dtype)
            self.storages[id(storage)] = known
        return known

    def _write_name(self, value: Name) -> None:
        text = f"{value.module}\n{value.name}\n".encode()
        self.write(pickle.GLOBAL + text)
        self.memoize(value)

    def save_name(self, value: Name) -> None:
        """Writes a name; equal names share one entry of the memo."""
        same = self._names.setdefault((value.module, value.name), value)
        known = self.memo.get(id(same))
        if known is not None:
            self.write(self.get(known[0]))
        else:
            self._write_name(same)

    @property
    def _names(self) -> dict[tuple[str, str], Name]:
        return self.__dict__.setdefault("_name_table", {})

    def save_dtype(self, value: dtype) -> None:
        """A dtype is a name in torch."""
        self.save_name(Name("torch", value.name))

    def save_global(self, value: Any, name: str | None = None) -> None:
        """Classes and functions of ours go under their PyTorch path."""
        module = getattr(value, "__module__", None)
        qualified = name or getattr(value, "__qualname__", "")
        if (
            isinstance(module, str)
            and (module + ".").startswith("lampas.")
            and "." not in qualified
        ):
            self.save_name(Name("torch" + module[len("lampas") :], qualified))
            return
        super().save_global(value, name)

    dispatch[Name] = save_name
    dispatch[dtype] = save_dtype
    dispatch[type] = lambda self, value: self._save_type(value)

    def _save_type(self, value: type) -> None:
        if (value.__module__ + ".").startswith("lampas."):
            self.save_global(value)
        else:
            self.save_type(value)
