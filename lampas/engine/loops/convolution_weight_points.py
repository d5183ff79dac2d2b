"""The register tile of a convolution's derivative by a weight of few values: inputs are read where they lie.

    c[row[r], k] += Σ over positions p:   image[place[p] + offset[r]] · grad[p, k]

As in convolution_points.py, with the parts exchanged: a row of the tile is a value of the weight, with a pointer to where the
image's first position would meet it; a table gives the places of the positions.
"""

from __future__ import annotations

from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.loops.brgemm_store import shape_bytes
from lampas.engine.loops.brgemm_tile import TileShape, zero_accumulators
from lampas.engine.loops.convolution_points import add_products, settled
from lampas.engine.loops.convolution_tile import RUN_WORDS, UNROLL

# fmt: off
POINT_TILE_PARAMETERS = (
    ("ptr", "image"), ("ptr", "values"), ("ptr", "places"), ("ptr", "grad"), ("i64", "depth"), ("ptr", "c"),
    ("i64", "vector_step"), ("i64", "rows"), ("i64", "columns"),
)
# fmt: on


class PointSpanValues(NamedTuple):
    """The arguments of a tile function, in order; `values` is a table of (offset, row of c) pairs."""

    image: Value
    values: Value
    places: Value
    grad: Value
    depth: Value
    c: Value
    vector_step: Value
    rows: Value
    columns: Value

    def listed(self) -> list[Value]:
        return [getattr(self, name) for _, name in POINT_TILE_PARAMETERS]

    def at_row(self, b: Builder, row: Value, rows: Value) -> PointSpanValues:
        """The arguments for `rows` rows from a row of the table on."""
        table = b.element_pointer(self.values, b.multiply(row, RUN_WORDS), "i64")
        return self._replace(values=table, rows=rows)


class PointSpanTile:
    """Writes ``void point_span_tile<height>(…)``, which does all `rows`, one register tile below the other.

    Rows of a tile beyond the last repeat it and are not stored.
    """

    def __init__(self, module: Module, shape: TileShape, height: int, registers: str) -> None:
        self.shape, self.height, self.registers = shape, height, registers
        self.name = f"point_span_tile{height}"
        self.b: Builder = module.function(self.name, POINT_TILE_PARAMETERS, internal=True)
        self.call = PointSpanValues(*self.b.arguments)
        self.write()

    def write(self) -> None:
        b, call, height = self.b, self.call, self.height
        with b.loop(0, call.rows, height) as row:
            self.call = call.at_row(b, row, b.minimum(b.subtract(call.rows, row), height))
            self.write_tile()
        b.ret()

    def write_tile(self) -> None:
        """One register tile."""
        b, call, shape = self.b, self.call, self.shape
        sums = self.product()
        beyond = b.compare("sgt", call.columns, shape.columns - shape.lanes)
        whole = b.bit_and(beyond, b.compare("eq", call.rows, self.height))
        with b.branch(whole) as (straight, other):
            with straight:
                for number, total in enumerate(sums):
                    r, v = divmod(number, shape.vectors)
                    self.put(total, b.value(r), b.value(v))
            with other:
                self.store_by_rows(sums)

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
                call.image, self.word(b.minimum(b.value(r), last), 0), shape.element, inside=False
            )
            for r in range(self.height)
        ]
        start = zero_accumulators(shape, self.height)
        whole = b.bit_and(call.depth, -UNROLL)
        with b.carrying_loop(0, whole, UNROLL, start) as loop:
            loop.carry(self.steps(rows, loop.index, list(loop.values), UNROLL))
        with b.carrying_loop(whole, call.depth, 1, loop.results) as rest:
            rest.carry(self.steps(rows, rest.index, list(rest.values), 1))
        return list(rest.results)

    def steps(self, rows: list[Value], first: Value, sums: list[Value], count: int) -> list[Value]:
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

    def put(self, total: Value, r: Value, v: Value) -> None:
        """Add a vector of sums to its place in c."""
        b, call, shape = self.b, self.call, self.shape
        offset = b.add(b.multiply(self.word(r, 1), shape.lanes), b.multiply(call.vector_step, v))
        place = b.element_pointer(call.c, offset, shape.element)
        b.store(b.add(b.load(shape.kind, place), total), place)

    def store_by_rows(self, sums: list[Value]) -> None:
        """By way of the stack: fewer rows, or fewer vectors of filters."""
        b, call, shape = self.b, self.call, self.shape
        stack = b.allocate(shape.element, self.height * shape.columns)
        for number, total in enumerate(sums):
            place = b.element_pointer(stack, number * shape.lanes, shape.element)
            b.store(total, place, shape.lanes * shape_bytes(shape))
        vectors = b.divide(b.add(call.columns, shape.lanes - 1), shape.lanes)
        with b.loop(0, call.rows) as r, b.loop(0, b.minimum(vectors, shape.vectors)) as v:
            parked = b.add(b.multiply(r, shape.columns), b.multiply(v, shape.lanes))
            self.put(b.load_element(shape.kind, stack, parked), r, v)
