"""The transform of a blocked weight for Winograd's convolution, and the way back of a derivative.

    "forward"   weight (filters/lanes, 9, channels, lanes) -> G·w·Gᵀ (elements, filters/lanes, channels, lanes)
    "turned"    the same for the derivative by the input: filters and channels exchanged, taps from the far end
    "back"      Gᵀ·w̄·G, from the transform, or from the sum of several (slices), to the weight

A unit is one channel of one vector of filters (for "turned": a vector of channels).  Operands: source, target.  Integers: `FilterInteger`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Module, Value, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_plan import element_bytes
from lampas.engine.loops.brgemm_tile import transpose
from lampas.engine.loops.winograd import SKEW
from lampas.engine.loops.winograd_matrices import (
    TAPS,
    elements_of,
    filter_matrix,
    plain_steps,
    transposed,
)
from lampas.engine.loops.winograd_transform import transform

BLOCKS_AHEAD = 1
LINE_BYTES = 64


class FilterInteger(IntEnum):
    """Places of the integers: channels, elements of one transformed plane, and (on the way back) transforms to be added up."""

    CHANNELS, PLANE, SLICES = range(3)


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
        self.lanes, self.size = kernel.target.lanes(self.element), elements_of(kernel.way)
        self.b = module.function(kernel.name, KERNEL_PARAMETERS)

    def write(self) -> None:
        b, kernel = self.b, self.kernel
        operands, integers, begin, end, _ = b.arguments
        i = FilterInteger
        channels, self.plane = (b.load_element("i64", integers, n) for n in (i.CHANNELS, i.PLANE))
        source, target = (b.load_element("ptr", operands, place) for place in (0, 1))
        forward = kernel.direction != "back"
        weight, self.spread = (source, target) if forward else (target, source)
        filters = b.divide(b.subtract(self.plane, SKEW), channels)
        transforms = FilterTransforms(b, kernel, weight, channels, filters)
        blocks = b.divide(channels, self.lanes)
        if not forward:
            self.slices = b.load_element("i64", integers, i.SLICES)
            self.parked = b.allocate(self.element, self.size**2 * self.lanes)
        with b.loop(begin, end) as unit:
            if kernel.direction == "turned":
                column, block = b.divide(unit, blocks), b.remainder(unit, blocks)
                first = b.add(b.multiply(column, channels), b.multiply(block, self.lanes))
                transforms.write_turned(column, block, lambda n, y, x: self.spot(b.add(first, n), y, x))  # fmt: skip
            else:
                column, channel = b.divide(unit, channels), b.remainder(unit, channels)
                spot = functools.partial(self.spot, unit) if forward else self.added_up(unit)
                transforms.write_plain(column, channel, spot)
        b.ret()

    def added_up(self, unit: Value) -> Callable[[int, int], Value]:
        """Where the elements of the sum of a unit's transforms of all slices lie: where they are, or parked."""
        b, kind, size, plane = self.b, vector(self.element, self.lanes), self.size, self.plane
        several = b.compare("sgt", self.slices, 1)
        places = [(y, x) for y in range(size) for x in range(size)]
        with b.when(several):
            for y, x in places:
                b.store(b.load(kind, self.spot(unit, y, x)), self.parked_spot(y, x))
            with b.loop(1, self.slices) as number:
                moved = b.multiply(b.multiply(plane, size**2), number)
                for y, x in places:
                    spot = b.element_pointer(self.spot(unit, y, x), moved, self.element)
                    added = b.add(b.load(kind, self.parked_spot(y, x)), b.load(kind, spot))
                    b.store(added, self.parked_spot(y, x))
        first = b.select(several, self.parked, self.spot(unit, 0, 0))
        step = b.select(several, b.value(self.lanes), plane)

        def spot_of_sum(y: int, x: int) -> Value:
            return b.element_pointer(first, b.multiply(step, size * y + x), self.element)

        return spot_of_sum

    def parked_spot(self, y: int, x: int) -> Value:
        return self.b.element_pointer(self.parked, (self.size * y + x) * self.lanes, self.element)

    def spot(self, unit: Value, y: int, x: int) -> Value:
        """Where an element of a unit's transform lies."""
        b = self.b
        offset = b.add(b.multiply(self.plane, self.size * y + x), b.multiply(unit, self.lanes))
        return b.element_pointer(self.spread, offset, self.element)


