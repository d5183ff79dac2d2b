"""The transform of a blocked weight for Winograd's convolution, and the way back of a derivative.

    "forward"   weight (filters/lanes, 9, channels, lanes) -> G·w·Gᵀ (elements, filters/lanes, channels, lanes)
    "turned"    the same for the derivative by the input: filters and channels exchanged, taps from the far end
    "back"      Gᵀ·w̄·G, from the transform to the weight

A unit is one channel of one vector of filters (for "turned": a vector of channels).  Operands: source, target.  Integers: `FilterInteger`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_tile import transpose
from lampas.engine.loops.winograd import SKEW
from lampas.engine.loops.winograd_matrices import TAPS, elements_of, filter_matrix, transposed
from lampas.engine.loops.winograd_transform import transform


class FilterInteger(IntEnum):
    """Places of the integers: channels, and elements of one transformed plane."""

    CHANNELS, PLANE = range(2)


@dataclass(frozen=True)
class WinogradFilterKernel:
    """What is compiled in: the machine, the element type, the way and the direction."""

    target: Target
    element: str
    way: int
    direction: Literal["forward", "turned", "back"]

    @property
    def name(self) -> str:
        return f"winograd{self.way}_filter_{self.direction}_{self.element}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        FilterWriter(module, self).write()
        return module


class FilterWriter:
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: WinogradFilterKernel) -> None:
        self.kernel, self.element = kernel, kernel.element
        self.lanes = kernel.target.lanes(self.element)
        self.kind, self.size = vector(self.element, self.lanes), elements_of(kernel.way)
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)

    def write(self) -> None:
        b = self.b
        operands, integers, begin, end, _ = b.arguments
        self.channels, self.plane = (
            b.load_element("i64", integers, place) for place in FilterInteger
        )
        source, target = (b.load_element("ptr", operands, place) for place in (0, 1))
        turns = self.kernel.direction == "turned"
        with b.loop(begin, end) as unit:
            if turns:
                self.write_turned(unit, source, target)
            else:
                self.write_plain(unit, source, target)
        b.ret()

    def spot(self, spread: Value, unit: Value, y: int, x: int) -> Value:
        """Where an element of a unit's transform lies."""
        b = self.b
        offset = b.add(b.multiply(self.plane, self.size * y + x), b.multiply(unit, self.lanes))
        return b.element_pointer(spread, offset, self.element)

    def write_plain(self, unit: Value, source: Value, target: Value) -> None:
        """One channel of a vector of filters, there or back."""
        b, forward = self.b, self.kernel.direction == "forward"
        weight, spread = (source, target) if forward else (target, source)
        block, channel = b.divide(unit, self.channels), b.remainder(unit, self.channels)
        first = b.add(b.multiply(b.multiply(block, self.channels), TAPS * TAPS), channel)

        def tap(y: int, x: int) -> Value:
            row = b.add(first, b.multiply(self.channels, TAPS * y + x))
            return b.element_pointer(weight, b.multiply(row, self.lanes), self.element)

        def read(y: int, x: int) -> Value:
            return b.load(self.kind, tap(y, x) if forward else self.spot(spread, unit, y, x))

        def write(y: int, x: int, value: Value) -> None:
            b.store(value, self.spot(spread, unit, y, x) if forward else tap(y, x))

        matrix = filter_matrix(self.kernel.way)
        transform(b, matrix if forward else transposed(matrix), read, write)

    def write_turned(self, unit: Value, source: Value, target: Value) -> None:
        """A square of the weight for each tap, transposed; then its channels one by one.

        The weight lies (channels/lanes, taps, filters, lanes): its filters are the channels of the convolution that is
        derived, and a unit counts vectors of filters, then of channels.
        """
        b, lanes = self.b, self.lanes
        blocks = b.divide(self.channels, lanes)
        column, block = b.divide(unit, blocks), b.remainder(unit, blocks)
        filters = b.divide(b.subtract(self.plane, SKEW), self.channels)
        parked = b.allocate(self.element, TAPS * TAPS * lanes * lanes)
        with b.loop(0, TAPS * TAPS) as number:
            row = b.add(b.multiply(block, TAPS * TAPS), b.subtract(TAPS * TAPS - 1, number))
            place = b.add(b.multiply(row, filters), b.multiply(column, lanes))
            lines = [
                b.load_element(self.kind, source, b.multiply(b.add(place, n), lanes))
                for n in range(lanes)
            ]
            into = b.multiply(number, lanes * lanes)
            for n, line in enumerate(transpose(b, lines)):
                b.store(line, b.element_pointer(parked, b.add(into, n * lanes), self.element))
        first = b.add(b.multiply(column, self.channels), b.multiply(block, lanes))
        with b.loop(0, lanes) as n:

            def read(y: int, x: int) -> Value:
                place = b.add(b.multiply(n, lanes), (TAPS * y + x) * lanes * lanes)
                return b.load_element(self.kind, parked, place)

            def write(y: int, x: int, value: Value) -> None:
                b.store(value, self.spot(target, b.add(first, n), y, x))

            transform(b, filter_matrix(self.kernel.way), read, write)
