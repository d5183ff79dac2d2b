"""Programs: a linear graph compiled to one native call (host steps split it).

    program = build_program(graph)
    outputs = program.run([buffer, …], [0.1, …])        # leaves in the order of `graph.leaves`

A program is immutable and may run in several threads at once: arena and outputs are taken from the caching
allocator for each run.  Zero-size outputs get a buffer too.  `donated` names leaf buffers (by their
position in `leaf_buffers`; `donations` tells which could be used) that nobody needs after the run: results may be written into their memory, and the buffer returned is then
the donated one.
"""

from __future__ import annotations

import functools
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, final

from lampas.engine.device.background import RUNS, finish, wait_for
from lampas.engine.device.buffer import Buffer
from lampas.engine.device.buffer import statistics as memory_statistics
from lampas.engine.device.launch import Program as NativeProgram
from lampas.engine.device.launch import Record
from lampas.engine.device.pool import get_num_threads
from lampas.engine.realize.bind import Slots, bind_call, kernels_of
from lampas.engine.realize.bounds import all_inside
from lampas.engine.realize.costs import Cost
from lampas.engine.realize.hosts import HostCall
from lampas.engine.realize.kernels import prepare_kernels
from lampas.engine.realize.preparation import Preparation, find_prepared, make_prepared
from lampas.engine.realize.profile import Row, RunTimes, print_table, rows_of
from lampas.engine.realize.statistics import statistics
from lampas.engine.realize.workspace import Workspace, WorkspaceLayout
from lampas.engine.schedule.contract import GemmCall
from lampas.engine.schedule.lay_out import arrange
from lampas.engine.schedule.lower import Schedule, make_schedule
from lampas.engine.schedule.steps import HostStep
from lampas.engine.schedule.text import graph_text, memory_text, nests_text, steps_text
from lampas.engine.settings import settings
from lampas.engine.watch import WATCHERS, now, watched

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lampas.engine.graph.linear import LinearGraph
    from lampas.engine.schedule.draft import NestCall
    from lampas.engine.schedule.guards import Guard
    from lampas.engine.schedule.lay_out import Arrangement
    from lampas.engine.schedule.serial import SerialCall


@final
class GuardCheck:
    """Looks at the flags that guards have written; raises for the first bad index."""

    def __init__(self, guards: list[tuple[int, Guard]]) -> None:
        self.guards = guards

    def run(self, flags: Any) -> None:
        for number, guard in self.guards:
            if flags[number]:
                raise guard.error()


Segment = NativeProgram | HostCall | GuardCheck


@final
@dataclass(frozen=True, slots=True, eq=False)
class Blueprint:
    """What a schedule follows from."""

    graph: LinearGraph
    fused: bool
    verified: bool
    threads: int

    def make(self, arrangement: Arrangement | None = None) -> Schedule:
        """The schedule; whoever has arranged the graph already gives the arrangement."""
        arranged = arrange(self.graph) if arrangement is None else arrangement
        return make_schedule(arranged, self.fused, self.verified, self.threads)


@functools.lru_cache(maxsize=4)
def schedule_of(blueprint: Blueprint) -> Schedule:
    """A schedule made again."""
    return blueprint.make()


