"""Where the known steps of a test run: all in the background, or none."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import lampas
from lampas.engine.device import background


@contextlib.contextmanager
def worth(nanoseconds: float) -> Iterator[None]:
    """Within it, steps of so much estimated work are started in the background; two threads."""
    threads, before = lampas.get_num_threads(), background.WORTH_NANOSECONDS
    lampas.set_num_threads(2)
    background.WORTH_NANOSECONDS = nanoseconds
    try:
        yield
    finally:
        background.finish()
        background.WORTH_NANOSECONDS = before
        lampas.set_num_threads(threads)


def in_background() -> contextlib.AbstractContextManager[None]:
    """Every known step is worth it."""
    return worth(0)


def in_foreground() -> contextlib.AbstractContextManager[None]:
    """None is."""
    return worth(math.inf)
