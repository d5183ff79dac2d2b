"""Parts of a tensor as views: select, narrow, slices, unbind, split, chunk."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.shape import normalize_dim
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record_view, view_memory, views_of_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

SLICE = Operation("slice", g.slice_dims, saves="none")
SPLIT = Operation("split", g.slice_dims, saves="none")


def _select(x: Node, starts: Any, lengths: Any, steps: Any, shape: Any) -> Node:
    return g.reshape(g.slice_dims(x, starts, lengths, steps), shape)


SELECT = Operation("select", _select, saves="none")
UNBIND = Operation("unbind", _select, saves="none")


def slice_view(
    source: Tensor, dim: int, start: int, length: int, step: int, operation: Operation = SLICE
) -> Tensor:
    """`length` places along `dim` from `start` in steps of `step`."""
    rank = len(source._shape)
    lengths = tuple([length if d == dim else n for d, n in enumerate(source._shape)])
    layout = source._layout()
    strides = tuple([s * step if d == dim else s for d, s in enumerate(layout)])
    offset = source._offset + start * layout[dim]
    made = view_memory(source, lengths, strides, offset)
    if made is not None:
        return made
    starts = tuple([start if d == dim else 0 for d in range(rank)])
    steps = tuple([step if d == dim else 1 for d in range(rank)])
    return record_view(operation, source, (starts, lengths, steps), strides, offset)


@public(method=True)
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The part at one place of `dim`, without that dimension."""
    rank = len(input._shape)
    if rank == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = normalize_dim(dim, rank)
    index = index.__index__()
    size = input._shape[dim]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input._shape)} at "
            f"dimension {dim}"
        )
    index %= size
    shape = (*input._shape[:dim], *input._shape[dim + 1 :])
    layout = input._layout()
    strides = (*layout[:dim], *layout[dim + 1 :])
    offset = input._offset + index * layout[dim]
    made = view_memory(input, shape, strides, offset)
    if made is not None:
        return made
    starts = tuple([index if d == dim else 0 for d in range(rank)])
    lengths = tuple([1 if d == dim else n for d, n in enumerate(input._shape)])
    return record_view(SELECT, input, (starts, lengths, (1,) * rank, shape), strides, offset)


@public(method=True)
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` places along `dim` from `start`."""
    rank = len(input._shape)
    if rank == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = normalize_dim(dim, rank)
    size = input._shape[dim]
    start = start.__index__()
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(
            f"Dimension out of range: start {start} for dimension {dim} of size {size}"
        )
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return slice_view(input, dim, start, length, 1)


@public(method=True)
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All parts along `dim`."""
    rank = len(input._shape)
    dim = normalize_dim(dim, rank)
    layout, size = input._layout(), input._shape[dim]
    shape = (*input._shape[:dim], *input._shape[dim + 1 :])
    strides = (*layout[:dim], *layout[dim + 1 :])
    offsets = [input._offset + index * layout[dim] for index in range(size)]
    made = views_of_memory(input, shape, strides, offsets)
    if made is not None:
        return made
    lengths, steps = (*input._shape[:dim], 1, *input._shape[dim + 1 :]), (1,) * rank
    before, after = (0,) * dim, (0,) * (rank - dim - 1)
    return tuple(
        [
            record_view(
                UNBIND,
                input,
                ((*before, index, *after), lengths, steps, shape),
                strides,
                offset,
            )
            for index, offset in enumerate(offsets)
        ]
    )


@public("split_with_sizes", method=True)
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of one size (the last may be smaller) or of the given sizes."""
    dim = normalize_dim(dim, len(input._shape))
    size = input._shape[dim]
    if isinstance(split_size_or_sections, (list, tuple)):
        sizes = [each.__index__() for each in split_size_or_sections]
        if sum(sizes) != size:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's "
                f"size at dimension {dim}), but got split_sizes={sizes}"
            )
    else:
        step = split_size_or_sections.__index__()
        if step < 0 or (step == 0 and size != 0):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={step}"
            )
        sizes = [min(step, size - start) for start in range(0, size, step)] if size else [0]
    made: list[Tensor] = []
    start = 0
    for length, alike in itertools.groupby(sizes):
        count = len(list(alike))
        starts = [start + length * place for place in range(count)]
        made += _parts_alike(input, dim, length, starts)
        start += length * count
    return tuple(made)


def _parts_alike(input: Tensor, dim: int, length: int, starts: list[int]) -> Sequence[Tensor]:
    """Parts of one length."""
    shape, layout = input._shape, input._layout()
    offsets = [input._offset + start * layout[dim] for start in starts]
    made = views_of_memory(input, (*shape[:dim], length, *shape[dim + 1 :]), layout, offsets)
    if made is not None:
        return made
    return [slice_view(input, dim, start, length, 1, SPLIT) for start in starts]


@public(method=True)
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size, the last perhaps smaller."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = normalize_dim(dim, len(input._shape))
    size = input._shape[dim]
    step = -(-size // chunks)
    if step == 0:
        return split(input, [0] * chunks, dim)
    return split(input, step, dim)


@public(method=True)
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts between the given places, or that many parts as equal as possible."""
    dim = normalize_dim(dim, len(input._shape))
    size = input._shape[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()  # type: ignore[attr-defined]
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        small, extra = divmod(size, sections)
        sizes = [small + 1] * extra + [small] * (sections - extra)
        return split(input, sizes, dim)
    bounds = [0, *(range(size)[:each].stop for each in indices_or_sections), size]
    return tuple(
        slice_view(input, dim, low, max(high - low, 0), 1)
        for low, high in itertools.pairwise(bounds)
    )


def _split_along(name: str, dim: int, minimum: int) -> None:
    def function(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        rank = len(input._shape)
        if rank < minimum:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {minimum} dimension"
                f"{'s' if minimum > 1 else ''}, but got a tensor with {rank} dimensions!"
            )
        return tensor_split(input, indices_or_sections, 0 if rank == 1 else dim)

    function.__name__ = name
    function.__doc__ = f"`tensor_split` along dimension {dim}."
    public(method=True)(function)


_split_along("hsplit", 1, 1)
_split_along("vsplit", 0, 2)
_split_along("dsplit", 2, 3)
