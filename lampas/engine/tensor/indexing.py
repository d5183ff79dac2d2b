"""Indexing: `x[...]` and `x[...] = v` with ints, slices, None, `...`, masks and integer tensors.

An index is read in two steps, as NumPy and PyTorch do.  Basic parts (ints, slices, None, Ellipsis) make a
view.  What is left are integer tensors (masks become the positions of their true places), one for each of
some dimensions of that view: one `index` node.  If their dimensions are adjacent, the indexed
dimensions take their place, else they come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import bool_, int64, uint8
from lampas.engine.graph import build as g
from lampas.engine.host.counting import nonzero_coordinates
from lampas.engine.shape import broadcast_shapes
from lampas.engine.tensor.conversion import array_of, cast
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.creation import tensor as make_tensor
from lampas.engine.tensor.declare import assign, check_in_place, method, public
from lampas.engine.tensor.door import is_memory, record, view_memory
from lampas.engine.tensor.operands import is_number
from lampas.engine.tensor.parts import select, slice_view
from lampas.engine.tensor.shaping import reshape, unsqueeze

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

Advanced = list[tuple[int, Tensor]]


def _index(x: Node, *rest: Any) -> Node:
    *indices, dims = rest
    return g.index(x, dims, indices)


def _index_put(x: Node, value: Node, *rest: Any) -> Node:
    *indices, dims, accumulate = rest
    return g.index_put(x, dims, indices, g.cast(value, x.dtype), accumulate)


INDEX = Operation("index", _index, saves="inputs")


def _mask_put(x: Node, mask: Node, value: Node) -> Node:
    mask = g.reshape(mask, mask.shape + (1,) * (len(x.shape) - len(mask.shape)))
    return g.where(mask, g.cast(value, x.dtype), x)


INDEX_PUT = Operation("index_put", _index_put, saves="inputs")
MASK_PUT = Operation("index_put", _mask_put, saves="inputs")


@method("__getitem__")
def get_item(self: Tensor, key: Any) -> Tensor:
    """The part of the tensor that an index names."""
    if type(key) is int:
        return _select(self, 0, key)
    viewed, advanced = resolve_basic(self, key)
    return index_with(viewed, advanced) if advanced else viewed


@method("__setitem__")
def set_item(self: Tensor, key: Any, value: Any) -> None:
    """Overwrite the part of the tensor that an index names."""
    check_in_place(self, "index_put_")
    source = value if isinstance(value, Tensor) else _value_like(self, value)
    if isinstance(key, Tensor) and key.dtype is bool_ and not source._shape:
        rank = len(key._shape)
        if 0 < rank <= len(self._shape) and key._shape == self._shape[:rank]:
            # One value for all true places: nobody has to look at the mask.
            assign(self, record(MASK_PUT, (self, key, source)), "index_put_")
            return
    viewed, advanced = resolve_basic(self, key)
    if not advanced:
        _copy_into(viewed, source)
        return
    put_with(viewed, advanced, source, accumulate=False)


def _value_like(target: Tensor, value: Any) -> Tensor:
    if is_number(value) or isinstance(value, (list, tuple, np.ndarray)):
        return make_tensor(value, dtype=target.dtype)
    raise TypeError(f"can't assign a {type(value).__name__} to a {target.type()}")  # type: ignore[attr-defined]


def _copy_into(viewed: Tensor, source: Tensor) -> None:
    while len(source._shape) > len(viewed._shape) and source._shape[0] == 1:
        source = reshape(source, source._shape[1:])
    try:
        viewed.copy_(source)  # type: ignore[attr-defined]
    except RuntimeError as error:
        if "doesn't match" not in str(error):
            raise
        raise RuntimeError(
            f"The expanded size of the tensor ({list(viewed._shape)}) must match the existing size "
            f"({list(source._shape)}): shape mismatch: value tensor of shape "
            f"{list(source._shape)} cannot be broadcast to indexing result of shape "
            f"{list(viewed._shape)}"
        ) from None


def _select(source: Tensor, dim: int, index: int) -> Tensor:
    if not source._shape:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` "
            "in C++ to convert a 0-dim tensor to a number"
        )
    size = source._shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return select(source, dim, index)


def resolve_basic(source: Tensor, key: Any) -> tuple[Tensor, Advanced]:
    """Apply the basic parts of an index; return the view and (dimension, index tensor) pairs."""
    parts = _expand_ellipsis(source, _parts(key))
    part = _view_part(source, parts)
    if part is not None:
        return part, []
    viewed, dim = source, 0
    advanced: Advanced = []
    for part in parts:
        if part is None:
            viewed = unsqueeze(viewed, dim)
            dim += 1
        elif type(part) is int:
            viewed = _select(viewed, dim, part)
        elif isinstance(part, slice):
            viewed = _slice(viewed, dim, part)
            dim += 1
        elif isinstance(part, bool):
            viewed = unsqueeze(viewed, dim)
            advanced.append((dim, _constant(np.zeros(1 if part else 0, np.int64))))
            dim += 1
        else:
            dim = _add_advanced(viewed, dim, part, advanced)
    return viewed, advanced


def _view_part(source: Tensor, parts: list[Any]) -> Tensor | None:
    """The view that ints and slices name, in one step, of memory that nobody traces; else None."""
    if len(parts) > len(source._shape) or not is_memory(source):
        return None  # of too many parts some are new dimensions
    layout, offset = source._layout(), source._offset
    shape, strides = [], []
    for part, size, stride in zip(parts, source._shape, layout, strict=False):
        if type(part) is int:
            if not -size <= part < size:
                return None
            offset += part % size * stride
        elif type(part) is slice:
            start, length, step = _range_of(part, size)
            offset += start * stride
            shape.append(length)
            strides.append(stride * step)
        else:
            return None
    shape.extend(source._shape[len(parts) :])
    strides.extend(layout[len(parts) :])
    return view_memory(source, tuple(shape), tuple(strides), offset)


def _parts(key: Any) -> list[Any]:
    """The index as a list of ints, slices, None, Ellipsis, bools and integer or mask tensors."""
    items = key if isinstance(key, tuple) else (key,)
    return [_part(item) for item in items]


def _part(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, (slice, bool)) or type(item) is int:
        return item
    if isinstance(item, np.bool_):
        return bool(item)
    if isinstance(item, Tensor):
        if (
            not item._shape
            and item.dtype not in (bool_, uint8)
            and not item.dtype.is_floating_point
        ):
            return int(item)
        return item
    if isinstance(item, (list, tuple, range, np.ndarray)):
        found = make_tensor(item)
        return cast(found, int64) if not found._node_count() else found
    if hasattr(item, "__index__"):
        return item.__index__()
    if isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {type(item).__name__})"
    )


def _consumed(part: Any) -> int:
    """How many dimensions of the source a part uses."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    if isinstance(part, Tensor) and part.dtype in (bool_, uint8):
        return len(part._shape)
    return 1


