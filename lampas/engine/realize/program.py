"""Programs: a linear graph compiled to one native call (host steps split it).

    program = build_program(graph)
    outputs = program.run([buffer, …], [0.1, …])        # leaves in the order of `graph.leaves`

A program is immutable and may run in several threads at once: arena and outputs are taken from the caching
allocator for each run.  Zero-size outputs get a buffer too.  `donated` names leaf buffers (by their
position in `leaf_buffers`; `donations` tells which could be used) that nobody needs after the run: results may be written into their memory, and the buffer returned is then
the donated one.
"""

from __future__ import annotations

import ctypes
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.engine.device.launch import Program as NativeProgram
from lampas.engine.device.launch import Record
from lampas.engine.device.pool import get_num_threads
from lampas.engine.realize.bind import Slots, gemm_records, nest_record
from lampas.engine.realize.hosts import HostCall
from lampas.engine.realize.statistics import statistics
from lampas.engine.schedule.contract import GemmCall
from lampas.engine.schedule.draft import NestCall
from lampas.engine.schedule.lower import Schedule, make_schedule
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lampas.engine.graph.linear import LinearGraph

Segment = NativeProgram | HostCall
SCALAR_FORMATS = {"bool": "?15x", "int64": "q8x", "float64": "d8x", "complex128": "dd"}


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """One record of a profiled run."""

    name: str
    microseconds: float


@final
class Program:
    """A compiled linear graph."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
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
        self.packing = struct.Struct("=" + "".join(SCALAR_FORMATS[kind] for kind in kinds))
        self.complex_scalars = "complex128" in kinds
        self.donations = {
            position: self.slots.leaves[leaf][0] for position, leaf in schedule.donations.items()
        }
        self.arena_bytes = schedule.plan.nbytes
        self.segments: list[Segment] = self.bind()
        self.integer_cells = np.array(schedule.cells.values or [0], np.int64)
        self.integer_pointer = self.integer_cells.__array_interface__["data"][0]
        self.only = (
            self.segments[0]
            if len(self.segments) == 1 and isinstance(self.segments[0], NativeProgram)
            else None
        )

    def bind(self) -> list[Segment]:
        """Native programs with the host calls between them."""
        segments: list[Segment] = []
        records: list[Record] = []
        for calls in self.schedule.calls:
            for call in calls:
                if isinstance(call, NestCall):
                    records.append(nest_record(call, self.slots))
                    continue
                if isinstance(call, GemmCall):
                    records.extend(gemm_records(call, self.slots))
                    continue
                if records:
                    segments.append(NativeProgram(records, self.slots.count))
                    records = []
                segments.append(HostCall(call, self.schedule, self.slots))
        if records:
            segments.append(NativeProgram(records, self.slots.count))
        return segments

    def run(
        self,
        leaf_buffers: Sequence[Buffer],
        scalars: Sequence[Any] = (),
        donated: Collection[int] = (),
    ) -> list[Buffer]:
        """Run; return the buffer of each output."""
        outputs = self.output_buffers(leaf_buffers, donated)
        arena = Buffer.allocate(self.arena_bytes)
        cells = self.scalar_cells(scalars)
        pointers = [buffer.pointer for buffer in leaf_buffers]
        pointers.extend([buffer.pointer for buffer in outputs])
        pointers.extend((arena.pointer, ctypes.addressof(cells), self.integer_pointer))
        statistics.runs += 1
        if self.only is not None:
            self.only.run(pointers)
            return outputs
        memory = [*leaf_buffers, *outputs, arena]
        for segment in self.segments:
            if isinstance(segment, NativeProgram):
                segment.run(pointers)
            else:
                segment.run(memory, scalars)
        return outputs

    def output_buffers(
        self, leaf_buffers: Sequence[Buffer], donated: Collection[int]
    ) -> list[Buffer]:
        """Fresh buffers, or donated ones where the plan allows an output to overwrite them."""
        if not donated:
            return [Buffer.allocate(nbytes) for nbytes in self.output_bytes]
        outputs: list[Buffer] = []
        for position, nbytes in enumerate(self.output_bytes):
            leaf = self.donations.get(position, -1)
            given = leaf in donated
            outputs.append(leaf_buffers[leaf] if given else Buffer.allocate(nbytes))
        return outputs

    def scalar_cells(self, scalars: Sequence[Any]) -> Any:
        """The run's numbers, 16 bytes each."""
        cells = (ctypes.c_int64 * (2 * len(scalars) + 2))()
        if scalars:
            if self.complex_scalars:
                flat: list[Any] = []
                for value in scalars:
                    flat.extend((value.real, value.imag) if type(value) is complex else (value,))
                scalars = flat
            self.packing.pack_into(cells, 0, *scalars)
        return cells

    def profile(
        self, leaf_buffers: Sequence[Buffer], scalars: Sequence[Any] = ()
    ) -> tuple[list[Buffer], list[Profile]]:
        """Run once with a clock around every record."""
        outputs = [Buffer.allocate(nbytes) for nbytes in self.output_bytes]
        arena = Buffer.allocate(self.arena_bytes)
        cells = self.scalar_cells(scalars)
        pointers = [buffer.pointer for buffer in (*leaf_buffers, *outputs, arena)]
        pointers.extend((ctypes.addressof(cells), self.integer_pointer))
        found: list[Profile] = []
        for segment in self.segments:
            start = time.perf_counter()
            if isinstance(segment, NativeProgram):
                found.extend(Profile(name, ns / 1e3) for name, ns in segment.profile(pointers))
            else:
                segment.run([*leaf_buffers, *outputs, arena], scalars)
                found.append(Profile(segment.name, (time.perf_counter() - start) * 1e6))
        return outputs, found


def build_program(graph: LinearGraph) -> Program:
    """Schedule and compile a linear graph."""
    start = time.perf_counter()
    schedule = make_schedule(graph, settings.fuse, settings.verify, get_num_threads())
    program = Program(schedule)
    statistics.programs += 1
    statistics.build_ms += (time.perf_counter() - start) * 1e3
    statistics.arena_bytes += program.arena_bytes
    statistics.output_bytes += sum(program.output_bytes)
    for segment in program.segments:
        if isinstance(segment, NativeProgram):
            statistics.records += len(segment.records)
        else:
            statistics.host_steps += 1
    return program
