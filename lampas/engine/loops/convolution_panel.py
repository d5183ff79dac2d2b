"""The panel of a convolution: rows of input values for a block of positions, gathered run by run.

A *run* is a stretch of memory that a position reads whole: the channels of a tap, or of several neighbouring taps where
these follow each other.  Classes of positions (convolution_geometry.py) meet the same runs, so a panel has no zeros to
fill in.  Positions are counted image by image through the class's box; their places are found like an odometer's.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.text import Builder, Value, vector
from lampas.engine.loops.convolution_tile import RUN_WORDS


@dataclass(frozen=True)
class Steps:
    """Elements (or positions) from image to image and along the three dimensions."""

    image: Value
    depth: Value
    height: Value
    width: Value

    @property
    def listed(self) -> tuple[Value, Value, Value, Value]:
        return self.image, self.depth, self.height, self.width


def digits(b: Builder, number: Value, sizes: tuple[Value, Value, Value]) -> list[Value]:
    """Image, depth, height and width of a position's number in a box."""
    found: list[Value] = []
    for size in reversed(sizes):
        found.insert(0, b.remainder(number, size))
        number = b.divide(number, size)
    return [number, *found]


def list_places(
    b: Builder,
    first: Value,
    count: Value,
    sizes: tuple[Value, Value, Value],
    tables: list[tuple[Value, Value, Steps]],
) -> None:
    """For `count` positions from `first` on, write base + Σ digit·step into each (table, base, steps)."""
    with b.carrying_loop(0, count, 1, digits(b, first, sizes)) as loop:
        places = loop.values
        for table, base, steps in tables:
            total = base
            for digit, step in zip(places, steps.listed, strict=True):
                total = b.add(total, b.multiply(digit, step))
            b.store(total, b.element_pointer(table, loop.index, "i64"))
        loop.carry(following(b, places, sizes))


def following(b: Builder, places: list[Value], sizes: tuple[Value, Value, Value]) -> list[Value]:
    """The digits of the next position."""
    carry = b.value(1)
    found: list[Value] = []
    for digit, size in zip(reversed(places[1:]), reversed(sizes), strict=True):
        moved = b.add(digit, carry)
        turns = b.compare("eq", moved, size)
        found.insert(0, b.select(turns, b.value(0), moved))
        carry = b.cast("zext", turns, "i64")
    return [b.add(places[0], carry), *found]


def copy_elements(b: Builder, source: Value, target: Value, count: Value, kind: str) -> None:
    """Copy `count` neighbouring elements: two overlapping vectors of type `kind`, or many and a masked rest."""
    lanes = int(kind[1 : kind.index(" ")])
    element = kind[kind.index("x ") + 2 : -1]
    enough = b.compare("sge", count, lanes)
    with b.branch(b.bit_and(enough, b.compare("sle", count, 2 * lanes))) as (two, many):
        with two:
            last = b.subtract(count, lanes)
            values = [
                b.load(kind, b.element_pointer(source, place, element)) for place in (0, last)
            ]
            for value, place in zip(values, (0, last), strict=True):
                b.store(value, b.element_pointer(target, place, element))
        with many:
            copy_many(b, source, target, count, (kind, lanes, element))


def copy_many(
    b: Builder, source: Value, target: Value, count: Value, kinds: tuple[str, int, str]
) -> None:
    """Copy vectors and a masked rest."""
    kind, lanes, element = kinds
    whole = b.bit_and(count, -lanes)
    with b.loop(0, whole, lanes) as done:
        value = b.load(kind, b.element_pointer(source, done, element))
        b.store(value, b.element_pointer(target, done, element))
    with b.when(b.compare("slt", whole, count)):
        mask = b.lane_mask(lanes, b.subtract(count, whole))
        value = b.masked_load(kind, b.element_pointer(source, whole, element), mask)
        b.masked_store(value, b.element_pointer(target, whole, element), mask)


def fill_rows(
    b: Builder,
    image: Value,
    places: Value,
    rows: Value,
    runs: tuple[Value, Value],
    part: tuple[Value, Value],
    panel: tuple[Value, Value],
    element: str,
    lanes: int,
) -> None:
    """Copy a part (first element, length) of `runs` (table, count) for each row into the panel (address, pitch)."""
    (table, count), (start, length), (target, pitch) = runs, part, panel
    kind = vector(element, lanes)
    with b.loop(0, rows) as row:
        begin = b.add(b.load_element("i64", places, row), start)
        line = b.element_pointer(target, b.multiply(row, pitch), element)
        with b.loop(0, count) as number:
            offset = b.load_element("i64", table, b.multiply(number, RUN_WORDS))
            source = b.element_pointer(image, b.add(begin, offset), element, inside=False)
            into = b.element_pointer(line, b.multiply(number, length), element)
            copy_elements(b, source, into, length, kind)
