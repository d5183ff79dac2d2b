"""Views and joins: view, reshape, transpose, expand, slices, unbind, cat, stack, split.

A view shares its storage: the node reads the source semantically (reshape, permute, …) while strides and
offset describe the same reading of the storage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.derive.tape import Edge
from lampas.engine.dtype import dtype
from lampas.engine.graph import build as g
from lampas.engine.shape import (
    Size,
    broadcast_shapes,
    contiguous_strides,
    expand_strides,
    infer_size,
    normalize_dim,
    view_strides,
)
from lampas.engine.tensor.conversion import is_contiguous
from lampas.engine.tensor.core import AS_STRIDED, Tensor, share, wrap_view
from lampas.engine.tensor.declare import method, public
from lampas.engine.tensor.door import record, record_view, trace
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.storage import strided_reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node


def _reshape_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    return (g.reshape(ct, saved.inputs[0].shape),)


def _permute_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    dims = saved.attributes[0]
    inverse = [0] * len(dims)
    for place, dim in enumerate(dims):
        inverse[dim] = place
    return (g.permute(ct, inverse),)


def _expand_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    return (g.sum_to(ct, saved.inputs[0].shape),)


def _view_operation(name: str) -> Operation:
    return Operation(name, g.reshape, vjp=_reshape_vjp, saves="none")


VIEW = _view_operation("view")
UNSAFE_VIEW = Operation(
    "reshape", g.reshape, vjp=_reshape_vjp, grad_name="UnsafeViewBackward0", saves="none"
)
UNSQUEEZE = _view_operation("unsqueeze")
SQUEEZE = _view_operation("squeeze")
PERMUTE = Operation("permute", g.permute, vjp=_permute_vjp, saves="none")
TRANSPOSE = Operation("transpose", g.permute, vjp=_permute_vjp, saves="none")
T = Operation("t", g.permute, vjp=_permute_vjp, saves="none")
EXPAND = Operation("expand", g.expand, vjp=_expand_vjp, saves="none")


def sizes_from(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The sizes or dims that `f(2, 3)` and `f((2, 3))` mean."""
    if len(args) == 1 and isinstance(args[0], (tuple, list, Size)):
        args = tuple(args[0])
    return tuple([each if type(each) is int else each.__index__() for each in args])


# One storage, other shapes ------------------------------------------------------------------------


def view_as_shape(source: Tensor, shape: tuple[int, ...], operation: Operation) -> Tensor | None:
    """The tensor in another shape over the same storage; None where strides forbid it."""
    if source._strides is None or is_contiguous(source):
        strides: Any = contiguous_strides(shape)
    else:
        strides = view_strides(source._shape, source._layout(), shape)
        if strides is None:
            return None
    return record_view(operation, source, (shape,), tuple(strides), source._offset)


