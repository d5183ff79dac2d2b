"""Programs: a linear graph compiled to one native call (host steps split it).

    outputs = program.run([buffer, …], [0.1, …])        # leaves in the order of `graph.leaves`

A program is immutable and may run in several threads at once: arena and outputs are taken from the caching
allocator for each run.  Zero-size outputs get a buffer too.  `donated` names leaf buffers (by their
position in `leaf_buffers`; `donations` tells which could be used) that nobody needs after the run: results may be written into their memory, and the buffer returned is then
the donated one.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import partial
from typing import TYPE_CHECKING, Any, final

from lampas.engine.device.background import RUNS, finish, wait_for
from lampas.engine.device.buffer import Buffer
from lampas.engine.device.buffer import statistics as memory_statistics
from lampas.engine.device.launch import Program as NativeProgram
from lampas.engine.realize.bounds import all_inside
from lampas.engine.realize.hosts import HostCall
from lampas.engine.realize.index_check import IndexCheck
from lampas.engine.realize.preparation import Preparation, find_prepared, make_prepared
from lampas.engine.realize.profile import Row, RunTimes, rows_of
from lampas.engine.realize.statistics import statistics
from lampas.engine.realize.workspace import Workspace, WorkspaceLayout
from lampas.engine.settings import settings
from lampas.engine.watch import WATCHERS, now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import ModuleType

    from lampas.engine.realize.parts import Blueprint, ProgramParts
    from lampas.engine.schedule.lower import Schedule

BUILDING = "lampas.engine.realize.building"


Segment = NativeProgram | HostCall | IndexCheck


@final
class Program:
    """A compiled linear graph.

    Its schedule is many times as large as what runs need: it goes, and `schedule` makes it again for those who look.
    """

    def __init__(self, parts: ProgramParts, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        self.output_bytes, self.donations = parts.output_bytes, parts.donations
        self.layouts, self.arena_bytes = parts.layouts, parts.arena_bytes
        self.costs, self.checked = parts.costs, parts.checked
        self.preparations = [Preparation(*each, parts.slots) for each in parts.preparations]
        self.segments: list[Segment] = [
            NativeProgram(part, parts.slots) if isinstance(part, list) else part
            for part in parts.segments
        ]
        self.workspaces = WorkspaceLayout(parts.slots, parts.kinds, self.arena_bytes, parts.flags)
        self.number_cells = ctypes.create_string_buffer(parts.cells, len(parts.cells))
        self.cells_pointer = ctypes.addressof(self.number_cells)
        last = self.segments[-1] if self.segments else None
        self.last = last if isinstance(last, NativeProgram) else None
        self.only = self.last if len(self.segments) == 1 else None
        self.brief = brief_run(self)

    @property
    def schedule(self) -> Schedule:
        """How the program came about."""
        return building().schedule_of(self.blueprint)

    def run(
        self,
        leaf_buffers: Sequence[Buffer],
        scalars: Sequence[Any] = (),
        donated: Collection[int] = (),
    ) -> list[Buffer]:
        """Run; return the buffer of each output."""
        if settings.debug or WATCHERS:
            return self.run_watched(leaf_buffers, scalars, donated)
        if self.brief is not None and not (donated or RUNS):
            return self.brief(leaf_buffers, scalars)
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
            elif isinstance(segment, IndexCheck):
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
            building().print_table(self, rows_of(self, times))
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


def brief_run(program: Program) -> Callable[[Sequence[Buffer], Sequence[Any]], list[Buffer]] | None:
    """`Program.run` for records of one thread that need nothing but leaves, numbers and results; None for other programs.

    Where one number is made of a few others, and looked at, the calls that this spares took as long as all the rest.
    """
    native, layout, sizes = program.only, program.workspaces, program.output_bytes
    if native is None or native.parallel or program.preparations or not layout.is_brief:
        return None
    allocate, cells = Buffer.allocate, program.cells_pointer
    idle, pack = layout.idle, layout.packing.pack_into

    def brief(leaf_buffers: Sequence[Buffer], scalars: Sequence[Any]) -> list[Buffer]:
        statistics.runs += 1
        outputs = [allocate(nbytes) for nbytes in sizes]
        try:
            workspace = idle.pop()
        except IndexError:
            workspace = layout.take()
        pointers = [buffer.pointer for buffer in leaf_buffers]
        pointers += [buffer.pointer for buffer in outputs]
        pack(workspace.block, 0, *pointers, *workspace.fixed(cells), *scalars)
        native.run_at(workspace.address)
        idle.append(workspace)
        return outputs

    return brief


def run_timed(
    segment: Segment, workspace: Workspace, memory: Sequence[Any], scalars: Sequence[Any]
) -> Any:
    """Run a segment; the readings of the clock around its records."""
    if isinstance(segment, NativeProgram):
        clock = segment.clock()
        segment.run_at(workspace.address, clock)
        return clock
    if isinstance(segment, IndexCheck):
        segment.run(workspace.flags)
        return (now(),)
    began = now()
    segment.run(memory, scalars)
    return began, now()


def building() -> ModuleType:
    """The module that builds programs, which takes long to load."""
    return importlib.import_module(BUILDING)
