"""Channels: messages between the loader and a worker, large arrays through shared memory.

A message is pickled with its arrays out of band. The arrays of a message lie together in one
anonymous memory file, whose descriptor travels over the socket: it has no name, so nothing can
be left behind however a process ends. The receiver maps the file and builds tensors on it without
a copy. Small messages, and platforms that cannot pass descriptors, send the arrays in the stream.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import pickle
import socket
import struct
import tempfile
import weakref
from typing import Any

import numpy as np

import lampas
from lampas.utils.data.memory import array_of

# Arrays below this total are cheaper in the stream than as a file, a descriptor and a mapping.
SHARED_BYTES = 32 * 1024
_ALIGNMENT = 64
# Each mapped message holds a descriptor: beyond this many alive ones, messages are copied out.
_MAPPED_LIMIT = 128
# All pages are there already: mapping them at once spares a fault for each.
_MAP_OPTIONS: dict[str, int] = (
    {"flags": mmap.MAP_SHARED | mmap.MAP_POPULATE} if hasattr(mmap, "MAP_POPULATE") else {}
)
_HEADER = struct.Struct("<QQ?")
_CAN_SHARE = hasattr(socket, "send_fds")

_mapped_messages = 0


def _tensor_from_bytes(buffer: Any, dtype: Any, shape: tuple[int, ...], grad: bool) -> Any:
    """The reverse of `_Pickler._reduce_tensor`; `buffer` is writable memory."""
    if not np.prod(shape):
        return lampas.empty(shape, dtype=dtype, requires_grad=grad)
    tensor = lampas.frombuffer(buffer, dtype=dtype).reshape(shape)
    return tensor.requires_grad_() if grad else tensor


class _Pickler(pickle.Pickler):
    """Pickles tensors as an out-of-band buffer, a dtype and a shape."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, lampas.Tensor) and type(value) is lampas.Tensor:
            return self._reduce_tensor(value)
        return NotImplemented

    def _reduce_tensor(self, tensor: Any) -> Any:
        if tensor.requires_grad and not tensor.is_leaf:
            raise RuntimeError(
                "a DataLoader worker cannot send a tensor that requires grad and is no leaf: "
                "call detach() on it in the dataset or in collate_fn"
            )
        array = np.ascontiguousarray(array_of(tensor))
        buffer = pickle.PickleBuffer(array.reshape(-1).view(np.uint8).data)
        shape, grad = tuple(tensor.shape), tensor.requires_grad
        return _tensor_from_bytes, (buffer, tensor.dtype, shape, grad)


def encode(value: Any) -> tuple[bytes, list[memoryview]]:
    """Pickles `value`; returns the pickle and its out-of-band buffers."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    return stream.getvalue(), [buffer.raw() for buffer in buffers]


def _layout(sizes: list[int]) -> tuple[list[int], int]:
    """Aligned offsets for buffers of `sizes`, and the total."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return offsets, end


def _memory_file(size: int) -> int:
    """A descriptor of `size` bytes of nameless memory.

    It is filled by writing, not through a mapping: where there is no room, that is an OSError here
    and not a SIGBUS at the reader.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lampas-batch", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _forget_mapping() -> None:
    global _mapped_messages
    _mapped_messages -= 1


def _open_memory(descriptor: int, size: int) -> memoryview:
    """The bytes behind a descriptor, mapped (or copied, where many mappings are alive)."""
    global _mapped_messages
    try:
        if _mapped_messages >= _MAPPED_LIMIT:
            data = bytearray(size)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                file.readinto(data)
            return memoryview(data)
        mapping = mmap.mmap(descriptor, size, **_MAP_OPTIONS)
        _mapped_messages += 1
        weakref.finalize(mapping, _forget_mapping).atexit = False
        return memoryview(mapping)
    finally:
        os.close(descriptor)


class Channel:
    """One end of a two-way connection. Picklable while a process is being started."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        """Two connected ends."""
        first, second = socket.socketpair()
        return Channel(first), Channel(second)

    def fileno(self) -> int:
        """The socket's descriptor: a channel can be waited for."""
        return self.end.fileno()

    def close(self) -> None:
        """Closes this process's copy of the end."""
        self.end.close()

    def hang_up(self) -> None:
        """Ends the connection, whatever other processes hold copies; the other end reads EOF."""
        with contextlib.suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)
        self.end.close()

    def send(self, value: Any) -> None:
        """Sends one message. Raises what pickling raises, before anything is sent."""
        body, buffers = encode(value)
        sizes = [buffer.nbytes for buffer in buffers]
        offsets, total = _layout(sizes)
        shared = _CAN_SHARE and total >= SHARED_BYTES
        table = struct.pack(f"<{len(sizes)}Q", *sizes)
        header = _HEADER.pack(len(body), len(sizes), shared)
        if not shared:
            self.end.sendall(b"".join([header, table, body, *buffers]))
            return
        descriptor = _memory_file(total)
        try:
            for buffer, offset in zip(buffers, offsets, strict=True):
                _write_all(descriptor, buffer, offset)
            socket.send_fds(self.end, [header], [descriptor])
            self.end.sendall(table + body)
        finally:
            os.close(descriptor)

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self.end.recv_into(view)
            if not count:
                raise EOFError("the other end of the channel is closed")
            view = view[count:]
        return data

    def _read_header(self) -> tuple[bytes, list[int]]:
        if not _CAN_SHARE:
            return bytes(self._read(_HEADER.size)), []
        data, descriptors, _, _ = socket.recv_fds(self.end, _HEADER.size, 1)
        if not data:
            raise EOFError("the other end of the channel is closed")
        return data + self._read(_HEADER.size - len(data)), descriptors

    def receive(self) -> Any:
        """Waits for one message. Raises EOFError where the other end is closed."""
        header, descriptors = self._read_header()
        body_size, count, shared = _HEADER.unpack(header)
        sizes = struct.unpack(f"<{count}Q", self._read(8 * count))
        body = self._read(body_size)
        if not shared:
            return pickle.loads(body, buffers=[self._read(size) for size in sizes])
        offsets, total = _layout(list(sizes))
        memory = _open_memory(descriptors[0], total)
        ends = (offset + size for offset, size in zip(offsets, sizes, strict=True))
        return pickle.loads(
            body, buffers=[memory[start:end] for start, end in zip(offsets, ends, strict=True)]
        )


# The ends that loaders of this process hold. A forked worker inherits them and must close them:
# a copy kept open would hide the end of file from the other workers.
loader_ends: weakref.WeakSet[Channel] = weakref.WeakSet()


def close_inherited_ends() -> None:
    """Closes what a forked worker has inherited from its parent's loaders."""
    for channel in list(loader_ends):
        channel.close()
    loader_ends.clear()