@method()
def view(self: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape (one size may be -1), or read as another dtype.

    RuntimeError where the strides do not allow it; `reshape` then copies.
    """
    if len(shape) == 1 and isinstance(shape[0], dtype):
        return view_dtype(self, shape[0])
    sizes = infer_size(sizes_from(shape), self._node_count())
    result = view_as_shape(self, tuple(sizes), VIEW)
    if result is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return result


def view_dtype(source: Tensor, kind: dtype) -> Tensor:
    """The bytes read as another dtype; the last dimension grows or shrinks with the item size."""
    old, new = source.dtype.itemsize, kind.itemsize
    if kind is source.dtype:
        return share(source)
    shape, strides, offset = source._shape, source._layout(), source._offset
    if old != new:
        shape, strides, offset = _resized(source, old, new)
    storage = source._storage
    node = strided_reading(g.reinterpret(storage.node, kind), shape, strides, offset)
    return wrap_view(source, node, strides, offset)


def _resized(source: Tensor, old: int, new: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shape, strides and offset in elements of the new size."""
    shape, strides, offset = source._shape, source._layout(), source._offset
    if not shape:
        raise RuntimeError("self.dim() cannot be 0 to view a tensor as a different element size")
    if strides[-1] != 1:
        raise RuntimeError(
            "self.stride(-1) must be 1 to view a tensor as a different element size, but got "
            f"{strides[-1]}"
        )
    bounds = (shape[-1], offset, *strides[:-1])
    if any(bound * old % new for bound in bounds):
        raise RuntimeError(
            f"self.size(-1), the strides and the storage offset must be divisible by {new // old} "
            f"to view a tensor of {old}-byte elements as {new}-byte elements, but got "
            f"{list(shape)}, {list(strides)} and {offset}"
        )
    wider = tuple(step * old // new for step in strides[:-1])
    return (*shape[:-1], shape[-1] * old // new), (*wider, 1), offset * old // new


@public(method=True)
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """A view in another shape where the strides allow it, else a copy."""
    sizes = tuple(infer_size(sizes_from(shape), input._node_count()))
    result = view_as_shape(input, sizes, VIEW)
    return record(UNSAFE_VIEW, (input,), (sizes,)) if result is None else result


@method()
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor viewed with other's shape."""
    return view(self, other._shape)


@method()
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor reshaped to other's shape."""
    return reshape(self, other._shape)


@public(method=True)
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim … end_dim joined into one."""
    rank = len(input._shape)
    if rank == 0:
        return reshape(input, 1)
    start, end = normalize_dim(start_dim, rank), normalize_dim(end_dim, rank)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    count = 1
    for size in input._shape[start : end + 1]:
        count *= size
    return reshape(input, (*input._shape[:start], count, *input._shape[end + 1 :]))


@public(method=True)
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension split into several."""
    dim = normalize_dim(dim, len(input._shape))
    parts = infer_size(tuple(sizes), input._shape[dim])
    return view(input, (*input._shape[:dim], *parts, *input._shape[dim + 1 :]))


@public(method=True)
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return reshape(input, -1)


@public(method=True)
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at `dim`."""
    dim = normalize_dim(dim, len(input._shape) + 1)
    shape = (*input._shape[:dim], 1, *input._shape[dim:])
    strides = input._layout()
    step = strides[dim] * input._shape[dim] if dim < len(strides) else 1
    strides = (*strides[:dim], step, *strides[dim:])
    return record_view(UNSQUEEZE, input, (shape,), strides, input._offset)


@public(method=True)
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without its dimensions of size 1 (or those of them in `dim`)."""
    rank = len(input._shape)
    if dim is None:
        picked = set(range(rank))
    else:
        dims = dim if isinstance(dim, (tuple, list)) else (dim,)
        picked = {normalize_dim(each, rank) for each in dims}
    kept = [d for d in range(rank) if d not in picked or input._shape[d] != 1]
    shape = tuple([input._shape[d] for d in kept])
    layout = input._layout()
    return record_view(SQUEEZE, input, (shape,), tuple([layout[d] for d in kept]), input._offset)


# Order of dimensions ------------------------------------------------------------------------------


def _permuted(source: Tensor, dims: tuple[int, ...], operation: Operation) -> Tensor:
    layout = source._layout()
    strides = tuple([layout[d] for d in dims])
    return record_view(operation, source, (dims,), strides, source._offset)


@public(method=True)
def permute(input: Tensor, *dims: Any) -> Tensor:
    """Dimension i of the result is dimension dims[i] of the input."""
    order = sizes_from(dims)
    rank = len(input._shape)
    if len(order) != rank:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {rank} is not equal "
            f"to len(dims) = {len(order)}"
        )
    placed = tuple([normalize_dim(dim, rank) for dim in order])
    if len(set(placed)) != rank:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permuted(input, placed, PERMUTE)


@public("swapaxes", "swapdims", method=True)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    rank = len(input._shape)
    dim0, dim1 = normalize_dim(dim0, rank), normalize_dim(dim1, rank)
    order = list(range(rank))
    if rank:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permuted(input, tuple(order), TRANSPOSE)


@public(method=True)
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and numbers stay."""
    rank = len(input._shape)
    if rank > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {rank}D")
    return _permuted(input, (1, 0) if rank == 2 else tuple(range(rank)), T)


@public("moveaxis", method=True)
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions `source` moved to the places `destination`, the others in their order."""
    rank = len(input._shape)
    sources = source if isinstance(source, (tuple, list)) else (source,)
    targets = destination if isinstance(destination, (tuple, list)) else (destination,)
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(sources)} dims) should "
            f"contain the same number of dims as destination ({list(targets)} dims)"
        )
    taken = [normalize_dim(dim, rank) for dim in sources]
    places = [normalize_dim(dim, rank) for dim in targets]
    for name, dims in (("source", taken), ("destination", places)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
    rest = iter(dim for dim in range(rank) if dim not in taken)
    moved = dict(zip(places, taken, strict=True))
    order = tuple([moved[dim] if dim in moved else next(rest) for dim in range(rank)])
    return _permuted(input, order, PERMUTE)


@public(method=True)
def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    if len(input._shape) < 2:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices.")
    turned = transpose(input, -2, -1)
    return turned.conj() if input.dtype.is_complex else turned  # type: ignore[attr-defined]


def _reversed(self: Tensor) -> Tensor:
    return _permuted(self, tuple(reversed(range(len(self._shape)))), PERMUTE)


def _matrix_transpose(self: Tensor) -> Tensor:
    if len(self._shape) < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{len(self._shape)}-D tensor."
        )
    return transpose(self, -2, -1)


