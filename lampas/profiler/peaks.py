"""What the machine can do at most: multiply-adds in registers, and bytes moved from caches and memory.

    known = peaks()                                  # measured once for each number of threads, about 0.3 s
    known.share(operations, nbytes, seconds)         # how near a kernel came: 1 is the roof

The roof is that of Williams, Waterman and Patterson (2009): a kernel needs at least the longer of
operations/peak and bytes/bandwidth.  The bandwidth is that of the smallest measured amount of memory that holds
what the kernel moves, so kernels that work in a cache are held against that cache.  Both kernels are run by the
engine's own threads.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import final

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.engine.device.launch import Program, Record
from lampas.engine.device.pool import get_num_threads
from lampas.engine.llvm.compiler import compile_function
from lampas.engine.llvm.target import Target, host
from lampas.engine.llvm.text import Module, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS

FLOAT = 4
ROUNDS = 25  # the best one counts: others may be using the machine
STEPS = 100_000  # of a multiply-add in every chain
AMOUNTS = (
    1 << 15,
    1 << 18,
    1 << 21,
    1 << 24,
    1 << 27,
)  # bytes moved in one pass, all threads together
LEAST_MOVED = 1 << 26  # bytes in one timing: small amounts are walked several times
UNROLLED = 4
LONG = 1_000_000_000  # an estimate of work that wakes all threads


@final
@dataclass(frozen=True)
class Peaks:
    """Operations a second on float32, and (bytes in one pass, bytes a second) from small to large."""

    operations: float
    bandwidths: tuple[tuple[int, float], ...]

    def bandwidth(self, nbytes: float) -> float:
        """Bytes a second for a kernel that moves so many."""
        fitting = (rate for amount, rate in self.bandwidths if nbytes <= amount)
        return next(fitting, self.bandwidths[-1][1])

    def share(
        self, operations: int, nbytes: int, seconds: float, itemsize: int = FLOAT, calls: int = 1
    ) -> float:
        """The least time for so much work in proportion to the time taken; sums over `calls` calls."""
        peak = self.operations * (FLOAT / itemsize if itemsize > FLOAT else 1)
        moving = nbytes / self.bandwidth(nbytes / max(calls, 1))
        return max(operations / peak, moving) / max(seconds, 1e-12)


def peaks() -> Peaks:
    """What this machine can do with the present number of threads."""
    return measured(get_num_threads())


@functools.cache
def measured(threads: int) -> Peaks:
    """Measure with so many threads."""
    rates = tuple((amount, moving_rate(amount, threads)) for amount in AMOUNTS)
    return Peaks(computing_rate(threads), rates)


def chains(target: Target) -> int:
    """Independent sums: enough to hide the latency, few enough for the registers."""
    return 20 if target.registers >= 32 else 12


def computing_rate(threads: int) -> float:
    """Operations a second of multiply-adds in registers."""
    target = host()
    lanes, count = target.lanes("float"), chains(target)
    address = compile_function(computing_kernel(target), "lampas_peak_operations")
    memory = Buffer.allocate(threads * count * lanes * FLOAT)
    memory.array(np.float32, (threads * count * lanes,))[:] = 0
    record = Record(address, ((0, 0),), (STEPS,), threads, 1, LONG, "peak")
    seconds = best_seconds(Program([record], 1, threads), [memory])
    return 2.0 * STEPS * count * lanes * threads / seconds


def moving_rate(amount: int, threads: int) -> float:
    """Bytes a second of y += x, whose pass over all memory moves `amount` bytes (three to an element)."""
    elements = amount // (3 * FLOAT * threads) // 256 * 256 or 256
    repeats = max(LEAST_MOVED // amount, 1)
    address = compile_function(moving_kernel(host()), "lampas_peak_bytes")
    memory = [Buffer.allocate(threads * elements * FLOAT) for _ in range(2)]
    for buffer in memory:
        buffer.array(np.float32, (threads * elements,))[:] = 0
    record = Record(address, ((0, 0), (1, 0)), (elements, repeats), threads, 1, LONG, "bandwidth")
    seconds = best_seconds(Program([record], 2, threads), memory)
    return 3.0 * FLOAT * elements * threads * repeats / seconds


def best_seconds(program: Program, memory: list[Buffer]) -> float:
    """The shortest of some runs."""
    pointers = [buffer.pointer for buffer in memory]
    return min(sum(span for _, span in program.profile(pointers)) for _ in range(ROUNDS)) / 1e9


def computing_kernel(target: Target) -> Module:
    """Each unit adds a² to its chains; operands: memory; integers: steps."""
    module = Module()
    lanes, count = target.lanes("float"), chains(target)
    kind = vector("float", lanes)
    b = module.function("lampas_peak_operations", KERNEL_PARAMETERS)
    operands, integers, begin, end, _ = b.arguments
    memory, steps = b.load_element("ptr", operands, 0), b.load_element("i64", integers, 0)
    with b.loop(begin, end) as unit:
        base = b.element_pointer(memory, b.multiply(unit, count * lanes), "float")
        places = [b.element_pointer(base, chain * lanes, "float") for chain in range(count)]
        first = [b.load(kind, place) for place in places]
        with b.carrying_loop(0, steps, 1, first) as loop:
            loop.carry([b.multiply_add(first[0], first[0], value) for value in loop.values])
        for place, value in zip(places, loop.results, strict=True):
            b.store(value, place)
    b.ret()
    return module


def moving_kernel(target: Target) -> Module:
    """Each unit adds its part of x to y; operands: y, x; integers: elements of a unit, repeats."""
    module = Module()
    lanes = target.lanes("float")
    kind, stride = vector("float", lanes), lanes * UNROLLED
    b = module.function("lampas_peak_bytes", KERNEL_PARAMETERS)
    operands, integers, begin, end, _ = b.arguments
    y, x = b.load_element("ptr", operands, 0), b.load_element("ptr", operands, 1)
    elements, repeats = b.load_element("i64", integers, 0), b.load_element("i64", integers, 1)
    with b.loop(begin, end) as unit, b.loop(0, repeats):
        start = b.multiply(unit, elements)
        with b.loop(0, elements, stride) as column:
            for part in range(UNROLLED):
                place = b.add(b.add(start, column), part * lanes)
                target_place = b.element_pointer(y, place, "float")
                added = b.load(kind, b.element_pointer(x, place, "float"))
                b.store(b.add(b.load(kind, target_place), added), target_place)
    b.ret()
    return module
