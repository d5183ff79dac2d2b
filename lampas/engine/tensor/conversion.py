"""Tensors and the world outside: to other dtypes, devices, Python numbers, NumPy, DLPack; copies."""

from __future__ import annotations

import copy as copying
import ctypes
from typing import Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved, alias
from lampas.engine.dtype import ALIASES, DTYPES, dtype, from_numpy_dtype
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.engine.tensor.core import Tensor, share, wrap, wrap_view
from lampas.engine.tensor.declare import assign, check_in_place, method, public
from lampas.engine.tensor.device import CPU, META, device, resolve_device
from lampas.engine.tensor.door import record
from lampas.engine.tensor.layouts import in_format
from lampas.engine.tensor.operands import number
from lampas.engine.tensor.storage import Storage, storage_of_array

# Copies and casts ---------------------------------------------------------------------------------


def _copy_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    source = saved.inputs[0]
    if ct.dtype.is_complex and not source.dtype.is_complex:
        ct = g.real(ct)
    return (g.sum_to(g.cast(ct, source.dtype), source.shape),)


CLONE = Operation("clone", alias, vjp=_copy_vjp, saves="none")
TO_COPY = Operation("to_copy", g.cast, vjp=_copy_vjp, saves="none")
COPY = Operation(
    "copy",
    lambda source, shape, kind: g.expand(g.cast(source, kind), shape),
    vjp=_copy_vjp,
    grad_name="CopyBackwards",
    saves="none",
)
FILL = Operation(
    "fill",
    lambda x, value: g.expand(g.cast(value, x.dtype), x.shape),
    vjp=lambda saved, ct: (
        g.full(ct.shape, 0, ct.dtype),
        g.reshape(g.sum_dims(ct, range(len(ct.shape))), ()) if saved.needed[1] else None,
    ),
    saves="none",
)


@public(method=True)
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with a storage of its own, connected on the tape."""
    return record(CLONE, (input,))


@public(method=True)
def detach(input: Tensor) -> Tensor:
    """A tensor over the same storage that requires no gradient."""
    return share(input)


@method()
def detach_(self: Tensor) -> Tensor:
    """Cut the tensor from the tape, in place."""
    if self._base is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead.")
    self._edge = None
    self._requires_grad = False
    return self


@method()
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its memory is in the order asked for (row-major), else a copy that is."""
    if memory_format is not None and memory_format.channels_last:
        return in_format(self, memory_format)
    if self._strides is None or is_contiguous(self):
        return self
    return record(CLONE, (self,))


@public(method=True)
def is_contiguous(input: Tensor, memory_format: Any = None) -> bool:
    """Whether the memory is in row-major order."""
    if memory_format is not None and getattr(memory_format, "channels_last", False):
        return memory_format.matches(input._shape, input._layout())
    expected = 1
    for size, stride in zip(reversed(input._shape), reversed(input._layout()), strict=True):
        if size == 0:
            return True
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def cast(input: Tensor, kind: dtype) -> Tensor:
    """The tensor as another dtype; itself if it is that already."""
    return input if input._node.dtype is kind else record(TO_COPY, (input,), (kind,))


@method()
def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor with a dtype and/or device: `to(dtype)`, `to(device, dtype)`, `to(other)`.

    Returns the tensor itself when nothing changes and `copy` is not set.
    """
    kind, place, copy = parse_to("to", args, kwargs)
    result = self
    if kind is not None and kind is not self._node.dtype:
        result = record(TO_COPY, (self,), (kind,))
    if place is not None:
        target = resolve_device(place)
        if target is not self._storage.device:
            return _move(result, target)
    if kwargs.get("memory_format") is not None:
        result = in_format(result, kwargs["memory_format"])
    return record(CLONE, (self,)) if copy and result is self else result


def parse_to(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dtype | None, Any, bool]:
    """(dtype, device, copy) of the argument forms that `Tensor.to` and `Module.to` take."""
    kind: dtype | None = kwargs.get("dtype")
    place: Any = kwargs.get("device")
    copy = bool(kwargs.get("copy", False))
    other = kwargs.get("other")
    unknown = set(kwargs) - {"dtype", "device", "copy", "other", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument '{sorted(unknown)[0]}'")
    flags = []
    for argument in args:
        if isinstance(argument, dtype):
            kind = argument
        elif isinstance(argument, Tensor):
            other = argument
        elif isinstance(argument, bool):
            flags.append(argument)
        elif isinstance(argument, (device, str, int)):
            place = argument
        elif argument is not None:
            raise TypeError(
                f"{name}() received an invalid combination of arguments - got "
                f"({', '.join(type(given).__name__ for given in args)}), but expected a dtype, a "
                "device, a tensor, or a device and a dtype"
            )
    if other is not None:
        kind, place = other.dtype, other.device
    return kind, place, copy or (len(flags) > 1 and flags[1])


def _move(tensor: Tensor, target: device) -> Tensor:
    if target is META:
        return wrap(Node(tensor._node.op, (), (), tensor._shape, tensor.dtype), META)
    raise NotImplementedError("Cannot copy out of meta tensor; no data!")


def _caster(kind: dtype) -> Any:
    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        return cast(self, kind)

    convert.__doc__ = f"The tensor as {kind}."
    return convert


for _name in ("bool", "bfloat16"):
    method(_name)(_caster(DTYPES[_name]))
for _name, _kind in {**ALIASES, "byte": DTYPES["uint8"], "char": DTYPES["int8"]}.items():
    method(_name)(_caster(_kind))


@method()
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor in the processor's memory."""
    return to(self, CPU)


