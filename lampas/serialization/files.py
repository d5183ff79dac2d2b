"""Files that are replaced whole or not at all, and survive a loss of power.

New content goes into a temporary file in the same directory; it is flushed to the disk, takes the old
file's mode, and is renamed over it; then the directory is flushed. Whatever happens before the rename
leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from typing import IO, Any


def _flush_directory(directory: str) -> None:
    """Makes the rename durable, where directories can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems refuse this; the rename is done all the same.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_special(path: str) -> bool:
    """Whether the path is a device or a pipe, which cannot be replaced."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _new_mode(path: str) -> int:
    """The old file's mode, or what a newly created file would get."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A stream whose content replaces `path` when the block ends without an exception.

    A symbolic link stays, and what it points to is replaced. Raises OSError as writing does.
    """
    target = os.path.realpath(os.fspath(path))
    if _is_special(target):
        with open(target, "wb") as stream:
            yield stream
        return
    directory, name = os.path.split(target)
    temporary = os.path.join(directory, f".{name[:80]}.{os.getpid()}.{uuid.uuid4().hex}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            if hasattr(os, "fchmod"):
                os.fchmod(stream.fileno(), _new_mode(target))
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_directory(directory)


@contextlib.contextmanager
def writing(target: Any) -> Iterator[Any]:
    """A stream to write to: `target` itself, or a file that is replaced whole."""
    if isinstance(target, str | os.PathLike):
        with replacing(target) as stream:
            yield stream
        return
    if not hasattr(target, "write"):
        raise AttributeError(
            f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, "
            f"got {type(target).__name__}"
        )
    yield target
