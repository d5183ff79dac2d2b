"""Kernels that walk one dimension in order: scattered writes and scans.

The value is seen as (outer, walked, inner).  Each parallel unit has one outer position and a block of inner
ones, and walks the middle dimension from its start, so positions that collide meet in index order
whatever the number of threads: the sums are those of a sequential loop, bit for bit.

    scatter   out[o, index[o, i, c], c] = out[…] ∘ source[o, i, c]      (∘ may be "take the source")
    scan      out[o, i, c] = out[o, i-1, c] ∘ source[o, i, c]

Operands: out, source, and for a scatter the index (int64; negative ones count from the end, others out of
range are skipped).  Integers: `SerialInteger`.  `out` is row-major.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from lampas.engine.dtype import dtype, int64
from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.llvm.vector_math_parts import TargetModule
from lampas.engine.loops.emit import KERNEL_PARAMETERS
from lampas.engine.loops.emit_elements import ELEMENT_RULES
from lampas.engine.loops.emit_memory import load_lanes, load_one, store_lanes, store_one
from lampas.engine.loops.emit_types import memory_type, round_half

INNER_BLOCK = 64
OPERATIONS = ("set", "add", "multiply", "maximum", "minimum")


class SerialInteger(IntEnum):
    """The places of the integers: sizes, then strides in elements."""

    WALKED = 0
    INNER = 1
    BLOCKS = 2
    SIZE = 3
    SOURCE_OUTER = 4
    SOURCE_WALKED = 5
    SOURCE_INNER = 6
    INDEX_OUTER = 7
    INDEX_WALKED = 8
    INDEX_INNER = 9


@dataclass(frozen=True)
class SerialKernel:
    """One kernel: `lanes` is 1, or how many inner positions are done at once (they lie side by side)."""

    target: Target
    kind: dtype
    operation: str
    scan: bool
    lanes: int

    @property
    def name(self) -> str:
        what = "scan" if self.scan else "scatter"
        return f"{what}_{self.operation}_{self.kind.name}_{self.lanes}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = TargetModule(self.target)
        SerialWriter(module, self).write()
        return module


def lanes_for(target: Target, kind: dtype, inner: int, contiguous: bool) -> int:
    """How many inner positions to do at once."""
    width = target.lanes("float" if kind.itemsize == 2 else memory_type(kind))
    return width if contiguous and inner >= width else 1


class SerialWriter:
    """Writes the function of one kernel."""

    def __init__(self, module: Module, kernel: SerialKernel) -> None:
        self.kernel = kernel
        self.b: Builder = module.function(kernel.name, KERNEL_PARAMETERS)
        self.memory = memory_type(kernel.kind)

    def write(self) -> None:
        b = self.b
        operands, integers, begin, end, _ = b.arguments
        self.got = {key: b.load_element("i64", integers, int(key)) for key in SerialInteger}
        self.out = b.load_element("ptr", operands, 0)
        self.source = b.load_element("ptr", operands, 1)
        if not self.kernel.scan:
            self.index = b.load_element("ptr", operands, 2)
        blocks = self.got[SerialInteger.BLOCKS]
        with b.loop(begin, end) as unit:
            self.outer, block = b.divide(unit, blocks), b.remainder(unit, blocks)
            start = b.multiply(block, INNER_BLOCK)
            stop = b.minimum(b.add(start, INNER_BLOCK), self.got[SerialInteger.INNER])
            if self.kernel.scan:
                self.inner_loop(start, stop, self.scan_column)
            else:
                with b.loop(0, self.got[SerialInteger.WALKED]) as step:
                    self.step = step
                    self.inner_loop(start, stop, self.scatter_place)
        b.ret()

    def inner_loop(self, start: Value, stop: Value, body: Callable[[Value, int], None]) -> None:
        """Walk the inner positions in vectors, then the rest one by one."""
        b, lanes = self.b, self.kernel.lanes
        middle = start
        if lanes > 1:
            whole = b.bit_and(b.subtract(stop, start), -lanes)
            middle = b.add(start, whole)
            with b.loop(start, middle, lanes) as column:
                body(column, lanes)
        with b.loop(middle, stop) as column:
            body(column, 1)

    def place(self, names: tuple[SerialInteger, ...], step: Value, column: Value) -> Value:
        """The offset of a point by the outer, walked and inner strides."""
        b = self.b
        total = b.value(0)
        for position, name in zip((self.outer, step, column), names, strict=True):
            total = b.add(total, b.multiply(position, self.got[name]))
        return total

    def source_at(self, step: Value, column: Value, lanes: int) -> Value:
        names = (
            SerialInteger.SOURCE_OUTER,
            SerialInteger.SOURCE_WALKED,
            SerialInteger.SOURCE_INNER,
        )
        pointer = self.b.element_pointer(self.source, self.place(names, step, column), self.memory)
        return self.load(pointer, lanes)

    def load(self, pointer: Value, lanes: int) -> Value:
        if lanes == 1:
            return load_one(self.b, pointer, self.kernel.kind)
        return load_lanes(self.b, pointer, self.kernel.kind, lanes, None)

    def save(self, value: Value, pointer: Value, lanes: int) -> None:
        if lanes == 1:
            store_one(self.b, value, pointer, self.kernel.kind)
        else:
            store_lanes(self.b, value, pointer, self.kernel.kind, None)

    def out_at(self, row: Value, column: Value) -> Value:
        """The address of out[outer, row, column]."""
        b = self.b
        rows = b.add(b.multiply(self.outer, self.got[SerialInteger.SIZE]), row)
        offset = b.add(b.multiply(rows, self.got[SerialInteger.INNER]), column)
        return b.element_pointer(self.out, offset, self.memory)

    def scatter_place(self, column: Value, lanes: int) -> None:
        """One source element, or a few side by side that share their index."""
        b = self.b
        names = (SerialInteger.INDEX_OUTER, SerialInteger.INDEX_WALKED, SerialInteger.INDEX_INNER)
        spot = b.element_pointer(
            self.index, self.place(names, self.step, column), memory_type(int64)
        )
        row, size = b.load("i64", spot), self.got[SerialInteger.SIZE]
        row = b.select(b.compare("slt", row, 0), b.add(row, size), row)
        inside = b.bit_and(b.compare("sge", row, 0), b.compare("slt", row, size))
        with b.when(inside):
            value = self.source_at(self.step, column, lanes)
            pointer = self.out_at(row, column)
            if self.kernel.operation != "set":
                value = self.combine(self.load(pointer, lanes), value)
            self.save(value, pointer, lanes)

    def combine(self, old: Value, new: Value) -> Value:
        value = ELEMENT_RULES[self.kernel.operation](self.b, [old, new], self.kernel.kind)
        return value if self.kernel.scan else round_half(self.b, value, self.kernel.kind)

    def scan_column(self, column: Value, lanes: int) -> None:
        """Running results down one column, or a few side by side; half types run in float32."""
        b = self.b
        walked = self.got[SerialInteger.WALKED]
        with b.when(b.compare("sgt", walked, 0)):
            first = self.source_at(b.value(0), column, lanes)
            self.save(first, self.out_at(b.value(0), column), lanes)
            with b.carrying_loop(1, walked, 1, [first]) as loop:
                value = self.combine(loop.values[0], self.source_at(loop.index, column, lanes))
                self.save(value, self.out_at(loop.index, column), lanes)
                loop.carry([value])