@final
class Program:
    """A compiled linear graph.

    Its schedule is many times as large as what runs need: it goes, and `schedule` makes it again for those who look.
    """

    def __init__(self, schedule: Schedule, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        graph = schedule.graph
        self.slots = Slots(schedule)
        self.output_bytes = [
            graph.entries[n].numel * graph.entries[n].dtype.itemsize for n in graph.outputs
        ]
        kinds = [
            graph.entries[n].dtype.name
            for n in graph.leaves
            if graph.entries[n].op.name == "scalar"
        ]
        self.donations = {
            position: self.slots.leaves[leaf][0] for position, leaf in schedule.donations.items()
        }
        self.layouts = schedule.layouts
        self.arena_bytes = schedule.plan.nbytes
        self.costs: list[list[Cost]] = []
        self.preparations: list[Preparation] = []
        self.segments: list[Segment] = self.bind(schedule)
        self.checked = self.checked_leaves(schedule.guards)
        self.workspaces = WorkspaceLayout(
            self.slots.count, kinds, self.arena_bytes, len(schedule.guards)
        )
        self.number_cells = schedule.cells.table()
        self.cells_pointer = self.number_cells.__array_interface__["data"][0]
        last = self.segments[-1] if self.segments else None
        self.last = last if isinstance(last, NativeProgram) else None
        self.only = self.last if len(self.segments) == 1 else None

    @property
    def schedule(self) -> Schedule:
        """How the program came about."""
        return schedule_of(self.blueprint)

    def bind(self, schedule: Schedule) -> list[Segment]:
        """Native programs with the host calls between them; `costs` goes along, record by record."""
        segments: list[Segment] = []
        records: list[Record] = []
        costs: list[Cost] = []
        guards = schedule.guards
        prepare_all(schedule)

        def check(early: bool) -> None:
            chosen = [n for n, guard in enumerate(guards) if guard.early is early]
            if chosen:
                found = [bind_call(guards[n].call, schedule, self.slots) for n in chosen]
                records.extend(record for own, _ in found for record in own)
                costs.extend(cost for _, own in found for cost in own)
                close()
                segments.append(GuardCheck([(n, guards[n]) for n in chosen]))
                self.costs.append([])

        def close() -> None:
            if records:
                native = NativeProgram(records, self.slots.count)
                segments.append(native)
                live = [c for c, r in zip(costs, records, strict=True) if r.extent > 0]
                self.costs.append(live)
                records.clear()
                costs.clear()

        check(early=True)
        for place, calls in enumerate(schedule.calls):
            for call in calls:
                if isinstance(call, HostStep):
                    close()
                    segments.append(HostCall(call, schedule, self.slots))
                    self.costs.append([Cost(place=place)])
                    continue
                found, own = self.bind_kernels(call, schedule)
                records.extend(found)
                costs.extend([cost.at(place) for cost in own])
        check(early=False)
        close()
        return segments

    def checked_leaves(self, guards: list[Guard]) -> tuple[tuple[int, int], ...]:
        """(leaf, size) of each early guard, if each checks what a leaf holds: known bounds may stand for them all."""
        early = [guard for guard in guards if guard.early]
        found = [(guard.leaf, guard.size) for guard in early if guard.leaf is not None]
        if len(found) < len(early):
            return ()
        return tuple([(self.slots.leaves[leaf][0], size) for leaf, size in found])

    def bind_kernels(
        self, call: NestCall | GemmCall | SerialCall, schedule: Schedule
    ) -> tuple[list[Record], list[Cost]]:
        """A call's records for every run; those that make what outlives a run are put aside."""
        records, costs = bind_call(call, schedule, self.slots)
        first = call.plan.preparing if isinstance(call, GemmCall) else 0
        if isinstance(call, GemmCall) and first:
            leaf, nbytes = schedule.kept[call.places["kept"][0][1]]
            position = self.slots.leaves[leaf][0]
            made = Preparation(position, nbytes, records[:first], self.slots.count)
            self.preparations.append(made)
        return records[first:], costs[first:]

    def run(
        self,
        leaf_buffers: Sequence[Buffer],
        scalars: Sequence[Any] = (),
        donated: Collection[int] = (),
    ) -> list[Buffer]:
        """Run; return the buffer of each output."""
        if settings.debug or WATCHERS:
            return self.run_watched(leaf_buffers, scalars, donated)
        self.wait(leaf_buffers)  # what is given up then may serve for the outputs
        outputs = self.output_buffers(leaf_buffers, donated)
        self.run_into(outputs, leaf_buffers, scalars)
        return outputs

    def run_given(
        self, outputs: Sequence[Buffer], leaf_buffers: Sequence[Buffer], scalars: Sequence[Any]
    ) -> None:
        """As `run`; the results go to `outputs`."""
        if settings.debug or WATCHERS:
            self.tell(self.run_timed_into(outputs, leaf_buffers, scalars))
        else:
            self.run_into(outputs, leaf_buffers, scalars)

    def start_given(
        self, outputs: Sequence[Buffer], leaf_buffers: Sequence[Buffer], scalars: Sequence[Any]
    ) -> None:
        """As `run_given`, but what comes last may go on in the background when this returns."""
        if self.last is None or settings.debug:
            self.run_given(outputs, leaf_buffers, scalars)
            return
        if WATCHERS:
            self.start_timed(outputs, leaf_buffers, scalars)
            return
        workspace = self.start(leaf_buffers, outputs, scalars)
        memory = (*leaf_buffers, *outputs)
        if self.only is None:
            self.run_segments(workspace, memory, scalars, whole=False)
        release = partial(self.workspaces.give_back, workspace)
        if not self.last.start_at(workspace.address, memory, release):
            self.last.run_at(workspace.address)
            release()

    def run_into(
        self, outputs: Sequence[Buffer], leaf_buffers: Sequence[Buffer], scalars: Sequence[Any]
    ) -> None:
        """Run, unwatched; the results go to `outputs`."""
        workspace = self.start(leaf_buffers, outputs, scalars)
        if self.only is not None:
            self.only.run_at(workspace.address)
        else:
            self.run_segments(workspace, [*leaf_buffers, *outputs], scalars)
        self.workspaces.give_back(workspace)

    def run_segments(
        self,
        workspace: Workspace,
        buffers: Sequence[Buffer],
        scalars: Sequence[Any],
        whole: bool = True,
    ) -> None:
        """Run all segments on the buffers of leaves and outputs; not the last one, unless `whole`."""
        memory = [*buffers, workspace.arena]
        checked = self.checked and all_inside(buffers, self.checked)
        for segment in self.segments[2 if checked else 0 : None if whole else -1]:
            if isinstance(segment, NativeProgram):
                segment.run_at(workspace.address)
            elif isinstance(segment, GuardCheck):
                segment.run(workspace.flags)
            else:
                segment.run(memory, scalars)

    def wait(self, leaf_buffers: Sequence[Buffer]) -> None:
        """Wait for the background: one thread's work only until the leaves are there, and left alone."""
        if not RUNS:
            return
        if self.only is None or self.only.parallel:
            finish()
            return
        for buffer in leaf_buffers:
            wait_for(buffer)

    def start(
        self, leaf_buffers: Sequence[Buffer], outputs: Sequence[Buffer], scalars: Sequence[Any]
    ) -> Workspace:
        """A workspace with all pointers written, and what is kept from run to run made."""
        statistics.runs += 1
        self.wait(leaf_buffers)
        workspace = self.workspaces.take()
        if not self.preparations:
            workspace.write([*leaf_buffers, *outputs], (), scalars, self.cells_pointer)
            return workspace
        kept, missing = find_prepared(self.preparations, leaf_buffers)
        workspace.write([*leaf_buffers, *outputs], kept, scalars, self.cells_pointer)
        make_prepared(missing, workspace.address)
        return workspace

    def output_buffers(
        self, leaf_buffers: Sequence[Buffer], donated: Collection[int]
    ) -> list[Buffer]:
        """Fresh buffers, or donated ones where the plan allows an output to overwrite them."""
        if not donated:
            return [*map(Buffer.allocate, self.output_bytes)]
        outputs: list[Buffer] = []
        for position, nbytes in enumerate(self.output_bytes):
            leaf = self.donations.get(position, -1)
            if leaf in donated:
                given = leaf_buffers[leaf]
                given.prepared = None
                outputs.append(given)
            else:
                outputs.append(Buffer.allocate(nbytes))
        return outputs

    def run_watched(
        self, leaf_buffers: Sequence[Buffer], scalars: Sequence[Any], donated: Collection[int]
    ) -> list[Buffer]:
        """As `run`, for those who look on: the debug table, and watchers."""
        outputs, times = self.run_timed(leaf_buffers, scalars, donated)
        self.tell(times)
        return outputs

    def tell(self, times: RunTimes) -> None:
        """Tell those who look on of a run."""
        if settings.debug:
            print_table(self, rows_of(self, times))
        for watcher in tuple(WATCHERS):
            watcher.ran(self, times)

    def profile(
        self, leaf_buffers: Sequence[Buffer], scalars: Sequence[Any] = ()
    ) -> tuple[list[Buffer], list[Row]]:
        """Run once with a clock around every record."""
        outputs, times = self.run_timed(leaf_buffers, scalars)
        return outputs, rows_of(self, times)

    def run_timed(
        self,
        leaf_buffers: Sequence[Buffer],
        scalars: Sequence[Any] = (),
        donated: Collection[int] = (),
    ) -> tuple[list[Buffer], RunTimes]:
        """Run; return the buffer of each output, and the clock before and after every record."""
        start, before = now(), memory_statistics.live_bytes
        outputs = self.output_buffers(leaf_buffers, donated)
        times = self.run_timed_into(outputs, leaf_buffers, scalars)
        times.start, times.live = start, (before, *times.live[1:])
        return outputs, times

    def run_timed_into(
        self, outputs: Sequence[Buffer], leaf_buffers: Sequence[Buffer], scalars: Sequence[Any]
    ) -> RunTimes:
        """Run; the results go to `outputs`; return the clock before and after every record."""
        start, before = now(), memory_statistics.live_bytes
        workspace = self.start(leaf_buffers, outputs, scalars)
        arena = workspace.arena
        inside = memory_statistics.live_bytes
        memory = [*leaf_buffers, *outputs, arena]
        readings = [run_timed(each, workspace, memory, scalars) for each in self.segments]
        after = memory_statistics.live_bytes - (0 if arena is None else arena.capacity)
        self.workspaces.give_back(workspace)
        return RunTimes(start, now(), readings, (before, inside, after))

    def start_timed(
        self, outputs: Sequence[Buffer], leaf_buffers: Sequence[Buffer], scalars: Sequence[Any]
    ) -> None:
        """As `start_given`; those who look on are told when it is over."""
        start, live = now(), memory_statistics.live_bytes
        workspace = self.start(leaf_buffers, outputs, scalars)
        last, memory = self.segments[-1], (*leaf_buffers, *outputs)
        assert isinstance(last, NativeProgram)
        whole = [*memory, workspace.arena]
        readings = [run_timed(each, workspace, whole, scalars) for each in self.segments[:-1]]
        clock = last.clock()
        times = RunTimes(start, 0, [*readings, clock], (live, memory_statistics.live_bytes, live))
        told = tuple(WATCHERS)

        def release() -> None:
            self.workspaces.give_back(workspace)
            times.end = clock[-1]
            for watcher in told:
                watcher.ran(self, times)

        times.background = last.start_at(workspace.address, memory, release, clock)
        if not times.background:
            last.run_at(workspace.address, clock)
            release()


def run_timed(
    segment: Segment, workspace: Workspace, memory: Sequence[Any], scalars: Sequence[Any]
) -> Any:
    """Run a segment; the readings of the clock around its records."""
    if isinstance(segment, NativeProgram):
        clock = segment.clock()
        segment.run_at(workspace.address, clock)
        return clock
    if isinstance(segment, GuardCheck):
        segment.run(workspace.flags)
        return (now(),)
    began = now()
    segment.run(memory, scalars)
    return began, now()


def prepare_all(schedule: Schedule) -> None:
    """Have the kernels of all calls compiled together."""
    listed = [call for calls in schedule.calls for call in calls if not isinstance(call, HostStep)]
    listed.extend(guard.call for guard in schedule.guards)
    prepare_kernels(kernel for call in listed for kernel in kernels_of(call))


def build_program(graph: LinearGraph, arrangement: Arrangement | None = None) -> Program:
    """Schedule and compile a linear graph; who has arranged it already gives the arrangement."""
    return watched("compile", graph, schedule_and_bind, graph, arrangement)


def schedule_and_bind(graph: LinearGraph, arrangement: Arrangement | None) -> Program:
    """What `build_program` does, unwatched."""
    start = time.perf_counter()
    blueprint = Blueprint(graph, settings.fuse, settings.verify, get_num_threads())
    schedule = blueprint.make(arrangement)
    if settings.debug >= 2:
        show(graph, schedule)
    program = Program(schedule, blueprint)
    statistics.programs += 1
    statistics.build_ms += (time.perf_counter() - start) * 1e3
    statistics.arena_bytes += program.arena_bytes
    statistics.output_bytes += sum(program.output_bytes)
    for segment in program.segments:
        if isinstance(segment, NativeProgram):
            statistics.records += len(segment.records)
        elif isinstance(segment, HostCall):
            statistics.host_steps += 1
    return program


def show(graph: LinearGraph, schedule: Schedule) -> None:
    """Write the stages to standard error, as many as `settings.debug` asks for."""
    parts = [steps_text(schedule.steps, schedule.graph), memory_text(schedule)]
    if settings.debug >= 3:
        parts[:0] = [graph_text(graph), graph_text(schedule.graph)]
    if settings.debug >= 4:
        parts.append(nests_text(schedule))
    sys.stderr.write("".join(parts))