@method()
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """Raises AssertionError: this build has no CUDA, as PyTorch's CPU build says."""
    raise AssertionError("Torch not compiled with CUDA enabled")


@method()
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor as other's dtype."""
    return cast(self, other.dtype)


@method("type")
def type_of(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name "torch.FloatTensor" of the tensor's type, or the tensor as another dtype."""
    if dtype is None:
        return f"torch.{self._node.dtype.title}Tensor"
    if isinstance(dtype, str):
        title = dtype.removeprefix("torch.").removesuffix("Tensor")
        dtype = next(kind for kind in DTYPES.values() if kind.title == title)
    return cast(self, dtype)


@method()
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite with src's values, converted and broadcast."""
    check_in_place(self, "copy_")
    if not isinstance(src, Tensor):
        src = wrap(g.cast(number(src), self.dtype), self._storage.device)
    lead = len(self._shape) - len(src._shape)
    fits = lead >= 0 and all(
        size in (1, want) for size, want in zip(src._shape, self._shape[lead:], strict=True)
    )
    if not fits:
        raise RuntimeError(
            f"copy_: output with shape {list(self._shape)} doesn't match the broadcast shape of "
            f"the source, {list(src._shape)}"
        )
    return assign(self, record(COPY, (src,), (self._shape, self._node.dtype)), "copy_")


@public()
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like input with `value` everywhere."""
    given = value if isinstance(value, Tensor) else number(value)
    if isinstance(value, Tensor) and value._shape:
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with "
            f"{len(value._shape)} dimensions."
        )
    return record(FILL, (input, given))


@method()
def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite with one value."""
    check_in_place(self, "fill_")
    return assign(self, fill(self, value), "fill_")


@public()
def zero_(input: Tensor) -> Tensor:
    """Overwrite with zeros."""
    check_in_place(input, "zero_")
    return assign(input, fill(input, 0), "zero_")


method("zero_")(zero_)

# Python numbers -----------------------------------------------------------------------------------


def array_of(tensor: Tensor) -> np.ndarray:
    """The tensor's values as a NumPy array that must not be changed or kept across writes."""
    storage = tensor._storage
    if tensor._covers_storage():
        return storage.contents().reshape(tensor._shape)
    return storage.array(tensor.dtype, tensor._shape, tensor._layout(), tensor._offset)


# How a number lies in memory: reading one so is much quicker than making an array of it.
_READERS: dict[str, Any] = {
    "float32": ctypes.c_float, "float64": ctypes.c_double, "bool": ctypes.c_bool, "uint8": ctypes.c_uint8,
    "int8": ctypes.c_int8, "int16": ctypes.c_int16, "int32": ctypes.c_int32, "int64": ctypes.c_int64,
}  # fmt: skip


@method()
def item(self: Tensor) -> Any:
    """The single value as a Python number; RuntimeError if there are several."""
    if self._shape and self._node_count() != 1:
        raise RuntimeError(
            f"a Tensor with {self._node_count()} elements cannot be converted to Scalar"
        )
    kind = self._node.dtype
    reader = _READERS.get(kind.name)
    if reader is not None:
        address = self._storage.buffer().address() + self._offset * kind.itemsize
        return reader.from_address(address).value
    return array_of(self).item() if self.dtype.name != "bfloat16" else float(array_of(self).flat[0])


@method()
def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers; a number for a 0-d tensor."""
    array = array_of(self)
    return (array.astype(np.float32) if self.dtype.name == "bfloat16" else array).tolist()


@method("__bool__")
def to_bool(self: Tensor) -> bool:
    """The truth of a single value."""
    count = self._node_count()
    if count == 0:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
    if count > 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(item(self))


@method("__float__")
def to_float(self: Tensor) -> float:
    """The single value as a float."""
    return float(item(self))  # type: ignore[arg-type]


method("__complex__")(lambda self: complex(item(self)))


@method("__int__")
def to_int(self: Tensor) -> int:
    """The single value as an int, truncated."""
    return int(item(self))  # type: ignore[arg-type]


@method("__index__")
def to_index(self: Tensor) -> int:
    """The single integer as an index."""
    if self.dtype.is_floating_point or self.dtype.is_complex or self._node_count() != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(item(self))  # type: ignore[arg-type]


@method("__format__")
def to_format(self: Tensor, spec: str) -> str:
    """A 0-d tensor formats as its number."""
    if not self._shape and not self.is_meta:
        return format(item(self), spec)
    return object.__format__(self, spec)


# NumPy and DLPack ---------------------------------------------------------------------------------


@method()
def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as a NumPy array over the same memory."""
    if force:
        return export(detach(self))
    if self.requires_grad:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    return export(self)


def export(tensor: Tensor) -> np.ndarray:
    """A NumPy array that shares the tensor's memory."""
    if tensor.dtype.name == "bfloat16":
        raise TypeError("Got unsupported ScalarType BFloat16")
    tensor._storage.export()
    return array_of(tensor)


@method()
def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    array = numpy(self)
    if dtype is not None and array.dtype != np.dtype(dtype):
        return array.astype(dtype)
    return array.copy() if copy else array


method("__array_priority__")(1000)  # type: ignore[type-var]


@method()
def __array_wrap__(
    self: Tensor, array: np.ndarray, context: Any = None, scalar: bool = False
) -> Any:
    return from_numpy(np.ascontiguousarray(array).reshape(np.shape(array)))


@public()
def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor over the array's memory: changes of one show in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    kind = from_numpy_dtype(ndarray.dtype)
    if any(step < 0 for step in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array with array.copy().)"
        )
    if ndarray.flags.c_contiguous:
        storage = storage_of_array(ndarray, kind, CPU)
        storage.shared = True
        return _over(storage, ndarray.shape, None)
    return _from_strided(ndarray, kind)


