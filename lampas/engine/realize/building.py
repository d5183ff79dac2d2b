"""Building programs: a linear graph is arranged, scheduled, its kernels compiled, and the calls bound to records.

program = build_program(graph)
outputs = program.run([buffer, …], [0.1, …])        # leaves in the order of `graph.leaves`
"""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING, final

from lampas.engine.realize.bind import Slots, bind_call, kernels_of
from lampas.engine.realize.cost import Cost
from lampas.engine.realize.hosts import HostCall
from lampas.engine.realize.index_check import Flag, IndexCheck
from lampas.engine.realize.kernels import prepare_kernels
from lampas.engine.realize.origins import joined, step_shares
from lampas.engine.realize.parts import PreparationParts, ProgramParts, blueprint_of
from lampas.engine.realize.program import Program
from lampas.engine.realize.statistics import statistics
from lampas.engine.schedule.contract import GemmCall
from lampas.engine.schedule.lay_out import Arrangement, arrange
from lampas.engine.schedule.lower import Schedule, make_schedule
from lampas.engine.schedule.steps import HostStep
from lampas.engine.schedule.text import graph_text, memory_text, nests_text, steps_text
from lampas.engine.settings import settings
from lampas.engine.watch import watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.device.launch import Record
    from lampas.engine.graph.linear import LinearGraph
    from lampas.engine.realize.parts import Blueprint, Part
    from lampas.engine.realize.profile import Row
    from lampas.engine.schedule.draft import NestCall
    from lampas.engine.schedule.serial import SerialCall


@functools.lru_cache(maxsize=4)
def schedule_of(blueprint: Blueprint) -> Schedule:
    """A schedule made again."""
    return schedule_as(blueprint, arrange(blueprint.graph))


def schedule_as(blueprint: Blueprint, arrangement: Arrangement) -> Schedule:
    """The schedule of an arranged graph."""
    return make_schedule(arrangement, blueprint.fused, blueprint.verified, blueprint.threads)


@final
class Binder:
    """Binds the calls of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.slots = Slots(schedule)
        self.segments: list[Part] = []
        self.costs: list[list[Cost]] = []
        self.preparations: list[PreparationParts] = []
        self.records: list[Record] = []
        self.own_costs: list[Cost] = []

    def parts(self) -> ProgramParts:
        """All parts of the program."""
        schedule, slots = self.schedule, self.slots
        graph, entries = schedule.graph, schedule.graph.entries
        prepare_all(schedule)
        self.bind()
        outputs, scalars = (
            [entries[n] for n in graph.outputs],
            [entries[n].dtype.name for n in graph.leaves if entries[n].op.name == "scalar"],
        )
        donations = {
            position: slots.leaves[leaf][0] for position, leaf in schedule.donations.items()
        }
        return ProgramParts(
            slots=slots.count, kinds=tuple(scalars),
            output_bytes=[entry.numel * entry.dtype.itemsize for entry in outputs],
            donations=donations, layouts=schedule.layouts, arena_bytes=schedule.plan.nbytes,
            flags=len(schedule.guards), cells=schedule.cells.table().tobytes(), segments=self.segments,
            costs=self.costs, preparations=self.preparations, checked=self.checked_leaves(),
        )  # fmt: skip

    def bind(self) -> None:
        """Native records with the host calls between them; costs go along, record by record."""
        schedule = self.schedule
        self.check(early=True)
        for place, calls in enumerate(schedule.calls):
            for call in calls:
                if isinstance(call, HostStep):
                    self.close()
                    self.segments.append(HostCall(call, schedule, self.slots))
                    self.costs.append([Cost(place=place)])
                    continue
                found, costs = self.bind_kernels(call)
                self.records.extend(found)
                self.own_costs.extend([cost.at(place) for cost in costs])
        self.check(early=False)
        self.close()

    def check(self, early: bool) -> None:
        """The guards that run first, or last, and the look at their flags."""
        guards = self.schedule.guards
        chosen = [(n, guard) for n, guard in enumerate(guards) if guard.early is early]
        if not chosen:
            return
        for _, guard in chosen:
            records, costs = bind_call(guard.call, self.schedule, self.slots)
            self.records.extend(records)
            self.own_costs.extend(costs)
        self.close()
        flags = [Flag(place, guard.op, guard.dim, guard.size) for place, guard in chosen]
        self.segments.append(IndexCheck(tuple(flags)))
        self.costs.append([])

    def close(self) -> None:
        """End a segment of native records."""
        if self.records:
            pairs = zip(self.own_costs, self.records, strict=True)
            self.costs.append([cost for cost, record in pairs if record.extent > 0])
            self.segments.append(self.records)
            self.records, self.own_costs = [], []

    def checked_leaves(self) -> tuple[tuple[int, int], ...]:
        """(leaf, size) of each early guard, if each checks what a leaf holds: known bounds may stand for them all."""
        early = [guard for guard in self.schedule.guards if guard.early]
        found = [(guard.leaf, guard.size) for guard in early if guard.leaf is not None]
        if len(found) < len(early):
            return ()
        return tuple([(self.slots.leaves[leaf][0], size) for leaf, size in found])

    def bind_kernels(
        self, call: NestCall | GemmCall | SerialCall
    ) -> tuple[list[Record], list[Cost]]:
        """A call's records for every run; those that make what outlives a run are put aside."""
        schedule = self.schedule
        records, costs = bind_call(call, schedule, self.slots)
        first = call.plan.preparing if isinstance(call, GemmCall) else 0
        if isinstance(call, GemmCall) and first:
            leaf, nbytes = schedule.kept[call.places["kept"][0][1]]
            position = self.slots.leaves[leaf][0]
            self.preparations.append(PreparationParts(position, nbytes, records[:first]))
        return records[first:], costs[first:]


