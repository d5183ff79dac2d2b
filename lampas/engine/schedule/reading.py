"""Readings: how a view of a stored value finds its elements, without copying.

A reading of a stored value is a shape, a stride per dimension (in elements; 0 repeats, negative runs
backwards) and an offset.  `apply_view` turns the reading of a view's source into the reading of the view;
it fails (None) only for a reshape that strides cannot express, and for an `as_strided` of something
that does not lie row-major in memory.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.engine.graph import primitives as p
from lampas.engine.shape import contiguous_strides, is_contiguous, view_strides

if TYPE_CHECKING:
    from lampas.engine.graph.primitives import Primitive

Shape = tuple[int, ...]
Step = tuple["Primitive", tuple[Any, ...]]


@final
class Reading(NamedTuple):
    """Element i of the value lies at `offset + i·strides` of the stored array."""

    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the elements lie one after the other from the start."""
        return self.offset == 0 and is_contiguous(self.shape, self.strides)

    @property
    def reach(self) -> int:
        """One more than the highest element read; 0 when nothing is."""
        if 0 in self.shape:
            return 0
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((size - 1) * stride for size, stride in steps if stride > 0) + 1

    def __str__(self) -> str:
        return f"{list(self.shape)} by {list(self.strides)} from {self.offset}"


@functools.lru_cache(maxsize=1 << 10)
def plain_reading(shape: Shape) -> Reading:
    """The reading of a row-major value."""
    return Reading(shape, contiguous_strides(shape))


def reshape_reading(reading: Reading, shape: Shape) -> Reading | None:
    """The same elements in another shape, or None where strides cannot say it."""
    if shape == reading.shape:
        return reading
    strides = view_strides(reading.shape, reading.strides, shape)
    return None if strides is None else Reading(shape, strides, reading.offset)


def expand_reading(reading: Reading, shape: Shape) -> Reading:
    """Sizes 1 repeated, new dimensions in front."""
    if shape == reading.shape:
        return reading
    lead = len(shape) - len(reading.shape)
    strides = [0] * lead
    for have, stride, want in zip(reading.shape, reading.strides, shape[lead:], strict=True):
        strides.append(stride if have == want else 0)
    return Reading(shape, tuple(strides), reading.offset)


def _permute(reading: Reading, dims: Shape) -> Reading:
    shape, strides = reading.shape, reading.strides
    return Reading(tuple(shape[d] for d in dims), tuple(strides[d] for d in dims), reading.offset)


def _slice(reading: Reading, starts: Shape, lengths: Shape, steps: Shape) -> Reading:
    moved = sum(a * s for a, s in zip(starts, reading.strides, strict=True))
    strides = tuple(a * s for a, s in zip(steps, reading.strides, strict=True))
    return Reading(lengths, strides, reading.offset + (0 if 0 in lengths else moved))


def _flip(reading: Reading, dims: Shape) -> Reading:
    strides = list(reading.strides)
    offset = reading.offset
    for dim in dims:
        offset += max(reading.shape[dim] - 1, 0) * strides[dim]
        strides[dim] = -strides[dim]
    return Reading(reading.shape, tuple(strides), offset)


def _as_strided(reading: Reading, shape: Shape, strides: Shape, offset: int) -> Reading | None:
    if not is_contiguous(reading.shape, reading.strides):
        return None
    return Reading(shape, strides, reading.offset + offset)


VIEW_RULES: dict[Primitive, Any] = {
    p.RESHAPE: reshape_reading,
    p.PERMUTE: _permute,
    p.EXPAND: expand_reading,
    p.SLICE: _slice,
    p.FLIP: _flip,
    p.AS_STRIDED: _as_strided,
}


def apply_view(reading: Reading, op: Primitive, attributes: tuple[Any, ...]) -> Reading | None:
    """The reading of a view of what `reading` reads."""
    return VIEW_RULES[op](reading, *attributes)


def apply_views(reading: Reading, steps: tuple[Step, ...]) -> Reading | None:
    """Several views, the first one innermost."""
    found: Reading | None = reading
    for op, attributes in steps:
        if found is None:
            return None
        found = VIEW_RULES[op](found, *attributes)
    return found


def squeeze(shape: Shape) -> Shape:
    """The shape without its dimensions of size 1."""
    return tuple([size for size in shape if size != 1])
