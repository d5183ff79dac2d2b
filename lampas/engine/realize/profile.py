"""Timings of a program's records: microseconds, GB/s and GFLOP/s.

With `LAMPAS_DEBUG=1` every run prints a table of them to standard error (`building.print_table`); `Program.profile` returns
the rows, and `lampas.profiler` collects the `RunTimes` of many runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.engine.device.launch import Program as NativeProgram
from lampas.engine.realize.hosts import HostCall

if TYPE_CHECKING:
    from lampas.engine.realize.cost import Cost
    from lampas.engine.realize.program import Program


@final
@dataclass(slots=True)
class RunTimes:
    """Readings of the clock (ns) of one run; `readings` has those of each segment: one more than it has records.

    `live` are the allocator's live bytes before the run, at its most (with outputs and arena), and after it.  What ran in
    the `background` did so beside its thread's other doings.
    """

    start: int
    end: int
    readings: list[Any]
    live: tuple[int, int, int]
    background: bool = False


@final
class Row(NamedTuple):
    """One timed record; it began at `start` (ns)."""

    name: str
    microseconds: float
    cost: Cost
    start: int = 0

    @property
    def gigabytes_a_second(self) -> float:
        return self.cost.nbytes / max(self.microseconds, 1e-3) / 1e3

    @property
    def gigaflops(self) -> float:
        return self.cost.operations / max(self.microseconds, 1e-3) / 1e3


def rows_of(program: Program, times: RunTimes) -> list[Row]:
    """The records of a run, in their order."""
    rows: list[Row] = []
    for segment, costs, readings in zip(
        program.segments, program.costs, times.readings, strict=True
    ):
        if isinstance(segment, NativeProgram):
            names = [record.name for record in segment.live]
        else:
            names = [segment.name] if isinstance(segment, HostCall) else []
        clock = [int(reading) for reading in readings]
        for name, cost, start, end in zip(names, costs, clock[:-1], clock[1:], strict=True):
            rows.append(Row(name, (end - start) / 1e3, cost, start))
    return rows
