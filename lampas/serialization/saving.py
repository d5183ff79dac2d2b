"""save: an object into PyTorch's zip format."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from typing import Any

from lampas.serialization.files import writing
from lampas.serialization.pickler import Pickler
from lampas.serialization.zip_writer import ZipWriter

DEFAULT_PROTOCOL = 2


def _archive_name(target: Any) -> str:
    """PyTorch calls the archive's folder by the file's name without its ending."""
    if isinstance(target, str | os.PathLike):
        stem = os.path.splitext(os.path.basename(os.fspath(target)))[0]
        return stem if isinstance(stem, str) and stem.isprintable() and stem else "archive"
    return "archive"


def save(
    obj: object,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Saves `obj` to a path or a binary stream, in the format of PyTorch 1.6 and later.

    Tensors that share memory still do so after loading. A file is replaced whole or not at all: it
    is written beside the old one, flushed to the disk and renamed. A whole module can be saved, but
    loads only with `unsafe=True`: prefer its `state_dict()`.

    Raises NotImplementedError for the format before PyTorch 1.6, OSError where writing fails.

    >>> import io, lampas
    >>> stream = io.BytesIO()
    >>> save({"weight": lampas.ones(2)}, stream)
    """
    if not _use_new_zipfile_serialization:
        raise NotImplementedError(
            "lampas.save: the format before PyTorch 1.6 (_use_new_zipfile_serialization=False) "
            "is only read"
        )
    body = io.BytesIO()
    pickler = Pickler(body, pickle_protocol)
    pickler.dump(obj)
    prefix = _archive_name(f)
    with writing(f) as stream:
        archive = ZipWriter(stream)
        archive.add(f"{prefix}/data.pkl", body.getbuffer())
        archive.add(f"{prefix}/.format_version", b"1")
        archive.add(f"{prefix}/.storage_alignment", b"64")
        if not _disable_byteorder_record:
            archive.add(f"{prefix}/byteorder", b"little")
        digest = hashlib.sha256(body.getbuffer())
        for stored in pickler.storages.values():
            array = stored.array()
            # NumPy's buffer of a bfloat16 array has no format: the bytes are the same.
            archive.add(f"{prefix}/data/{stored.key}", array.view("uint8") if array.size else b"")
            digest.update(str(stored.numel).encode())
        archive.add(f"{prefix}/version", b"3\n")
        archive.add(f"{prefix}/.data/serialization_id", _identity(digest))
        archive.close()


def _identity(digest: Any) -> bytes:
    """PyTorch stores 40 decimal digits that tell archives apart."""
    return str(int.from_bytes(digest.digest()[:16], "big")).zfill(40).encode()
