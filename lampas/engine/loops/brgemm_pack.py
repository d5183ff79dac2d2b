"""Packing: copies a matrix into panels that the tiles of the product read from end to end.

A packed matrix is a row of panels; panel p holds, for every k, `width` consecutive elements (zeros beyond the
matrix). For A the panels are tiles of two heights (see brgemm_kernel.py), for B they are all as wide as a tile. The
source may run along its panels ("copy"), along k ("turn": squares are transposed in registers), or along neither
("pick": one by one). Half types are widened to float32 on the way.

A unit of work is a panel's stretch of `STRETCH` steps of k.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value, constant, undefined, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_tile import transpose
from lampas.engine.loops.emit_types import from_memory, memory_type

Mode = Literal["copy", "turn", "pick"]
STRETCH = 128  # a multiple of every vector's lanes


class PackInteger(IntEnum):
    """Places in the integer array of a pack kernel. Strides are in elements."""

    # fmt: off
    (PANELS, TALL, ELEMENTS, DEPTH, ACROSS, ALONG, BATCH1, BATCH0_STRIDE, BATCH1_STRIDE,
     TARGET_BATCH) = range(10)
    # fmt: on


@dataclass(frozen=True)
class PackKernel:
    """What is compiled into one pack kernel: `width` of the tall panels, `low` that of the others."""

    target: Target
    source: dtype
    element: str
    width: int
    low: int
    mode: Mode

    @property
    def name(self) -> str:
        return f"pack_{self.source.name}_{self.element}_{self.mode}_{self.width}_{self.low}"

    def module(self) -> Module:
        """Return the module with the kernel: operands (source, packed)."""
        module = Module()
        for width in sorted({self.width, self.low}):
            StretchWriter(module, self, width).write()
        write_kernel(module, self)
        return module


def write_kernel(module: Module, kernel: PackKernel) -> None:
    """Emit the function that finds each unit's place and calls the function of its width."""
    b = module.function(kernel.name, KERNEL_PARAMETERS)
    operands, integers, begin, end, _ = b.arguments
    names = [name.lower() for name in PackInteger.__members__]
    got = {name: b.load_element("i64", integers, place) for place, name in enumerate(names)}
    stretches = b.divide(b.add(got["depth"], STRETCH - 1), STRETCH)
    source, target = b.load_element("ptr", operands, 0), b.load_element("ptr", operands, 1)
    with b.loop(begin, end) as unit:
        index, stretch = split(b, unit, stretches)
        batch, panel = split(b, index, got["panels"])
        k = b.multiply(stretch, STRETCH)
        tall = b.compare("slt", panel, got["tall"])
        width = b.select(tall, b.value(kernel.width), kernel.low)
        first = b.add(b.multiply(panel, kernel.low), b.minimum(panel, got["tall"]))
        if kernel.width == kernel.low:
            first = b.multiply(panel, kernel.width)
        outer, inner = split(b, batch, got["batch1"])
        before = weighed(b, (outer, got["batch0_stride"]), (inner, got["batch1_stride"]))
        inside = weighed(b, (first, got["across"]), (k, got["along"]))
        packed = weighed(b, (batch, got["target_batch"]), (first, got["depth"]), (k, width))
        values = [
            b.element_pointer(source, b.add(before, inside), memory_type(kernel.source)),
            got["across"],
            got["along"],
            b.element_pointer(target, packed, kernel.element),
            b.minimum(b.subtract(got["depth"], k), STRETCH),
            b.minimum(b.subtract(got["elements"], first), width),
        ]
        with b.branch(tall) as (high, lower):
            with high:
                b.call(f"stretch{kernel.width}", "void", values)
            with lower:
                b.call(f"stretch{kernel.low}", "void", values)
    b.ret()


def split(b: Builder, number: Value, by: Value) -> tuple[Value, Value]:
    """Return quotient and remainder."""
    return b.divide(number, by), b.remainder(number, by)


def weighed(b: Builder, *pairs: tuple[Value, Value]) -> Value:
    """Return the sum of products."""
    total = b.value(0)
    for left, right in pairs:
        total = b.add(total, b.multiply(left, right))
    return total


