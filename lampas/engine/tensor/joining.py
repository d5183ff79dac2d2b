"""Joins: cat, stack and their relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.shape import normalize_dim
from lampas.engine.tensor.core import Tensor, wrap_view
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import HOOKS, LOOKERS, record
from lampas.engine.tensor.operands import common_dtype, require_tensor
from lampas.engine.tensor.shaping import reshape
from lampas.engine.tensor.storage import strided_reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

# Joins --------------------------------------------------------------------------------------------


def _concatenate(*arguments: Any) -> Node:
    *nodes, dim, kind = arguments
    return g.concatenate([g.cast(node, kind) for node in nodes], dim)


CAT = Operation("cat", _concatenate, saves="none")


def _stack(*arguments: Any) -> Node:
    *nodes, dim, kind = arguments
    shape = nodes[0].shape
    widened = (*shape[:dim], 1, *shape[dim:])
    return g.concatenate([g.reshape(g.cast(node, kind), widened) for node in nodes], dim)


STACK = Operation("stack", _stack, saves="none")


def _joined(x: Node, dim: int, shape: tuple[int, ...]) -> Node:
    order = [*range(1, dim + 1), 0, *range(dim + 1, len(x.shape))]
    return g.reshape(g.permute(x, order), shape)


SPACED_CAT = Operation("cat", _joined, saves="none")
SPACED_STACK = Operation("stack", _joined, saves="none")


def _spaced(given: Sequence[Tensor]) -> Tensor | None:
    """Parts of one form that lie in equal steps in stored memory, as one view with their number in front.

    The samples of a batch are often rows that follow each other: nothing is copied then.
    """
    first, storage = given[0], given[0]._storage
    if len(given) < 2 or given[1]._storage is not storage or HOOKS or LOOKERS:
        return None
    stored, shape, layout, offset = storage.node, first._shape, first._layout(), first._offset
    step = given[1]._offset - offset
    if stored.buffer is None or stored.dtype is not first._node.dtype or step <= 0:
        return None
    for each in given:
        if (
            each._offset != offset
            or each._storage is not storage
            or each._shape != shape
            or (each._strides != layout and each._layout() != layout)
            or each._edge is not None
            or each._requires_grad
            or each._past != storage.history
            or each._node.dtype is not stored.dtype
        ):
            return None
        offset += step
    lengths, strides = (len(given), *shape), (step, *layout)
    reading = strided_reading(stored, lengths, strides, first._offset)
    return wrap_view(first, reading, strides, first._offset)


@public("concat", "concatenate", out=True)
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """The tensors one after the other along `dim`; all other sizes must agree."""
    dim = dim if axis is None else axis
    given = list(tensors)
    if not given:
        raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
    for position, each in enumerate(given):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"expected Tensor as element {position} in argument 0, but got {type(each).__name__}"
            )
        if not each._shape:
            raise RuntimeError(
                f"zero-dimensional tensor (at position {position}) cannot be concatenated"
            )
    kind = common_dtype("cat", *given)
    used = [each for each in given if each._shape != (0,)] or given[:1]
    rank = len(used[0]._shape)
    dim = normalize_dim(dim, rank)
    _check_joined(used, given, dim)
    spaced = _spaced(used)
    if spaced is not None:
        first = used[0]._shape
        shape = (*first[:dim], first[dim] * len(used), *first[dim + 1 :])
        return record(SPACED_CAT, (spaced,), (dim, shape))
    return record(CAT, tuple(used), (dim, kind))


def _check_joined(used: list[Tensor], given: list[Tensor], dim: int) -> None:
    first = used[0]._shape
    for each in used[1:]:
        if len(each._shape) != len(first):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and "
                f"{len(each._shape)}"
            )
        for d, (a, b) in enumerate(zip(first, each._shape, strict=True)):
            if d != dim and a != b:
                place = next(n for n, other in enumerate(given) if other is each)
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {a} but "
                    f"got size {b} for tensor number {place} in the list."
                )


@public(out=True)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension."""
    given = tuple(tensors)
    if not given:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = require_tensor("stack", "tensors", given[0])._shape
    for position, each in enumerate(given):
        if each._shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(each._shape)} at entry {position}"
            )
    dim = normalize_dim(dim, len(first) + 1)
    spaced = _spaced(given)
    if spaced is not None:
        shape = (*first[:dim], len(given), *first[dim:])
        return record(SPACED_STACK, (spaced,), (dim, shape))
    return record(STACK, given, (dim, common_dtype("stack", *given)))


def at_least(rank: int, tensor: Tensor) -> Tensor:
    """The tensor with at least 1, 2 or 3 dimensions, as NumPy adds them."""
    shape = tensor._shape
    if len(shape) >= rank:
        return tensor
    if rank == 1:
        return reshape(tensor, 1)
    if rank == 2:
        return reshape(tensor, (1, *shape) if shape else (1, 1))
    widened = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)]
    return reshape(tensor, widened)


def _define_at_least(name: str, rank: int) -> None:
    def function(*tensors: Any) -> Any:
        given = (
            tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        )
        if len(given) == 1 and given is tensors:
            return at_least(rank, given[0])
        return tuple(at_least(rank, each) for each in given)

    function.__name__ = name
    function.__doc__ = f"Each tensor with at least {rank} dimensions."
    public()(function)


for _rank in (1, 2, 3):
    _define_at_least(f"atleast_{_rank}d", _rank)


def _define_stack(rank: int, dim: int, *names: str) -> None:
    def function(tensors: Sequence[Tensor]) -> Tensor:
        given = [at_least(rank, each) for each in tensors]
        along = 0 if names[0] == "hstack" and given and len(given[0]._shape) == 1 else dim
        return cat(given, along)

    function.__name__ = names[0]
    function.__doc__ = f"The tensors joined along dimension {dim}, with at least {rank} dimensions."
    public(*names[1:], out=True)(function)


_define_stack(1, 1, "hstack")
_define_stack(2, 0, "vstack", "row_stack")
_define_stack(3, 2, "dstack")


@public(out=True)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Vectors as columns, matrices as they are, side by side."""
    given = [
        reshape(each, (each._node_count(), 1)) if len(each._shape) <= 1 else each
        for each in tensors
    ]
    return cat(given, 1)
