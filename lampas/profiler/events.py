"""Events and their averages, under PyTorch's names.

All times are microseconds.  An event is one of three sorts:

- what the program did: operators ("aten::linear"), steps of the backward walk ("ReluBackward0"), `record_function`,
  modules, optimizer steps.  Operators compute nothing when they are called, so their own time is short; the time of
  the kernels that they caused later is their `kernel_time`, and part of their `cpu_time_total`;
- what the engine did ("lampas::realize", "lampas::compile", "lampas::run");
- kernels ("kernel::linear+relu (gemm)"), with the bytes and operations that they needed.

Self times add up to all that was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

from lampas.profiler import chrome, stacks
from lampas.profiler.kinds import DeviceType
from lampas.profiler.table import format_time, make_table


@final
class Interval:
    """A stretch of time."""

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end

    def elapsed_us(self) -> float:
        """Its length in microseconds."""
        return self.end - self.start


@final
class Kernel(NamedTuple):
    """A kernel that ran on another device: there are none here."""

    name: str
    device: int
    duration: float


class FormattedTimesMixin:
    """Times as text, and times of devices that are absent: nothing runs but on the CPU."""

    cpu_time_total: float
    self_cpu_time_total: float
    count: int
    device_time_total = cuda_time_total = 0.0
    self_device_time_total = self_cuda_time_total = 0.0
    device_memory_usage = self_device_memory_usage = 0
    device_time = cuda_time = 0.0
    use_device: str | None = None
    device_type = DeviceType.CPU
    is_async = is_remote = is_legacy = False
    node_id = -1
    overload_name = ""

    @property
    def cpu_time(self) -> float:
        """Time of one call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        return format_time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        return format_time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        return format_time(self.self_cpu_time_total)

    @property
    def device_time_str(self) -> str:
        return format_time(self.device_time)

    @property
    def device_time_total_str(self) -> str:
        return format_time(self.device_time_total)

    @property
    def self_device_time_total_str(self) -> str:
        return format_time(self.self_device_time_total)


@dataclass(eq=False, repr=False)
class FunctionEvent(FormattedTimesMixin):
    """One thing that happened; `cpu_children` are the events inside it on the same thread.

    `name` is what averages are keyed by; `trace_name` may say more (a kernel's own name, the number of a step).
    `nbytes` and `itemsize` are those of a kernel; `shares` the operations that it came from.
    """

    id: int
    name: str
    thread: int
    start_us: float
    end_us: float
    input_shapes: list[list[int]] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    cpu_memory_usage: int = 0
    flops: int = 0
    nbytes: int = 0
    itemsize: int = 4
    trace_name: str = ""
    category: str = "cpu_op"
    is_user_annotation: bool = False
    shares: tuple[tuple[str, Any, float], ...] = ()
    kernel_time: float = 0.0
    sequence_nr: int = -1
    count: int = 1
    cpu_children: list[FunctionEvent] = field(default_factory=list)
    cpu_parent: FunctionEvent | None = None

    def __post_init__(self) -> None:
        self.time_range = Interval(self.start_us, self.end_us)
        self.trace_name = self.trace_name or self.name
        self.scope = 7 if self.is_user_annotation else 0
        self.kernels: list[Kernel] = []

    @property
    def key(self) -> str:
        """What averages are keyed by."""
        return self.name

    @property
    def is_kernel(self) -> bool:
        """Whether this is the run of a kernel."""
        return self.category == "kernel"

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """From begin to end, and the time of the kernels that it caused later."""
        return self.time_range.elapsed_us() + self.kernel_time

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """From begin to end, without the events inside."""
        inside = sum(child.time_range.elapsed_us() for child in self.cpu_children)
        return self.time_range.elapsed_us() - inside

    @property
    def self_cpu_memory_usage(self) -> int:
        """Bytes taken (less those given back) outside the events inside."""
        return self.cpu_memory_usage - sum(child.cpu_memory_usage for child in self.cpu_children)

    def append_cpu_child(self, child: FunctionEvent) -> None:
        """Put an event inside this one."""
        self.cpu_children.append(child)
        child.cpu_parent = self

    def __repr__(self) -> str:
        children = [child.id for child in self.cpu_children]
        return (
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} "
            f"start_us={self.start_us:.3f} end_us={self.end_us:.3f} cpu_children={children} "
            f"thread={self.thread} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage}>"
        )


