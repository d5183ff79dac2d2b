"""The memory plan: where each stored value lies, over the life of one run.

Outputs get memory of their own.  Everything else lies in one arena: steps are walked in order, each value
takes the smallest free gap that holds it when it is first written, and gives it back after its last
reading.  A value may take over the very place of one that its step reads for the last time (`takes_over`,
found by `lower`).  Invariant: two values that are alive at the same step never overlap, unless one took
over the other's place.

    step 0 writes %2 (256 B)          %2 at 0      steps 0-1
    step 1 writes %3 (256 B)    =>    %3 at 256    steps 1-2
    step 2 writes %4 (128 B)          %4 at 0      steps 2-3
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALIGNMENT = 64
Key = tuple[str, int]


@final
class Life(NamedTuple):
    """A value in the arena: its bytes, the step that first writes it, the last step that needs it."""

    key: Key
    nbytes: int
    first: int
    last: int


@final
@dataclass(slots=True)
class MemoryPlan:
    """Byte offsets in the arena, and how large it must be."""

    offsets: dict[Key, int] = field(default_factory=dict)
    nbytes: int = 0


def aligned(nbytes: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


@final
class Gaps:
    """The free ranges of the arena, in order of their start."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.top = 0

    def take(self, nbytes: int) -> int:
        """The start of the smallest gap that fits; the arena grows where there is none."""
        best = -1
        for place, (start, stop) in enumerate(self.ranges):
            size = stop - start
            if size >= nbytes and (best < 0 or size < self.size(best)):
                best = place
        if best >= 0:
            start, stop = self.ranges[best]
            if stop - start == nbytes:
                del self.ranges[best]
            else:
                self.ranges[best] = (start + nbytes, stop)
            return start
        return self.grow(nbytes)

    def size(self, place: int) -> int:
        start, stop = self.ranges[place]
        return stop - start

    def grow(self, nbytes: int) -> int:
        """Extend the arena, by what a gap at its end lacks."""
        start = self.top
        if self.ranges and self.ranges[-1][1] == self.top:
            start = self.ranges.pop()[0]
        self.top = start + nbytes
        return start

    def give(self, start: int, nbytes: int) -> None:
        """Free a range and join it with its neighbours."""
        stop = start + nbytes
        place = 0
        while place < len(self.ranges) and self.ranges[place][0] < start:
            place += 1
        if place < len(self.ranges) and self.ranges[place][0] == stop:
            stop = self.ranges.pop(place)[1]
        if place and self.ranges[place - 1][1] == start:
            place -= 1
            start = self.ranges.pop(place)[0]
        self.ranges.insert(place, (start, stop))


def plan_memory(lives: Sequence[Life], takes_over: Mapping[Key, Key]) -> MemoryPlan:
    """Offsets for all lives; `takes_over` names the value whose place another one inherits."""
    plan, gaps = MemoryPlan(), Gaps()
    heirs = {old: new for new, old in takes_over.items()}
    starting: dict[int, list[Life]] = {}
    ending: dict[int, list[Life]] = {}
    for life in lives:
        starting.setdefault(life.first, []).append(life)
        ending.setdefault(life.last, []).append(life)
    for step in sorted({*starting, *ending}):
        for life in starting.get(step, ()):
            old = takes_over.get(life.key)
            inherited = old is not None and old in plan.offsets
            plan.offsets[life.key] = (
                plan.offsets[old]
                if old is not None and inherited
                else gaps.take(aligned(life.nbytes))
            )
        for life in ending.get(step, ()):
            if heirs.get(life.key) not in plan.offsets:
                gaps.give(plan.offsets[life.key], aligned(life.nbytes))
    plan.nbytes = gaps.top
    return plan


def verify_plan(lives: Sequence[Life], takes_over: Mapping[Key, Key], plan: MemoryPlan) -> None:
    """Raise VerificationError where two values that live at once overlap, or one leaves the arena."""
    for place, life in enumerate(lives):
        start = plan.offsets[life.key]
        if start % ALIGNMENT or start + life.nbytes > plan.nbytes:
            raise VerificationError("plan_memory", f"{life.key} lies badly at {start}")
        for other in lives[place + 1 :]:
            together = life.first <= other.last and other.first <= life.last
            begin = plan.offsets[other.key]
            apart = start + aligned(life.nbytes) <= begin or begin + aligned(other.nbytes) <= start
            if together and not apart and not inherits(life, other, takes_over):
                raise VerificationError("plan_memory", f"{life.key} overlaps {other.key}")


def inherits(a: Life, b: Life, takes_over: Mapping[Key, Key]) -> bool:
    """Whether one value took over the other's place in the step that they share."""
    if takes_over.get(a.key) == b.key:
        return a.first == b.last
    return takes_over.get(b.key) == a.key and b.first == a.last
