"""The steps of a schedule: what one kernel, one matrix product or one host call computes.

A `Region` computes several entries over one iteration space.  Its `space` has no dimensions of size 1;
`reduced` says which dimensions its reductions run over.  The *frame* of a member is its shape within the
space: the space itself, or the space with the reduced dimensions set to 1 (a row value).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from lampas.engine.schedule.reading import Reading

Shape = tuple[int, ...]


@final
@dataclass(slots=True)
class Region:
    """Entries computed by one loop nest; `members` stand in topological order."""

    space: Shape
    reduced: tuple[int, ...] = ()
    members: list[int] = field(default_factory=list)
    frames: dict[int, Shape] = field(default_factory=dict)
    stores: list[int] = field(default_factory=list)

    @property
    def runs_across(self) -> bool:
        """Whether the reduced dimensions are outer ones: rows lie across memory, side by side."""
        return bool(self.reduced) and len(self.space) - 1 not in self.reduced

    @property
    def row_frame(self) -> Shape:
        """The frame of values that are the same along the reduced dimensions."""
        return tuple([1 if d in self.reduced else n for d, n in enumerate(self.space)])


@final
@dataclass(slots=True)
class Contraction:
    """A matrix product and what is computed of its elements before they are stored.

    `region` has the product's own shape as its space, the product among its frames (not its members), and
    no reductions; what it stores may or may not include the product itself.  A convolution's kernel may fill another entry
    with the moments of its results, which then are stored as they are.
    """

    entry: int
    region: Region
    moments: int | None = None

    @property
    def stores(self) -> list[int]:
        return self.region.stores if self.moments is None else [*self.region.stores, self.moments]


@final
@dataclass(slots=True)
class Assembly:
    """A value written in parts: each part is read from a source and stored at strided places.

    `fill` is a number that is stored everywhere first, or None.
    """

    entry: int
    parts: list[tuple[int, Reading]]
    fill: float | None = None

    @property
    def stores(self) -> list[int]:
        return [self.entry]


@final
@dataclass(slots=True)
class HostStep:
    """A kernel of its own, or else a reference rule called on views of the memory; `stores` are the entries that it fills.

    Where `targets` are told, the kernel's results go there in the one entry that is stored, which is another one.
    """

    entry: int
    stores: list[int]
    targets: tuple[Reading, ...] = ()


ScheduleStep = Region | Contraction | Assembly | HostStep


def numel(shape: Shape) -> int:
    """Number of elements."""
    count = 1
    for size in shape:
        count *= size
    return count