def _from_strided(array: np.ndarray, kind: dtype) -> Tensor:
    """A strided array: the storage is the contiguous memory that its elements span."""
    size = array.itemsize
    if any(step % size for step in array.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size")
    strides = tuple(step // size for step in array.strides)
    span = 1 + sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True))
    flat = np.lib.stride_tricks.as_strided(array, (span if array.size else 0,), (size,))
    storage = storage_of_array(flat, kind, CPU)
    storage.shared = True
    return _over(storage, array.shape, strides)


def _over(storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> Tensor:
    tensor = wrap(storage.node, CPU)
    tensor._storage = storage
    tensor._shape = shape
    tensor._strides = strides
    tensor._seen = -1
    return tensor


@method()
def __dlpack__(self: Tensor, **options: Any) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    return export(self).__dlpack__(**options)


@method()
def __dlpack_device__(self: Tensor) -> tuple[int, int]:
    return (1, 0)


@public()
def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor over the memory of any object with `__dlpack__`."""
    if isinstance(ext_tensor, Tensor):
        return share(ext_tensor)
    array = np.from_dlpack(ext_tensor)
    return from_numpy(array if array.flags.writeable else array.copy())


@method("__deepcopy__")
def deep_copy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf with its own storage; tensors of one storage stay together within one call."""
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment. If you were attempting to deepcopy a module, this may be "
            "because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    if id(self) in memo:
        return memo[id(self)]
    storage = memo.get(id(self._storage))
    if storage is None:
        source = self._storage
        if source.shared and source.is_shared():
            flat = source.snapshot(source.node.dtype, (source.node.numel,), (1,), 0)
        else:
            flat = alias(source.node)
        storage = memo[id(self._storage)] = Storage(flat, source.device)
    copied = _copy_over(self, storage)
    memo[id(self)] = copied
    copied._requires_grad = self._requires_grad
    if self._grad is not None:
        copied._grad = deep_copy(self._grad, memo)
    for name, value in self.__dict__.items():
        setattr(copied, name, copying.deepcopy(value, memo))
    return copied


def _copy_over(source: Tensor, storage: Storage) -> Tensor:
    """A tensor of the same class, shape and strides over another storage."""
    tensor = wrap_view(source, source._node, source._layout(), source._offset, None, type(source))
    tensor._base = None
    tensor._storage = storage
    tensor._past = storage.history
    tensor._seen = -1
    return tensor
