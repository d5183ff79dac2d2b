"""Moments of what a unit of a convolution has stored, for the batch normalisation that follows.

While a unit's results still lie in the near caches, three numbers are found for each column: how many values there are, their
sum, and the sum of their squares around the unit's own mean.  From those of all units follow mean and variance of the
whole, without another walk through memory and as exactly as by two (T. F. Chan, G. H. Golub, R. J. LeVeque, 1979):

    Σ (x − mean)² = Σ over units [squares + count · (sum/count − mean)²]

The unit's own are found by one walk, from distances d = x − o from an origin near their mean: squares = Σ d² − (Σ d)²/count.
The origin is the mean of a sample of the values.  One that lies far from all others moves it by its distance over the sample's
size, and adds the square of its distance to the squares itself: with a sample of √count values or more, what cancels is never
more than what stays.

The target (3, units, columns) has the counts, the sums and the squares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Value, constant, vector

WIDE = 4  # vectors of columns at once: their chains of sums overlap
Body = Callable[[Value, list[Value]], list[Value]]
# Walks all positions of a unit: from values to be carried, and what becomes of them at a position, to the last ones.
Walk = Callable[[list[Value], Body], list[Value]]


class Walks(NamedTuple):
    """Those of all positions of a unit, and of a sample of them, the square root of their number at least."""

    all: Walk
    sample: Walk


class Results(NamedTuple):
    """What was stored: the result's address and the elements of its rows; the target's, and how many units it has."""

    c: Value
    row: Value
    target: Value
    units: Value


def write_moments(
    b: Builder,
    kinds: tuple[str, int],
    results: Results,
    walks: Walks,
    number: Value,
    columns: tuple[Value, Value],
) -> None:
    """The moments of unit `number` in a range of whole vectors of columns; `kinds` are the element's type and the lanes."""
    element, lanes = kinds
    first, stop = columns
    middle = b.add(first, b.bit_and(b.subtract(stop, first), -WIDE * lanes))
    for begin, end, vectors in ((first, middle, WIDE), (middle, stop, 1)):
        with b.loop(begin, end, vectors * lanes) as column:
            columns_of_unit = Columns(b, element, vector(element, vectors * lanes), results, column)
            found = columns_of_unit.moments(walks, WIDE // vectors)
            for place, value in enumerate(found):
                line = b.add(b.multiply(results.units, place), number)
                offset = b.add(b.multiply(line, results.row), column)
                b.store(value, b.element_pointer(results.target, offset, element))


class Columns(NamedTuple):
    """Some neighbouring columns of a unit, as one vector of type `kind`."""

    b: Builder
    element: str
    kind: str
    results: Results
    column: Value

    def value(self, position: Value) -> Value:
        """What lies at a position."""
        b, results = self.b, self.results
        offset = b.add(b.multiply(position, results.row), self.column)
        return b.load(self.kind, b.element_pointer(results.c, offset, self.element))

    def origin(self, walks: Walks) -> Value:
        """The mean of the sample."""
        b = self.b

        def add(position: Value, state: list[Value]) -> list[Value]:
            return [b.add(state[0], 1), b.add(state[1], self.value(position))]

        counted, total = walks.sample([b.value(0), constant(0, self.kind)], add)
        return b.divide(total, b.splat(b.cast("sitofp", counted, self.element), self.kind))

    def moments(self, walks: Walks, chains: int) -> tuple[Value, Value, Value]:
        """Count, sum and squares; sums are made in `chains` that take turns, so that none waits for itself."""
        b = self.b
        origin = self.origin(walks)

        def add(position: Value, state: list[Value]) -> list[Value]:
            count, *sums = state
            totals, squares = sums[:chains], sums[chains:]
            away = b.subtract(self.value(position), origin)
            total, square = b.add(totals[0], away), b.multiply_add(away, away, squares[0])
            return [b.add(count, 1), *totals[1:], total, *squares[1:], square]

        zeros = [constant(0, self.kind)] * (2 * chains)
        counted, *sums = walks.all([b.value(0), *zeros], add)
        count = b.splat(b.cast("sitofp", counted, self.element), self.kind)
        away, squares = self.together(sums[:chains]), self.together(sums[chains:])
        apart = b.divide(b.multiply(away, away), count)
        return count, b.multiply_add(count, origin, away), b.subtract(squares, apart)

    def together(self, sums: list[Value]) -> Value:
        """All chains in one."""
        total = sums[0]
        for each in sums[1:]:
            total = self.b.add(total, each)
        return total