def _expand_ellipsis(source: Tensor, parts: list[Any]) -> list[Any]:
    rank = len(source._shape)
    used = sum(_consumed(part) for part in parts)
    if used > rank:
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    places = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(places) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if not places:
        return parts
    place = places[0]
    return [*parts[:place], *[slice(None)] * (rank - used), *parts[place + 1 :]]


def _slice(source: Tensor, dim: int, part: slice) -> Tensor:
    if part.start is None and part.stop is None and part.step is None:
        return source
    start, length, step = _range_of(part, source._shape[dim])
    return slice_view(source, dim, start, length, step)


def _range_of(part: slice, size: int) -> tuple[int, int, int]:
    """Start, length and step of a slice of `size` places."""
    step = 1 if part.step is None else part.step.__index__()
    if step <= 0:
        raise ValueError("step must be greater than zero")
    bounds = [None if each is None else each.__index__() for each in (part.start, part.stop)]
    start, stop, _ = slice(bounds[0], bounds[1], step).indices(size)
    length = max(-(-(stop - start) // step), 0)
    return (start, length, step) if start < size else (size, 0, step)


def _constant(array: np.ndarray) -> Tensor:
    return make_tensor(array)


def _add_advanced(viewed: Tensor, dim: int, part: Tensor, advanced: Advanced) -> int:
    """Note an index tensor for the dimensions from `dim` on; returns the next dimension."""
    kind = part.dtype
    if kind is bool_ or kind is uint8:
        return _add_mask(viewed, dim, part, advanced)
    if kind.is_floating_point or kind.is_complex:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    advanced.append((dim, checked_index(part, viewed._shape[dim], dim)))
    return dim + 1


def _add_mask(viewed: Tensor, dim: int, mask: Tensor, advanced: Advanced) -> int:
    rank = len(mask._shape)
    for offset, size in enumerate(mask._shape):
        if viewed._shape[dim + offset] != size:
            raise IndexError(
                f"The shape of the mask {list(mask._shape)} at index {offset} does not match the "
                f"shape of the indexed tensor {list(viewed._shape)} at index {dim + offset}"
            )
    if rank == 0:
        raise IndexError("0-d masks are taken as Python booleans; use bool(mask)")
    places = nonzero_coordinates(array_of(mask))
    advanced.extend((dim + offset, _constant(place)) for offset, place in enumerate(places))
    return dim + rank


def checked_index(index: Tensor, size: int, dim: int) -> Tensor:
    """The index as int64 without negative values; IndexError if one lies outside."""
    values = array_of(index)
    if values.size:
        low, high = int(values.min()), int(values.max())
        if low < -size or high >= size:
            bad = low if low < -size else high
            raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {size}")
        if low < 0:
            return _constant(np.where(values < 0, values + size, values).astype(np.int64))
    return cast(index, int64)


def index_with(source: Tensor, advanced: Advanced) -> Tensor:
    """Advanced indexing of the dimensions named in `advanced`."""
    dims = tuple(dim for dim, _ in advanced)
    indices = _broadcast([index for _, index in advanced])
    return record(INDEX, (source, *indices), (dims,))


def _broadcast(indices: list[Tensor]) -> Sequence[Tensor]:
    try:
        broadcast_shapes(*(index._shape for index in indices))
    except RuntimeError:
        shapes = ", ".join(str(list(index._shape)) for index in indices)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None
    return indices


def put_with(viewed: Tensor, advanced: Advanced, value: Tensor, *, accumulate: bool) -> Tensor:
    """Write `value` to the indexed places of a view."""
    dims = tuple(dim for dim, _ in advanced)
    indices = _broadcast([index for _, index in advanced])
    picked = broadcast_shapes(*(index._shape for index in indices))
    rest = [n for d, n in enumerate(viewed._shape) if d not in dims]
    place = dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0
    target = (*rest[:place], *picked, *rest[place:])
    while len(value._shape) > len(target) and value._shape[0] == 1:
        value = reshape(value, value._shape[1:])
    _check_fits(value, target)
    result = record(INDEX_PUT, (viewed, value, *indices), (dims, accumulate))
    return assign(viewed, result, "index_put_")


def _check_fits(value: Tensor, target: tuple[int, ...]) -> None:
    lead = len(target) - len(value._shape)
    if lead < 0 or any(
        n not in (1, want) for n, want in zip(value._shape, target[lead:], strict=True)
    ):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value._shape)} cannot be broadcast to "
            f"indexing result of shape {list(target)}"
        )


def _given_indices(source: Tensor, indices: Sequence[Any]) -> Advanced:
    advanced: Advanced = []
    dim = 0
    for index in indices:
        if index is None:
            dim += 1
        else:
            dim = _add_advanced(source, dim, index, advanced)
    return advanced


@method()
def index_put_(
    self: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False
) -> Tensor:
    """Write `values` to the places that the index tensors name; sums with `accumulate`."""
    check_in_place(self, "index_put_")
    put_with(self, _given_indices(self, indices), values, accumulate=accumulate)
    return self


@public(method=True)
def index_put(
    input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False
) -> Tensor:
    """The form of `index_put_` that leaves the input as it is."""
    advanced = _given_indices(input, indices)
    dims = tuple(dim for dim, _ in advanced)
    given = [index for _, index in advanced]
    return record(INDEX_PUT, (input, values, *given), (dims, accumulate))
