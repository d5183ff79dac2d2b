"""Elements in other places: flip, roll, tile, repeat, diagonals, windows, grids, and writes of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.shape import contiguous_strides, normalize_dim, normalize_dims
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import method, public
from lampas.engine.tensor.door import record, record_view
from lampas.engine.tensor.joining import stack
from lampas.engine.tensor.selection import INDEX_SELECT
from lampas.engine.tensor.shaping import sizes_from
from lampas.engine.tensor.values import array_of, node_of, tensor_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node, Shape

# Turning ------------------------------------------------------------------------------------------

FLIP = Operation("flip", lambda x, dims: g.flip(x, dims), saves="none")


@public(method=True)
def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """A copy with the given dimensions backwards."""
    given = axes if dims is None else (dims,)
    places = normalize_dims(sizes_from(given), len(input._shape))
    return record(FLIP, (input,), (places if input._shape else (),))


@public(method=True)
def fliplr(input: Tensor) -> Tensor:
    """The columns backwards."""
    if len(input._shape) < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@public(method=True)
def flipud(input: Tensor) -> Tensor:
    """The rows backwards."""
    if not input._shape:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def _roll(x: Node, shifts: Sequence[int], dims: Sequence[int]) -> Node:
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.shape[dim]
        cut = -shift % size if size else 0
        if cut:
            x = g.concatenate([g.narrow(x, dim, cut, size - cut), g.narrow(x, dim, 0, cut)], dim)
    return x


ROLL = Operation("roll", _roll, saves="none")


def _roll_flat(x: Node, steps: tuple[int, ...]) -> Node:
    return g.reshape(_roll(g.reshape(x, (x.numel,)), steps, (0,)), x.shape)


ROLL_FLAT = Operation("roll", _roll_flat, saves="none")


@public(method=True)
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved by `shifts` along `dims`; what leaves at one end comes in at the other."""
    steps = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if not steps:
        raise RuntimeError("`shifts` required")
    if dims is None or dims == ():
        if len(steps) > 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:0")
        return record(ROLL_FLAT, (input,), (steps,))
    places = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(steps) != len(places):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(places)}"
        )
    rank = len(input._shape)
    if not rank:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return record(ROLL, (input,), (steps, tuple(normalize_dim(d, rank) for d in places)))


@public(method=True)
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two dimensions turned by k quarter turns, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    rank = len(input._shape)
    if rank < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {rank}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == rank:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    first, second = (normalize_dim(d, rank) for d in dims)
    turns = k % 4
    if turns == 1:
        return flip(input, second).transpose(first, second)  # type: ignore[attr-defined]
    if turns == 2:
        return flip(input, first, second)
    if turns == 3:
        return flip(input, first).transpose(first, second)  # type: ignore[attr-defined]
    return input.clone()  # type: ignore[attr-defined]


# Repeating ----------------------------------------------------------------------------------------


def _repeat(x: Node, counts: Shape) -> Node:
    shape = (1,) * (len(counts) - len(x.shape)) + x.shape
    grid = g.reshape(x, tuple(n for size in shape for n in (1, size)))
    pairs = zip(counts, shape, strict=True)
    grid = g.expand(grid, tuple(n for count, size in pairs for n in (count, size)))
    return g.reshape(grid, tuple(c * n for c, n in zip(counts, shape, strict=True)))


REPEAT = Operation("repeat", _repeat, saves="none")


