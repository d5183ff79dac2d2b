"""Running a nest in NumPy: the meaning of the loop language, and the oracle of its compiler.

Every value is an array over the whole iteration space (size one where it does not vary), so that no loop is
written and no accumulation order is promised: float sums are made in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lampas.engine.dtype import bool_, dtype
from lampas.engine.graph.primitives import CAST, PRIMITIVES
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.loops.nest import Instruction, Nest
from lampas.engine.loops.verification import FLOATING_ONLY

Array = np.ndarray[Any, Any]


def interpret(
    nest: Nest,
    arrays: Sequence[Array],
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
    block: int = 0,
) -> None:
    """Run the nest on flat arrays, writing its outputs.

    `arrays` holds a one-dimensional array for each operand whose element 0 is where the operand's pointer
    stands; `strides` are in elements, one sequence an operand. Negative strides are not walked here.
    """
    if nest.blocked:
        interpret_blocks(nest, arrays, sizes, strides, block)
        return
    Interpreter(nest, arrays, tuple(sizes), strides, 0).run()


def interpret_blocks(
    nest: Nest,
    arrays: Sequence[Array],
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
    block: int,
) -> None:
    """Run a blocked nest block by block, each with its own start."""
    total = sizes[nest.kept]
    for number in range(sizes[0]):
        start = number * block
        own = [1, *sizes[1:]]
        own[nest.kept] = max(0, min(block, total - start))
        moved = [a[number * s[0] :] for a, s in zip(arrays, strides, strict=True)]
        Interpreter(nest, moved, tuple(own), strides, start).run()


class Interpreter:
    """Evaluates the instructions of one nest over given sizes."""

    def __init__(
        self,
        nest: Nest,
        arrays: Sequence[Array],
        sizes: tuple[int, ...],
        strides: Sequence[Sequence[int]],
        start: int,
    ) -> None:
        self.nest, self.arrays, self.sizes, self.strides = nest, arrays, sizes, strides
        self.start = start
        self.values: list[Array] = []
        self.pending: list[tuple[int, Array]] = []

    def run(self) -> None:
        with np.errstate(all="ignore"):
            for instruction in self.nest.instructions:
                self.values.append(self.evaluate(instruction))
            for number, value in self.pending:
                self.write(number, value)

    def place(self, number: int) -> Array:
        """Return a view of an operand over the iteration space, size one where it is broadcast."""
        array, strides = self.arrays[number], self.strides[number]
        classes = self.nest.operands[number].classes
        shape = [size if kind else 1 for size, kind in zip(self.sizes, classes, strict=True)]
        steps = [stride * array.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(array, shape, steps)

    def evaluate(self, instruction: Instruction) -> Array:
        values = [self.values[argument] for argument in instruction.arguments]
        op, kind, attribute = instruction.op, instruction.dtype, instruction.attribute
        if op == "load":
            return computing(self.place(int(attribute or 0)), kind)
        if op == "gather":
            return self.gather(int(attribute or 0), values, kind)
        if op == "constant":
            return computing(np.full([1] * self.nest.rank, attribute).astype(kind.numpy), kind)
        if op == "index":
            return self.index(int(attribute or 0))
        if op == "reduce":
            full = np.broadcast_to(values[0], self.filled(values[0].shape))
            return reduce_value(str(attribute), full, self.nest.kept, kind)
        if op == "store":
            self.pending.append((int(attribute or 0), values[0]))
            return values[0]
        if op in ("cast", "bitcast"):
            source = self.nest.instructions[instruction.arguments[0]].dtype
            return convert(op, values[0], source, kind)
        return apply(op, values).astype(computing_type(kind))

    def filled(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Widen the reduced dimensions of a shape to their sizes."""
        return (*shape[: self.nest.kept], *self.sizes[self.nest.kept :])

    def index(self, dimension: int) -> Array:
        shape = [1] * self.nest.rank
        shape[dimension] = self.sizes[dimension]
        first = self.start if self.nest.blocked and dimension == self.nest.kept else 0
        return np.arange(first, first + self.sizes[dimension], dtype=np.int64).reshape(shape)

    def gather(self, number: int, values: Sequence[Array], kind: dtype) -> Array:
        array, strides = self.arrays[number], self.strides[number]
        places = values[0]
        for dimension, stride in enumerate(strides):
            shape = [1] * self.nest.rank
            shape[dimension] = self.sizes[dimension]
            places = places + np.arange(self.sizes[dimension]).reshape(shape) * stride
        if len(values) == 1:
            return computing(array[places], kind)
        valid, places = np.broadcast_arrays(values[1], places)
        taken = computing(array[np.where(valid, places, 0)], kind)
        return np.where(valid, taken, taken.dtype.type(0))

    def write(self, number: int, value: Array) -> None:
        kind = self.nest.operands[number].dtype
        target = self.place(number)
        target[...] = value.astype(kind.numpy)


def computing_type(kind: dtype) -> np.dtype[Any]:
    """Half types are computed in float32."""
    return np.dtype(np.float32) if kind.is_floating_point and kind.itemsize == 2 else kind.numpy


def computing(array: Array, kind: dtype) -> Array:
    return array.astype(computing_type(kind))


def convert(op: str, value: Array, source: dtype, kind: dtype) -> Array:
    """Cast or bitcast; half types are rounded, floats become integers as C does it."""
    if op == "bitcast":
        return computing(value.astype(source.numpy).view(kind.numpy), kind)
    return computing(REFERENCE_RULES[CAST]([value], kind), kind)


def reduce_value(op: str, value: Array, kept: int, kind: dtype) -> Array:
    """Reduce all dimensions from `kept` on, keeping them with size one."""
    axes = tuple(range(kept, value.ndim))
    shape = (*value.shape[:kept], *([1] * len(axes)))
    if op in ("argmax", "argmin"):
        if value.size == 0:
            return np.zeros(shape, np.int64)
        rows = value.reshape(*value.shape[:kept], -1)
        found = np.argmax(rows, -1) if op == "argmax" else np.argmin(rows, -1)
        return found.astype(np.int64).reshape(shape)
    if op in ("sum", "prod"):
        wide = np.float64 if kind.is_floating_point else kind.numpy
        result = getattr(np, op)(value, axis=axes, dtype=wide, keepdims=True)
        return computing(result.astype(kind.numpy), kind)
    if value.size == 0:
        return np.full(shape, identity(op, kind), computing_type(kind))
    return computing(getattr(np, op)(value, axis=axes, keepdims=True).astype(kind.numpy), kind)


def identity(op: str, kind: dtype) -> Any:
    """The value that changes nothing: what an empty reduction yields."""
    if op in ("sum", "prod"):
        return int(op == "prod")
    lowest = op in ("max", "argmax")
    if kind is bool_:
        return not lowest
    if kind.is_floating_point:
        return -np.inf if lowest else np.inf
    limits = np.iinfo(kind.numpy)
    return limits.min if lowest else limits.max


def apply(op: str, values: Sequence[Array]) -> Array:
    """Apply an elementwise primitive by its reference rule, transcendental ones of float32 in float64."""
    rule = REFERENCE_RULES[PRIMITIVES[op]]
    if op in WIDENED and values[0].dtype == np.float32:
        values = [value.astype(np.float64) for value in values]
    return np.asarray(rule(list(values)))


WIDENED = FLOATING_ONLY | {"power", "atan2", "divide"}
