"""Runs planned matrix products on NumPy arrays."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy

from lampas.engine.device.buffer import Buffer
from lampas.engine.device.launch import Program, Record
from lampas.engine.dtype import bfloat16, dtype, float16, float32, float64
from lampas.engine.llvm.target import host
from lampas.engine.loops.brgemm import GemmPlan, plan_gemm

# The kernels of AVX-512 in halves: what they compute can be tested on any machine.
WIDE = replace(host(), vector_bytes=64, registers=32)
KINDS = {kind.name: kind for kind in (float32, float64, float16, bfloat16)}


def kind_of(array: numpy.ndarray) -> dtype:
    return KINDS[array.dtype.name]


def element_strides(array: numpy.ndarray) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def plan_of(a: numpy.ndarray, b: numpy.ndarray, c: numpy.ndarray, **options: Any) -> GemmPlan:
    """Plan c = a @ b for arrays of any strides; all have the same batch dimensions in front."""
    kind = options.pop("kind", float32 if a.itemsize < 8 else float64)
    matrices = [element_strides(x)[-2:] for x in (a, b, c)]
    batches = [element_strides(x)[:-2] for x in (a, b, c)]
    return plan_gemm(
        kind,
        *(a.shape[-2], b.shape[-1], a.shape[-1]),
        *matrices,
        batch=c.shape[:-2],
        a_batch=batches[0],
        b_batch=batches[1],
        c_batch=batches[2],
        a_kind=kind_of(a),
        b_kind=kind_of(b),
        c_kind=kind_of(c),
        **options,
    )


def program_of(
    plan: GemmPlan, arrays: dict[str, numpy.ndarray], threads: int
) -> Callable[[], None]:
    """Return a function that runs a plan on arrays named a, b, c, extra0, …"""
    scratch = Buffer.allocate(plan.scratch_bytes)
    scratch.array(numpy.uint8, (scratch.nbytes,)).fill(0xFF)
    order = [*arrays, "scratch"]
    records = [
        Record(
            call.address(),
            tuple((order.index(name), offset) for name, offset in call.operands),
            call.integers,
            call.extent,
            call.grain,
            max(call.work, 1_000_000 if threads > 1 else 0),
            call.name,
        )
        for call in plan.calls
    ]
    program = Program(records, len(order), threads)
    pointers = [x.__array_interface__["data"][0] for x in arrays.values()] + [scratch.pointer]

    def run(held: tuple = (arrays, scratch)) -> None:
        program.run(pointers)

    return run


def multiply(
    a: numpy.ndarray, b: numpy.ndarray, c: numpy.ndarray, threads: int = 1, **options: Any
) -> numpy.ndarray:
    """Compute a @ b into c by a planned program; `arrays` among the options holds an epilogue's extra operands."""
    arrays = options.pop("arrays", {})
    plan = plan_of(a, b, c, threads=threads, **options)
    program_of(plan, {"a": a, "b": b, "c": c, **arrays}, threads)()
    return c


class Guarded:
    """Memory whose last byte is followed by a page that may not be touched."""

    def __init__(self, nbytes: int) -> None:
        page = mmap.PAGESIZE
        whole = -(-max(nbytes, 1) // page) * page
        self.map = mmap.mmap(-1, whole + page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if protect(start + whole, page, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self.offset = whole - nbytes

    def array(self, shape: tuple[int, ...], kind: Any) -> numpy.ndarray:
        return numpy.ndarray(shape, kind, buffer=self.map, offset=self.offset)


def guarded(values: numpy.ndarray) -> numpy.ndarray:
    """Return a copy whose memory (with the values' own layout) ends at a forbidden page."""
    turned = values.T if values.ndim == 2 and values.strides[0] < values.strides[1] else values
    copy = Guarded(values.nbytes).array(turned.shape, values.dtype)
    copy[...] = turned
    return copy.T if turned is not values else copy
