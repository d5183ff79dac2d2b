"""Programs: tables of kernel records, walked by one native call.

Every kernel has the signature ``void kernel(ptr operands, ptr integers, i64 begin, i64 end, i64 worker)``: an array
of data pointers, an array of 64-bit integers (sizes, strides, …, as the kernel defines), the range of its parallel
index to do, and the number of the thread (0 ≤ worker < threads) for scratch memory.

    record = Record(address, operands=((0, 0), (1, 64)), integers=(n,), extent=n, grain=64, work=n)
    program = Program([record], slots=2)
    program.run([x.pointer, y.pointer])

A program is immutable and may run in several threads at once (on different memory). Records run in order, with a join
between them; each is cut into chunks that are multiples of its grain and are claimed dynamically. The results of a
kernel must therefore not depend on where its range is cut.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy

from lampas.engine.device import background, native
from lampas.engine.device.pool import current_pool, get_num_threads, native_functions

if TYPE_CHECKING:
    from lampas.engine.device.buffer import Buffer

SERIAL_NANOSECONDS = 7_000  # below this estimate a record is not worth waking another thread
CHUNK_NANOSECONDS = (
    4_000  # a chunk should last about this long: claiming one costs a hundredth of it
)


class Record(NamedTuple):
    """One call of a kernel.

    kernel    address of the native function
    operands  (slot, byte offset) of each data pointer; the slot is an index into the pointers given to `run`
    integers  64-bit integers, in the kernel's own order
    extent    number of parallel units; the kernel sees ranges [begin, end) inside [0, extent)
    grain     cuts between threads fall on multiples of it
    work      estimate of the whole record's time on one thread, in nanoseconds; small ones stay on the caller
    name      for profiles and messages
    """

    kernel: int
    operands: tuple[tuple[int, int], ...]
    integers: tuple[int, ...]
    extent: int
    grain: int = 1
    work: int = 0
    name: str = ""


class Program:
    """A table of records, ready to run.

    `slots` is how many pointers `run` takes. `threads` bounds the worker numbers that kernels see (for scratch sized
    threads × bytes); it defaults to the number of threads at the time of building.
    """

    def __init__(self, records: Sequence[Record], slots: int, threads: int | None = None) -> None:
        self.records = tuple(records)
        self.slots = slots
        self.threads = threads or get_num_threads()
        self.slot_array = ctypes.c_void_p * max(slots, 1)
        self.check()
        self.table = self.build()
        self.parallel = self.threads > 1 and any(
            chunks(r, self.threads)[1] > 1 for r in self.records
        )
        self.work = sum(record.work for record in self.live)
        self.pointer = self.table.__array_interface__["data"][0]
        self.native = native_functions().run
        self.clock = ctypes.c_int64 * (len(self.live) + 1)

    def check(self) -> None:
        """Raise ValueError for a record that the runner could not walk safely."""
        for record in self.records:
            bad = [slot for slot, _ in record.operands if not 0 <= slot < self.slots]
            if bad:
                raise ValueError(
                    f"record {record.name!r} uses slots {bad} of a program with {self.slots} slots"
                )
            if record.extent < 0 or record.grain < 1 or not record.kernel:
                raise ValueError(
                    f"record {record.name!r} has a bad extent, grain or kernel address: {record}"
                )

    def build(self) -> numpy.ndarray:
        """Lay out head, records, operand pairs and integers in one array of words."""
        live = [record for record in self.records if record.extent > 0]
        self.live = live
        first = native.PROGRAM_WORDS + native.RECORD_WORDS * len(live)
        pairs = sum(2 * len(record.operands) for record in live)
        total = first + pairs + sum(len(record.integers) for record in live)
        table = numpy.zeros(total, numpy.int64)
        base = table.__array_interface__["data"][0]
        most = max((len(record.operands) for record in live), default=0)
        table[: native.PROGRAM_WORDS] = (
            len(live),
            base + 8 * native.PROGRAM_WORDS,
            self.threads,
            max(most, 1),
        )
        operand_place, integer_place = first, first + pairs
        for number, record in enumerate(live):
            flat = [word for pair in record.operands for word in pair]
            chunk, count = chunks(record, self.threads)
            start = native.PROGRAM_WORDS + native.RECORD_WORDS * number
            places = base + 8 * operand_place, len(record.operands), base + 8 * integer_place
            words = (record.kernel, *places, record.extent, chunk, count, 0)
            table[start : start + native.RECORD_WORDS] = words
            table[operand_place : operand_place + len(flat)] = flat
            table[integer_place : integer_place + len(record.integers)] = record.integers
            operand_place += len(flat)
            integer_place += len(record.integers)
        return table

    def run(
        self, pointers: Sequence[int], times: ctypes.Array[ctypes.c_int64] | None = None
    ) -> None:
        """Run all records on the memory that `pointers` name, one for each slot.

        The caller keeps the memory alive, and has waited for what the background does with it. `times`, a `self.clock()`,
        gets the clock (ns) before the first record and after each: its differences are the records' durations.
        """
        slots = self.slot_array(*pointers)
        self.run_at(ctypes.addressof(slots), times)

    def run_at(self, address: int, times: ctypes.Array[ctypes.c_int64] | None = None) -> None:
        """As `run`, with the pointers lying at an address."""
        pool = None
        if self.parallel:
            background.finish()
            pool = current_pool()
        clock = None if times is None else ctypes.addressof(times)
        self.native(self.pointer, address, None if pool is None else pool.pointer, clock)

    def start_at(
        self,
        address: int,
        memory: Sequence[Buffer],
        release: Callable[[], None],
        times: ctypes.Array[ctypes.c_int64] | None = None,
    ) -> bool:
        """Start on pointers that lie at an address, and return at once; False where it can only be run.

        `memory` are the buffers of the first slots. Whoever needs one waits (`background`); at the end `release` is
        called. `times` is as in `run`.
        """
        possible = background.is_worthwhile(self)
        return possible and background.start(self, address, memory, release, times)

    @functools.cached_property
    def last_uses(self) -> list[int]:
        """For each slot, how many records there are up to the last one that touches it."""
        found = [0] * self.slots
        for number, record in enumerate(self.live):
            for slot, _ in record.operands:
                found[slot] = number + 1
        return found

    def profile(self, pointers: Sequence[int]) -> list[tuple[str, int]]:
        """Run once; return (name, nanoseconds) of each record."""
        times = self.clock()
        self.run(pointers, times)
        spans = [after - before for before, after in itertools.pairwise(times)]
        return [(record.name, span) for record, span in zip(self.live, spans, strict=True)]


def chunks(record: Record, threads: int) -> tuple[int, int]:
    """Return (units in a chunk, number of chunks) for a record."""
    if threads == 1 or record.work < SERIAL_NANOSECONDS or record.extent <= record.grain:
        return record.extent, 1
    most = min(32 * threads, native.MOST_CHUNKS)
    pieces = max(min(threads, most), min(record.work // CHUNK_NANOSECONDS, most))
    chunk = -(-record.extent // (pieces * record.grain)) * record.grain
    return chunk, -(-record.extent // chunk)
