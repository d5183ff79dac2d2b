"""Machine code kept in memory and on disk, keyed by everything that it depends on.

A disk entry is ``MAGIC, length, sha256, object``; it is written to a private file and renamed into place, and
checked before use, so that a torn or altered entry is compiled anew. The directory must belong to the user and be
closed to everybody else (0700): an object file is code, and code that others could write is never loaded. When the
directory cannot be used the cache works in memory alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import tempfile
import time
from dataclasses import dataclass

from lampas.engine.settings import cache_home, settings

MAGIC = b"LAMPASO1"
HEADER = struct.Struct("<8sQ32s")
SUFFIX = ".object"
TEMPORARY = ".new-"
ABANDONED_SECONDS = 3600


@dataclass
class Counters:
    """What the compiler and its cache did so far."""

    compiled: int = 0
    memory_hits: int = 0
    disk_hits: int = 0
    rejected: int = 0
    compile_ms: float = 0.0
    link_ms: float = 0.0


counters = Counters()


def key_of(*parts: str) -> str:
    """Return the sha256 of the parts, each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
    return digest.hexdigest()


def pack_entry(payload: bytes) -> bytes:
    """Frame an object with its length and checksum."""
    return HEADER.pack(MAGIC, len(payload), hashlib.sha256(payload).digest()) + payload


def unpack_entry(data: bytes) -> bytes | None:
    """Return the object inside an entry, or None if the entry is torn or altered."""
    if len(data) < HEADER.size:
        return None
    magic, length, digest = HEADER.unpack_from(data)
    payload = data[HEADER.size :]
    sound = magic == MAGIC and length == len(payload)
    return payload if sound and hashlib.sha256(payload).digest() == digest else None


class DiskCache:
    """Objects in one private directory, the least recently used removed beyond a cap of bytes."""

    def __init__(self, directory: str, cap_bytes: int) -> None:
        self.directory = directory
        self.cap_bytes = cap_bytes
        self.usable = prepare_directory(directory)
        self.grown = cap_bytes // 16

    def path(self, key: str) -> str:
        return os.path.join(self.directory, key + SUFFIX)

    def read(self, key: str) -> bytes | None:
        """Return the object stored under a key, or None."""
        if not self.usable:
            return None
        path = self.path(key)
        try:
            with open(path, "rb") as file:
                payload = unpack_entry(file.read())
            if payload is None:
                counters.rejected += 1
                os.unlink(path)
                return None
            os.utime(path)
        except OSError:
            return None
        return payload

    def write(self, key: str, payload: bytes) -> None:
        """Store an object; a full disk or a vanished directory is tolerated."""
        if not self.usable:
            return
        entry = pack_entry(payload)
        temporary = None
        try:
            handle, temporary = tempfile.mkstemp(dir=self.directory, prefix=TEMPORARY)
            with os.fdopen(handle, "wb") as file:
                file.write(entry)
            os.replace(temporary, self.path(key))
        except OSError:
            if temporary is not None:
                remove(temporary)
            return
        self.grown += len(entry)
        if self.grown > self.cap_bytes // 16:
            self.grown = 0
            self.prune()

    def prune(self) -> None:
        """Remove the least recently used entries until the directory is below three quarters of its cap."""
        self.sweep()
        entries = sorted(self.entries())
        total = sum(size for _, size, _ in entries)
        if total <= self.cap_bytes:
            return
        for _, size, path in entries:
            remove(path)
            total -= size
            if total <= self.cap_bytes * 3 // 4:
                return

    def sweep(self) -> None:
        """Remove what writers that died have left behind."""
        long_ago = time.time() - ABANDONED_SECONDS
        with contextlib.suppress(OSError), os.scandir(self.directory) as items:
            for item in items:
                if item.name.startswith(TEMPORARY) and item.stat().st_mtime < long_ago:
                    remove(item.path)

    def entries(self) -> list[tuple[float, int, str]]:
        """List (time of last use, bytes, path) of all entries."""
        found: list[tuple[float, int, str]] = []
        try:
            with os.scandir(self.directory) as items:
                for item in items:
                    if item.name.endswith(SUFFIX):
                        status = item.stat(follow_symlinks=False)
                        found.append((status.st_mtime, status.st_size, item.path))
        except OSError:
            return found
        return found


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # another process was faster, which serves as well


def prepare_directory(directory: str) -> bool:
    """Create the directory if need be; tell whether it is a private directory of this user."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        status = os.lstat(directory)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return False
    return not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and os.access(
        directory, os.W_OK | os.X_OK
    )


opened: dict[tuple[str, int], DiskCache] = {}


def disk_cache() -> DiskCache | None:
    """Return the disk cache that the settings name, or None when they switch it off."""
    if not settings.cache:
        return None
    directory = settings.cache_dir or os.path.join(cache_home(), "lampas", "objects")
    place = directory, settings.cache_mb << 20
    if place not in opened:
        opened[place] = DiskCache(*place)
    return opened[place]
