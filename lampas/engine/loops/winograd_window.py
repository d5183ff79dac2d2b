"""The inputs that a Winograd tile reads, where they lie: an address for each row, a place for each column, and zeros beyond
the image's edge.

Most tiles of small images hang over an edge.  Copying those with zeros around them took longer than their transforms, so
rows outside are read from a row of zeros, and what is read from columns outside is masked: a vector instruction for each
value, in all tiles alike.
"""

from __future__ import annotations

from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Value, constant, vector
from lampas.engine.loops.brgemm_tile import TileShape


class Extents(NamedTuple):
    """Sizes of the image and elements of a position."""

    height: Value
    width: Value
    channels: Value


class Tile(NamedTuple):
    """A tile's image and the places of its first input (which may lie outside)."""

    image: Value
    top: Value
    left: Value


class WindowReader:
    """Reads side×side windows of channels-last images; `zeros` is room for a row of a window.

    Where a window is `framed`, its outermost rows and columns are never read, and all others lie inside.
    """

    def __init__(
        self,
        b: Builder,
        shape: TileShape,
        extents: Extents,
        side: int,
        zeros: Value,
        framed: bool = False,
    ) -> None:
        self.b, self.shape, self.extents, self.side = b, shape, extents, side
        self.zeros, self.framed = zeros, framed
        self.rows, self.places = b.allocate("ptr", side), b.allocate("i64", side)
        self.mask_kind = vector("i32", shape.lanes)
        self.masks = b.allocate("i32", side * shape.lanes)

    def clear(self) -> None:
        """Fill the row of zeros; to be called before the first window."""
        if not self.framed:
            b, shape = self.b, self.shape
            with b.loop(0, b.multiply(self.extents.channels, self.side), shape.lanes) as at:
                spot = b.element_pointer(self.zeros, at, shape.element)
                b.store(constant(0, shape.kind), spot)

    def enter(self, tile: Tile, source: Value) -> None:
        """Find the rows and columns of a tile's window in the images that begin at `source`."""
        b, (height, width, channels) = self.b, self.extents
        first = b.multiply(b.add(b.multiply(tile.image, height), tile.top), width)
        start = b.multiply(b.add(first, tile.left), channels)
        line = b.multiply(width, channels)
        last = b.subtract(b.subtract(width, 1), tile.left)
        meets = self.within(b.maximum(b.subtract(0, tile.left), 0), b.minimum(last, self.side - 1))
        with b.loop(0, self.side) as n:
            moved = b.add(start, b.multiply(line, n))
            row = b.element_pointer(source, moved, self.shape.element, inside=False)
            column = b.add(tile.left, n)
            if not self.framed:
                present = self.within(b.add(tile.top, n), b.subtract(height, 1))
                row = b.select(b.bit_and(present, meets), row, self.zeros)
                place = b.minimum(b.maximum(n, b.subtract(0, tile.left)), last)
                place = b.minimum(b.maximum(place, 0), self.side - 1)
                known = b.cast("sext", self.within(column, b.subtract(width, 1)), "i32")
                spot = b.element_pointer(self.masks, b.multiply(n, self.shape.lanes), "i32")
                b.store(b.splat(known, self.mask_kind), spot)
            else:
                place = n
            b.store(row, b.element_pointer(self.rows, n, "ptr"))
            b.store(b.multiply(place, channels), b.element_pointer(self.places, n, "i64"))

    def within(self, place: Value, last: Value) -> Value:
        b = self.b
        return b.bit_and(b.compare("sge", place, 0), b.compare("sle", place, last))

    def read(self, y: int, x: int, channel: Value) -> Value:
        """A vector of channels of one position of the window."""
        b, shape = self.b, self.shape
        row, place = b.load_element("ptr", self.rows, y), b.load_element("i64", self.places, x)
        spot = b.element_pointer(row, b.add(place, channel), shape.element, inside=False)
        value = b.load(shape.kind, spot)
        if self.framed:
            return value
        mask = b.load(self.mask_kind, b.element_pointer(self.masks, x * shape.lanes, "i32"))
        bits = b.bit_and(b.cast("bitcast", value, self.mask_kind), mask)
        return b.cast("bitcast", bits, shape.kind)
