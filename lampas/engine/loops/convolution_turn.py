"""Turning pieces of a blocked weight: vectors of filters become vectors of channels, square by square.

    weight (filters/lanes, taps, channels, lanes)  ->  panel (vectors, depth, lanes), lanes along the channels

For the derivative by the input, filters and channels exchange their roles and taps count from the far end: the depth runs
over taps and filters, the columns over channels.  A square of lanes × lanes is one piece of the weight's memory.
"""

from __future__ import annotations

from collections.abc import Callable

from lampas.engine.llvm.text import Builder, Value
from lampas.engine.loops.brgemm_tile import TileShape, transpose
from lampas.engine.loops.convolution_tile import RUN_WORDS

MOST_SEGMENTS = 1024
SQUARES_AHEAD = 3
CHANNELS, TAPS, DEPTH = 19, 20, 15  # places among the integers of a convolution


class WeightTurner:
    """Copies what a panel of columns needs of the weight for some segments of the depth."""

    def __init__(self, b: Builder, shape: TileShape, integer: Callable[[int], Value]) -> None:
        self.b, self.shape, self.integer = b, shape, integer
        self.table = b.allocate("i64", RUN_WORDS * MOST_SEGMENTS)

    def turn(
        self,
        weight: Value,
        runs: tuple[Value, Value],
        part: tuple[Value, Value],
        columns: tuple[Value, Value],
        target: Value,
    ) -> tuple[Value, Value, Value]:
        """Fill the target with a part (first row, length) of `runs` (table, count) for columns (first, left).

        Returns the target, the table of the segments' rows in it, and the elements between its vectors.
        """
        b, shape = self.b, self.shape
        (table, count), (start, length), (column, left) = runs, part, columns
        step = b.multiply(self.integer(DEPTH), shape.lanes)
        with b.loop(0, count) as number:
            words = b.multiply(number, RUN_WORDS)
            row = b.add(b.load_element("i64", table, b.add(words, 1)), start)
            into = b.multiply(number, length)
            b.store(into, b.element_pointer(self.table, b.add(words, 1), "i64"))
            with b.loop(0, length, shape.lanes) as moved:
                place = self.square(weight, b.add(row, moved), column)
                for v in range(shape.vectors):
                    with b.when(b.compare("sgt", left, v * shape.lanes)):
                        self.copy(place, b.add(into, moved), v, step, target)
        return target, self.table, step

    def square(self, weight: Value, row: Value, column: Value) -> Value:
        """The address of the squares that hold a row of the depth."""
        b, shape = self.b, self.shape
        filters, taps, channels = self.integer(CHANNELS), self.integer(TAPS), self.integer(4)
        tap, number = b.divide(row, filters), b.remainder(row, filters)
        block = b.divide(number, shape.lanes)
        back = b.subtract(b.subtract(taps, tap), 1)
        place = b.add(b.multiply(b.add(b.multiply(block, taps), back), channels), column)
        return b.element_pointer(weight, b.multiply(place, shape.lanes), shape.element)

    def ask_ahead(self, place: Value, first: int) -> None:
        """Fetch the square that comes soon: squares of the depth lie far apart."""
        b, shape = self.b, self.shape
        far = b.multiply(b.multiply(self.integer(TAPS), self.integer(4)), SQUARES_AHEAD)
        soon = b.element_pointer(place, b.multiply(far, shape.lanes), shape.element, inside=False)
        line = 64 // (8 if shape.element == "double" else 4)
        for start in range(first, first + shape.lanes * shape.lanes, line):
            b.prefetch(b.element_pointer(soon, start, shape.element, inside=False))

    def copy(self, place: Value, row: Value, v: int, step: Value, target: Value) -> None:
        """One square, transposed, to its rows of the panel."""
        b, lanes, shape = self.b, self.shape.lanes, self.shape
        first = v * lanes * lanes
        self.ask_ahead(place, first)
        lines = [
            b.load(shape.kind, b.element_pointer(place, first + n * lanes, shape.element))
            for n in range(lanes)
        ]
        start = b.add(b.multiply(step, v), b.multiply(row, lanes))
        for n, line in enumerate(transpose(b, lines)):
            b.store(line, b.element_pointer(target, b.add(start, n * lanes), shape.element))
