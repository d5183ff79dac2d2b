"""What this machine can do at most: multiply-adds out of registers, and copying from each level of its memory.

Both are measured by kernels that do nothing else, compiled by the engine's own compiler, on one thread or several.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from lampas.engine.device.buffer import Buffer
from lampas.engine.llvm.compiler import compile_function
from lampas.engine.llvm.target import host
from lampas.engine.llvm.text import Module, vector

PEAK_STEPS = 400_000  # about a millisecond: starting a thread must not count
UNROLLED = 4
BYTES_A_RUN = 256 << 20  # copied by each run of a thread: tens of milliseconds
BEYOND = 4  # as many times the last cache is surely memory
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
USUAL_CACHES = {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}


@dataclass(frozen=True)
class Level:
    """A level of the memory: its name, its capacity for one thread, the rate at which a copy moves bytes there."""

    name: str
    capacity: float
    gigabytes_a_second: float


@dataclass(frozen=True)
class Peaks:
    """The bounds for a number of threads: GFLOP/s, and each level's rate, the smallest level first."""

    threads: int
    gigaflops: float
    levels: tuple[Level, ...]

    def level(self, nbytes: float) -> Level:
        """The smallest level that holds so much, shared among the threads; else memory."""
        return next(found for found in self.levels if nbytes <= found.capacity)

    def seconds(self, operations: float, nbytes: float) -> float:
        """The least time in which a kernel can do this: the roof of Williams et al. 2009, "Roofline"."""
        moving = nbytes / (self.level(nbytes).gigabytes_a_second * 1e9)
        return max(operations / (self.gigaflops * 1e9), moving)


def measure_peaks(threads: int, seconds: float = 0.3) -> Peaks:
    """Measure all bounds for a number of threads."""
    run, operations = peak_product(threads)
    gigaflops = operations / best_seconds(run, seconds) / 1e9
    sizes = cache_sizes()
    levels = []
    for name, size in sizes.items():
        own = size // threads if name == "L3" else size
        rate = copy_rate(own // 4, threads, seconds)  # source and target take half of the level
        levels.append(Level(name, size if name == "L3" else size * threads, rate))
    rate = copy_rate(BEYOND * max(sizes.values()) // threads, threads, seconds)
    return Peaks(threads, gigaflops, (*levels, Level("memory", float("inf"), rate)))


def cache_sizes() -> dict[str, int]:
    """Bytes of each data cache, L1 to L3; usual sizes where the system does not tell."""
    found: dict[str, int] = {}
    for index in sorted(CACHES.glob("index*")):
        try:
            words = [(index / name).read_text().strip() for name in ("type", "level", "size")]
        except OSError:
            continue
        if words[0] != "Instruction" and words[2].endswith("K"):
            found[f"L{words[1]}"] = int(words[2][:-1]) << 10
    return found or USUAL_CACHES


def peak_product(threads: int) -> tuple[Callable[[], None], float]:
    """Return a call of nothing but multiply-adds on all threads, and its number of operations."""
    lanes, chains = host().lanes("float"), 20 if host().registers >= 32 else 12
    kind = vector("float", lanes)
    module = Module()
    b = module.function("peak", [("i64", "steps"), ("ptr", "memory")])
    steps, memory = b.arguments
    places = [b.element_pointer(memory, i * lanes, "float") for i in range(chains)]
    start = [b.load(kind, place) for place in places]
    with b.carrying_loop(0, steps, 1, start) as loop:
        loop.carry([b.multiply_add(start[0], start[0], value) for value in loop.values])
    for place, value in zip(places, loop.results, strict=True):
        b.store(value, place)
    b.ret()
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(compile_function(module, "peak"))
    memories = [numpy.zeros(chains * lanes, numpy.float32) for _ in range(threads)]
    arguments = [(PEAK_STEPS, memory.ctypes.data) for memory in memories]
    # The memories live as long as the call that is returned: it holds them by its default.
    return lambda held=memories: on_threads(call, arguments), (
        2.0 * lanes * chains * PEAK_STEPS * threads
    )


def copy_rate(nbytes: int, threads: int, seconds: float) -> float:
    """GB/s, read and written, of threads that each copy `nbytes` again and again."""
    step = UNROLLED * host().lanes("float")
    count = max(nbytes // 4 // step, 1) * step
    repeats = max(1, BYTES_A_RUN // (4 * count))
    pairs = [(Buffer.allocate(4 * count), Buffer.allocate(4 * count)) for _ in range(threads)]
    for source, target in pairs:
        for each in (source, target):
            each.array(numpy.float32, (count,))[:] = 0.0
    arguments = [(repeats, count, source.pointer, target.pointer) for source, target in pairs]
    call = copying()
    shortest = best_seconds(lambda: on_threads(call, arguments), seconds)
    return 2 * 4 * count * repeats * threads / shortest / 1e9


def copying() -> Callable[..., None]:
    """A function (repeats, elements, source, target) that copies float32 by plain loads and stores."""
    lanes = host().lanes("float")
    kind = vector("float", lanes)
    module = Module()
    parameters = [("i64", "repeats"), ("i64", "count"), ("ptr", "source"), ("ptr", "target")]
    b = module.function("copying", parameters)
    repeats, count, source, target = b.arguments
    with b.loop(0, repeats, 1), b.loop(0, count, UNROLLED * lanes) as index:
        for part in range(UNROLLED):
            place = b.add(index, part * lanes)
            value = b.load(kind, b.element_pointer(source, place, "float"))
            b.store(value, b.element_pointer(target, place, "float"))
    b.ret()
    kinds = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
    return ctypes.CFUNCTYPE(None, *kinds)(compile_function(module, "copying"))


def on_threads(call: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Make one call for each tuple of arguments, all at once, and wait for them."""
    others = [threading.Thread(target=call, args=given) for given in arguments[1:]]
    for other in others:
        other.start()
    call(*arguments[0])
    for other in others:
        other.join()


def best_seconds(call: Callable[[], None], seconds: float) -> float:
    """Return the shortest of the calls made in a stretch of time."""
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
