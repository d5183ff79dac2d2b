"""`lampas.explain`: a watcher of the engine that notes down each flush, who asked for it, and what was compiled.

While no report is open nothing here is called. A place's last structure is remembered from one report to the next,
so that a second report can say what has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, final

from lampas.compiler.divergence import divergence
from lampas.compiler.frames import Place, find_place
from lampas.compiler.regions import CALLED
from lampas.compiler.report import Compilation, Flush, Report
from lampas.compiler.whole_calls import WholeCalls
from lampas.engine.graph.primitives import OUTPUT
from lampas.engine.llvm.cache import counters
from lampas.engine.realize import realize as engine
from lampas.engine.realize.statistics import statistics
from lampas.engine.watch import CLOSE_WATCHERS, WATCHERS, WalkStep, now

if TYPE_CHECKING:
    from types import TracebackType

    from lampas.engine.graph.linear import LinearGraph

T = TypeVar("T")
PLACES_KEPT = 256

_MET: OrderedDict[Place, LinearGraph] = OrderedDict()


def forget() -> None:
    """Forget which structures were met where."""
    _MET.clear()


@final
class Explanation:
    """The watcher, and the context manager that `explain()` gives: `with lampas.explain() as report: …`."""

    def __init__(self) -> None:
        self.report = Report()
        self.flush: Flush | None = None
        self.called: dict[int, WholeCalls] = {}

    def __enter__(self) -> Report:
        engine.realize(())  # what waits from before belongs to nobody here
        WATCHERS.append(self)
        CLOSE_WATCHERS.append(self)
        CALLED.append(self.called)
        return self.report

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                _flush_for_report()
        finally:
            WATCHERS.remove(self)
            CLOSE_WATCHERS.remove(self)
            CALLED[:] = [called for called in CALLED if called is not self.called]
            self.report.calls = [str(calls) for calls in self.called.values()]

    # ---- watching -----------------------------------------------------------------------------------------------

    def watch(
        self, kind: str, subject: Any, call: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T:
        """Note down what happens in a call."""
        if kind == "realize":
            return self._watch_flush(subject, call, arguments)
        flush = self.flush
        if flush is not None and kind == "compile":
            return _watch_compilation(flush, call, arguments)
        if flush is not None and kind == "reference":
            flush.tier = "NumPy"
        return call(*arguments)

    def _watch_flush(self, values: int, call: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        last = engine.LAST[0]
        expected = None if last is None else last.successor
        flush = self.flush = Flush(find_place(), values)
        self.report.flushes.append(flush)
        start = now()
        try:
            return call(*arguments)
        finally:
            flush.nanoseconds = now() - start
            self.flush = None
            plan = engine.LAST[0]
            if plan is not None:
                _describe(flush, plan, plan is expected)

    def begin(self, kind: str, subject: Any) -> None:
        """Layers above tell what begins: not looked at."""

    def end(self, span: None) -> None:
        """What began has ended."""

    def walked(self, steps: Callable[[], Sequence[WalkStep]]) -> None:
        """A backward walk was found before: not looked at."""

    def ran(self, program: Any, times: Any) -> None:
        """A program ran."""
        if self.flush is not None:
            self.flush.tier = "program"


def _watch_compilation(flush: Flush, call: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Note how long it takes; weights that are moved to another layout first make it two attempts."""
    before = 0 if flush.compilation is None else flush.compilation.nanoseconds
    records, compiled, start = statistics.records, counters.compiled, now()
    try:
        return call(*arguments)
    finally:
        flush.compilation = Compilation(
            before + now() - start, statistics.records - records, counters.compiled - compiled
        )


def _describe(flush: Flush, plan: engine.Plan, followed: bool) -> None:
    """Fill in what the plan tells, and what sets it apart from the one before it at this place."""
    skeleton = plan.skeleton.entries
    flush.operations = sum(e.op.kind != "leaf" and e.op is not OUTPUT for e in skeleton)
    flush.plan = "followed" if followed else "new" if plan.sightings == 1 else "known"
    before = _MET.pop(flush.place, None)
    _MET[flush.place] = plan.graph
    if len(_MET) > PLACES_KEPT:
        _MET.popitem(last=False)
    if before is not None and before is not plan.graph:
        flush.diverged = divergence(before, plan.graph)
    if flush.compilation is not None:
        flush.compilation.diverged = flush.diverged


def _flush_for_report() -> None:
    """Compute what the program left waiting, so that the report has it."""
    engine.realize(())


def explain(fn: Callable[..., Any] | None = None) -> Any:
    """Tell when a program's values are computed, why, and what is compiled for them.

    `explain(fn)(*args)` runs the function, prints the report and returns it; `with explain() as report:` fills the
    report, which prints as a table. What still waits at the end is computed there, and is the last row. Below stand the
    compiled functions that were called (here they run, line by line): how often they were replayed whole, or why not.

    >>> import lampas
    >>> with lampas.explain() as report:
    ...     total = lampas.ones(3).sum().item()
    >>> [flush.place.why for flush in report.flushes]
    ['item']
    """
    if fn is None:
        return Explanation()
    if not callable(fn):
        raise TypeError(
            f"explain() takes a function, not {type(fn).__name__}; call the result: explain(f)(x)"
        )

    def explained(*args: Any, **kwargs: Any) -> Report:
        with Explanation() as report:
            report.result = fn(*args, **kwargs)
        print(report)
        return report

    return explained
