"""Host work in shares: NumPy calls that release the interpreter's lock, spread over the granted threads.

The threads live for one call: nothing survives into a forked child, and the start of one costs less
than a tenth of the smallest work that is shared. What a share computes must not depend on its bounds,
so results do not depend on the number of threads.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from lampas.engine.device.pool import get_num_threads

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK: Final = 1 << 16  # elements that stay, with their keys, in the second cache
WIDE_BLOCK: Final = 1 << 18  # for work that passes over its elements once or twice
SHARED: Final = 1 << 17  # elements from which on a second thread pays


def in_shares(work: Callable[[int, int], None], count: int, size: int, block: int = BLOCK) -> None:
    """Call work(start, stop) for blocks that cover range(count); each item has `size` elements."""
    step = max(1, block // max(size, 1))
    threads = min(get_num_threads(), -(-count // step)) if count * size >= SHARED else 1
    if threads == 1:
        for start in range(0, count, step):
            work(start, min(start + step, count))
        return
    _in_threads(work, count, step, threads)


def _in_threads(work: Callable[[int, int], None], count: int, step: int, threads: int) -> None:
    starts = itertools.count(0, step)  # next() of it is one step under the interpreter's lock
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            with np.errstate(all="ignore"):
                while not failures and (start := next(starts)) < count:
                    work(start, min(start + step, count))
        except BaseException as error:  # raised again in the caller's thread
            failures.append(error)

    helpers = [threading.Thread(target=serve, daemon=True) for _ in range(threads - 1)]
    started: list[threading.Thread] = []
    try:
        for helper in helpers:
            helper.start()
            started.append(helper)
    except RuntimeError:
        pass  # the system grants no more threads, or Python is shutting down: fewer will do
    serve()
    for helper in started:
        helper.join()
    if failures:
        raise failures[0]
