"""The older form of the profiler: `torch.autograd.profiler.profile` and its companions.

    with profile(record_shapes=True) as prof:
        train_one_step()
    print(prof.table(sort_by="self_cpu_time_total"))

New programs use `lampas.profiler.profile`, which records the same events.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from lampas.profiler import chrome
from lampas.profiler.annotation import record_function
from lampas.profiler.events import EventList, FunctionEvent, FunctionEventAvg
from lampas.profiler.kinds import ProfilerActivity, kineto_available
from lampas.profiler.profiler import refuse
from lampas.profiler.recorder import Options, Recorder
from lampas.profiler.timeline import build

if TYPE_CHECKING:
    from types import TracebackType


class profile:
    """Records what happens inside a `with` block; does nothing with `enabled=False`.

    Devices (`use_cuda`, `use_device`) are absent, which a warning says.  `use_kineto` and `use_cpu` change nothing:
    there is one recorder, and it is the CPU's.
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        experimental_config: Any = None,
        acc_events: bool = False,
        custom_trace_id_callback: Callable[[], str] | None = None,
        post_processing_timeout_s: float | None = None,
        activity_filters: dict[ProfilerActivity, set[str]] | None = None,
    ) -> None:
        refuse(
            experimental_config=experimental_config,
            post_processing_timeout_s=post_processing_timeout_s,
            activity_filters=activity_filters or None,
        )
        absent = "cuda" if use_cuda else use_device
        if absent is not None and absent != "cpu":
            name = absent.upper()
            message = f"{name} is not available, disabling {name} profiling"
            warnings.warn(message, stacklevel=2)
        self.enabled = enabled
        self.options = Options(record_shapes, profile_memory, with_stack, with_flops, with_modules)
        self.custom_trace_id_callback = custom_trace_id_callback
        self.trace_id: str | None = None
        self.acc_events = acc_events
        self.entered = False
        self._recorder: Recorder | None = None
        self._events: EventList | None = None

    # ---- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> profile:
        if self.enabled:
            if self.entered:
                raise RuntimeError("Profiler context manager is not reentrant")
            self.entered = True
            self.trace_id = self.create_trace_id()
            self._recorder = Recorder(self.options)
            self._recorder.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._recorder is not None:
            self._recorder.stop()

    def toggle_collection_dynamic(
        self, enabled: bool, activities: Iterable[ProfilerActivity]
    ) -> None:
        """Record no more, or again, in the middle of a recording."""
        if self._recorder is not None and ProfilerActivity.CPU in set(activities):
            self._recorder.paused = not enabled

    def default_trace_id(self) -> str:
        """A name for a recording that no other has."""
        return uuid.uuid4().hex.upper()

    def create_trace_id(self) -> str:
        """A name for a recording, from the callback where there is one."""
        callback = self.custom_trace_id_callback
        return callback() if callback else self.default_trace_id()

    # ---- reports ------------------------------------------------------------------------------------------------

    @property
    def function_events(self) -> EventList:
        """All events; empty before the end of the recording."""
        recorder = self._recorder
        if recorder is None or recorder.surroundings is not None:
            return EventList()
        if self._events is None:
            self._events = build(recorder)
        return self._events

    @property
    def self_cpu_time_total(self) -> float:
        """The sum of all self times, in microseconds."""
        return self.function_events.self_cpu_time_total

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """The events summed up by name, and by input shapes and innermost frames of the stack where wanted."""
        grouping = (group_by_input_shape, group_by_stack_n, group_by_overload_name)
        return self.function_events.key_averages(*grouping)

    def total_average(self) -> FunctionEventAvg:
        """The sum of everything."""
        return self.function_events.total_average()

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """The events as a table: `EventList.table`."""
        return self.function_events.table(
            sort_by=sort_by,
            row_limit=row_limit,
            max_src_column_width=max_src_column_width,
            max_name_column_width=max_name_column_width,
            max_shapes_column_width=max_shapes_column_width,
            header=header,
            top_level_events_only=top_level_events_only,
        )

    def export_chrome_trace(
        self, path: str, metadata: dict[str, Any] | None = None, use_python_export: bool = False
    ) -> None:
        """Write a trace for chrome://tracing; `metadata` goes to its head."""
        base = self._recorder.start_time if self._recorder is not None else 0
        facts = {"trace_id": self.trace_id, **(metadata or {})}
        chrome.write(path, self.function_events, base=base, facts=facts)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks of operators with their times; needs `with_stack=True`."""
        self.function_events.export_stacks(path, metric)

    def __repr__(self) -> str:
        if self._recorder is not None and self._recorder.surroundings is not None:
            return "<unfinished torch.autograd.profile>"
        return repr(self.function_events)

    def __str__(self) -> str:
        if self._recorder is not None and self._recorder.surroundings is not None:
            return "<unfinished torch.autograd.profile>"
        return str(self.function_events)


class _Absent:
    """A context manager of another profiler that is not here."""

    name = ""

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled = enabled
        self.record_shapes = record_shapes

    def __enter__(self) -> Any:
        if self.enabled:
            raise NotImplementedError(
                f"torch.autograd.profiler.{self.name} is not offered by Lampas: use profile"
            )
        return self

    def __exit__(self, *error: object) -> None:
        return None


class emit_itt(_Absent):
    """Ranges for Intel's VTune: not offered."""

    name = "emit_itt"


class emit_nvtx(_Absent):
    """Ranges for NVIDIA's profilers: not offered."""

    name = "emit_nvtx"


def load_nvprof(path: str) -> EventList:
    """Reads what NVIDIA's nvprof wrote: not offered."""
    raise NotImplementedError("torch.autograd.profiler.load_nvprof is not offered by Lampas")


def parse_nvprof_trace(path: str) -> EventList:
    """Reads what NVIDIA's nvprof wrote: not offered."""
    raise NotImplementedError("torch.autograd.profiler.parse_nvprof_trace is not offered by Lampas")


__all__ = [
    "EventList",
    "FunctionEvent",
    "emit_itt",
    "emit_nvtx",
    "kineto_available",
    "load_nvprof",
    "parse_nvprof_trace",
    "profile",
    "record_function",
]
