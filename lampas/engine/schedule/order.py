"""The partial order of steps while they grow: which step must run before which.

Each step keeps the set of all steps before it as the bits of an integer.  Invariant: the relation stays
acyclic, since `can_follow` and `can_merge` refuse what would close a ring.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, final

from lampas.engine.errors import InternalError
from lampas.engine.schedule.steps import Region

if TYPE_CHECKING:
    from lampas.engine.schedule.steps import ScheduleStep


@final
class Order:
    """Steps by key; `before[key]` has the bit of every step that must have run."""

    def __init__(self) -> None:
        self.steps: dict[int, ScheduleStep] = {}
        self.before: dict[int, int] = {}
        self.direct: dict[int, int] = {}
        self.count = 0

    def add(self, step: ScheduleStep, needed: set[int]) -> int:
        """Add a step that runs after those in `needed`; return its key."""
        key = self.count
        self.count += 1
        self.steps[key] = step
        self.before[key] = self.direct[key] = 0
        self.extend(key, needed)
        return key

    def extend(self, key: int, needed: set[int]) -> None:
        """Let a step, and so all after it, run after some more."""
        direct = before = 0
        for other in needed:
            if other != key:
                direct |= 1 << other
                before |= self.before[other] | 1 << other
        self.direct[key] |= direct
        if before & ~self.before[key]:
            self.before[key] |= before
            bit = 1 << key
            for other, known in self.before.items():
                if known & bit:
                    self.before[other] = known | before

    def can_follow(self, key: int, needed: set[int]) -> bool:
        """Whether a step may come to need these: none of them may need it already."""
        bit = 1 << key
        return not any(self.before[other] & bit for other in needed if other != key)

    def can_merge(self, a: int, b: int) -> bool:
        """Whether two steps may become one: no third step may stand between them."""
        return not self.between(a, b) and not self.between(b, a)

    def between(self, first: int, second: int) -> bool:
        """Whether `second` needs a step that needs `first`."""
        bit = 1 << first
        if not self.before[second] & bit:
            return False
        pending = self.direct[second] & ~bit
        while pending:
            lowest = pending & -pending
            if self.before[lowest.bit_length() - 1] & bit:
                return True
            pending ^= lowest
        return False

    def merge(self, key: int, other: int, step: ScheduleStep) -> None:
        """Put `step` in place of two; the second key vanishes."""
        gone, kept = 1 << other, 1 << key
        clear = ~(gone | kept)
        before = (self.before[key] | self.before[other]) & clear
        self.direct[key] = (self.direct[key] | self.direct[other]) & clear
        del self.steps[other], self.before[other], self.direct[other]
        self.steps[key] = step
        self.before[key] = before
        for own, known in self.before.items():
            if known & (gone | kept) and own != key:
                self.before[own] = (known & ~gone) | kept | before
            if self.direct[own] & gone:
                self.direct[own] = (self.direct[own] & ~gone) | kept

    def listed(self) -> list[ScheduleStep]:
        """The steps in an order in which they can run, near that of their first entries.

        Entries stand close before their first use, so what a late step alone needs is made late.
        """
        waiting: dict[int, int] = {}
        after: dict[int, list[int]] = {key: [] for key in self.steps}
        for key in self.steps:
            direct = self.direct[key]
            waiting[key] = direct.bit_count()
            while direct:
                lowest = direct & -direct
                after[lowest.bit_length() - 1].append(key)
                direct ^= lowest
        ready = [(self.first(key), key) for key, count in waiting.items() if not count]
        heapify(ready)
        result: list[ScheduleStep] = []
        while ready:
            _, key = heappop(ready)
            result.append(self.steps[key])
            for other in after[key]:
                waiting[other] -= 1
                if not waiting[other]:
                    heappush(ready, (self.first(other), other))
        if len(result) != len(self.steps):
            raise InternalError("fuse", "some steps wait for each other")
        return result

    def first(self, key: int) -> int:
        """The first entry of a step."""
        step = self.steps[key]
        return min(step.members) if isinstance(step, Region) else step.entry
