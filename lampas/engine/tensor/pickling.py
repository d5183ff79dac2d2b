"""Pickling tensors: their bytes in the order of their memory, so that a turned tensor comes back as it lay."""

from __future__ import annotations

from typing import Any

import numpy as np

from lampas.engine.dtype import DTYPES
from lampas.engine.shape import contiguous_strides, is_contiguous
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor, wrap
from lampas.engine.tensor.declare import method
from lampas.engine.tensor.device import CPU
from lampas.engine.tensor.storage import storage_of_array


def restore_tensor(
    kind: type,
    array: np.ndarray,
    name: str,
    requires_grad: bool,
    state: dict[str, Any],
    strides: tuple[int, ...] | None = None,
    shape: tuple[int, ...] = (),
) -> Tensor:
    """Rebuild a pickled tensor; with strides, from an array in the order of its memory."""
    storage = storage_of_array(
        array.view(DTYPES[name].numpy).reshape(array.shape), DTYPES[name], CPU
    )
    tensor = wrap(storage.node, CPU, None, kind)
    tensor._storage = storage
    if strides is not None:
        tensor._shape, tensor._strides, tensor._seen = shape, strides, -1
    tensor._requires_grad = requires_grad
    tensor.__dict__.update(state)
    return tensor


def turned_order(tensor: Tensor) -> tuple[int, ...] | None:
    """The dimensions in the order of memory, if that is another one, and leaves no gaps."""
    strides, shape = tensor._layout(), tensor._shape
    if tensor._strides is None or strides == contiguous_strides(shape):
        return None
    order = tuple(sorted(range(len(strides)), key=lambda dim: -strides[dim]))
    dense = is_contiguous([shape[dim] for dim in order], [strides[dim] for dim in order])
    return order if dense else None


@method()
def __reduce_ex__(self: Tensor, protocol: Any) -> tuple[Any, ...]:
    if not self.is_leaf:
        raise RuntimeError(
            "Pickling a tensor that requires grad and is not a leaf is not possible; detach() it"
        )
    order = turned_order(self)
    array = array_of(self)
    array = np.array(array if order is None else array.transpose(order), order="C")
    plain = array.view(np.uint16) if self.dtype.name == "bfloat16" else array
    given = (type(self), plain, self.dtype.name, self._requires_grad, dict(self.__dict__))
    return restore_tensor, given if order is None else (*given, self._layout(), self._shape)