def prepare_all(schedule: Schedule) -> None:
    """Have the kernels of all calls compiled together."""
    listed = [call for calls in schedule.calls for call in calls if not isinstance(call, HostStep)]
    listed.extend(guard.call for guard in schedule.guards)
    prepare_kernels(kernel for call in listed for kernel in kernels_of(call))


def build_program(graph: LinearGraph) -> Program:
    """Schedule and compile a linear graph."""

    def build() -> Program:
        blueprint = blueprint_of(graph)
        return Program(make_parts(blueprint, arrange(graph)), blueprint)

    return watched("compile", graph, build)


def make_parts(blueprint: Blueprint, arrangement: Arrangement) -> ProgramParts:
    """The parts of the program of an arranged graph."""
    start = time.perf_counter()
    schedule = schedule_as(blueprint, arrangement)
    if settings.debug >= 2:
        show(blueprint.graph, schedule)
    parts = Binder(schedule).parts()
    statistics.programs += 1
    statistics.build_ms += (time.perf_counter() - start) * 1e3
    statistics.arena_bytes += parts.arena_bytes
    statistics.output_bytes += sum(parts.output_bytes)
    for segment in parts.segments:
        if isinstance(segment, list):
            statistics.records += len(segment)
        elif isinstance(segment, HostCall):
            statistics.host_steps += 1
    return parts


def show(graph: LinearGraph, schedule: Schedule) -> None:
    """Write the stages to standard error, as many as `settings.debug` asks for."""
    parts = [steps_text(schedule.steps, schedule.graph), memory_text(schedule)]
    if settings.debug >= 3:
        parts[:0] = [graph_text(graph), graph_text(schedule.graph)]
    if settings.debug >= 4:
        parts.append(nests_text(schedule))
    sys.stderr.write("".join(parts))


def print_table(program: Program, rows: Sequence[Row]) -> None:
    """Write the rows to standard error."""
    total = sum(row.microseconds for row in rows)
    lines = [f"program: {len(rows)} records, {total:.1f} us"]
    for row in rows:
        rates = f"{row.gigabytes_a_second:7.1f} GB/s {row.gigaflops:8.1f} GFLOP/s"
        origin = joined(step_shares(program.schedule, row.cost.place))
        lines.append(f"{row.microseconds:10.1f} us {rates}  {origin}: {row.name}")
    sys.stderr.write("\n".join(lines) + "\n")
