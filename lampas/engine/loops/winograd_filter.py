"""The transform of a blocked weight for Winograd's convolution, and the way back of a derivative.

    "forward"   weight (filters/lanes, 9, channels, lanes) -> G·w·Gᵀ (elements, filters/lanes, channels, lanes)
    "back"      Gᵀ·w̄·G, from there to here, of one to several partial results that are summed on the way

A unit is one channel of one vector of filters.  Operands: source, target.  Integers: `FilterInteger`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, vector
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.winograd_matrices import TAPS, filter_matrix, inputs_of, transposed
from lampas.engine.loops.winograd_transform import transform


class FilterInteger(IntEnum):
    """Places of the integers: channels, and elements of one transformed plane."""

    CHANNELS, PLANE = range(2)


@dataclass(frozen=True)
class WinogradFilterKernel:
    """What is compiled in: the machine, the element type, m and the direction."""

    target: Target
    element: str
    outputs: int
    way: Literal["forward", "back"]

    @property
    def name(self) -> str:
        return f"winograd{self.outputs}_filter_{self.way}_{self.element}"

    def module(self) -> Module:
        """The module with the kernel."""
        module, element, lanes = Module(), self.element, self.target.lanes(self.element)
        kind, size = vector(element, lanes), inputs_of(self.outputs)
        b = module.function(self.name, KERNEL_PARAMETERS)
        operands, integers, begin, end, _ = b.arguments
        channels, plane = (b.load_element("i64", integers, place) for place in FilterInteger)
        source, target = (b.load_element("ptr", operands, place) for place in (0, 1))
        weight, spread = (source, target) if self.way == "forward" else (target, source)
        matrix = filter_matrix(self.outputs)
        with b.loop(begin, end) as unit:
            block, channel = b.divide(unit, channels), b.remainder(unit, channels)
            first = b.add(b.multiply(b.multiply(block, channels), TAPS * TAPS), channel)

            def tap(y: int, x: int) -> Value:
                row = b.add(first, b.multiply(channels, TAPS * y + x))
                return b.element_pointer(weight, b.multiply(row, lanes), element)

            def spot(y: int, x: int) -> Value:
                offset = b.add(b.multiply(plane, size * y + x), b.multiply(unit, lanes))
                return b.element_pointer(spread, offset, element)

            if self.way == "forward":
                transform(
                    b, matrix, lambda y, x: b.load(kind, tap(y, x)),
                    lambda y, x, value: b.store(value, spot(y, x)),
                )  # fmt: skip
            else:
                transform(
                    b, transposed(matrix), lambda y, x: b.load(kind, spot(y, x)),
                    lambda y, x, value: b.store(value, tap(y, x)),
                )  # fmt: skip
        b.ret()
        return module