class FunctionEventAvg(FormattedTimesMixin):
    """The sums over events of one key (and, if asked for, of one set of shapes and one stack)."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.count = 0
        self.cpu_time_total = 0.0
        self.self_cpu_time_total = 0.0
        self.kernel_time_total = 0.0
        self.cpu_memory_usage = 0
        self.self_cpu_memory_usage = 0
        self.flops = 0
        self.nbytes = 0
        self.itemsize = 4
        self.input_shapes: list[list[int]] = []
        self.stack: list[str] = []
        self.is_user_annotation = False
        self.is_kernel = False
        self.scope = 0
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    def add(self, other: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        """Add an event, or another average of the same key."""
        if self.key is None:
            self.key, self.scope, self.itemsize = other.key, other.scope, other.itemsize
            self.input_shapes, self.stack = other.input_shapes, other.stack
            self.is_user_annotation, self.is_kernel = other.is_user_annotation, other.is_kernel
            self.cpu_parent = other.cpu_parent
        own = other.kernel_time if isinstance(other, FunctionEvent) else other.kernel_time_total
        self.kernel_time_total += own
        self.count += other.count
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        self.flops += other.flops
        self.nbytes += other.nbytes
        return self

    def __iadd__(self, other: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        return self.add(other)

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str} count={self.count} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage}>"
        )


class EventList(list[Any]):
    """A list of events or of averages, with reports.

    >>> EventList().key_averages().table()
    ''
    """

    def __init__(
        self,
        events: Iterable[Any] = (),
        *,
        profile_memory: bool = False,
        with_flops: bool = False,
    ) -> None:
        super().__init__(events)
        self.profile_memory = profile_memory
        self.with_flops = with_flops

    @property
    def self_cpu_time_total(self) -> float:
        """The sum of all self times."""
        return sum(event.self_cpu_time_total for event in self)

    def key_averages(
        self,
        group_by_input_shapes: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """The sums by key, and by input shapes and the innermost frames of the stack where wanted.

        Overloads have one name here, so grouping by it changes nothing.
        """
        found: dict[Any, FunctionEventAvg] = {}
        for event in self:
            shapes = str(event.input_shapes) if group_by_input_shapes else ""
            stack = event.stack[:group_by_stack_n] if group_by_stack_n > 0 else []
            place = (event.key, event.is_user_annotation, shapes, tuple(stack))
            average = found.get(place)
            if average is None:
                average = found[place] = FunctionEventAvg()
                average.add(event)
                average.stack = stack
                if not group_by_input_shapes:
                    average.input_shapes = []
            else:
                average.add(event)
        return EventList(
            found.values(), profile_memory=self.profile_memory, with_flops=self.with_flops
        )

    def total_average(self) -> FunctionEventAvg:
        """The sum of everything, with the key "Total"."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
        total.key = "Total"
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
        *,
        roofline: bool = False,
    ) -> str:
        """The events as a table.

        `sort_by` is the name of an attribute ("self_cpu_time_total", "cpu_time_total", "count", "flops", …).
        With `roofline`, kernels show how much of what the machine can do they achieved; its peaks are measured
        when this is first asked for (`lampas.profiler.peaks`), which takes a moment.
        """
        widths = (max_name_column_width, max_shapes_column_width, max_src_column_width)
        events = self._chosen(sort_by, top_level_events_only)
        notes = ["This report only displays top-level events"] if top_level_events_only else []
        return make_table(
            events,
            total=self.self_cpu_time_total,
            row_limit=row_limit,
            widths=widths,
            header=header,
            notes=notes,
            time_unit=time_unit,
            memory=self.profile_memory,
            rates=self.with_flops,
            roofline=roofline,
        )

    def _chosen(self, sort_by: str | None, top_level_only: bool) -> list[Any]:
        events = [e for e in self if e.cpu_parent is None] if top_level_only else list(self)
        if sort_by is not None:
            events.sort(key=lambda event: getattr(event, sort_by), reverse=True)
        return events

    def supported_export_stacks_metrics(self) -> list[str]:
        """What `export_stacks` can write down."""
        return ["self_cpu_time_total"]

    def export_stacks(self, path: str, metric: str) -> None:
        """Write one line for each event with a stack: frames from the outermost, then the metric.

        Tools that draw flame graphs read this form. Needs `with_stack=True`.
        """
        if metric not in self.supported_export_stacks_metrics():
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics()}")
        stacks.write(path, self, metric)

    def export_chrome_trace(self, path: str) -> None:
        """Write the events as a trace for chrome://tracing or https://ui.perfetto.dev."""
        chrome.write(path, self)

    def __str__(self) -> str:
        return self.table()
