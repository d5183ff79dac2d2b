"""Files that are replaced whole or not at all, and survive a loss of power.

New content goes into a temporary file in the same directory; it is flushed to the disk, takes the old
file's mode, and is renamed over it; then the directory is flushed. Whatever happens before the rename
leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
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


def _prefix(name: str) -> str:
    """How the temporaries of a file begin: its name, and the machine that writes."""
    return f".{name[:80]}.{platform.node()[:40]}."


def _remove_orphans(directory: str, name: str) -> None:
    """Removes what processes of this machine left behind when they were killed while saving."""
    prefix = _prefix(name)
    with contextlib.suppress(OSError):
        for entry in os.listdir(directory):
            number = entry.removeprefix(prefix).split(".")[0]
            ours = entry.startswith(prefix) and entry.endswith(".tmp") and number.isdigit()
            if ours and not _is_alive(int(number)):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(directory, entry))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _open_temporary(directory: str, path: str) -> tuple[int, bool]:
    """A new file in `directory`, and whether it already has its name.

    Linux can make a file without a name, which vanishes if the process is killed.
    """
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        # Not every file system can.
        with contextlib.suppress(OSError):
            return os.open(directory, os.O_RDWR | os.O_TMPFILE, 0o600), False
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), True


def _give_name(descriptor: int, directory: str, path: str) -> None:
    """Puts a file without a name into its directory."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # With a directory's descriptor, Python follows the link that /proc shows for the file.
        name = os.path.basename(path)
        os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        # A system that can make such files but not name them: the content is copied.
        with open(path, "xb") as target, open(f"/proc/self/fd/{descriptor}", "rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fchmod(target.fileno(), stat.S_IMODE(os.fstat(descriptor).st_mode))
            os.fsync(target.fileno())
    finally:
        os.close(folder)


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
    directory = directory or os.curdir
    _remove_orphans(directory, name)
    temporary = os.path.join(directory, f"{_prefix(name)}{os.getpid()}.{uuid.uuid4().hex}.tmp")
    descriptor, named = _open_temporary(directory, temporary)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            if hasattr(os, "fchmod"):
                os.fchmod(stream.fileno(), _new_mode(target))
            os.fsync(stream.fileno())
            if not named:
                _give_name(stream.fileno(), directory, temporary)
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
