"""Sightings: a path is learned when it is met for the second time.

Tries of paths (`graph.journal`, `derive.trail`) pay for loops.  What happens once, as the first steps of a program or a loop
whose every turn is another, would only fill them: it is recorded in the plain way, and all that is kept is a number
for each of its places, by which a second sighting is told.  Such numbers may collide: then a path is learned at once.
"""

from __future__ import annotations

from typing import Any

SIGHTINGS_KEPT = 1 << 16
JOURNALS, TRAILS, NOWHERE = 1, 2, 3  # where paths begin: each is met apart

MET: set[int] = set()


def longer(path: int, recipe: Any) -> int:
    """The number of a path with one more recipe; never 0."""
    return hash((path, id(recipe))) or 1


def was_met(path: int) -> bool:
    """Whether a path was met before; it is now."""
    if path in MET:
        return True
    if len(MET) >= SIGHTINGS_KEPT:
        MET.clear()
    MET.add(path)
    return False


def next_unmet(path: int, unmet: int, recipe: Any) -> int:
    """0 where a path with one more recipe was met before and may be learned; else its number.

    `unmet` is what this gave for the recipe before, and `path` is where all was met.
    """
    number = longer(unmet or path, recipe)
    return 0 if was_met(number) and not unmet else number
