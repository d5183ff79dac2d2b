"""The register tile of Winograd's products: rows are tiles of the image, columns are filters, the depth is a stretch of channels.

    c[row, k] = or +=  Σ over i < depth:   a[row, i] · weight[i, k]

One call does all rows of a height, one register tile after the other: depths are short, so that a call for each would take a
third as long as the products.  Whole rows and columns are stored: there is room for them behind the last ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.loops.brgemm_tile import TileShape, zero_accumulators
from lampas.engine.loops.convolution_kernel import tile_heights, write_tiles
from lampas.engine.loops.convolution_tile import UNROLL, RowSteps

# fmt: off
ROWS_PARAMETERS = (
    ("ptr", "a"), ("i64", "pitch"), ("i64", "depth"), ("ptr", "weight"), ("i64", "vector_step"), ("ptr", "c"), ("i64", "c_row"),
    ("i64", "rows"), ("i64", "fresh"),
)
# fmt: on


class RowsValues(NamedTuple):
    """The arguments of a tile function, in order; steps in elements."""

    a: Value
    pitch: Value
    depth: Value
    weight: Value
    vector_step: Value
    c: Value
    c_row: Value
    rows: Value
    fresh: Value

    def listed(self) -> list[Value]:
        return [getattr(self, name) for _, name in ROWS_PARAMETERS]

    def from_row(self, b: Builder, row: Value, rows: Value, element: str) -> RowsValues:
        """The arguments for `rows` rows from a row on."""
        source = b.element_pointer(self.a, b.multiply(row, self.pitch), element)
        target = b.element_pointer(self.c, b.multiply(row, self.c_row), element)
        return self._replace(a=source, c=target, rows=rows)


class RowsTile:
    """Writes ``void rows_tile<height>(…)``."""

    def __init__(self, module: Module, shape: TileShape, height: int) -> None:
        self.shape, self.height = shape, height
        self.name = f"rows_tile{height}"
        self.b = module.function(self.name, ROWS_PARAMETERS, internal=True)
        self.call = RowsValues(*self.b.arguments)
        self.write()

    def write(self) -> None:
        b, call, height, element = self.b, self.call, self.height, self.shape.element
        with b.carrying_loop(0, call.rows, height, [call.a, call.c]) as loop:
            source, target = loop.values
            self.store(self.product(source), target)
            moved = [
                b.element_pointer(place, b.multiply(step, height), element)
                for place, step in ((source, call.pitch), (target, call.c_row))
            ]
            loop.carry(moved)
        b.ret()

    def product(self, source: Value) -> list[Value]:
        """The accumulators of the rows from an address on; the depth is a multiple of the steps that are done together."""
        b, call = self.b, self.call
        steps = RowSteps(b, self.shape, self.height, call.pitch, call.vector_step)
        pointers = steps.row_pointers(source)
        start = [call.weight, *pointers, *zero_accumulators(self.shape, self.height)]
        with b.carrying_loop(0, call.depth, UNROLL, start) as loop:
            loop.carry(steps.advance(loop.values, UNROLL))
        return loop.results[1 + len(pointers) :]

    def store(self, sums: list[Value], target: Value) -> None:
        """Store all rows, or add to what lies there."""
        b, shape, vectors = self.b, self.shape, self.shape.vectors
        places: list[Value] = []
        for number in range(len(sums)):
            r, v = divmod(number, vectors)
            moved = b.add(b.multiply(self.call.c_row, r), v * shape.lanes)
            places.append(b.element_pointer(target, moved, shape.element))
        with b.branch(b.compare("ne", self.call.fresh, 0)) as (fresh, added):
            with fresh:
                for total, place in zip(sums, places, strict=True):
                    b.store(total, place)
            with added:
                for total, place in zip(sums, places, strict=True):
                    b.store(b.add(b.load(shape.kind, place), total), place)


def rows_tiles(module: Module, shape: TileShape) -> list[RowsTile]:
    """The tile functions of all heights, the highest first."""
    heights = sorted(set(tile_heights(shape)), reverse=True)
    return [RowsTile(module, shape, height) for height in heights]


def write_rows(b: Builder, tiles: Sequence[RowsTile], call: RowsValues) -> None:
    """All rows of a product."""

    def some(row: Value, rows: Value) -> list[Value]:
        return call.from_row(b, row, rows, tiles[0].shape.element).listed()

    write_tiles(b, tiles, call.rows, some)
