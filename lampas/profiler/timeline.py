"""From a recording to events: names, nesting, kernels, and what each kernel came from.

`build(recorder)` returns the events in the order in which they began, thread by thread.

A kernel computes values of operations that were called earlier, forward or backward.  Its time is shared out among
them by their part of its work (`realize.origins`), and the part of an operation's name is spread evenly over the
operators of that name: those with the same input shapes where shapes were recorded.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, final

from lampas.engine.realize.origins import Share, joined, shares, step_shares
from lampas.engine.realize.profile import rows_of
from lampas.profiler.events import EventList, FunctionEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lampas.engine.derive.operation import Operation
    from lampas.engine.realize.profile import Row
    from lampas.profiler.recorder import Recorder, Run, Span

KERNEL_KIND = re.compile(r"[a-z]+")
STEP = re.compile(r"ProfilerStep#\d+")
ATEN_NAMES = {"to_copy": "_to_copy"}
CATEGORIES = {"operator": "cpu_op", "backward": "cpu_op", "annotation": "user_annotation"}


def build(recorder: Recorder) -> EventList:
    """The events of a recording."""
    spans = recorder.all_spans()
    maker = EventMaker(recorder, spans)
    events = [maker.of_span(span) for span in spans]
    for run in recorder.runs:
        events.extend(maker.of_run(run))
    events.sort(key=lambda event: (event.thread, event.start_us, -event.end_us))
    for number, event in enumerate(events):
        event.id = number
    nest(events)
    attribute(events)
    options = recorder.options
    return EventList(events, profile_memory=options.profile_memory, with_flops=options.with_flops)


@final
class EventMaker:
    """Makes events of spans and runs; times count from the start of the recording."""

    def __init__(self, recorder: Recorder, spans: Sequence[Span]) -> None:
        self.recorder = recorder
        self.threads: dict[int, int] = {}
        seen = [span.subject for span in spans if span.kind == "operator"]
        self.names = primitive_names(dict.fromkeys(seen))
        self.step_shares = functools.cache(self._step_shares)

    def microseconds(self, clock: int) -> float:
        return (clock - self.recorder.start_time) / 1e3

    def of_span(self, span: Span) -> FunctionEvent:
        """The event of a span; one that was never closed ends with the recording."""
        name, full_name = span_names(span)
        details = span.details
        found: tuple[Share, ...] = ()
        if span.kind == "reference":
            found = self._renamed(shares(span.subject, range(len(span.subject.entries))))
            name, full_name = f"kernel::{joined(found)} (reference)", "NumPy"
        return FunctionEvent(
            0,
            name,
            self._thread(span.thread),
            self.microseconds(span.start),
            self.microseconds(span.end or self.recorder.end_time),
            input_shapes=self._span_shapes(span),
            stack=[f"{c.co_filename}({line}): {c.co_name}" for c, line in details.stack],
            cpu_memory_usage=details.memory,
            flops=details.flops,
            trace_name=full_name,
            category="kernel" if found else CATEGORIES.get(span.kind, "runtime"),
            is_user_annotation=span.kind == "annotation",
            shares=found,
        )

    def _span_shapes(self, span: Span) -> list[list[int]]:
        wanted = self.recorder.options.record_shapes
        return [list(shape) for shape in span.details.shapes] if wanted else []

    def of_run(self, run: Run) -> list[FunctionEvent]:
        """A run of a program and its kernels."""
        times = run.times
        thread = self._thread(run.thread)
        start, end = self.microseconds(times.start), self.microseconds(times.end)
        whole = FunctionEvent(0, "lampas::run", thread, start, end, category="runtime")
        whole.cpu_memory_usage = times.live[2] - times.live[0]
        rows = rows_of(run.program, times)
        return [whole, *(self._of_row(run, row, thread) for row in rows)]

    def _of_row(self, run: Run, row: Row, thread: int) -> FunctionEvent:
        found = self.step_shares(run.program, row.cost.place)
        kind = KERNEL_KIND.match(row.name)
        end = self.microseconds(row.start + round(row.microseconds * 1e3))  # not past the run's
        return FunctionEvent(
            0,
            f"kernel::{joined(found)} ({kind.group() if kind else row.name})",
            thread,
            self.microseconds(row.start),
            end,
            input_shapes=self._kernel_shapes(found),
            flops=row.cost.operations,
            nbytes=row.cost.nbytes,
            itemsize=row.cost.itemsize,
            trace_name=row.name,
            category="kernel",
            shares=found,
        )

    def _kernel_shapes(self, found: tuple[Share, ...]) -> list[list[int]]:
        """The input shapes of the operation that a kernel does most for."""
        if not self.recorder.options.record_shapes or not found:
            return []
        most = max(found, key=lambda share: share.part)
        return [list(shape) for shape in most.shapes]

    def _step_shares(self, program: Any, place: int) -> tuple[Share, ...]:
        return self._renamed(step_shares(program.schedule, place))

    def _renamed(self, found: tuple[Share, ...]) -> tuple[Share, ...]:
        return tuple(
            [share._replace(name=self.names.get(share.name, share.name)) for share in found]
        )

    def _thread(self, ident: int) -> int:
        """Threads are numbered from 1 as they come."""
        return self.threads.setdefault(ident, len(self.threads) + 1)


def span_names(span: Span) -> tuple[str, str]:
    """What a span is keyed by, and its full name."""
    subject = span.subject
    if span.kind == "operator":
        name = operator_name(subject)
        return name, name
    if span.kind == "annotation":
        return ("ProfilerStep*" if STEP.fullmatch(subject) else subject), subject
    if span.kind in ("backward", "data", "module", "optimizer"):
        return subject, subject
    return f"lampas::{span.kind}", f"lampas::{span.kind}"


def operator_name(operation: Operation) -> str:
    """The name under which PyTorch's profiler shows an operation; optimizers' own have none there."""
    module = getattr(operation.forward, "__module__", "") or ""
    place = "optim" if module.startswith("lampas.optim") else "aten"
    return f"{place}::{ATEN_NAMES.get(operation.name, operation.name)}"


def primitive_names(operations: Iterable[Operation]) -> dict[str, str]:
    """Names of operations by the primitive that they are.

    Where an operation is one primitive, the graph holds that alone: "multiply" came from "mul", if that was called.
    """
    found: dict[str, str] = {}
    for operation in operations:
        for recipe in list(operation.recipes.recipes.values()):
            if len(recipe.steps) == 1:
                found.setdefault(recipe.steps[0][0].name, operation.name)
    return found


def nest(events: Sequence[FunctionEvent]) -> None:
    """Put each event into the innermost one of its thread that encloses it; they come sorted."""
    open_events: list[FunctionEvent] = []
    for event in events:
        while open_events and not encloses(open_events[-1], event):
            open_events.pop()
        if open_events:
            open_events[-1].append_cpu_child(event)
        open_events.append(event)


def encloses(outer: FunctionEvent, inner: FunctionEvent) -> bool:
    return outer.thread == inner.thread and outer.end_us >= inner.end_us > outer.start_us


def attribute(events: Sequence[FunctionEvent]) -> None:
    """Share out the kernels' times (and operations, where those are not known) among operators."""
    named: dict[str, list[FunctionEvent]] = defaultdict(list)
    exact: dict[tuple[str, str], list[FunctionEvent]] = defaultdict(list)
    for event in events:
        if event.category == "cpu_op":
            name = event.name.rpartition("::")[2]
            named[name].append(event)
            exact[name, str(event.input_shapes)].append(event)
    counted = {event.id for event in events if event.category == "cpu_op" and event.flops}
    for kernel in events:
        for name, shapes, part in kernel.shares:
            shown = str([list(shape) for shape in shapes])
            callers = exact.get((name, shown)) or named.get(name, ())
            callers = [caller for caller in callers if not contains(caller, kernel)]
            for caller in callers:
                caller.kernel_time += kernel.time_range.elapsed_us() * part / len(callers)
                if caller.id not in counted:
                    caller.flops += round(kernel.flops * part / len(callers))


def contains(caller: FunctionEvent, kernel: FunctionEvent) -> bool:
    """Whether a kernel ran while its operator was being called: its time is in there already."""
    return caller.thread == kernel.thread and caller.start_us <= kernel.start_us < caller.end_us
