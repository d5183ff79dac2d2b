"""Speed of fused loop kernels on one thread: bandwidth against a copy's, throughput of functions, compile time.

    python bench/nests.py

Each figure is the best of several runs; arrays of `LARGE` bytes do not fit caches, those of `SMALL` do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from bench.machine import copy_rate
from lampas.engine.device.launch import Program, Record
from lampas.engine.dtype import dtype, float32, int64
from lampas.engine.llvm.compiler import compile_function, object_code
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.emit import emit
from lampas.engine.loops.emit_passes import COLUMN_CHAIN
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, STRIDED, Nest
from lampas.engine.schedule.blocks import FAR_ELEMENTS
from lampas.engine.settings import settings

LARGE, SMALL = 256 << 20, 96 << 10
REPEATED = 16 << 20  # bytes that a run goes over at least


@dataclass
class Case:
    """A nest with sizes and strides, and how many arrays it moves through memory."""

    name: str
    nest: Nest
    sizes: tuple[int, ...]
    strides: list[tuple[int, ...]]
    moved: int
    block: int = 0


def pointwise(
    name: str, inputs: int, body: Callable[[NestBuilder, list[int]], int], count: int
) -> Case:
    nest = NestBuilder(1)
    values = [nest.load(nest.operand(float32, "input", (CONTIGUOUS,))) for _ in range(inputs)]
    nest.store(nest.operand(float32, "output", (CONTIGUOUS,)), body(nest, values))
    return Case(name, nest.build(), (count,), [(1,)] * (inputs + 1), inputs + 1)


def rowwise(
    name: str, body: Callable[[NestBuilder, int], int], rows: int, columns: int, per_row: bool
) -> Case:
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    result = body(nest, value)
    kind = nest.instructions[result].dtype
    classes = (CONTIGUOUS, BROADCAST) if per_row else (STRIDED, CONTIGUOUS)
    nest.store(nest.operand(kind, "output", classes), result)
    strides = [(columns, 1), (1, 0) if per_row else (columns, 1)]
    return Case(name, nest.build(), (rows, columns), strides, 1 if per_row else 2)


def columnwise(rows: int, columns: int) -> Case:
    """As it is scheduled: in blocks, and row by row where no cache holds the array."""
    streamed = rows * columns >= FAR_ELEMENTS
    block = min(COLUMN_CHAIN, rows)
    nest = NestBuilder(2, 1, blocked=True, streamed=streamed)
    value = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS, STRIDED)))
    out = nest.operand(float32, "output", (STRIDED, CONTIGUOUS, BROADCAST))
    nest.store(out, nest.reduce("sum", value))
    strides: list[tuple[int, ...]] = [(block * columns, 1, columns), (columns, 1, 0)]
    return Case("column sum", nest.build(), (-(-rows // block), columns, rows), strides, 1, block)


def transposed(rows: int, columns: int) -> Case:
    nest = NestBuilder(2)
    value = nest.load(nest.operand(float32, "input", (CONTIGUOUS, STRIDED)))
    nest.store(nest.operand(float32, "output", (STRIDED, CONTIGUOUS)), value)
    return Case("transpose", nest.build(), (columns, rows), [(1, columns), (rows, 1)], 2)


def softmax(nest: NestBuilder, value: int) -> int:
    shifted = nest.apply("subtract", value, nest.reduce("max", value))
    power = nest.apply("exp", shifted)
    return nest.apply("divide", power, nest.reduce("sum", power))


def layer_norm(nest: NestBuilder, value: int) -> int:
    scale = nest.constant(1 / 1024, float32)
    mean = nest.apply("multiply", nest.reduce("sum", value), scale)
    centred = nest.apply("subtract", value, mean)
    squares = nest.reduce("sum", nest.apply("multiply", centred, centred))
    variance = nest.apply(
        "add", nest.apply("multiply", squares, scale), nest.constant(1e-5, float32)
    )
    return nest.apply("multiply", centred, nest.apply("rsqrt", variance))


def fused(nest: NestBuilder, values: list[int]) -> int:
    total = nest.apply("add", nest.apply("multiply", values[0], values[1]), values[2])
    return nest.apply("maximum", total, nest.constant(0.0, float32))


def relu(nest: NestBuilder, values: list[int]) -> int:
    return nest.apply("maximum", values[0], nest.constant(0.0, float32))


def measured(case: Case) -> float:
    """Return seconds of the best run."""
    name, text, signature = emit(case.nest)
    arrays = [
        np.random.default_rng(0)
        .random(span(case.sizes, own), dtype=np.float32)
        .astype(kind_of(operand.dtype))
        for own, operand in zip(case.strides, case.nest.operands, strict=True)
    ]
    operands = tuple([(place, 0) for place in range(len(arrays))])
    integers = tuple(signature.integers(case.sizes, case.strides, case.block))
    record = Record(compile_function(text, name), operands, integers, signature.extent(case.sizes))
    times = max(
        1, REPEATED // arrays[0].nbytes
    )  # small ones often, so that starting does not count
    program = Program([record] * times, len(arrays), 1)
    pointers = [array.__array_interface__["data"][0] for array in arrays]
    return best(lambda: program.run(pointers)) / times


def kind_of(kind: dtype) -> np.dtype[Any]:
    return np.dtype(np.int64) if kind is int64 else kind.numpy


def span(sizes: Sequence[int], strides: Sequence[int]) -> int:
    return 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))


def best(call: Callable[[], object], seconds: float = 0.4) -> float:
    """Return the shortest of runs that fill the given time."""
    call()
    shortest, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        call()
        shortest = min(shortest, time.perf_counter() - before)
    return shortest


def compile_time(nest: Nest) -> tuple[float, float, int]:
    """Return milliseconds of writing the text and of compiling it, and the number of lines."""
    emit.cache_clear()
    start = time.perf_counter()
    _, text, _ = emit(nest)
    middle = time.perf_counter()
    with settings.override(cache=False):
        object_code(text)
    return (middle - start) * 1e3, (time.perf_counter() - middle) * 1e3, text.count("\n")


def cases(size: int) -> list[Case]:
    """Return the kernels to time on arrays of `size` bytes."""
    count = size // 4
    columns = 1024 if size > 1 << 20 else 256
    rows = count // columns
    functions = [
        pointwise(name, 1, lambda n, v, name=name: n.apply(name, v[0]), count)
        for name in (
            "exp",
            "log",
            "tanh",
            "sigmoid",
            "erf",
            "sin",
            "expm1",
            "log1p",
            "erfc",
            "lgamma",
        )
    ]
    functions += [
        pointwise(name, 2, lambda n, v, name=name: n.apply(name, v[0], v[1]), count)
        for name in ("fmod", "floor_divide", "atan2")
    ]
    return [
        pointwise("copy", 1, lambda n, v: v[0], count),
        pointwise("add", 2, lambda n, v: n.apply("add", v[0], v[1]), count),
        pointwise("relu", 1, relu, count),
        pointwise("fused 3 inputs", 3, fused, count),
        rowwise("row sum", lambda n, v: n.reduce("sum", v), rows, columns, per_row=True),
        rowwise("row max", lambda n, v: n.reduce("max", v), rows, columns, per_row=True),
        rowwise("row argmax", lambda n, v: n.reduce("argmax", v), rows, columns, per_row=True),
        columnwise(rows, columns),
        rowwise("softmax", softmax, rows, columns, per_row=False),
        rowwise("layer norm", layer_norm, rows, columns, per_row=False),
        transposed(rows, columns),
        *functions,
    ]


def main() -> None:
    for size in (LARGE, SMALL):
        copying = copy_rate(size, 1, 0.4)
        print(f"\narrays of {size >> 10} KiB; a copy {copying:.1f} GB/s")
        for case in cases(size):
            seconds = measured(case)
            rate = case.moved * size / seconds / 1e9
            written, compiled, lines = compile_time(case.nest)
            print(
                f"{case.name:16} {rate:7.1f} GB/s {rate / copying:6.0%} {seconds / (size / 4) * 1e9:7.3f} ns/element"
                f"   text {written:4.1f} ms, compiled {compiled:5.1f} ms, {lines} lines"
            )


if __name__ == "__main__":
    main()
