"""Onlookers: who is told what the engine does, and when it begins and ends.

    WATCHERS.append(watcher)

While the list is empty nothing is timed, and every place that could tell pays one test of it (operations on tensors
none at all: they are watched behind the door's own list of hooks).  A watcher may be called from any thread, and
slows the program by what it does: it should note things down and think later.

| kind        | subject                 | what happens between begin and end                              |
|-------------|-------------------------|-----------------------------------------------------------------|
| "operator"  | the `Operation`         | an operation enters the graph; nothing is computed              |
| "backward"  | the grad node's name    | a step of the backward walk                                     |
| "realize"   | how many values         | values are computed: everything below happens inside            |
| "compile"   | the linear graph        | a structure that was not met before is scheduled and compiled   |
| "reference" | the linear graph        | a small graph is interpreted by NumPy                           |

Layers above have kinds of their own ("annotation", "data", "module", "optimizer": see `lampas.profiler`).
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


# A step of a backward walk: its name, and the shapes of what flowed in.
WalkStep = tuple[str, tuple[tuple[int, ...], ...]]


class Watcher(Protocol):
    """Somebody who looks on."""

    def watch(
        self, kind: str, subject: Any, call: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T:
        """Return `call(*arguments)`."""
        ...

    def begin(self, kind: str, subject: Any) -> Any:
        """Something begins that is no call; what is returned comes back to `end`."""

    def end(self, span: Any) -> None:
        """It ended."""

    def walked(self, steps: Callable[[], Sequence[WalkStep]]) -> None:
        """A backward walk that was found before was taken at once; `steps` tells what it passed, which took no time."""

    def ran(self, program: Any, times: Any) -> None:
        """A program (`realize.program.Program`) ran; `times` are its `RunTimes`.

        A program that went on in the background is told of when it is over, by whichever thread has waited for it.
        """


WATCHERS: list[Watcher] = []

# Those of them to whom it matters how things come about (shapes of what flows, the plan that was sought): while there
# is one, nothing is done in the short way in which a step that was met before is done.
CLOSE_WATCHERS: list[Watcher] = []

# Counts the changes of modules and hooks: while it stands still, none has to be looked at to know that all are as they
# were (`lampas.compiler.dependencies`).
CHANGES = [0]

# The clock that native programs read (`device.native`), in nanoseconds.
now: Callable[[], int] = (
    time.monotonic_ns
    if sys.platform != "darwin"
    else functools.partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC)
)


def watched(kind: str, subject: Any, call: Callable[..., T], *arguments: Any) -> T:
    """Return `call(*arguments)`, which all watchers see."""
    watchers = WATCHERS[:]
    if not watchers:
        return call(*arguments)
    for watcher in watchers[1:]:
        call = functools.partial(_seen, watcher, kind, subject, call)
    return watchers[0].watch(kind, subject, call, arguments)


def _seen(watcher: Watcher, kind: str, subject: Any, call: Callable[..., T], *arguments: Any) -> T:
    return watcher.watch(kind, subject, call, arguments)
