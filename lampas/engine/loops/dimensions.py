"""Normal form of the dimensions of a nest: few, sorted, merged, with their stride classes.

This is plan-time work on concrete sizes. Dropping dimensions of size one, sorting by stride and merging
neighbours that every operand walks evenly makes (64, 512) contiguous arrays one dimension of 32768, so that many
shapes share one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, REVERSED, STRIDED

Strides = tuple[int, ...]
NARROW = 8  # elements: a row that is shorter fills no vector


class Dimensions(NamedTuple):
    """Dimensions in normal form.

    `groups` tells for each dimension which of the original ones it stands for, outer first; `strides` has one
    tuple an operand, in elements; `classes` likewise.
    """

    kept: int
    sizes: tuple[int, ...]
    strides: tuple[Strides, ...]
    groups: tuple[tuple[int, ...], ...]

    @property
    def reduced(self) -> int:
        return len(self.sizes) - self.kept

    @property
    def narrow(self) -> bool:
        """Whether rows are short, and many lie side by side."""
        if not self.kept or not self.reduced:
            return False
        return (
            product(range(self.kept, len(self.sizes)), self.sizes)
            < NARROW
            <= self.sizes[self.kept - 1]
        )

    @property
    def classes(self) -> tuple[tuple[int, ...], ...]:
        """Stride classes of each operand; 1 and -1 have their own in the last kept and last reduced place."""
        last = (self.kept - 1, len(self.sizes) - 1)
        return tuple(
            tuple(stride_class(stride, place in last) for place, stride in enumerate(walked))
            for walked in self.strides
        )


def stride_class(stride: int, innermost: bool) -> int:
    """Return the class of a stride."""
    if stride == 0:
        return BROADCAST
    if not innermost:
        return STRIDED
    return CONTIGUOUS if stride == 1 else REVERSED if stride == -1 else STRIDED


def collapse(
    kept: int,
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
    fixed: Sequence[int] = (),
    ordered: bool = False,
) -> Dimensions:
    """Return the normal form of dimensions (`kept` ones first) which operands walk by `strides`.

    List outputs first in `strides`: the kept dimensions are sorted by the first operand's strides, then the
    next one's, largest outermost, so that the first operand is written in order. Dimensions in `fixed` (those
    that `index` instructions name) stay alone and are not dropped; `ordered` keeps the reduced dimensions in
    their order (arg reductions number them).

    >>> collapse(2, (64, 512), [(512, 1), (512, 1), (0, 1)])
    Dimensions(kept=2, sizes=(64, 512), strides=((512, 1), (512, 1), (0, 1)), groups=((0,), (1,)))
    >>> collapse(2, (64, 512), [(512, 1), (512, 1)]).sizes
    (32768,)
    """
    rank = len(sizes)
    outer = [d for d in range(kept) if sizes[d] != 1 or d in fixed]
    inner = [d for d in range(kept, rank) if sizes[d] != 1 or d in fixed]
    if rank > kept and not inner:
        inner = [rank - 1]
    outer.sort(key=lambda d: sort_key(d, strides))
    if not ordered:
        inner.sort(key=lambda d: sort_key(d, strides))
    groups = merged(outer, sizes, strides, fixed), merged(inner, sizes, strides, fixed)
    if not ordered and groups[1] and product(groups[1][-1], sizes) < NARROW:
        groups[1].sort(key=lambda group: product(group, sizes) >= NARROW)
    if rank == kept and len(groups[0]) > 1:
        # Of a map, the walk over the last dimension is a unit's: short ones would be units of a few elements.
        groups[0][-2:] = longer_last(groups[0][-2:], sizes)
    listed = [*groups[0], *groups[1]]
    if not listed:
        return Dimensions(1, (1,), tuple((0,) for _ in strides), ((),))
    walked = tuple(tuple([stride_of(group, sizes, own) for group in listed]) for own in strides)
    if len(inner) == 1 and sizes[inner[0]] == 1 and inner[0] not in fixed:
        # The only point of a reduction is walked as the operands say.
        walked = tuple(
            [(*own[:-1], given[inner[0]]) for own, given in zip(walked, strides, strict=True)]
        )
    return Dimensions(
        len(groups[0]), tuple(product(group, sizes) for group in listed), walked, tuple(listed)
    )


def longer_last(groups: list[tuple[int, ...]], sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Two neighbours, the inner one outside if it fills no vector and the other does."""
    outer, inner = (product(group, sizes) for group in groups)
    return groups[::-1] if inner < NARROW <= outer else groups


def sort_key(dimension: int, strides: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(-abs(own[dimension]) for own in strides)


def merged(
    dimensions: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
    fixed: Sequence[int],
) -> list[tuple[int, ...]]:
    """Group neighbours that every operand walks as one dimension."""
    groups: list[tuple[int, ...]] = []
    for dimension in dimensions:
        before = groups[-1][-1] if groups else -1
        joined = before >= 0 and before not in fixed and dimension not in fixed
        if joined and all(own[before] == own[dimension] * sizes[dimension] for own in strides):
            groups[-1] = (*groups[-1], dimension)
        else:
            groups.append((dimension,))
    return groups


def product(group: Sequence[int], sizes: Sequence[int]) -> int:
    total = 1
    for dimension in group:
        total *= sizes[dimension]
    return total


def stride_of(group: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> int:
    """A dimension of size one is never walked: it counts as broadcast."""
    return strides[group[-1]] if product(group, sizes) != 1 else 0