@method()
def repeat(self: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """The tensor repeated along every dimension (new ones come in front)."""
    counts = sizes_from(sizes if repeats is None else (repeats,))
    if len(counts) < len(self._shape):
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    if any(count < 0 for count in counts):
        raise RuntimeError(f"Trying to create tensor with negative dimension: {list(counts)}")
    return record(REPEAT, (self,), (counts,))


@public(method=True)
def tile(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """As `repeat`; missing counts in front are 1."""
    counts = sizes_from(sizes if dims is None else (dims,))
    return repeat(input, *((1,) * (len(input._shape) - len(counts)) + counts))


def _repeat_each(x: Node, count: int, dim: int) -> Node:
    shape = x.shape
    wide = g.reshape(x, (*shape[: dim + 1], 1, *shape[dim + 1 :]))
    wide = g.expand(wide, (*shape[: dim + 1], count, *shape[dim + 1 :]))
    return g.reshape(wide, (*shape[:dim], shape[dim] * count, *shape[dim + 1 :]))


REPEAT_EACH = Operation("repeat_interleave", _repeat_each, grad_name="ViewBackward0", saves="none")


def _repeated_places(repeats: Tensor, size: int | None) -> np.ndarray:
    counts = array_of(repeats)
    if repeats.dtype.name not in ("int32", "int64"):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    if size is not None and counts.size not in (1, size):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size(dim) = {size}"
        )
    count = counts.size if size is None else size
    return np.repeat(np.arange(count), np.broadcast_to(counts.reshape(-1), (count,)))


@public(method=True)
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every element along `dim` repeated (`repeats` times, or its own number of times)."""
    if repeats is None:
        return tensor_of(_repeated_places(input, None), input.dtype)
    if dim is None:
        input, dim = input.reshape(-1), 0  # type: ignore[attr-defined]
    place = normalize_dim(dim, len(input._shape))
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        if not input._shape:
            input = input.reshape(1)  # type: ignore[attr-defined]
        return record(REPEAT_EACH, (input,), (repeats, place))
    repeats = tensor_of(np.asarray(repeats)) if isinstance(repeats, (list, tuple)) else repeats
    places = _repeated_places(repeats, input._shape[place] if input._shape else 1)
    return record(INDEX_SELECT, (input, node_of(places, int64)), (place,))


# Diagonals and windows ----------------------------------------------------------------------------


def _strided(x: Node, shape: Shape, strides: Shape, offset: int) -> Node:
    return g.as_strided(x, shape, strides, offset)


DIAGONAL = Operation("diagonal", _strided, saves="none")
UNFOLD = Operation("unfold", _strided, saves="none")


def _diagonal_place(
    shape: Shape, strides: Shape, offset: int, dim1: int, dim2: int
) -> tuple[Shape, Shape, int]:
    """Shape, strides and first element of a diagonal in a tensor with these strides."""
    rows, columns = shape[dim1], shape[dim2]
    count = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = 0
    if count:
        start = offset * strides[dim2] if offset >= 0 else -offset * strides[dim1]
    rest = [d for d in range(len(shape)) if d not in (dim1, dim2)]
    return (
        (*(shape[d] for d in rest), count),
        (*(strides[d] for d in rest), strides[dim1] + strides[dim2]),
        start,
    )


def _two_dims(dim1: int, dim2: int, rank: int, given: tuple[int, int]) -> tuple[int, int]:
    first, second = normalize_dim(dim1, rank), normalize_dim(dim2, rank)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {given[0]}, {given[1]}")
    return first, second


@public(method=True)
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonals of two dimensions; they become the last dimension."""
    rank = len(input._shape)
    first, second = _two_dims(dim1, dim2, rank, (dim1, dim2))
    shape, steps, start = _diagonal_place(
        input._shape, contiguous_strides(input._shape), offset, first, second
    )
    _, layout, begin = _diagonal_place(input._shape, input._layout(), offset, first, second)
    return record_view(DIAGONAL, input, (shape, steps, start), layout, input._offset + begin)


def _embed(x: Node, shape: Shape, strides: Shape, start: int) -> Node:
    zeros = g.full(shape, 0, x.dtype)
    return g.as_strided_scatter(zeros, x, x.shape, strides, start)


DIAG_EMBED = Operation("diag_embed", _embed, saves="none")


@public(method=True)
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Zeros with input's last dimension on the diagonals of two new dimensions."""
    rank = len(input._shape) + 1
    first, second = _two_dims(dim1, dim2, rank, (dim1, dim2))
    size = input._shape[-1] + abs(offset)
    rest = iter(input._shape[:-1])
    shape = tuple(size if d in (first, second) else next(rest) for d in range(rank))
    _, strides, start = _diagonal_place(shape, contiguous_strides(shape), offset, first, second)
    return record(DIAG_EMBED, (input,), (shape, strides, start))


@public(method=True, out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with a vector on a diagonal, or a copy of a diagonal of a matrix."""
    if len(input._shape) == 1:
        return diag_embed(input, diagonal)
    if len(input._shape) == 2:
        return _diagonal_of(input, diagonal).clone()  # type: ignore[attr-defined]
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {len(input._shape)}D")


_diagonal_of = diagonal


@public(method=True)
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with the flattened input on a diagonal."""
    return diag_embed(input.reshape(-1), offset)  # type: ignore[attr-defined]


@public(method=True, out=True)
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if len(input._shape) != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {len(input._shape)}")
    return diagonal(input).sum()  # type: ignore[attr-defined]


@method()
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of `size` along a dimension, in steps; they become the last dimension."""
    rank = len(self._shape)
    place = normalize_dim(dimension, rank)
    length = self._shape[place] if rank else 1
    if size > length:
        raise RuntimeError(
            f"maximum size for tensor at dimension {place} is {length} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    count = (length - size) // step + 1

    def windowed(strides: Shape) -> Shape:
        if not rank:
            return (1,)
        jumped = tuple(s * step if d == place else s for d, s in enumerate(strides))
        return (*jumped, strides[place])

    if rank:
        shape = (*(count if d == place else n for d, n in enumerate(self._shape)), size)
    else:
        shape = (size,)
    steps = windowed(contiguous_strides(self._shape))
    layout = windowed(self._layout())
    return record_view(UNFOLD, self, (shape, steps, 0), layout, self._offset)


# Grids --------------------------------------------------------------------------------------------


@public()
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Each vector expanded over a grid whose dimensions are all the vectors."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + str(indexing)
        )
    for tensor in tensors:
        if len(tensor._shape) > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                f"{list(tensor._shape)}"
            )
    swap = indexing == "xy" and len(tensors) >= 2
    order = [1, 0, *range(2, len(tensors))] if swap else list(range(len(tensors)))
    flat = [tensors[place].reshape(-1) for place in order]
    shape = tuple(each._shape[0] for each in flat)
    grids = [
        each.reshape([-1 if d == place else 1 for d in range(len(flat))]).expand(shape)
        for place, each in enumerate(flat)
    ]
    if swap:
        grids = [grids[place] for place in order]
    return tuple(grids)


@public()
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, a row each."""
    for tensor in tensors:
        if len(tensor._shape) != 1:
            raise RuntimeError("Expect a 1D vector, but got shape " + str(list(tensor._shape)))
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*tensors, indexing="ij")], 1)  # type: ignore[attr-defined]


@public()
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, in order, a row each."""
    if len(input._shape) != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input._shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))  # type: ignore[attr-defined]
    places = _choices(input._shape[0], r, 0 if with_replacement else 1)
    flat = node_of(places.reshape(-1))
    return record(INDEX_SELECT, (input, flat), (0,)).reshape(places.shape)


def _choices(size: int, r: int, gap: int) -> np.ndarray:
    """Ascending tuples of r numbers below `size`, each at least `gap` after the one before, in order."""
    columns = [np.arange(size)]
    for _ in range(r - 1):
        following = columns[-1] + gap
        counts = np.maximum(size - following, 0)
        origin = np.repeat(np.arange(len(counts)), counts)
        skipped = np.cumsum(counts) - counts - following
        columns = [column[origin] for column in columns]
        columns.append(np.arange(len(origin)) - skipped[origin])
    return np.stack(columns, axis=1)
