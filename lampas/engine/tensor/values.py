"""Values in hand: arrays of tensors for operations whose result depends on them, and tensors from arrays.

Operations whose output's shape depends on data (`nonzero`, `unique`, `masked_select`) look at their input
here; everything else stays lazy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.engine.dtype import from_numpy_dtype
from lampas.engine.graph.node import Node, buffer_node
from lampas.engine.realize.bounds import known_bounds, note_bounds
from lampas.engine.realize.realize import read, realize
from lampas.engine.tensor.core import Tensor, wrap
from lampas.engine.tensor.device import CPU, META

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype


def array_of(tensor: Tensor) -> np.ndarray:
    """The tensor's elements, computed if need be; not to be written to."""
    if tensor._storage.device is META:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    node = tensor._value()
    if node.buffer is None:
        stored = tensor._storage.node
        if stored.buffer is not None and not stored.attributes:
            place = tensor._shape, tensor._layout(), tensor._offset
            return tensor._storage.array(node.dtype, *place)  # a view: no copy is made of it
        realize((node,))
    return read(node)


def stored_bounds(tensor: Tensor) -> tuple[int, int]:
    """The least and the greatest of some integers (at least one); those of stored int64 ones are found once."""
    values = array_of(tensor)
    buffer = tensor._storage.node.buffer
    whole = values.dtype == np.int64 and values.flags.c_contiguous
    kept = buffer if buffer is not None and whole and values.nbytes == buffer.nbytes else None
    del values  # or the memory would count as seen from outside
    found = None if kept is None else known_bounds(kept)
    if found is None:
        values = array_of(tensor)
        found = int(values.min()), int(values.max())
        del values
        if kept is not None:
            note_bounds(kept, *found)
    return found


def wide_array_of(tensor: Tensor) -> np.ndarray:
    """As `array_of`, with half types widened to float32, which every NumPy function takes."""
    array = array_of(tensor)
    narrow = array.dtype.itemsize == 2 and array.dtype.kind not in "iu"
    return array.astype(np.float32) if narrow else array


def node_of(array: Any, kind: dtype | None = None) -> Node:
    """A leaf that holds an array's values (of dtype `kind`)."""
    array = np.asarray(array, dtype=None if kind is None else kind.numpy)
    if not array.flags.c_contiguous or array.base is not None or not array.flags.writeable:
        array = np.array(array, order="C")
    kind = from_numpy_dtype(array.dtype) if kind is None else kind
    return buffer_node(Buffer.from_array(array), array.shape, kind)


def tensor_of(array: Any, kind: dtype | None = None, place: Any = CPU) -> Tensor:
    """A tensor that holds an array's values (of dtype `kind`)."""
    return wrap(node_of(array, kind), place)
