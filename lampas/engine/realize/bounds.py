"""Bounds of stored int64 indices: the least and the greatest, found once and kept at the buffer.

They hang at `Buffer.prepared` like what kernels make of weights (`realize.preparation`): gone where the memory gets
new contents or goes to an array outside, and not kept while one may show it.  A guard of an index whose bounds are
known need not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.device.buffer import Buffer

KEY: Final = "bounds"


def known_bounds(buffer: Buffer) -> tuple[int, int] | None:
    """(least, greatest) of a buffer's numbers, if that was noted and still holds."""
    if buffer.prepared is None or buffer.is_seen_outside():
        return None
    return buffer.prepared.get(KEY)


def note_bounds(buffer: Buffer, least: int, greatest: int) -> None:
    """Keep the bounds of all of a buffer's numbers, unless somebody else may change these."""
    if not buffer.is_seen_outside():
        buffer.prepared = {**(buffer.prepared or {}), KEY: (least, greatest)}


def all_inside(leaves: Sequence[Buffer], sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether the numbers of leaves surely lie in [-size, size): `sizes` are (position of the leaf, size)."""
    for position, size in sizes:
        found = known_bounds(leaves[position])
        if found is None or found[0] < -size or found[1] >= size:
            return False
    return True
