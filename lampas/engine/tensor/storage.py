"""Storage: the memory that tensors and their views share, as a value that is replaced on writing.

A storage holds the node of its current value.  A write makes a new node; `revision` counts all writes
(views re-read when it has moved), `version` counts those that autograd must know of (writes through
`.data` are not among them), `history` counts changes of the tape's record.

While NumPy arrays share the memory (`numpy()`, `from_numpy`), `shared` is set: then every write goes to
that memory at once, and every reading takes a snapshot, since the array may change behind our back.
"""

from __future__ import annotations

import weakref
from math import prod
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.engine.graph import build as g
from lampas.engine.graph.journal import CURRENT
from lampas.engine.graph.node import Node, buffer_node
from lampas.engine.realize.realize import PENDING, bound_pending, read, realize, settle_row_major
from lampas.engine.settings import settings
from lampas.engine.shape import is_contiguous
from lampas.engine.tensor.device import META

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.dtype import dtype
    from lampas.engine.tensor.device import device


@final
class Storage:
    """The current value of some memory; `node` is row-major, of any shape with the right count."""

    __slots__ = (
        "__weakref__",
        "device",
        "history",
        "node",
        "reference",
        "revision",
        "shared",
        "version",
    )

    def __init__(self, node: Node, place: device) -> None:
        self.node = node
        self.device = place
        self.version = 0
        self.revision = 0
        self.history = 0
        self.shared = False
        reference: weakref.ref[Any] = weakref.ref(self)
        self.reference = reference
        if node.buffer is None and place is not META:
            # Written out here and in `write`: every result passes.
            PENDING.append(reference)
            if settings.eager or len(PENDING) > settings.pending:
                bound_pending(node)

    def write(self, node: Node, *, silent: bool = False) -> None:
        """Replace the value."""
        self.revision += 1
        if not silent:
            self.version += 1
        if self.shared and self.is_shared():
            self._write_through(node)
            return
        self.node = node
        if node.buffer is None and self.device is not META:
            PENDING.append(self.reference)
            if settings.eager or len(PENDING) > settings.pending:
                bound_pending(node)

    def is_shared(self) -> bool:
        """Whether a NumPy array outside still sees this memory."""
        buffer = self.node.buffer
        if buffer is None or not buffer.is_shown():
            self.shared = False
        return self.shared

    def _write_through(self, node: Node) -> None:
        buffer = self.node.buffer
        realize((node,))
        kind = node.dtype.numpy
        buffer.array(kind, node.shape)[...] = read(node)
        self.node = buffer_node(buffer, node.shape, node.dtype)

    def buffer(self) -> Buffer:
        """The memory, row-major, the value being computed if need be."""
        self.compute()
        return settle_row_major(self.node)

    def compute(self) -> None:
        """Have the value computed, however it then lies in memory."""
        if self.device is META:
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        if self.node.buffer is None:
            realize((self.node,))
        elif not PENDING and CURRENT.journal.values:
            CURRENT.journal.end()  # nobody waits for anything: only views of stored values were noted

    def contents(self) -> np.ndarray:
        """The whole value, to be read; it may be a strided view of the memory, or a copy."""
        self.compute()
        return read(self.node)

    def array(
        self, kind: dtype, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
    ) -> np.ndarray:
        """A strided reading of the memory as numbers of `kind`; strides and offset count those."""
        size = kind.itemsize
        steps = tuple([stride * size for stride in strides])
        return self.buffer().array(kind.numpy, shape, offset * size, steps)

    def export(self) -> None:
        """Let arrays outside share the memory from now on; no other value lies in it then.

        What is pending is computed first, since it may read values that the array will change.
        """
        self.buffer()
        realize(())
        node = self.node
        if node.buffer.aliased:
            fresh = Buffer.allocate(node.numel * node.dtype.itemsize)
            copy = fresh.array(node.dtype.numpy, (node.numel,))
            copy[...] = node.buffer.array(node.dtype.numpy, (node.numel,))
            self.node = buffer_node(fresh, node.shape, node.dtype)
            self.revision += 1
        self.node.buffer.prepared = None  # what it was made of may change unseen
        self.shared = True

    def snapshot(
        self, kind: dtype, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
    ) -> Node:
        """A copy of a strided part of the memory, as it is now."""
        part = np.array(self.array(kind, shape, strides, offset), order="C")
        return buffer_node(Buffer.from_array(part), shape, kind)


def strided_reading(
    node: Node, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Node:
    """The node that reads a storage's value with a tensor's shape and strides.

    A contiguous part of memory that is there becomes a leaf of its own: its place is then a pointer of
    the run, and no plan depends on it (batches cut from one array share a plan).
    """
    buffer = None if node.buffer is None else settle_row_major(node)
    if buffer is not None and 0 < prod(shape) < node.numel and is_contiguous(shape, strides):
        kind = node.dtype
        part = buffer.part(offset * kind.itemsize, prod(shape) * kind.itemsize)
        return buffer_node(part, shape, kind)
    return g.as_strided(node, shape, strides, offset)


def strided_readings(
    node: Node, shape: tuple[int, ...], strides: tuple[int, ...], offsets: Sequence[int]
) -> list[Node]:
    """As `strided_reading`, for parts of one form at many offsets."""
    buffer = None if node.buffer is None else settle_row_major(node)
    count = prod(shape)
    if buffer is None or not (0 < count < node.numel and is_contiguous(shape, strides)):
        return [g.as_strided(node, shape, strides, offset) for offset in offsets]
    kind, size = node.dtype, node.dtype.itemsize
    part, nbytes = buffer.part, count * size
    return [buffer_node(part(offset * size, nbytes), shape, kind) for offset in offsets]


def storage_of_array(array: np.ndarray, dtype: Any, place: device) -> Storage:
    """A storage over an array's memory, which nobody else may change."""
    return Storage(buffer_node(Buffer.from_array(array), array.shape, dtype), place)
