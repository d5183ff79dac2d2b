"""`profile`: what a program, the engine and its kernels did, and how long it took.

    with profile(with_flops=True) as prof:
        train_one_step()
    print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))

Lampas computes lazily: operators are recorded with the time that their call took, kernels with the time that they
ran, and each kernel names the operations it computes.  Values that wait at the begin and at the end of a recording
are computed there, so that what was asked for inside is also seen inside.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from lampas.profiler import chrome, memory
from lampas.profiler.annotation import record_function
from lampas.profiler.events import EventList
from lampas.profiler.kinds import ProfilerAction, ProfilerActivity, supported_activities
from lampas.profiler.recorder import Options, Recorder
from lampas.profiler.timeline import build

if TYPE_CHECKING:
    from types import TracebackType

RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def refuse(**given: Any) -> None:
    """NotImplementedError for arguments that have no meaning here, unless they are None."""
    for name, value in given.items():
        if value is not None:
            raise NotImplementedError(f"profile: {name} is not offered by Lampas's profiler")


def check_activities(activities: Iterable[Any] | None) -> set[ProfilerActivity]:
    """The activities that can be profiled; a warning names others, as on a machine without such devices."""
    wanted = supported_activities() if activities is None else set()
    for activity in activities or ():
        if isinstance(activity, dict):
            raise NotImplementedError("profile: filters of activities (a dict) are not offered")
        wanted.add(activity)
    absent = sorted(activity.name for activity in wanted - supported_activities())
    if absent and absent != ["CUDA"]:
        warnings.warn(
            f"{', '.join(absent)} is not available, disabling its profiling", stacklevel=3
        )
    if not wanted:
        raise AssertionError("No valid profiler activities found")
    return wanted


class _KinetoProfile:
    """The profiler without a schedule: `start` and `stop`, then reports.

    `activities` may name devices that are absent; only the CPU is profiled.  `record_shapes`, `profile_memory`,
    `with_stack` (where operators were called), `with_flops` (bytes, operations and rates in tables) and
    `with_modules` (ranges of modules) add to what is recorded, and to the overhead.  With `acc_events`, the events
    of earlier cycles are kept.
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity | dict[ProfilerActivity, list[str]]] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        custom_trace_id_callback: Callable[[], str] | None = None,
        post_processing_timeout_s: float | None = None,
    ) -> None:
        refuse(
            experimental_config=experimental_config,
            execution_trace_observer=execution_trace_observer,
            post_processing_timeout_s=post_processing_timeout_s,
        )
        self.activities = check_activities(activities)
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.with_flops = with_flops
        self.with_modules = with_modules
        self.acc_events = acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.profiler: Recorder | None = None
        self.metadata: dict[str, Any] = {}
        self.trace_id = ""
        self._events: EventList | None = None
        self._earlier: list[Any] = []

    # ---- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to record."""
        self.prepare_trace()
        self.start_trace()

    def stop(self) -> None:
        """End the recording."""
        self.stop_trace()

    def prepare_trace(self) -> None:
        """Begin to look on; nothing is kept before `start_trace`."""
        if self.acc_events and self.profiler is not None:
            self._earlier = list(self.events())
        options = Options(
            record_shapes=self.record_shapes,
            profile_memory=self.profile_memory,
            with_stack=self.with_stack,
            with_flops=self.with_flops,
            with_modules=self.with_modules,
        )
        self._events = None
        callback = self.custom_trace_id_callback
        self.trace_id = callback() if callback else uuid.uuid4().hex.upper()
        self.profiler = Recorder(options)
        self.profiler.arm()

    def start_trace(self) -> None:
        """Keep what happens from here on."""
        self._recorder("starting trace").start()

    def stop_trace(self) -> None:
        """Look away; what was kept can be reported now."""
        self._recorder("stopping trace").stop()

    def toggle_collection_dynamic(
        self, enable: bool, activities: Iterable[ProfilerActivity]
    ) -> None:
        """Record no more, or again, in the middle of a recording."""
        if ProfilerActivity.CPU in set(activities):
            self._recorder("toggling collection").paused = not enable

    # ---- reports ------------------------------------------------------------------------------------------------

    def events(self) -> EventList:
        """All events of the last recording in the order in which they began, empty while it lasts."""
        recorder = self._recorder("accessing events")
        if self._events is None:
            if recorder.surroundings is not None:
                return EventList()
            found = build(recorder)
            found[:0] = self._earlier
            self._events = found
        return self._events

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """The events summed up by name, and by input shapes and innermost frames of the stack where wanted."""
        self._recorder("getting key averages")
        grouping = (group_by_input_shape, group_by_stack_n, group_by_overload_name)
        return self.events().key_averages(*grouping)

    def export_chrome_trace(self, path: str, use_python_export: bool = False) -> None:
        """Write a trace for chrome://tracing or https://ui.perfetto.dev; compressed if the path ends in .gz.

        There is one way of writing, so `use_python_export` changes nothing.
        """
        recorder = self._recorder("exporting chrome trace")
        facts: dict[str, Any] = {"trace_id": self.trace_id}
        for name in ("record_shapes", "profile_memory", "with_stack", "with_flops", "with_modules"):
            if getattr(self, name):
                facts[name] = 1
        points = memory.points_of(recorder) if self.profile_memory else ()
        known = {**facts, **self.metadata}
        chrome.write(path, self.events(), base=recorder.start_time, facts=known, memory=points)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks of operators with their times, for flame graphs; needs `with_stack=True`."""
        self.events().export_stacks(path, metric)

    def export_memory_timeline(self, path: str, device: str | None = None) -> None:
        """Write live and arena bytes over time, as .json, .json.gz, .html, .svg or .png.

        Needs `profile_memory=True`.  `device` can only be the CPU.
        """
        recorder = self._recorder("exporting memory timeline")
        if not self.profile_memory:
            raise ValueError("profile_memory=True required for memory profiling.")
        if device is not None and device.partition(":")[0] != "cpu":
            raise NotImplementedError(f"export_memory_timeline: there is no device {device!r} here")
        memory.export(path, memory.points_of(recorder))

    # ---- metadata -----------------------------------------------------------------------------------------------

    def add_metadata(self, key: str, value: str) -> None:
        """Put a text into the head of the trace."""
        self.metadata[key] = str(value)

    def add_metadata_json(self, key: str, value: str) -> None:
        """Put a value, given as JSON, into the head of the trace."""
        self.metadata[key] = json.loads(value)

    def preset_metadata_json(self, key: str, value: str) -> None:
        """The same, for use before the recording begins."""
        self.add_metadata_json(key, value)

    def get_trace_id(self) -> str | None:
        """The name of the present recording, None before the first."""
        return self.trace_id or None

    def set_custom_trace_id_callback(self, callback: Callable[[], str]) -> None:
        """Let a function name the recordings that begin from here on."""
        self.custom_trace_id_callback = callback

    def _recorder(self, purpose: str) -> Recorder:
        if self.profiler is None:
            raise AssertionError(f"Profiler must be initialized before {purpose}")
        return self.profiler


class profile(_KinetoProfile):
    """Records what happens inside a `with` block, or in the steps that a `schedule` picks.

    With a schedule, `step()` marks the end of each step; whenever a cycle is complete, `on_trace_ready` is called
    with this object, which then holds that cycle.  Without one, it is called at the end.

    >>> import lampas
    >>> with profile() as prof:
    ...     total = (lampas.ones(3) * 2).sum()
    >>> "aten::mul" in [row.key for row in prof.key_averages()]
    True
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity | dict[ProfilerActivity, list[str]]] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Callable[[], str] | None = None,
        post_processing_timeout_s: float | None = None,
    ) -> None:
        if use_cuda is not None:
            message = "`use_cuda` is deprecated, use `activities` argument instead"
            warnings.warn(message, FutureWarning, stacklevel=2)
        super().__init__(
            activities=activities,
            record_shapes=record_shapes,
            profile_memory=profile_memory,
            with_stack=with_stack,
            with_flops=with_flops,
            with_modules=with_modules,
            experimental_config=experimental_config,
            execution_trace_observer=execution_trace_observer,
            acc_events=acc_events,
            custom_trace_id_callback=custom_trace_id_callback,
            post_processing_timeout_s=post_processing_timeout_s,
        )
        self.schedule = schedule
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self.current_action = self._planned()
        self.step_rec_fn: record_function | None = None

    def _planned(self) -> ProfilerAction:
        """What is to be done during the present step."""
        action = ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)
        if action is ProfilerAction.DEVICE_STOPPED:
            raise NotImplementedError(
                "profile: there is no device, so DEVICE_STOPPED means nothing"
            )
        return action

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with step 0."""
        self._change(ProfilerAction.NONE, self.current_action)
        self._open_step()

    def stop(self) -> None:
        """End the recording, and hand over what was recorded."""
        self._close_step()
        if self.current_action is ProfilerAction.NONE and self.schedule is None:
            self._recorder("stopping trace")
        self._change(self.current_action, None)

    def step(self) -> None:
        """Mark the end of a step."""
        self._close_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self._planned()
        self._change(before, self.current_action)
        self._open_step()

    def _open_step(self) -> None:
        if self.schedule is not None:
            self.step_rec_fn = record_function(f"ProfilerStep#{self.step_num}")
            self.step_rec_fn.__enter__()

    def _close_step(self) -> None:
        if self.step_rec_fn is not None:
            self.step_rec_fn.__exit__(None, None, None)
            self.step_rec_fn = None

    def _change(self, before: ProfilerAction, after: ProfilerAction | None) -> None:
        """Go over from one action to the next; None for `after` is the end."""
        recording = before in RECORDING
        if recording and (after not in RECORDING or before is ProfilerAction.RECORD_AND_SAVE):
            self.stop_trace()
            if before is ProfilerAction.RECORD and after is not None:
                warnings.warn("Incorrect schedule: RECORD followed by a step without", stacklevel=3)
            elif self.on_trace_ready is not None:
                self.on_trace_ready(self)
            recording = False
        elif before is ProfilerAction.WARMUP and after not in (*RECORDING, ProfilerAction.WARMUP):
            self.stop_trace()
        if after is ProfilerAction.WARMUP and before is not ProfilerAction.WARMUP:
            self.prepare_trace()
        elif after in RECORDING and not recording:
            if before is not ProfilerAction.WARMUP:
                self.prepare_trace()
            self.start_trace()


def tensorboard_trace_handler(
    dir_name: str,
    worker_name: str | None = None,
    use_gzip: bool = False,
    use_python_export: bool = False,
) -> Callable[[profile], None]:
    """For `on_trace_ready`: writes each recording into a directory that TensorBoard's profile plugin reads.

    `worker_name` tells processes apart; it defaults to the names of machine and process.
    """

    def write(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json{'.gz' if use_gzip else ''}"
        prof.export_chrome_trace(os.path.join(dir_name, name), use_python_export)

    return write


class ExecutionTraceObserver:
    """PyTorch's recorder of operator graphs for replay: not offered."""

    def __init__(self) -> None:
        raise NotImplementedError("ExecutionTraceObserver is not offered by Lampas's profiler")
