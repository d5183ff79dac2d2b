"""Walking channels that lie side by side: several vectors at a time, then one, then what is left under a mask.

Stores under a mask take a dozen cycles on some processors of 32-byte vectors, so that no whole vector gets one.
"""

from __future__ import annotations

from collections.abc import Callable

from lampas.engine.llvm.text import Builder, Value


def walk_channels(
    b: Builder,
    total: Value,
    lanes: int,
    together: int,
    write: Callable[[Value, int, Value | None], None],
) -> None:
    """Call `write(first channel, vectors, mask)` once for each loop: `together` vectors, half of them, …, one; then
    what is left, under a mask."""
    start, count = b.value(0), together
    while count:
        step = count * lanes
        end = b.multiply(b.divide(total, step), step)
        with b.loop(start, end, step) as channel:
            write(channel, count, None)
        start, count = end, count // 2
    with b.when(b.compare("slt", start, total)):
        write(start, 1, b.lane_mask(lanes, b.subtract(total, start)))
