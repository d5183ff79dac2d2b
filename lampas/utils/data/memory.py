"""Samples and batches as memory: tensors read as NumPy arrays without a copy, and made of them.

The loader works on memory, not on graphs: a batch then enters the program's graph as one leaf, of the
same structure in every step, whatever the samples were computed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import lampas
from lampas.engine.device.buffer import Buffer
from lampas.engine.graph.node import buffer_node
from lampas.engine.tensor.core import Tensor, wrap
from lampas.engine.tensor.device import CPU


def is_plain(value: Any) -> bool:
    """Whether a value is a tensor with memory through which no gradient flows."""
    return isinstance(value, Tensor) and value._storage.device is CPU and not value.requires_grad


def array_of(tensor: Tensor) -> np.ndarray:
    """The tensor's memory, strided as the tensor is; computed first if need be. To be read only."""
    kind = tensor._node.dtype
    size = kind.itemsize
    node = tensor._storage.node
    flat = tensor._storage.buffer().array(kind.numpy, (node.numel,))
    strides = [step * size for step in tensor._layout()]
    if 0 in tensor._shape:
        return np.empty(tensor._shape, kind.numpy)
    return np.ndarray(tensor._shape, kind.numpy, flat, tensor._offset * size, strides)


def new_array(shape: tuple[int, ...], kind: Any) -> tuple[np.ndarray, Tensor]:
    """Memory that is still to be written, and the tensor that it is."""
    count = 1
    for size in shape:
        count *= size
    buffer = Buffer.allocate(count * kind.itemsize)
    return buffer.array(kind.numpy, shape), wrap(buffer_node(buffer, shape, kind), CPU)


def stack_tensors(batch: Sequence[Tensor]) -> Tensor:
    """Tensors along a new first dimension, copied at once where that is possible."""
    first = batch[0]
    shape, kind = first._shape, first._node.dtype
    fits = all(is_plain(t) and t._shape == shape and t._node.dtype is kind for t in batch)
    if not fits:
        return lampas.stack(list(batch), 0)
    array, stacked = new_array((len(batch), *shape), kind)
    for place, tensor in enumerate(batch):
        array[place] = array_of(tensor)
    return stacked


def take_rows(tensor: Tensor, rows: np.ndarray) -> Tensor:
    """Rows of a tensor's first dimension. Raises IndexError for one that is not there."""
    source = array_of(tensor)
    array, taken = new_array((len(rows), *tensor._shape[1:]), tensor._node.dtype)
    if rows.size and not -len(source) <= rows.min() <= rows.max() < len(source):
        raise IndexError(f"rows from {rows.min()} to {rows.max()} of a tensor of {len(source)}")
    # Checked above: "wrap" spares NumPy a copy that its own check would make.
    np.take(source, rows, 0, out=array, mode="wrap")
    return taken


def settle(sample: Any) -> Any:
    """Computes what tensors in a sample still wait for; returns the sample.

    Each sample by itself is a small graph, the same for all samples; a whole batch would be a large
    one that never repeats.
    """
    if isinstance(sample, Tensor):
        if is_plain(sample):
            sample._storage.buffer()
    elif isinstance(sample, tuple | list):
        for item in sample:
            settle(item)
    elif isinstance(sample, dict):
        for item in sample.values():
            settle(item)
    return sample
