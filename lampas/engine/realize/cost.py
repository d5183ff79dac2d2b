"""What a record moves and computes at least; `costs` finds it."""

from __future__ import annotations

from typing import NamedTuple, final


@final
class Cost(NamedTuple):
    """Bytes moved, operations, the size of the elements computed, and the place of the step in its schedule.

    The place is -1 for what no step asked for (checks of indices).
    """

    nbytes: int = 0
    operations: int = 0
    itemsize: int = 4
    place: int = -1

    def at(self, place: int) -> Cost:
        """The same cost, of a step."""
        return self._replace(place=place)