method("T")(property(_reversed))  # type: ignore[arg-type]
method("mT")(property(_matrix_transpose))  # type: ignore[arg-type]
method("H")(property(lambda self: adjoint(self)))  # type: ignore[arg-type]
method("mH")(property(lambda self: adjoint(self)))  # type: ignore[arg-type]

# Repetition without memory ------------------------------------------------------------------------


@method()
def expand(self: Tensor, *sizes: Any, implicit: bool = False) -> Tensor:
    """Dimensions of size 1 repeated without copying; -1 keeps a size."""
    wanted = sizes_from(sizes)
    shape, strides = expand_strides(self._shape, self._layout(), wanted)
    return record_view(EXPAND, self, (tuple(shape),), tuple(strides), self._offset)


@method()
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expanded to other's shape."""
    return expand(self, other._shape)


@public()
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Expanded to a shape."""
    return expand(input, tuple(size))


method("broadcast_to")(broadcast_to)


@public()
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    shape = broadcast_shapes(*(each._shape for each in given))
    return tuple(expand(each, tuple(shape)) for each in given)


@public(method=True)
def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Any strided reading of the storage."""
    shape, strides = tuple(size), tuple(stride)
    offset = input._offset if storage_offset is None else storage_offset
    if len(shape) != len(strides):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(step < 0 for step in strides):
        raise RuntimeError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list(strides)}"
        )
    count = input._storage.node.numel
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if 0 not in shape and last >= count:
        raise RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset}, "
            f"and itemsize {input.dtype.itemsize} requiring a storage size of "
            f"{(last + 1) * input.dtype.itemsize} are out of bounds for storage of size "
            f"{count * input.dtype.itemsize}"
        )
    whole = input if input._covers_storage() else whole_storage(input)
    result = record_view(AS_STRIDED, whole, (shape, strides, offset), strides, offset)
    if grad_mode.enabled and input.requires_grad and not whole.requires_grad:
        node = input._value()
        place = (count, input._shape, input._layout(), input._offset, shape, strides, offset)
        entry = trace(AS_STRIDED_OF_PART, (input,), (node,), (result._value(),), place)
        result._edge = Edge(entry, 0)
    return result


def _strided_of_part(x: Node, count: int, *places: Any) -> Node:
    """A strided reading of a storage of `count` zeros in which only the part x is known."""
    own_shape, own_strides, own_offset, shape, strides, offset = places
    zeros = g.full((count,), 0, x.dtype)
    storage = g.as_strided_scatter(zeros, x, own_shape, own_strides, own_offset)
    return g.as_strided(storage, shape, strides, offset)


AS_STRIDED_OF_PART = Operation(
    "as_strided", _strided_of_part, grad_name="AsStridedBackward0", saves="none"
)


def whole_storage(tensor: Tensor) -> Tensor:
    """The base as a flat tensor: what a strided reading of the storage is taken from."""
    base = tensor if tensor._base is None else tensor._base
    if base._covers_storage():
        return base
    flat = g.reshape(base._storage.node, (base._storage.node.numel,))
    return wrap_view(base, flat, (1,), 0)


# In-place forms of views --------------------------------------------------------------------------


def _reshape_self(self: Tensor, viewed: Tensor) -> Tensor:
    """Make the tensor itself the given view of itself."""
    self._shape, self._strides, self._offset = viewed._shape, viewed._strides, viewed._offset
    self._node, self._seen, self._edge = viewed._node, viewed._seen, viewed._edge
    return self


for _name, _function in (
    ("squeeze", squeeze),
    ("unsqueeze", unsqueeze),
    ("transpose", transpose),
    ("swapaxes", transpose),
    ("swapdims", transpose),
    ("t", t),
    ("as_strided", as_strided),
):
    method(f"{_name}_")(
        lambda self, *args, _function=_function, **options: _reshape_self(
            self, _function(self, *args, **options)
        )
    )