class FilterTransforms:
    """Emits transforms of filters, a vector of them at a time, for functions that know where transforms lie.

    `weight` lies as the kernel's direction has it, with so many channels and filters; on the way back the result is stored
    there, or with `adds` added to what is.
    """

    def __init__(
        self,
        b: Builder,
        kernel: WinogradFilterKernel,
        weight: Value,
        channels: Value,
        filters: Value,
        adds: bool = False,
    ) -> None:
        self.b, self.kernel, self.element = b, kernel, kernel.element
        self.lanes = kernel.target.lanes(self.element)
        self.kind = vector(self.element, self.lanes)
        self.weight, self.channels, self.filters, self.adds = weight, channels, filters, adds

    def write_plain(self, column: Value, channel: Value, spot: Callable[[int, int], Value]) -> None:
        """One channel of a vector of filters, there or back."""
        b, forward = self.b, self.kernel.direction == "forward"
        first = b.add(b.multiply(b.multiply(column, self.channels), TAPS * TAPS), channel)

        def tap(y: int, x: int) -> Value:
            row = b.add(first, b.multiply(self.channels, TAPS * y + x))
            return b.element_pointer(self.weight, b.multiply(row, self.lanes), self.element)

        def read(y: int, x: int) -> Value:
            return b.load(self.kind, tap(y, x) if forward else spot(y, x))

        def write(y: int, x: int, value: Value) -> None:
            place = spot(y, x) if forward else tap(y, x)
            b.store(b.add(b.load(self.kind, place), value) if self.adds else value, place)

        matrix = filter_matrix(self.kernel.way)
        transform(b, plain_steps(matrix if forward else transposed(matrix)), read, write)

    def ask_ahead(self, place: Value) -> None:
        """Fetch the square that comes soon: squares of the channels lie far apart."""
        b, lanes = self.b, self.lanes
        soon = b.add(place, b.multiply(self.filters, TAPS * TAPS * BLOCKS_AHEAD))
        far = b.multiply(soon, lanes)
        line = LINE_BYTES // element_bytes(self.element)
        for start in range(0, lanes * lanes, line):
            spot = b.element_pointer(self.weight, b.add(far, start), self.element, inside=False)
            b.prefetch(spot)

    def write_turned(
        self, column: Value, block: Value, spot: Callable[[Value, int, int], Value]
    ) -> None:
        """A square of the weight for each tap, transposed; then its channels one by one.

        The weight lies (channels/lanes, taps, filters, lanes): its filters are the channels of the convolution that is
        derived.  `column` counts vectors of filters, `block` those of channels; `spot` gets the channel of the block.
        """
        b, lanes = self.b, self.lanes
        parked = b.allocate(self.element, TAPS * TAPS * lanes * lanes)
        with b.loop(0, TAPS * TAPS) as number:
            row = b.add(b.multiply(block, TAPS * TAPS), b.subtract(TAPS * TAPS - 1, number))
            place = b.add(b.multiply(row, self.filters), b.multiply(column, lanes))
            self.ask_ahead(place)
            lines = [
                b.load_element(self.kind, self.weight, b.multiply(b.add(place, n), lanes))
                for n in range(lanes)
            ]
            into = b.multiply(number, lanes * lanes)
            for n, line in enumerate(transpose(b, lines)):
                b.store(line, b.element_pointer(parked, b.add(into, n * lanes), self.element))
        with b.loop(0, lanes) as n:

            def read(y: int, x: int) -> Value:
                place = b.add(b.multiply(n, lanes), (TAPS * y + x) * lanes * lanes)
                return b.load_element(self.kind, parked, place)

            def write(y: int, x: int, value: Value) -> None:
                b.store(value, spot(n, y, x))

            transform(b, plain_steps(filter_matrix(self.kernel.way)), read, write)
