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
from functools import partial

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value, vector
from lampas.engine.llvm.vector_math_parts import TargetModule
from lampas.engine.loops.emit import KERNEL_PARAMETERS
from lampas.engine.loops.emit_elements import ELEMENT_RULES
from lampas.engine.loops.emit_memory import load_lanes, load_one, store_lanes, store_one
from lampas.engine.loops.emit_types import memory_type, round_half

INNER_BLOCK = 64
CHOOSING = frozenset({"maximum", "minimum"})
OPERATIONS = ("set", "add", "multiply", "maximum", "minimum")


class SerialInteger(IntEnum):
    """The places of the integers: sizes, then strides in elements.

    An outer position is (far, near), of which there are `NEAR` near ones: an index may be the same for all channels of
    a sample.  The outer strides are the far ones.
    """

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
    NEAR = 10
    SOURCE_NEAR = 11
    INDEX_NEAR = 12


@dataclass(frozen=True)
class SerialKernel:
    """One kernel: `lanes` is how many inner positions are done at once (they lie side by side), 1 if they do
    not, and 0 where there is one of them: then no loop goes over them."""

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


def lanes_for(target: Target, kind: dtype, inner: int, contiguous: bool, scan: bool) -> int:
    """How many inner positions to do at once; 0 for a scatter with one of them."""
    if inner == 1 and not scan:
        return 0
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
        out_start, source_start = (b.load_element("ptr", operands, n) for n in (0, 1))
        index_start = source_start if self.kernel.scan else b.load_element("ptr", operands, 2)
        blocks = self.got[SerialInteger.BLOCKS]
        with b.loop(begin, end) as unit:
            outer, block = b.divide(unit, blocks), b.remainder(unit, blocks)
            start = b.multiply(block, INNER_BLOCK)
            stop = b.minimum(b.add(start, INNER_BLOCK), self.got[SerialInteger.INNER])
            far, near = self.split(outer)
            source = self.ahead(source_start, self.memory, far, SerialInteger.SOURCE_OUTER)
            source = self.ahead(source, self.memory, near, SerialInteger.SOURCE_NEAR)
            out = self.out_row(out_start, b.multiply(outer, self.got[SerialInteger.SIZE]))
            if self.kernel.scan:
                self.inner_loop(start, stop, partial(self.scan_column, out, source))
            else:
                index = self.ahead(index_start, "i64", far, SerialInteger.INDEX_OUTER)
                index = self.ahead(index, "i64", near, SerialInteger.INDEX_NEAR)
                with b.loop(0, self.got[SerialInteger.WALKED]) as step:
                    values = self.ahead(source, self.memory, step, SerialInteger.SOURCE_WALKED)
                    places = self.ahead(index, "i64", step, SerialInteger.INDEX_WALKED)
                    place = partial(self.scatter_place, out, values, places)
                    if self.kernel.lanes:
                        self.inner_loop(start, stop, place)
                    else:
                        place(b.value(0), 1)
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

    def split(self, outer: Value) -> tuple[Value, Value]:
        """An outer position as (far, near)."""
        size = self.got[SerialInteger.NEAR]
        return self.b.divide(outer, size), self.b.remainder(outer, size)

    def ahead(self, start: Value, kind: str, position: Value, stride: SerialInteger) -> Value:
        """The address so many strides further on; what is found outside a loop is not found again in it."""
        moved = self.b.multiply(position, self.got[stride])
        return self.b.element_pointer(start, moved, kind, inside=False)

    def out_row(self, start: Value, row: Value) -> Value:
        """The address of a row of the result; a result with one column has no rows to multiply by."""
        width = self.got[SerialInteger.INNER]
        moved = self.b.multiply(row, width) if self.kernel.lanes else row
        return self.b.element_pointer(start, moved, self.memory, inside=False)

    def load(self, pointer: Value, lanes: int) -> Value:
        if lanes == 1:
            return load_one(self.b, pointer, self.kernel.kind)
        return load_lanes(self.b, pointer, self.kernel.kind, lanes, None)

    def save(self, value: Value, pointer: Value, lanes: int) -> None:
        if lanes == 1:
            store_one(self.b, value, pointer, self.kernel.kind)
        else:
            store_lanes(self.b, value, pointer, self.kernel.kind, None)

    def scatter_place(
        self, out: Value, values: Value, places: Value, column: Value, lanes: int
    ) -> None:
        """One source element, or a few side by side that share their index."""
        b = self.b
        spot = places
        if self.kernel.lanes:
            spot = self.ahead(places, "i64", column, SerialInteger.INDEX_INNER)
        row, size = b.load("i64", spot), self.got[SerialInteger.SIZE]
        row = b.select(b.compare("slt", row, 0), b.add(row, size), row)
        inside = b.bit_and(b.compare("sge", row, 0), b.compare("slt", row, size))
        with b.when(inside):
            source = values
            if self.kernel.lanes:
                source = self.ahead(values, self.memory, column, SerialInteger.SOURCE_INNER)
            value = self.load(source, lanes)
            pointer = b.element_pointer(self.out_row(out, row), column, self.memory)
            if self.kernel.operation != "set":
                value = self.combine(self.load(pointer, lanes), value)
            self.save(value, pointer, lanes)

    def combine(self, old: Value, new: Value) -> Value:
        rule, kind = ELEMENT_RULES[self.kernel.operation], self.kernel.kind
        if self.kernel.operation in CHOOSING and old.type in ("float", "double"):
            # A choice between two numbers is a jump, which is often guessed wrong; between vectors it is none.
            wide = [self.b.splat(each, vector(each.type, 2)) for each in (old, new)]
            value = self.b.extract(rule(self.b, wide, kind), 0)
        else:
            value = rule(self.b, [old, new], kind)
        return value if self.kernel.scan else round_half(self.b, value, self.kernel.kind)

    def scan_column(self, out: Value, source: Value, column: Value, lanes: int) -> None:
        """Running results down one column, or a few side by side; half types run in float32."""
        b = self.b
        walked = self.got[SerialInteger.WALKED]
        source = self.ahead(source, self.memory, column, SerialInteger.SOURCE_INNER)
        out = b.element_pointer(out, column, self.memory, inside=False)
        with b.when(b.compare("sgt", walked, 0)):
            first = self.load(source, lanes)
            self.save(first, out, lanes)
            with b.carrying_loop(1, walked, 1, [first]) as loop:
                step = loop.index
                place = self.ahead(source, self.memory, step, SerialInteger.SOURCE_WALKED)
                value = self.combine(loop.values[0], self.load(place, lanes))
                self.save(value, self.out_row(out, step), lanes)
                loop.carry([value])
