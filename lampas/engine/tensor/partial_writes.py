"""Copies with a part replaced (`select_scatter`, `slice_scatter`, …) and copies of views (`*_copy`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import promote_types
from lampas.engine.graph import build as g
from lampas.engine.shape import contiguous_strides, normalize_dim
from lampas.engine.tensor import complex_numbers, joining, parts, rearranging, shaping
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.rearranging import _diagonal_place, _two_dims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

Shape = tuple[int, ...]


def _scattered(base: Node, part: Node, shape: Shape, strides: Shape, offset: int) -> Node:
    return g.as_strided_scatter(base, g.cast(part, base.dtype), shape, strides, offset)


def _operation(name: str) -> Operation:
    return Operation(name, _scattered, saves="none")


AS_STRIDED_SCATTER = _operation("as_strided_scatter")
SELECT_SCATTER = _operation("select_scatter")
SLICE_SCATTER = _operation("slice_scatter")
DIAGONAL_SCATTER = _operation("diagonal_scatter")


def _replaced(
    operation: Operation, input: Tensor, src: Tensor, shape: Shape, strides: Shape, offset: int
) -> Tensor:
    if src._shape != shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src._shape)}, slice size = {list(shape)} (in {operation.name}())"
        )
    return record(operation, (input, src), (shape, strides, offset))


@public(method=True, out=True)
def as_strided_scatter(
    input: Tensor,
    src: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """A copy of input with src at the places that `as_strided` would read."""
    place = (tuple(size), tuple(stride), storage_offset or 0)
    last = place[2] + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in place[0] and last >= input._node.numel:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {place[2]} "
            f"are out of bounds for storage of size {input._node.numel * input.dtype.itemsize}"
        )
    return _replaced(AS_STRIDED_SCATTER, input, src, *place)


@public(method=True, out=True)
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of input with src at one place of `dim`."""
    place = normalize_dim(dim, len(input._shape))
    size = input._shape[place]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input._shape)} at "
            f"dimension {place}"
        )
    strides = contiguous_strides(input._shape)
    rest = [d for d in range(len(input._shape)) if d != place]
    shape, steps = tuple(input._shape[d] for d in rest), tuple(strides[d] for d in rest)
    return _replaced(SELECT_SCATTER, input, src, shape, steps, index % size * strides[place])


@public(method=True, out=True)
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy of input with src at a slice of `dim`."""
    place = normalize_dim(dim, len(input._shape))
    first, last, jump = slice(start, end, step).indices(input._shape[place])
    count = len(range(first, last, jump))
    strides = contiguous_strides(input._shape)
    shape = tuple(count if d == place else n for d, n in enumerate(input._shape))
    steps = tuple(s * jump if d == place else s for d, s in enumerate(strides))
    return _replaced(SLICE_SCATTER, input, src, shape, steps, first * strides[place])


@public(method=True, out=True)
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of input with src on a diagonal."""
    first, second = _two_dims(dim1, dim2, len(input._shape), (dim1, dim2))
    strides = contiguous_strides(input._shape)
    place = _diagonal_place(input._shape, strides, offset, first, second)
    return _replaced(DIAGONAL_SCATTER, input, src, *place)


def _define_copy(name: str, view: Any) -> None:
    def function(input: Tensor, *args: Any, **options: Any) -> Any:
        viewed = view(input, *args, **options)
        if isinstance(viewed, tuple):
            return tuple(each.clone() for each in viewed)
        return viewed.clone()

    function.__name__ = function.__qualname__ = f"{name}_copy"
    function.__doc__ = f"A copy of what `{name}` would show."
    function.__module__ = __name__
    public(out=True)(function)


for _name, _view in (
    ("alias", lambda input: input),
    ("as_strided", shaping.as_strided),
    ("detach", lambda input: input.detach()),
    ("diagonal", rearranging.diagonal),
    ("expand", lambda input, size, **options: input.expand(size)),
    ("narrow", parts.narrow),
    ("permute", shaping.permute),
    ("select", parts.select),
    ("slice", lambda input, *args, **options: _slice(input, *args, **options)),
    ("split", parts.split),
    ("split_with_sizes", parts.split),
    ("squeeze", shaping.squeeze),
    ("t", shaping.t),
    ("transpose", shaping.transpose),
    ("unbind", parts.unbind),
    ("unfold", rearranging.unfold),
    ("unsqueeze", shaping.unsqueeze),
    ("view", lambda input, *args, **options: input.view(*args, **options)),
    ("view_as_real", complex_numbers.view_as_real),
    ("view_as_complex", complex_numbers.view_as_complex),
):
    _define_copy(_name, _view)


def _slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    place = normalize_dim(dim, len(input._shape))
    key = (slice(None),) * place + (slice(start, end, step),)
    return input[key]  # type: ignore[index]


@public(method=True)
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """As `chunk`, without the promise that the parts may be written to."""
    return parts.chunk(input, chunks, dim)


@public(method=True)
def unsafe_split(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """As `split`, without the promise that the parts may be written to."""
    return parts.split(input, split_size, dim)


@public(method=True)
def unsafe_split_with_sizes(
    input: Tensor, split_sizes: Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """As `split_with_sizes`, without the promise that the parts may be written to."""
    return parts.split(input, split_sizes, dim)


@public()
def block_diag(*tensors: Any) -> Tensor:
    """A matrix with the given matrices (vectors count as rows) along its diagonal."""
    parts = [joining.at_least(2, each) for each in tensors]
    for position, part in enumerate(parts):
        if len(part._shape) > 2:
            raise RuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{position} has {len(part._shape)} dimensions"
            )
    return record(BLOCK_DIAG, tuple(parts), (_promoted(parts),))


def _promoted(parts: list[Tensor]) -> Any:
    from_first = parts[0].dtype
    for part in parts[1:]:
        from_first = promote_types(from_first, part.dtype)
    return from_first


def _block_diag(*arguments: Any) -> Node:
    *nodes, kind = arguments
    width = sum(node.shape[1] for node in nodes)
    left = 0
    rows = []
    for node in nodes:
        low, high = (0, left), (0, width - left - node.shape[1])
        rows.append(g.pad(g.cast(node, kind), low, high, g.constant(0, kind)))
        left += node.shape[1]
    return g.concatenate(rows, 0)


BLOCK_DIAG = Operation("block_diag", _block_diag, saves="none")
