"""Threads: how many there are, and the pool of native workers.

The caller of a program is worker 0; the others are daemon threads inside `lampas_worker` (see native.py), which never
hold the interpreter's lock. A pool belongs to one process and one number of threads: a forked child and a call of
`set_num_threads` drop it, and the next parallel program makes a new one.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from lampas.engine.device.native import POOL_WORDS, QUIT, runner_module
from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.target import host
from lampas.engine.settings import openmp_threads, settings


def granted_threads(root: str = "/sys/fs/cgroup") -> int:
    """Return how many processors this process may use: its affinity mask and its cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, cgroup_quota(root)))


def cgroup_quota(root: str) -> int:
    """Return the processors that the cgroup (v2 or v1) below `root` grants, rounded up; a million if unlimited."""
    unlimited = 1_000_000
    unified = words(os.path.join(root, "cpu.max"))
    if len(unified) == 2 and unified[0].isdigit():
        return -(-int(unified[0]) // int(unified[1]))
    quota = words(os.path.join(root, "cpu", "cpu.cfs_quota_us"))
    period = words(os.path.join(root, "cpu", "cpu.cfs_period_us"))
    if quota and period and quota[0].isdigit():
        return max(1, -(-int(quota[0]) // int(period[0])))
    return unlimited


def words(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().split()
    except OSError:
        return []


def default_threads() -> int:
    """Return the least of what the machine grants, OMP_NUM_THREADS and LAMPAS_THREADS."""
    limits = [granted_threads(), openmp_threads(), settings.threads]
    return min(limit for limit in limits if limit > 0)


class Pool:
    """`threads` − 1 native workers around one block of shared words."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        storage = numpy.zeros(POOL_WORDS + 8, numpy.int64)
        address = storage.__array_interface__["data"][0]
        skip = -(address // 8) % 8
        self.words = storage[skip : skip + POOL_WORDS]
        self.pointer = address + 8 * skip
        self.workers: list[threading.Thread] = []
        try:
            for number in range(1, threads):
                self.workers.append(self.start(number))
        except RuntimeError:
            pass  # the system grants no more threads, or Python is shutting down: fewer will do

    def start(self, number: int) -> threading.Thread:
        # The thread must keep the words alive, not the pool: bind what it needs.
        arguments = self.pointer, number, self.words
        name = f"lampas-{number}"
        worker = threading.Thread(target=serve, args=arguments, name=name, daemon=True)
        worker.start()
        return worker

    def stop(self) -> None:
        """Let the workers return; they are not waited for."""
        self.words[QUIT] = 1
        native_functions().wake(self.pointer)


def serve(pointer: int, number: int, keep: numpy.ndarray) -> None:
    """Be worker `number` until the pool stops; `keep` holds the shared words alive."""
    native_functions().worker(pointer, number)


NativeCall = Callable[..., Any]


class NativeFunctions(NamedTuple):
    """The runner's functions (`native`), to be called from Python."""

    run: NativeCall
    worker: NativeCall
    wake: NativeCall
    start: NativeCall
    help: NativeCall
    leave: NativeCall


@functools.cache
def native_functions() -> NativeFunctions:
    """Compile the runner."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    signatures: dict[str, tuple[Any, ...]] = {
        "lampas_run": (None, pointer, pointer, pointer, pointer),
        "lampas_worker": (None, pointer, number),
        "lampas_wake": (None, pointer),
        "lampas_start": (number, pointer, pointer, pointer, pointer),
        "lampas_help": (None, pointer, number),
        "lampas_leave": (None, pointer),
    }
    found = compile_functions(runner_module(host()), list(signatures))
    return NativeFunctions(
        *[ctypes.CFUNCTYPE(*types)(found[name]) for name, types in signatures.items()]
    )


class State:
    """The process's pool and wanted number of threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0
        self.pool: Pool | None = None


state = State()

# Told when there may be more threads than before.
ADDING: list[Callable[[], None]] = []
# Told before the pool goes.
LEAVING: list[Callable[[], None]] = []


def get_num_threads() -> int:
    """Return how many threads a program may use."""
    if not state.threads:
        state.threads = default_threads()
    return state.threads


def set_num_threads(count: object) -> None:
    """Use `count` threads from now on; raise RuntimeError unless it is positive.

    Programs that were built for fewer threads are bound anew (`ADDING`); their kernels stay.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    if count <= 0:
        raise RuntimeError(f"set_num_threads expects a positive number of threads, but got {count}")
    for told in LEAVING:
        told()
    with state.lock:
        more = count > get_num_threads()
        state.threads = count
        old, state.pool = state.pool, None
    if old is not None:
        old.stop()
    if more:
        for told in ADDING:
            told()


def current_pool() -> Pool | None:
    """Return the running pool, started if need be, or None when one thread is all there is."""
    pool = state.pool
    if pool is not None:
        return pool
    if get_num_threads() == 1:
        return None
    native_functions()
    with state.lock:
        if state.pool is None:
            state.pool = Pool(state.threads)
        return state.pool


def forget_pool() -> None:
    """In a forked child: its parent's workers do not exist here."""
    state.lock = threading.Lock()
    state.pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_pool)
