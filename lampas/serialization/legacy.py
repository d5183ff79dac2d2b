"""The format before PyTorch 1.6: four pickles (magic number, version, system, object), then a pickled
list of storage keys, then each storage as its element count and its bytes.

The object's pickle is run twice: first to learn which storages there are and how large (nothing is
allocated), then, when their bytes have been found and checked, to make the tensors.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from lampas.serialization import unsafe_loading
from lampas.serialization.machine import Machine, refuse, shown
from lampas.serialization.sources import copied
from lampas.serialization.storages import Scout, StorageBank, StorageName
from lampas.serialization.symbols import find_symbol

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_COUNT = struct.Struct("<q")


def _no_storage(identifier: Any) -> Any:
    refuse("it has a storage outside of its object")


def _plain(data: bytes, start: int) -> tuple[Any, int]:
    """A pickle of plain data, and where it ends."""
    machine = Machine(data, find_symbol, _no_storage, start)
    return machine.run(), machine.place


def load(data: bytes, relocate: Callable[[str], None], unsafe: bool) -> Any:
    """The object in a file of that format. Refuses everything else."""
    if not data:
        refuse("it is empty")
    if data[:1] != b"\x80":
        refuse("it is of an unknown format: neither a zip archive, nor a pickle, nor a tar archive")
    magic, place = _plain(data, 0)
    if type(magic) is not int or magic != _MAGIC:
        refuse("it is a pickle, but not of a checkpoint (the magic number is missing)")
    version, place = _plain(data, place)
    if type(version) is not int or version != _VERSION:
        refuse("it is a checkpoint of an unknown version")
    system, start = _plain(data, place)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        refuse("it was written on a big-endian machine, which is not supported")
    if unsafe:
        return _load_unsafe(data, start, relocate)
    scout = Scout(relocate)
    machine = Machine(data, find_symbol, scout.find, start)
    machine.run()
    contents = _storages(data, machine.place, scout)

    def fetch(name: StorageName) -> np.ndarray:
        return copied(contents[name.key])

    bank = StorageBank(fetch, relocate)
    return bank.finish(Machine(data, find_symbol, bank.find, start).run())


def _storages(data: bytes, place: int, scout: StorageBank) -> dict[str, memoryview]:
    """The bytes of every storage that the object names."""
    keys, place = _plain(data, place)
    if type(keys) is not list or any(type(key) is not str for key in keys):
        refuse("its list of storages is malformed")
    if set(keys) != set(scout.storages) or len(set(keys)) != len(keys):
        refuse("its list of storages is not what its object needs")
    view = memoryview(data)
    contents = {}
    for key in keys:
        name = scout.storages[key]
        if place + _COUNT.size > len(data):
            refuse("it is cut off before the end of its storages")
        (count,) = _COUNT.unpack_from(data, place)
        place += _COUNT.size
        if count != name.numel:
            refuse(f"its storage {shown(key)} has another size than its object declares")
        if place + name.nbytes > len(data):
            refuse("it is cut off before the end of its storages")
        contents[key] = view[place : place + name.nbytes]
        place += name.nbytes
    return contents


def _load_unsafe(data: bytes, start: int, relocate: Callable[[str], None]) -> Any:
    """For trusted files with code: each storage's bytes are filled in after the object is made."""
    arrays: dict[str, np.ndarray] = {}

    def fetch(name: StorageName) -> np.ndarray:
        if name.nbytes > len(data):
            refuse("it declares a storage that is larger than the file")
        arrays[name.key] = copied(memoryview(bytes(name.nbytes)))
        return arrays[name.key]

    bank = StorageBank(fetch, relocate)
    stream = io.BytesIO(data)
    stream.seek(start)
    result = unsafe_loading.unpickle(stream, bank)
    for key, content in _storages(data, stream.tell(), bank).items():
        if key in arrays:
            arrays[key][...] = np.frombuffer(content, np.uint8)
    return result
