"""The recorder: notes down what the engine does while it is armed, and thinks about none of it.

A `Recorder` is a watcher of the engine (`engine.watch`).  Everything that begins and ends becomes a `Span`, every
run of a program a `Run` with the clock readings of its kernels.  `timeline.build` makes events of them afterwards.
No tensor and no tape is kept alive: a span holds names, shapes and numbers.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar, final

import lampas
from lampas.engine.device.background import finish
from lampas.engine.device.buffer import statistics
from lampas.engine.realize.realize import realize
from lampas.engine.tensor.door import LOOKERS
from lampas.engine.watch import WATCHERS, WalkStep, now
from lampas.profiler.flops import operator_flops
from lampas.profiler.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType

    from lampas.engine.derive.operation import Operation
    from lampas.engine.realize.profile import RunTimes
    from lampas.engine.realize.program import Program

T = TypeVar("T")
Shapes = tuple[tuple[int, ...], ...]
PACKAGE = os.path.dirname(lampas.__file__) + os.sep
BACKGROUND = -1  # the thread of what runs there
DEEPEST = 64  # frames of a stack


@final
@dataclass(frozen=True, slots=True)
class Options:
    """What to note down beside names and times."""

    record_shapes: bool = False
    profile_memory: bool = False
    with_stack: bool = False
    with_flops: bool = False
    with_modules: bool = False


@final
@dataclass(slots=True)
class Details:
    """What is known of a span beside its name and times: live bytes that it added, shapes, operations, callers."""

    memory: int = 0
    shapes: Shapes = ()
    flops: int = 0
    stack: tuple[tuple[CodeType, int], ...] = ()


NO_DETAILS = Details()


@final
class Span:
    """A stretch of one thread's time (ns); `end` is 0 until it is over."""

    __slots__ = ("details", "end", "kind", "start", "subject", "thread")

    def __init__(self, kind: str, subject: Any, thread: int, start: int, end: int = 0) -> None:
        self.kind = kind
        self.subject = subject
        self.thread = thread
        self.start = start
        self.end = end
        self.details = NO_DETAILS


@final
@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program."""

    program: Program
    times: RunTimes
    thread: int


@final
class Recorder:
    """Collects spans and runs between `start` and `stop`; `operators` and `walks` are notes that become spans later.

    `arm` makes it a watcher, so that what comes before `start` has the same overhead as what is kept.  Values that
    wait to be computed are computed at each of these borders: what is asked for inside is also done inside.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.detailed = any(
            (options.record_shapes, options.with_flops, options.with_stack, options.profile_memory)
        )
        self.forget()
        self.start_time = self.end_time = 0
        self.memory_at_start = self.memory_at_end = 0
        self.surroundings: Surroundings | None = None
        self.paused = False

    def forget(self) -> None:
        """Keep nothing of what was noted."""
        self.spans: list[Span] = []
        self.runs: list[Run] = []
        self.operators: list[tuple[Operation, int, int, int]] = []  # thread, begin, end
        self.walks: list[tuple[Callable[[], Sequence[WalkStep]], int, int]] = []  # thread, time

    # ---- life ---------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Begin to look on."""
        if self.surroundings is None:
            realize(())
            self.surroundings = Surroundings(self)
            WATCHERS.append(self)
            LOOKERS.append(self.look)

    def start(self) -> None:
        """Keep what happens from here on."""
        self.arm()
        realize(())
        finish()
        self.forget()
        self.memory_at_start = statistics.live_bytes
        self.start_time = now()

    def stop(self) -> None:
        """Look away; what was kept stays. Without a start, nothing was."""
        if self.surroundings is None:
            return
        if not self.start_time:
            self.forget()
            self.start_time = now()
        try:
            realize(())
            finish()
        finally:
            self.end_time = now()
            self.memory_at_end = statistics.live_bytes
            self.surroundings.remove()
            self.surroundings = None
            WATCHERS.remove(self)
            LOOKERS.remove(self.look)

    def look(self, operation: Operation, call: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        """An operation enters the graph."""
        if self.detailed or self.paused:
            return self._watch_closely("operator", operation, call, arguments)
        start = now()
        try:
            return call(*arguments)
        finally:
            self.operators.append((operation, get_ident(), start, now()))

    def walked(self, steps: Callable[[], Sequence[WalkStep]]) -> None:
        """A backward walk was taken at once."""
        if not self.paused:
            self.walks.append((steps, get_ident(), now()))

    def all_spans(self) -> list[Span]:
        """The spans, and those that notes tell of."""
        found = self.spans[:]
        for operation, thread, start, end in self.operators:
            found.append(Span("operator", operation, thread, start, end))
        for steps, thread, time in self.walks:
            for name, shapes in steps():
                found.append(Span("backward", name, thread, time, time))
                found[-1].details = Details(shapes=shapes)
        return sorted(found, key=lambda span: span.start)

    # ---- watching -----------------------------------------------------------------------------------------------

    def watch(
        self, kind: str, subject: Any, call: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T:
        """A span around a call."""
        if self.detailed or self.paused:
            return self._watch_closely(kind, subject, call, arguments)
        span = Span(kind, subject, get_ident(), now())
        self.spans.append(span)
        try:
            return call(*arguments)
        finally:
            span.end = now()

    def _watch_closely(
        self, kind: str, subject: Any, call: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T:
        if self.paused:
            return call(*arguments)
        shapes = _shapes(kind, arguments)
        stack = _stack() if self.options.with_stack and kind == "operator" else ()
        span = self.begin(kind, subject)
        span.details = Details(span.details.memory, shapes, 0, stack)
        result = None
        try:
            result = call(*arguments)
            return result
        finally:
            self.end(span)
            if self.options.with_flops and kind == "operator" and result is not None:
                first: Any = result[0] if isinstance(result, tuple) else result
                span.details.flops = operator_flops(subject.name, shapes, tuple(first.shape))

    def begin(self, kind: str, subject: Any) -> Span:
        """Open a span."""
        span = Span(kind, subject, get_ident(), 0)
        if self.options.profile_memory:
            span.details = Details(-statistics.live_bytes)
        if not self.paused:
            self.spans.append(span)
        span.start = now()
        return span

    def end(self, span: Span) -> None:
        """Close a span."""
        span.end = now()
        if self.options.profile_memory:
            span.details.memory += statistics.live_bytes

    def ran(self, program: Program, times: RunTimes) -> None:
        """Keep a run."""
        if not self.paused:
            self.runs.append(Run(program, times, BACKGROUND if times.background else get_ident()))


def _shapes(kind: str, arguments: tuple[Any, ...]) -> Shapes:
    """The shapes of an operation's inputs, or of what flows into a step of the backward walk."""
    if kind == "operator":
        inputs = arguments[1] if isinstance(arguments[1], tuple) else arguments[1:2]
        return tuple([tuple(given.shape) for given in inputs])
    if kind == "backward":
        return tuple([() if flow is None else flow.node.shape for flow in arguments[0]])
    return ()


def _stack() -> tuple[tuple[CodeType, int], ...]:
    """Code and line of the callers outside this package, the innermost first."""
    found: list[tuple[CodeType, int]] = []
    frame = sys._getframe(2)
    while frame is not None and len(found) < DEEPEST:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)
