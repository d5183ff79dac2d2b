"""load: an object from a file of PyTorch's or ours, whatever its age. Nothing in it is executed."""

from __future__ import annotations

import io
import mmap as memory_map
import os
from collections.abc import Callable
from typing import Any

import numpy as np

import lampas
from lampas.serialization import legacy, tar_reader, unsafe_loading
from lampas.serialization.errors import SerializationError
from lampas.serialization.machine import Machine, refuse, shown
from lampas.serialization.sources import FileSource, MemorySource, Source
from lampas.serialization.storages import StorageBank, StorageName
from lampas.serialization.symbols import find_symbol
from lampas.serialization.zip_reader import ZipReader

Relocate = Callable[[str], None]
_ZIP = b"PK\3\4"


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    unsafe: bool = False,
    **pickle_load_args: Any,
) -> Any:
    """Loads what `save` (PyTorch's or ours) wrote, from a path or a binary stream.

    The file's pickle is run by a machine that knows only data: it never imports or calls anything,
    whatever `weights_only` says. A file that holds a whole pickled module needs `unsafe=True`, which
    executes what is in the file: only for files that you trust.

    `map_location` is a device, or a dict or function of locations. With `mmap`, tensors' memory is
    the file's, read when it is touched and private to the program (the file is never changed).

    Raises SerializationError for a file that is damaged, hostile or of an unknown kind;
    RuntimeError for a file from a GPU without `map_location`; OSError as reading does.

    >>> import io, lampas
    >>> stream = io.BytesIO()
    >>> lampas.save([1, lampas.zeros(2)], stream)
    >>> load(io.BytesIO(stream.getvalue()))
    [1, tensor([0., 0.])]
    """
    if unsafe and weights_only:
        raise ValueError("load: unsafe=True and weights_only=True exclude each other")
    if mmap and not isinstance(f, str | os.PathLike):
        raise ValueError("f must be a file path in order to use the mmap argument")
    relocate = _relocation(map_location)
    if mmap:
        return _load_zip(_map(f), relocate, unsafe, mapped=True)
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as file:
            if file.peek(4)[:4] == _ZIP and hasattr(os, "preadv"):
                return _load_zip(FileSource(file.fileno()), relocate, unsafe)
            content = file.read()
    else:
        content = _read_stream(f)
    if content[:4] == _ZIP:
        return _load_zip(MemorySource(memoryview(content)), relocate, unsafe)
    if tar_reader.is_tar(content):
        return tar_reader.load(content, relocate)
    return legacy.load(content, relocate, unsafe)


def _map(path: str | os.PathLike[str]) -> MemorySource:
    """The file as memory that is the program's own: what is written there stays in memory."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            refuse("it is empty")
        mapping = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY)
    return MemorySource(memoryview(mapping), private=True)


def _read_stream(f: Any) -> bytes:
    if not hasattr(f, "read"):
        raise AttributeError(
            f"'{type(f).__name__}' object has no attribute 'read'. You can only load from a path "
            "or from a binary stream that is open for reading."
        )
    content = f.read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError("load needs a binary stream: this one reads text")
    return bytes(content)


def _relocation(map_location: Any) -> Relocate:
    """Checks where storages are to go: everything is a processor's memory here."""

    def relocate(location: str) -> None:
        wanted: Any = map_location
        if callable(map_location) and not isinstance(map_location, str | lampas.device):
            wanted = map_location(None, location)
            wanted = None if not isinstance(wanted, str | lampas.device) else wanted
            location = "cpu"
        elif isinstance(map_location, dict):
            wanted = map_location.get(location)
        target = str(location if wanted is None else wanted)
        if target.split(":")[0] in ("cpu", "meta"):
            return
        if wanted is None:
            raise RuntimeError(
                f"Attempting to deserialize object on device {shown(target)} but this machine has "
                "no such device. If you are running on a CPU-only machine, please use load with "
                "map_location=lampas.device('cpu') to map your storages to the CPU."
            )
        raise RuntimeError(
            f"Attempting to deserialize object on a {target.split(':')[0]} device, "
            "but no such device is available."
        )

    return relocate


def _load_zip(source: Source, relocate: Relocate, unsafe: bool, mapped: bool = False) -> Any:
    if mapped and bytes(source.part(0, 4)) != _ZIP:
        raise SerializationError(
            "mmap can only be used with files in the zip format (saved with "
            "_use_new_zipfile_serialization=True): load this one without it"
        )
    archive = ZipReader(source)
    pickles = [name for name in archive.records if name.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].count("/") != 1:
        refuse("it is a zip archive, but not of a checkpoint (it has no single data.pkl)")
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in archive.records:
        refuse("it is a TorchScript archive, which holds code: only checkpoints are loaded")
    _check_byte_order(archive, prefix)

    def fetch(name: StorageName) -> np.ndarray:
        return archive.read_array(f"{prefix}data/{name.key}", name.nbytes)

    bank = StorageBank(fetch, relocate)
    content = archive.read(pickles[0])
    if unsafe:
        return unsafe_loading.unpickle(io.BytesIO(content), bank)
    return bank.finish(Machine(content, find_symbol, bank.find).run())


def _check_byte_order(archive: ZipReader, prefix: str) -> None:
    if f"{prefix}byteorder" not in archive.records:
        return
    order = archive.read(f"{prefix}byteorder")
    if order == b"big":
        refuse("it was written on a big-endian machine, which is not supported")
    if order != b"little":
        refuse("its byte order is unknown")
