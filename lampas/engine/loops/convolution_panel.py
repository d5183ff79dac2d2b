"""The panel of a convolution: rows of input values for a block of positions, gathered run by run.

A *run* is a stretch of memory that a position reads whole: the channels of a tap, or of several neighbouring taps where
these follow each other.  Classes of positions (convolution_geometry.py) meet the same runs, so a panel has no zeros to
fill in.  Positions are counted image by image through the class's box; their places are found like an odometer's.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Value, lane_constants, vector
from lampas.engine.loops.convolution_tile import RUN_WORDS

PLACES = 4  # written at once
ROOM = PLACES - 1


class Steps(NamedTuple):
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


def table_of(b: Builder, rows: int) -> Value:
    """Room for the places of so many positions."""
    return b.allocate("i64", rows + ROOM)


def list_places(
    b: Builder,
    first: Value,
    count: Value,
    sizes: tuple[Value, Value, Value],
    tables: list[tuple[Value, Value, Steps]],
) -> None:
    """For `count` positions from `first` on, write base + Σ digit·step into each (table, base, steps).

    A row of positions is written by whole vectors: tables have room for `ROOM` words beyond the last.
    """
    kind = vector("i64", PLACES)
    numbers = lane_constants(range(PLACES), "i64")
    along = [b.multiply(numbers, b.splat(steps.width, kind)) for _, _, steps in tables]
    walked = [(base, steps) for _, base, steps in tables]
    with walk_stretches(b, first, count, sizes, walked) as (index, stretch, starts):
        for (table, _, steps), total, offsets in zip(tables, starts, along, strict=True):
            row = b.element_pointer(table, index, "i64")
            with b.loop(0, stretch, PLACES) as done:
                start = b.add(total, b.multiply(done, steps.width))
                found = b.add(b.splat(start, kind), offsets)
                b.store(found, b.element_pointer(row, done, "i64"), 8)


@contextmanager
def walk_stretches(
    b: Builder,
    first: Value,
    count: Value,
    sizes: tuple[Value, Value, Value],
    walked: list[tuple[Value, Steps]],
    most: int = 0,
) -> Generator[tuple[Value, Value, list[Value]], None, None]:
    """Walk `count` positions from `first` on, a stretch of a row (of at most so many, if told) at a time.

    Yields how many came before, how many these are, and for each of `walked` (base, steps) where they begin.
    """
    with b.carrying_loop(0, count, 1, digits(b, first, sizes)) as loop:
        places = loop.values
        stretch = b.minimum(b.subtract(sizes[2], places[3]), b.subtract(count, loop.index))
        loop.step = stretch = b.minimum(stretch, most) if most else stretch
        starts: list[Value] = []
        for base, steps in walked:
            total = base
            for digit, step in zip(places, steps.listed, strict=True):
                total = b.add(total, b.multiply(digit, step))
            starts.append(total)
        yield loop.index, stretch, starts
        loop.carry(following(b, places, stretch, sizes))


def following(
    b: Builder, places: list[Value], by: Value, sizes: tuple[Value, Value, Value]
) -> list[Value]:
    """The digits of the position that is `by` further on, in the same row or at the start of the next."""
    carry = by
    found: list[Value] = []
    for digit, size in zip(reversed(places[1:]), reversed(sizes), strict=True):
        moved = b.add(digit, carry)
        turns = b.compare("eq", moved, size)
        found.insert(0, b.select(turns, b.value(0), moved))
        carry = b.cast("zext", turns, "i64")
    return [b.add(places[0], carry), *found]


def copy_elements(b: Builder, source: Value, target: Value, count: Value, kind: str) -> None:
    """Copy `count` neighbouring elements by vectors of type `kind`, the last of which reaches back.

    Few elements are copied by the two shorter vectors that just cover them: masked stores would take longer.
    """
    lanes = int(kind[1 : kind.index(" ")])
    element = kind[kind.index("x ") + 2 : -1]
    last = b.subtract(count, lanes)
    with b.branch(b.compare("sge", last, 0)) as (many, few):
        with many:
            with b.loop(0, last, lanes) as done:
                value = b.load(kind, b.element_pointer(source, done, element))
                b.store(value, b.element_pointer(target, done, element))
            value = b.load(kind, b.element_pointer(source, last, element))
            b.store(value, b.element_pointer(target, last, element))
        with few:
            copy_few(b, source, target, count, element, lanes // 2)


def copy_few(
    b: Builder, source: Value, target: Value, count: Value, element: str, width: int
) -> None:
    """Copy fewer than 2·`width` elements: the first and the last `width` of them, or if they are fewer by half of it."""
    if not width:
        return
    kind = vector(element, width)
    last = b.subtract(count, width)
    with b.branch(b.compare("sge", last, 0)) as (enough, fewer):
        with enough:
            places = (b.value(0), last)
            values = [b.load(kind, b.element_pointer(source, p, element)) for p in places]
            for value, place in zip(values, places, strict=True):
                b.store(value, b.element_pointer(target, place, element))
        with fewer:
            copy_few(b, source, target, count, element, width // 2)


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
