"""Storages and tensors from a file's bytes: every extent is checked before anything is made.

A `StorageBank` gives the memory behind the storages that a file's pickle names. The zip reader has
each storage in a record; older files have them behind the pickle (`legacy.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import lampas
from lampas.engine.device.buffer import Buffer
from lampas.engine.dtype import dtype
from lampas.engine.graph.node import buffer_node
from lampas.engine.tensor.core import Tensor, wrap, wrap_view
from lampas.engine.tensor.device import CPU
from lampas.engine.tensor.storage import strided_reading
from lampas.serialization.limits import DIMENSIONS, ELEMENTS
from lampas.serialization.machine import refuse, shown


@dataclass(frozen=True, slots=True)
class StorageType:
    """The class of a storage in a file: its elements' dtype, None for plain bytes."""

    name: str
    dtype: dtype | None


@dataclass(frozen=True, slots=True)
class StorageName:
    """What a pickle says about a storage."""

    key: str
    kind: StorageType
    location: str
    numel: int

    @property
    def nbytes(self) -> int:
        """The declared size."""
        itemsize = 1 if self.kind.dtype is None else self.kind.dtype.itemsize
        return self.numel * itemsize


@dataclass(slots=True)
class FileStorage:
    """A storage of the file; its memory is fetched when the first tensor needs it."""

    name: StorageName
    bank: StorageBank
    used: bool = False

    @property
    def numel(self) -> int:
        """How many elements it has (bytes, for an untyped one)."""
        return self.name.numel


def read_identifier(identifier: Any) -> StorageName:
    """A persistent identifier as PyTorch writes it: ("storage", type, key, location, numel)."""
    if type(identifier) is not tuple or len(identifier) not in (5, 6):
        refuse("it has a persistent identifier that names no storage")
    kind, storage_type, key, location, numel = identifier[:5]
    if kind != "storage" or not isinstance(storage_type, StorageType):
        refuse("it has a persistent identifier that names no storage")
    if type(key) is not str or type(location) is not str or type(numel) is not int:
        refuse("it describes a storage by values of the wrong types")
    if not 0 <= numel <= ELEMENTS:
        refuse(f"it declares a storage of {numel} elements")
    if len(identifier) == 6 and identifier[5] is not None:
        refuse("it has a view of a storage, which only PyTorch before 0.4 wrote")
    return StorageName(key, storage_type, location, numel)


class StorageBank:
    """The storages of one file. `fetch(name)` returns a writable uint8 array of `name.nbytes`."""

    def __init__(self, fetch: Callable[[StorageName], np.ndarray], relocate: Any) -> None:
        self.fetch = fetch
        self.relocate = relocate
        self.storages: dict[str, StorageName] = {}
        self.found: list[FileStorage] = []
        self.bases: dict[tuple[str, Any], Tensor] = {}
        self.arrays: dict[str, np.ndarray] = {}

    def find(self, identifier: Any) -> FileStorage:
        """The storage that a persistent identifier names; it must be named the same each time."""
        name = read_identifier(identifier)
        known = self.storages.get(name.key)
        if known is None:
            self.relocate(name.location)
            self.storages[name.key] = name
        elif known.nbytes != name.nbytes:
            refuse(f"it declares the storage {shown(name.key)} with two sizes")
        storage = FileStorage(name, self)
        self.found.append(storage)
        return storage

    def finish(self, result: Any) -> Any:
        """`result`, if every storage that was named belongs to a tensor."""
        if not all(storage.used for storage in self.found):
            refuse("it has a storage that belongs to no tensor, which is not supported")
        return result

    def base(self, name: StorageName, kind: dtype) -> Tensor:
        """A one-dimensional tensor over a whole storage, read as `kind`."""
        known = self.bases.get((name.key, kind))
        if known is not None:
            return known
        if name.key not in self.arrays:
            self.arrays[name.key] = self.fetch(name)
        array = self.arrays[name.key]
        if array.nbytes % kind.itemsize:
            refuse(f"the storage {shown(name.key)} is no whole number of {kind.name} values")
        if kind is lampas.bool:
            np.not_equal(array, 0, out=array.view(np.bool_))
        count = array.nbytes // kind.itemsize
        tensor = wrap(buffer_node(Buffer.from_array(array), (count,), kind), CPU)
        self.bases[name.key, kind] = tensor
        return tensor

    def tensor(
        self,
        name: StorageName,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        kind: dtype,
    ) -> Tensor:
        """A strided tensor in a storage."""
        base = self.base(name, kind)
        node = strided_reading(base._value(), shape, strides, offset)
        tensor = wrap_view(base, node, strides, offset)
        tensor._base = None
        return tensor


class Scout(StorageBank):
    """Only notes which storages a pickle names; its tensors have no memory."""

    def __init__(self, relocate: Any) -> None:
        super().__init__(_no_memory, relocate)

    def tensor(
        self,
        name: StorageName,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        kind: dtype,
    ) -> Tensor:
        """A tensor of that shape and dtype on the meta device."""
        return lampas.empty(shape, dtype=kind, device="meta")


def _no_memory(name: StorageName) -> np.ndarray:
    raise AssertionError("a scout reads no storage")


def make_tensor(
    storage: FileStorage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool,
    kind: dtype | None = None,
) -> Tensor:
    """A strided tensor in a storage. Refuses one that reaches beyond the storage's end."""
    kind = kind or storage.name.kind.dtype
    if kind is None:
        refuse("it has a tensor without a dtype")
    check_extent(offset, shape, strides, storage.name.nbytes // kind.itemsize)
    if requires_grad and not (kind.is_floating_point or kind.is_complex):
        refuse(f"it has a tensor of {kind.name} that requires grad")
    storage.used = True
    tensor = storage.bank.tensor(storage.name, offset, shape, strides, kind)
    return tensor.requires_grad_() if requires_grad else tensor


def check_extent(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], count: int) -> None:
    """Refuses a shape, strides and offset that do not stay inside `count` elements."""
    check_shape(shape)
    if type(strides) is not tuple or len(strides) != len(shape):
        refuse("it has a tensor whose strides do not fit its shape")
    if any(type(step) is not int or step < 0 for step in strides):
        refuse("it has a tensor with a stride that is no natural number")
    if type(offset) is not int or offset < 0:
        refuse("it has a tensor with an offset that is no natural number")
    last = offset
    if 0 not in shape:
        last += sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
        last += 1
    if last > count:
        refuse(f"it has a tensor that reaches to element {last} of a storage of {count}")


def check_shape(shape: Any) -> None:
    """Refuses what is no shape."""
    if not isinstance(shape, tuple) or len(shape) > DIMENSIONS:
        refuse("it has a tensor whose shape is no tuple of at most 64 sizes")
    if any(type(size) is not int or size < 0 for size in shape):
        refuse("it has a tensor with a size that is no natural number")
    if math.prod(shape) > ELEMENTS:
        refuse("it has a tensor of too many elements")
