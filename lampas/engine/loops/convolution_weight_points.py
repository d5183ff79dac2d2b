"""The register tile of a convolution's derivative by a weight of few values: inputs are read where they lie.

    c[row[r], k] += Σ over positions p:   image[place[p] + offset[r]] · grad[p, k]

As in convolution_points.py, with the parts exchanged: a row of the tile is a value of the weight, with a pointer to where the
image's first position would meet it; a table gives the places of the positions.
"""

from __future__ import annotations

import functools

from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.loops.brgemm_tile import TileShape, unrolled, zero_accumulators
from lampas.engine.loops.convolution_points import add_products, settled
from lampas.engine.loops.convolution_tile import RUN_WORDS
from lampas.engine.loops.convolution_weight_tile import SpanTile, SpanTileValues


class PointSpanTile(SpanTile):
    """Writes ``void point_span_tile<height>(…)``; what it computes is added to c.

    Rows of a tile beyond the last repeat it and are not stored.  `registers` is how inline assembly asks for a register
    where they are scarce.
    """

    stem = "point_span_tile"

    def __init__(self, module: Module, shape: TileShape, height: int, registers: str) -> None:
        self.registers = registers
        super().__init__(module, shape, height)

    def from_row(self, b: Builder, call: SpanTileValues, row: Value, rows: Value) -> SpanTileValues:
        """The arguments for `rows` rows from a row of the table of values, (offset, row of c) pairs, on."""
        table = b.element_pointer(call.values, b.multiply(row, RUN_WORDS), "i64")
        return call._replace(values=table, rows=rows)

    def word(self, r: Value, place: int) -> Value:
        """A word of a row's pair in the table."""
        return self.b.load_element(
            "i64", self.call.values, self.b.add(self.b.multiply(r, RUN_WORDS), place)
        )

    def product(self) -> list[Value]:
        """The accumulators after all positions."""
        b, call, shape = self.b, self.call, self.shape
        last = b.subtract(call.rows, 1)
        rows = [
            b.element_pointer(
                call.panel, self.word(b.minimum(b.value(r), last), 0), shape.element, inside=False
            )
            for r in range(self.height)
        ]
        start = zero_accumulators(shape, self.height)
        return unrolled(b, call.depth, start, functools.partial(self.add_positions, rows))

    def add_positions(
        self, rows: list[Value], sums: list[Value], count: int, first: Value
    ) -> list[Value]:
        """Add the products of `count` positions from the first on."""
        b, call, shape = self.b, self.call, self.shape
        places = b.element_pointer(call.places, first, "i64")
        line = b.element_pointer(call.grad, b.multiply(first, shape.columns), shape.element)
        for step in range(count):
            place = b.load_element("i64", places, step)
            vectors = [
                b.load_element(shape.kind, line, step * shape.columns + v * shape.lanes)
                for v in range(shape.vectors)
            ]
            sums = add_products(b, shape, rows, place, vectors, sums)
            sums = settled(b, sums, self.registers)
        return sums

    def place(self, r: Value | int, v: Value | int) -> Value:
        """Where a vector of a row lies in c."""
        b, call, shape = self.b, self.call, self.shape
        row = b.multiply(self.word(b.value(r), 1), shape.lanes)
        return b.element_pointer(call.c, b.add(row, b.multiply(call.vector_step, v)), shape.element)

    def put(self, pairs: list[tuple[Value, Value]]) -> None:
        """Add the sums to what lies at their places."""
        b = self.b
        for total, place in pairs:
            b.store(b.add(b.load(self.shape.kind, place), total), place)
