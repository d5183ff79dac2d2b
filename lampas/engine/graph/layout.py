"""Layouts: how a value may lie in memory other than row-major, as the compiler chooses.

A layout splits each dimension (outer part first) and orders the parts; the value then lies row-major in that order.

    channels_last((8, 64, 14, 14))          memory (8, 14, 14, 64)
    blocked_weight((128, 64, 3, 3), 1, 16)  memory (1, 8, 3, 3, 64, 16): vectors of 16 filters innermost

A leaf's node carries the layout of its buffer as its attribute; nothing above the compiler reads such memory but through
`as_row_major`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """`groups` has the parts of each dimension, `order` the parts (numbered throughout) as they lie in memory."""

    groups: tuple[Shape, ...]
    order: Shape

    @cached_property
    def split(self) -> Shape:
        """All parts, in the dimensions' order."""
        return tuple([part for group in self.groups for part in group])

    @cached_property
    def shape(self) -> Shape:
        """The value's own shape."""
        return tuple([prod(group) for group in self.groups])

    @cached_property
    def memory(self) -> Shape:
        """The shape in memory."""
        split = self.split
        return tuple([split[place] for place in self.order])

    @cached_property
    def back(self) -> Shape:
        """The permutation from memory to the split shape."""
        return tuple(sorted(range(len(self.order)), key=self.order.__getitem__))

    @cached_property
    def is_split(self) -> bool:
        return len(self.split) > len(self.groups)

    def places(self, dims: Shape) -> Shape:
        """The dimensions of the memory that dimensions of the value lie in, sorted."""
        starts = [sum(len(group) for group in self.groups[:dim]) for dim in dims]
        parts = [
            start + i
            for start, dim in zip(starts, dims, strict=True)
            for i in range(len(self.groups[dim]))
        ]
        return tuple(sorted(self.order.index(part) for part in parts))

    def place(self, dim: int) -> int:
        """Where a dimension that is not split lies in the memory."""
        return self.places((dim,))[0]

    def resized(self, shape: Shape) -> Layout | None:
        """The same order for a value of another shape and the same rank; None where a split part would change."""
        groups: list[Shape] = []
        for group, size in zip(self.groups, shape, strict=True):
            if prod(group) == size:
                groups.append(group)
            elif len(group) == 1 or size == 1:
                groups.append((1,) * (len(group) - 1) + (size,))
            else:
                return None
        return Layout(tuple(groups), self.order)

    def __str__(self) -> str:
        split = ["·".join(map(str, group)) for group in self.groups]
        return f"({', '.join(split)}) as {self.order}"


def channels_last(shape: Shape) -> Layout:
    """Images (N, C, …) with the channels innermost."""
    rank = len(shape)
    return Layout(tuple([(size,) for size in shape]), (0, *range(2, rank), 1))


def blocked_weight(shape: Shape, groups: int, lanes: int) -> Layout:
    """A weight (filters, channels, …): groups, vectors of filters, taps, channels, lanes."""
    filters = shape[0] // groups
    rest = tuple([(size,) for size in shape[1:]])
    rank = len(shape)
    return Layout(((groups, filters // lanes, lanes), *rest), (0, 1, *range(4, rank + 2), 3, 2))


def depthwise_weight(shape: Shape) -> Layout:
    """A weight (channels, 1, …) of a depthwise convolution: taps, then channels."""
    rank = len(shape)
    return Layout(tuple([(size,) for size in shape]), (*range(2, rank), 0, 1))


def as_row_major(array: Any, layout: Layout) -> Any:
    """The value, in its own shape, of a NumPy array that lies in a layout (a view where that can be)."""
    return array.reshape(layout.memory).transpose(layout.back).reshape(layout.shape)
