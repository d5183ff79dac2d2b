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

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value, bytes_of, constant, undefined, vector
from lampas.engine.loops.brgemm_kernel import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_tile import transpose

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
    source: str
    element: str
    width: int
    low: int
    mode: Mode

    @property
    def name(self) -> str:
        return f"pack_{self.source}_{self.element}_{self.mode}_{self.width}_{self.low}"

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
    got = {place: b.load_element("i64", integers, place) for place in PackInteger}
    depth, panels = got[PackInteger.DEPTH], got[PackInteger.PANELS]
    stretches = b.divide(b.add(depth, STRETCH - 1), STRETCH)
    source, target = b.load_element("ptr", operands, 0), b.load_element("ptr", operands, 1)
    with b.loop(begin, end) as unit:
        panel_index, stretch = b.divide(unit, stretches), b.remainder(unit, stretches)
        batch, panel = b.divide(panel_index, panels), b.remainder(panel_index, panels)
        outer, inner = (
            b.divide(batch, got[PackInteger.BATCH1]),
            b.remainder(batch, got[PackInteger.BATCH1]),
        )
        k = b.multiply(stretch, STRETCH)
        tall = b.compare("slt", panel, got[PackInteger.TALL])
        width = b.select(tall, b.value(kernel.width), kernel.low)
        first = b.add(b.multiply(panel, kernel.low), b.minimum(panel, got[PackInteger.TALL]))
        if kernel.width == kernel.low:
            first = b.multiply(panel, kernel.width)
        from_place = b.add(
            b.add(
                b.multiply(outer, got[PackInteger.BATCH0_STRIDE]),
                b.multiply(inner, got[PackInteger.BATCH1_STRIDE]),
            ),
            b.add(
                b.multiply(first, got[PackInteger.ACROSS]), b.multiply(k, got[PackInteger.ALONG])
            ),
        )
        to_place = b.add(
            b.multiply(batch, got[PackInteger.TARGET_BATCH]),
            b.add(b.multiply(first, depth), b.multiply(k, width)),
        )
        valid = b.minimum(b.subtract(got[PackInteger.ELEMENTS], first), width)
        values = [
            b.element_pointer(source, from_place, kernel.source), got[PackInteger.ACROSS], got[PackInteger.ALONG],
            b.element_pointer(target, to_place, kernel.element), b.minimum(b.subtract(depth, k), STRETCH), valid,
        ]  # fmt: skip
        with b.branch(tall) as (high, lower):
            with high:
                b.call(f"stretch{kernel.width}", "void", values)
            with lower:
                b.call(f"stretch{kernel.low}", "void", values)
    b.ret()


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
        self.b: Builder = module.function(f"stretch{width}", parameters, internal=True)
        self.source, self.across, self.along, self.target, self.depth, self.valid = self.b.arguments

    def write(self) -> None:
        b = self.b
        full = b.compare("eq", self.valid, self.width)
        with b.branch(full) as (whole, narrow):
            with whole:
                if self.kernel.mode == "turn":
                    done = b.bit_and(self.depth, -self.lanes)
                    self.turn(done)
                    self.pick(done)
                elif self.kernel.mode == "copy":
                    self.copy()
                else:
                    self.pick(b.value(0))
            with narrow:
                self.pick(b.value(0))
        b.ret()

    def widen(self, value: Value) -> Value:
        """Convert a loaded value to the packed element type."""
        kind = vector(
            self.kernel.element,
            int(value.type[1 : value.type.index(" ")]) if value.type[0] == "<" else 1,
        )
        return self.b.cast("fpext", value, kind)

    def from_place(self, across: Value | int, along: Value) -> Value:
        b = self.b
        offset = b.add(b.multiply(self.across, across), b.multiply(self.along, along))
        return b.element_pointer(self.source, offset, self.kernel.source)

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
                kind = vector(self.kernel.source, count)
                loaded = self.widen(b.load(kind, self.from_place(first, k), bytes_of(kind)))
                b.store(loaded, self.to_place(k, first), bytes_of(loaded.type))

    def turn(self, done: Value) -> None:
        """The source runs along k: transpose squares of lanes × lanes."""
        b, lanes = self.b, self.lanes
        kind = vector(self.kernel.source, lanes)
        blank = undefined(vector(self.kernel.element, lanes))
        with b.loop(0, done, lanes) as k:
            for first, count in self.groups():
                rows = [
                    self.widen(b.load(kind, self.from_place(first + i, k))) for i in range(count)
                ]
                for j, column in enumerate(transpose(b, rows + [blank] * (lanes - count))):
                    if count == 1:
                        column = b.extract(column, 0)
                    elif count < lanes:
                        column = b.shuffle(column, column, range(count))
                    place = self.to_place(b.add(k, j), first)
                    b.store(column, place, bytes_of(column.type))

    def pick(self, start: Value) -> None:
        """One element at a time, zeros beyond the matrix."""
        b = self.b
        zero = constant(0, self.kernel.element)
        with b.loop(start, self.depth) as k:
            with b.loop(0, self.valid) as i:
                loaded = self.widen(b.load(self.kernel.source, self.from_place(i, k)))
                b.store(loaded, self.to_place(k, i))
            with b.loop(self.valid, self.width) as i:
                b.store(zero, self.to_place(k, i))
