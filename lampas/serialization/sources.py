"""Where a file's bytes come from: memory, or an open file that is read in parts when it is needed."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.serialization.machine import refuse

_SMALL = 1 << 16
_WINDOW = 1 << 18


class Source(Protocol):
    """Random access to bytes."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def part(self, start: int, end: int) -> bytes | memoryview:
        """The bytes from `start` to `end`."""
        ...

    def array(self, start: int, size: int) -> np.ndarray:
        """`size` bytes as writable memory that a tensor may own."""
        ...


def new_bytes(size: int) -> np.ndarray:
    """Memory to be written, aligned for vector loads."""
    return Buffer.allocate(max(size, 1)).array(np.dtype(np.uint8), (size,))


def copied(content: memoryview | bytes) -> np.ndarray:
    """The bytes in memory of their own."""
    array = new_bytes(len(content))
    array[...] = np.frombuffer(content, np.uint8)
    return array


class MemorySource:
    """Bytes in memory. `private` memory is handed to tensors without a copy."""

    def __init__(self, data: memoryview, private: bool = False) -> None:
        self.data = data
        self.private = private

    def __len__(self) -> int:
        return len(self.data)

    def part(self, start: int, end: int) -> memoryview:
        """A view."""
        return self.data[start:end]

    def array(self, start: int, size: int) -> np.ndarray:
        """A view, or a copy where the memory is not private."""
        content = self.data[start : start + size]
        return np.frombuffer(content, np.uint8) if self.private else copied(content)


class FileSource:
    """An open file, read at the places that are asked for."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.window = b""
        self.window_start = 0

    def __len__(self) -> int:
        return self.size

    def part(self, start: int, end: int) -> bytes:
        """The bytes. Small parts come from a window, since they lie close together."""
        if end - start > _SMALL:
            return self._read(start, min(end, self.size) - start).tobytes()
        place = start - self.window_start
        if place < 0 or end > self.window_start + len(self.window):
            self.window = os.pread(self.descriptor, _WINDOW, start)
            self.window_start, place = start, 0
        return self.window[place : place + end - start]

    def array(self, start: int, size: int) -> np.ndarray:
        """The bytes in new memory."""
        if size <= _SMALL:
            content = self.part(start, start + size)
            if len(content) != size:
                refuse("it became shorter while it was read")
            return copied(content)
        return self._read(start, size)

    def _read(self, start: int, size: int) -> np.ndarray:
        array = new_bytes(max(size, 0))
        rest = array.data
        while rest:
            count = os.preadv(self.descriptor, [rest], start)
            if not count:
                refuse("it became shorter while it was read")
            rest, start = rest[count:], start + count
        return array
