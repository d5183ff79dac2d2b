"""The register tile of Winograd's products: rows are tiles of the image, columns are filters, the depth is a stretch of channels.

    c[row, k] = or +=  Σ over i < depth:   a[row, i] · weight[i, k]

One call does all rows of a height, one register tile after the other: depths are short, so that a call for each would take a
third as long as the products.  Whole rows and columns are stored: there is room for them behind the last ones.
"""

from __future__ import annotations

from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.loops.brgemm_tile import UNROLL, TileShape, TileWriter, zero_accumulators
from lampas.engine.loops.convolution_kernel import tile_heights

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


class RowsTile:
    """Writes ``void rows_tile<height>(…)``."""

    def __init__(self, module: Module, shape: TileShape, height: int) -> None:
        self.shape, self.height = shape, height
        self.name = f"rows_tile{height}"
        self.b = module.function(self.name, ROWS_PARAMETERS, internal=True)
        self.call = RowsValues(*self.b.arguments)
        self.write()

    def write(self) -> None:
        b, call, height = self.b, self.call, self.height
        with b.loop(0, call.rows, height) as row:
            self.call = self.from_row(b, call, row, b.value(height))
            self.store(self.product())
        b.ret()

    def from_row(self, b: Builder, call: RowsValues, row: Value, rows: Value) -> RowsValues:
        """The arguments for `rows` rows from a row on."""
        source = b.element_pointer(call.a, b.multiply(row, call.pitch), self.shape.element)
        target = b.element_pointer(call.c, b.multiply(row, call.c_row), self.shape.element)
        return call._replace(a=source, c=target, rows=rows)

    def product(self) -> list[Value]:
        """The accumulators; the depth is a multiple of the steps that are done together."""
        b, call, shape = self.b, self.call, self.shape
        stride = b.value(shape.lanes)
        writer = TileWriter(b, shape, self.height, "row", call.pitch, stride, call.vector_step)
        pointers = writer.first_pointers(call.a)
        start = [call.weight, *pointers, *zero_accumulators(shape, self.height)]
        with b.carrying_loop(0, call.depth, UNROLL, start) as loop:
            loop.carry(writer.steps(list(loop.values), UNROLL))
        return loop.results[1 + len(pointers) :]

    def store(self, sums: list[Value]) -> None:
        """Store all rows, or add to what lies there."""
        b, call, shape = self.b, self.call, self.shape
        places: list[Value] = []
        for number in range(len(sums)):
            r, v = divmod(number, shape.vectors)
            moved = b.add(b.multiply(call.c_row, r), v * shape.lanes)
            places.append(b.element_pointer(call.c, moved, shape.element))
        with b.branch(b.compare("ne", call.fresh, 0)) as (fresh, added):
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
