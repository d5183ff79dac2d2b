"""The run in the background: a program that goes on while its caller does other things.

The loss of a training step is known long before the step is over.  So a step that is known (`optim.step_replays`) is only
started: the pool's workers walk its program (`native`) while Python notes the next step, and whoever needs a result
helps them until it is there.

There is at most one such run.  Its memory is left alone for as long as a record touches it:

- who reads or writes memory by an array or an address waits first (`wait_for`);
- a run that wants the pool, a fork, a change of the pool and the end of the process wait for the whole (`finish`);
  small runs, which need one thread, only wait for what they read;
- memory that is given up meanwhile is nobody else's before the run is over (`GIVEN_UP`);
- what arrays outside may show is touched no more when the start returns.

The run refers to no buffer: who counts references finds what it would find without it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, final

from lampas.engine.device.pool import LEAVING, current_pool, native_functions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.device.buffer import Buffer
    from lampas.engine.device.launch import Program
    from lampas.engine.device.pool import Pool

WORTH_NANOSECONDS: float = 300_000  # of estimated work: a shorter run is over before it pays


@final
class Run:
    """A program that was started on the pointers at an address; `release` is called when it is over."""

    __slots__ = ("address", "pool", "program", "release", "times", "touching")

    def __init__(
        self,
        program: Program,
        pool: Pool,
        address: int,
        release: Callable[[], None],
        times: ctypes.Array[ctypes.c_int64] | None,
    ) -> None:
        self.program, self.pool, self.address, self.release = program, pool, address, release
        if times is None and TIMERS:
            times = program.clock()
        self.times = times
        self.touching: list[tuple[int, int]] | None = (
            None  # addresses, and records up to the last use
        )

    def records_touching(self, buffer: Buffer) -> int:
        """How many records must be over until none touches a buffer, a part or the whole of it; 0 where none does."""
        if self.touching is None:
            pointers = (ctypes.c_uint64 * self.program.slots).from_address(self.address)
            self.touching = sorted(zip(pointers, self.program.last_uses, strict=True))
        first, end = buffer.extent()
        low, high = (bisect_left(self.touching, (address, 0)) for address in (first, end))
        return max([count for _, count in self.touching[low:high]], default=0)


# The run that is on, if there is one.  Looked at wherever memory is touched: a list's truth costs next to nothing.
RUNS: list[Run] = []

# Told of each run that is over: the clock before and after its records, in nanoseconds.
TIMERS: list[Callable[[ctypes.Array[ctypes.c_int64]], None]] = []

# Buffers of the memory that was given up while it is on.
GIVEN_UP: list[Buffer] = []

_lock = threading.RLock()  # of those who help: each would be worker 0


def is_worthwhile(program: Program) -> bool:
    """Whether a program may go on in the background, and takes long enough for that."""
    return program.parallel and program.work >= WORTH_NANOSECONDS


def start(
    program: Program,
    address: int,
    memory: Sequence[Buffer],
    release: Callable[[], None],
    times: ctypes.Array[ctypes.c_int64] | None = None,
) -> bool:
    """Start a program with the pointers at an address; False, with nothing done, where no pool is free.

    `memory` are the buffers of the first slots; `times` gets the clock, as in `launch.Program.run`.
    """
    shown = [place for place, buffer in enumerate(memory) if buffer.exported and buffer.is_shown()]
    with _lock:
        finish()
        pool = current_pool()
        if pool is None:
            return False
        run = Run(program, pool, address, release, times)
        clock = None if run.times is None else ctypes.addressof(run.times)
        if not native_functions().start(program.pointer, address, pool.pointer, clock):
            return False
        RUNS.append(run)
        if shown:
            records = max([program.last_uses[place] for place in shown])
            native_functions().help(pool.pointer, records)
        return True


def finish() -> None:
    """Wait until nothing runs in the background."""
    if not RUNS:
        return
    with _lock:
        run = RUNS[0] if RUNS else None
        if run is None:
            return
        native_functions().help(run.pool.pointer, len(run.program.live))
        if run in RUNS:  # a finaliser between these lines may have come here too
            RUNS.clear()
            native_functions().leave(run.pool.pointer)
            run.release()
            GIVEN_UP.clear()
            if run.times is not None:
                for told in TIMERS:
                    told(run.times)


def wait_for(buffer: Buffer) -> None:
    """Wait until the run in the background touches a buffer's memory no more."""
    with _lock:
        run = RUNS[0] if RUNS else None
        if run is None:
            return
        records = run.records_touching(buffer)
        if records == len(run.program.live):
            finish()
        elif records:
            native_functions().help(run.pool.pointer, records)


def forget_runs() -> None:
    """In a forked child: what another thread started since has no workers here."""
    global _lock
    _lock = threading.RLock()
    RUNS.clear()
    GIVEN_UP.clear()


LEAVING.append(finish)
atexit.register(finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=finish, after_in_child=forget_runs)
