"""The oldest format (PyTorch before 0.1.10): a tar archive of `storages`, `tensors` and `pickle`.

Only these three regular members are looked at (POSIX.1-1988 headers); nothing is ever extracted.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from lampas.engine.tensor.core import Tensor
from lampas.serialization.machine import Machine, refuse
from lampas.serialization.sources import copied
from lampas.serialization.storages import (
    FileStorage,
    StorageBank,
    StorageName,
    StorageType,
    make_tensor,
)
from lampas.serialization.symbols import find_symbol

_BLOCK = 512
_OCTAL = re.compile(rb"[0-7]{1,12}")
_INT64 = struct.Struct("<q")
_MOST_DIMENSIONS = 64


def is_tar(data: bytes) -> bool:
    """Whether the file begins with a tar header (by its checksum)."""
    return len(data) >= 2 * _BLOCK and _checksum_holds(data[:_BLOCK])


def _checksum_holds(header: bytes) -> bool:
    stored = header[148:156].strip(b" \0")
    if not _OCTAL.fullmatch(stored):
        return False
    return int(stored, 8) == sum(header[:148]) + 8 * 32 + sum(header[156:])


def _members(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    place = 0
    while place + _BLOCK <= len(data) and data[place : place + _BLOCK].strip(b"\0"):
        header = data[place : place + _BLOCK]
        if not _checksum_holds(header):
            refuse("its tar archive is damaged")
        name = header[:100].split(b"\0")[0].decode("ascii", "replace")
        size_text = header[124:136].strip(b" \0")
        if not _OCTAL.fullmatch(size_text) or header[156:157] not in (b"0", b"\0"):
            refuse("its tar archive has a member that is no plain file")
        size = int(size_text, 8)
        start = place + _BLOCK
        if name in found or start + size > len(data):
            refuse("its tar archive has a member twice, or one that is cut off")
        found[name] = data[start : start + size]
        place = start + -(-size // _BLOCK) * _BLOCK
    return found


class _Member:
    """One member, read from its beginning."""

    def __init__(self, members: dict[str, bytes], name: str) -> None:
        if name not in members:
            refuse("it is a tar archive, but not of a checkpoint")
        self.data = members[name]
        self.place = 0

    def pickle(self, resolve: Callable[[Any], Any]) -> Any:
        """The next pickle's object."""
        machine = Machine(self.data, find_symbol, resolve, self.place)
        value = machine.run()
        self.place = machine.place
        return value

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count < 0 or self.place + count > len(self.data):
            refuse("its tar archive has a member that is cut off")
        start = self.place
        self.place += count
        return self.data[start : self.place]

    def integers(self, count: int) -> tuple[int, ...]:
        """The next 64-bit integers."""
        return struct.unpack(f"<{count}q", self.take(8 * count))

    def count(self) -> int:
        """A pickled number of things that follow, each of which takes at least a byte."""
        number = self.pickle(_no_identifier)
        if type(number) is not int or not 0 <= number <= len(self.data):
            refuse("its tar archive has a count that cannot be")
        return number


def _no_identifier(identifier: Any) -> Any:
    refuse("its tar archive has an identifier where there can be none")


def load(data: bytes, relocate: Callable[[str], None]) -> Any:
    """The object in a file of that format."""
    members = _members(data)
    storages = _read_storages(_Member(members, "storages"), relocate)
    tensors = _read_tensors(_Member(members, "tensors"), storages)

    def resolve(identifier: Any) -> Any:
        key = str(identifier) if isinstance(identifier, str | int) else None
        if key is None or key not in tensors:
            refuse("it has an identifier that names no tensor")
        return tensors[key]

    return _Member(members, "pickle").pickle(resolve)


def _read_storages(member: _Member, relocate: Callable[[str], None]) -> dict[str, FileStorage]:
    contents: dict[str, bytes] = {}

    def fetch(name: StorageName) -> np.ndarray:
        return copied(memoryview(contents[name.key]))

    bank = StorageBank(fetch, relocate)
    storages: dict[str, FileStorage] = {}
    for _ in range(member.count()):
        entry = member.pickle(_no_identifier)
        if type(entry) is not tuple or len(entry) != 3:
            refuse("its tar archive describes a storage wrongly")
        key, location, kind = entry
        if not isinstance(kind, StorageType) or kind.dtype is None or type(location) is not str:
            refuse("its tar archive describes a storage wrongly")
        (count,) = member.integers(1)
        contents[str(key)] = member.take(count * kind.dtype.itemsize)
        storages[str(key)] = bank.find(("storage", kind, str(key), location, count))
    if member.pickle(_no_identifier) != []:
        refuse("it has views of storages, which are not supported in tar archives")
    return storages


def _read_tensors(member: _Member, storages: dict[str, FileStorage]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for _ in range(member.count()):
        entry = member.pickle(_no_identifier)
        if type(entry) is not tuple or len(entry) != 3 or str(entry[1]) not in storages:
            refuse("its tar archive describes a tensor wrongly")
        # Eight bytes hold the number of dimensions; only the lower four were ever defined.
        (dimensions,) = struct.unpack("<i4x", member.take(8))
        if not 0 <= dimensions <= _MOST_DIMENSIONS:
            refuse("its tar archive has a tensor of too many dimensions")
        shape = member.integers(dimensions)
        strides = member.integers(dimensions)
        (offset,) = member.integers(1)
        storage = storages[str(entry[1])]
        tensors[str(entry[0])] = make_tensor(storage, offset, shape, strides, False)
    return tensors