class StretchWriter:
    """Writes ``void stretch<width>(source, across, along, target, depth, valid)``."""

    def __init__(self, module: Module, kernel: PackKernel, width: int) -> None:
        self.kernel, self.width = kernel, width
        self.lanes = kernel.target.lanes(kernel.element)
        parameters = [
            ("ptr", "source"),
            ("i64", "across"),
            ("i64", "along"),
            ("ptr", "target"),
            ("i64", "depth"),
            ("i64", "valid"),
        ]
        self.name = f"stretch{width}"
        self.b: Builder = module.function(self.name, parameters, internal=True)
        self.source, self.across, self.along, self.target, self.depth, self.valid = self.b.arguments

    def write(self) -> None:
        b = self.b
        mode = self.kernel.mode
        full = b.compare("eq", self.valid, self.width)
        with b.branch(full) as (whole, narrow):
            with whole:
                self.write_mode(mode, narrow=False)
            with narrow:
                # Tiles of A are never narrow, so only whole groups of lanes need the masked form.
                self.write_mode(mode if self.width % self.lanes == 0 else "pick", narrow=True)
        b.ret()

    def write_mode(self, mode: Mode, narrow: bool) -> None:
        b = self.b
        if mode == "pick":
            self.pick(b.value(0))
        elif mode == "copy":
            self.copy_narrow() if narrow else self.copy()
        else:
            done = b.bit_and(self.depth, -self.lanes)
            self.turn_narrow(done) if narrow else self.turn(done)
            self.pick(done)

    def read(self, across: Value | int, along: Value, lanes: int = 1) -> Value:
        """Load neighbouring elements of the source and widen them to the packed type."""
        kind = self.kernel.source
        loaded = self.b.load(memory_type(kind, lanes), self.from_place(across, along))
        return from_memory(self.b, loaded, kind)

    def from_place(self, across: Value | int, along: Value) -> Value:
        b = self.b
        offset = b.add(b.multiply(self.across, across), b.multiply(self.along, along))
        return b.element_pointer(self.source, offset, memory_type(self.kernel.source))

    def to_place(self, along: Value, across: Value | int) -> Value:
        b = self.b
        return b.element_pointer(
            self.target, b.add(b.multiply(along, self.width), across), self.kernel.element
        )

    def groups(self) -> list[tuple[int, int]]:
        """Return (first, count) of each group of at most `lanes` elements of a panel."""
        starts = range(0, self.width, self.lanes)
        return [(start, min(self.lanes, self.width - start)) for start in starts]

    def copy(self) -> None:
        """The source runs along the panel: copy vectors."""
        b = self.b
        with b.loop(0, self.depth) as k:
            for first, count in self.groups():
                b.store(self.read(first, k, count), self.to_place(k, first))

    def copy_narrow(self) -> None:
        """Copy the vectors of a panel that the matrix fills in part, if the packed type is the source's."""
        b = self.b
        kind = vector(memory_type(self.kernel.source), self.lanes)
        with b.loop(0, self.width, self.lanes) as first:
            mask = b.lane_mask(self.lanes, b.subtract(self.valid, first))
            with b.loop(0, self.depth) as k:
                loaded = b.masked_load(kind, self.from_place(first, k), mask)
                b.store(from_memory(b, loaded, self.kernel.source), self.to_place(k, first))

    def turn(self, done: Value) -> None:
        """The source runs along k: transpose squares of lanes × lanes."""
        b, lanes = self.b, self.lanes
        with b.loop(0, done, lanes) as k:
            if self.width % lanes == 0:
                with b.loop(0, self.width, lanes) as first:
                    self.turn_square(first, k, lanes)
            else:
                for first, count in self.groups():
                    self.turn_square(b.value(first), k, count)

    def turn_square(self, first: Value, k: Value, count: int) -> None:
        """Transpose `count` rows of one square."""
        b, lanes = self.b, self.lanes
        blank = undefined(vector(self.kernel.element, lanes))
        rows = [self.read(b.add(first, i), k, lanes) for i in range(count)]
        for j, column in enumerate(transpose(b, rows + [blank] * (lanes - count))):
            if count == 1:
                column = b.extract(column, 0)
            elif count < lanes:
                column = b.shuffle(column, column, range(count))
            b.store(column, self.to_place(b.add(k, j), first))

    def turn_narrow(self, done: Value) -> None:
        """Transpose where the last rows are missing: the last one is read in their place and then zeroed."""
        b, lanes = self.b, self.lanes
        end = b.subtract(self.valid, 1)
        zero = constant(0, vector(self.kernel.element, lanes))
        with b.loop(0, self.width, lanes) as first:
            mask = b.lane_mask(lanes, b.subtract(self.valid, first))
            with b.loop(0, done, lanes) as k:
                places = [b.minimum(b.add(first, i), end) for i in range(lanes)]
                rows = [self.read(place, k, lanes) for place in places]
                for j, column in enumerate(transpose(b, rows)):
                    kept = b.select(mask, column, zero)
                    b.store(kept, self.to_place(b.add(k, j), first))

    def pick(self, start: Value) -> None:
        """One element at a time, zeros beyond the matrix."""
        b = self.b
        zero = constant(0, self.kernel.element)
        with b.loop(start, self.depth) as k:
            with b.loop(0, self.valid) as i:
                b.store(self.read(i, k), self.to_place(k, i))
            with b.loop(self.valid, self.width) as i:
                b.store(zero, self.to_place(k, i))
