"""Changing a tensor's shape in place, with its memory: resize_, resize_as_, and sums down to a shape."""

from __future__ import annotations

from typing import Any

from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.shape import contiguous_strides
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC, method, public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.shaping import sizes_from


@method()
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give the tensor another shape over the same storage, which grows (with zeros) where it must."""
    shape = sizes_from(sizes)
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"requested resize to {list(shape)} has a negative size")
    needed = self._offset
    count = 1
    for size in shape:
        count *= size
    storage = self._storage
    have = storage.node.numel
    if count and needed + count > have:
        flat = g.reshape(storage.node, (have,))
        storage.write(g.pad(flat, (0,), (needed + count - have,), g.like(flat, 0)))
    self._shape = shape
    self._strides = contiguous_strides(shape)
    self._node = g.as_strided(storage.node, shape, self._strides, self._offset)
    self._seen = storage.revision
    return self


@method()
def resize_as_(self: Tensor, the_template: Tensor, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(self, the_template._shape)


SUM_TO_SIZE = Operation(
    "sum_to_size",
    lambda x, shape: g.sum_to(x, shape),
    vjp=lambda saved, ct: (g.expand(_lifted(ct, saved.inputs[0]), saved.inputs[0].shape),),
    saves="none",
)


def _lifted(ct: Any, x: Any) -> Any:
    return g.reshape(ct, (1,) * (len(x.shape) - len(ct.shape)) + ct.shape)


@method()
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions that broadcasting `size` to the tensor's shape would repeat."""
    shape = sizes_from(size)
    lead = len(self._shape) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, self._shape[lead:], strict=True)):
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(self._shape)}.")
    same = bool(shape) and shape == self._shape
    source = self if same or self.dtype.is_floating_point or self.dtype.is_complex else self.long()  # type: ignore[attr-defined]
    return record(SUM_TO_SIZE, (source,), (shape,))


@public()
def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """A tensor of `size` whose dimensions lie in memory in the given order, slowest first."""
    order = tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"{list(size)} and {list(order)}"
        )
    made = PUBLIC["empty"].function(tuple(size[d] for d in order), **options)
    return made.permute(*sorted(range(len(order)), key=order.__getitem__))
