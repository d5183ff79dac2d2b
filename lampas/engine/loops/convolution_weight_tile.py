"""The register tile of a convolution's derivative by the weight: rows are values of the weight, columns filters, the depth positions.

    c[row, k] = or +=  Σ over positions p < depth:   panel[p, row] · grad[p, k]

The gradient lies in panels as wide as a tile, c in vectors of filters (convolution_weight.py).
"""

from __future__ import annotations

from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.loops.brgemm_store import shape_bytes
from lampas.engine.loops.brgemm_tile import Panel, TileShape, tile_product, zero_accumulators

NOTHING = Value("null", "ptr")
# fmt: off
SPAN_TILE_PARAMETERS = (
    ("ptr", "panel"), ("i64", "pitch"), ("ptr", "values"), ("ptr", "places"), ("ptr", "grad"), ("i64", "depth"),
    ("ptr", "c"), ("i64", "vector_step"), ("i64", "rows"), ("i64", "columns"), ("i64", "first"), ("i64", "grad_step"),
)
# fmt: on


class SpanTileValues(NamedTuple):
    """The arguments of a tile function, in order; `first` tells whether the result is stored or added to.

    `values` and `places` are of use to `PointSpanTile` alone, whose panel is the image; `grad_step`, the elements from one
    position's gradient to the next, to `FlowSpanTile` alone.
    """

    panel: Value
    pitch: Value
    values: Value
    places: Value
    grad: Value
    depth: Value
    c: Value
    vector_step: Value
    rows: Value
    columns: Value
    first: Value
    grad_step: Value = Value("0", "i64")


class SpanTile:
    """Writes ``void span_tile<height>(…)``: rows of the result × vectors of filters, summed over positions.

    It does all `rows`, one register tile below the other.
    """

    stem = "span_tile"

    def __init__(self, module: Module, shape: TileShape, height: int) -> None:
        self.shape, self.height = shape, height
        self.name = f"{self.stem}{height}"
        self.b: Builder = module.function(self.name, SPAN_TILE_PARAMETERS, internal=True)
        self.call = SpanTileValues(*self.b.arguments)
        self.write()

    def write(self) -> None:
        b, call, height = self.b, self.call, self.height
        with b.loop(0, call.rows, height) as row:
            left = b.minimum(b.subtract(call.rows, row), height)
            self.call = self.from_row(b, call, row, left)
            self.write_tile()
        b.ret()

    def from_row(self, b: Builder, call: SpanTileValues, row: Value, rows: Value) -> SpanTileValues:
        """The arguments for `rows` rows from a row of the span on."""
        target = b.element_pointer(call.c, b.multiply(row, self.shape.lanes), self.shape.element)
        source = b.element_pointer(call.panel, row, self.shape.element)
        return call._replace(panel=source, c=target, rows=rows)

    def write_tile(self) -> None:
        """One register tile."""
        b, call, shape = self.b, self.call, self.shape
        sums = self.product()
        beyond = b.compare("sgt", call.columns, shape.columns - shape.lanes)
        whole = b.bit_and(beyond, b.compare("eq", call.rows, self.height))
        with b.branch(whole) as (straight, other):
            with straight:
                self.store_straight(sums)
            with other:
                self.store_by_rows(sums)

    def product(self) -> list[Value]:
        """The accumulators after all positions."""
        b, call, shape = self.b, self.call, self.shape
        panel = Panel(call.panel, call.pitch, call.grad, self.grad_step(), call.depth)
        start = zero_accumulators(shape, self.height)
        return tile_product(b, shape, self.height, "column", panel, start)

    def grad_step(self) -> Value:
        return self.b.value(self.shape.columns)

    def place(self, r: Value | int, v: Value | int) -> Value:
        b, shape = self.b, self.shape
        moved = b.add(b.multiply(self.call.vector_step, v), b.multiply(b.value(r), shape.lanes))
        return b.element_pointer(self.call.c, moved, shape.element)

    def put(self, pairs: list[tuple[Value, Value]]) -> None:
        """Store the sums at their places, or add them."""
        b = self.b
        with b.branch(b.compare("ne", self.call.first, 0)) as (fresh, added):
            with fresh:
                for total, place in pairs:
                    b.store(total, place)
            with added:
                for total, place in pairs:
                    b.store(b.add(b.load(self.shape.kind, place), total), place)

    def store_straight(self, sums: list[Value]) -> None:
        vectors = self.shape.vectors
        self.put([(total, self.place(*divmod(n, vectors))) for n, total in enumerate(sums)])

    def store_by_rows(self, sums: list[Value]) -> None:
        """By way of the stack: fewer rows, or fewer vectors of filters."""
        b, shape = self.b, self.shape
        stack = b.allocate(shape.element, self.height * shape.columns)
        for number, total in enumerate(sums):
            place = b.element_pointer(stack, number * shape.lanes, shape.element)
            b.store(total, place, shape.lanes * shape_bytes(shape))
        vectors = b.divide(b.add(self.call.columns, shape.lanes - 1), shape.lanes)
        with b.loop(0, self.call.rows) as r, b.loop(0, b.minimum(vectors, shape.vectors)) as v:
            parked = b.add(b.multiply(r, shape.columns), b.multiply(v, shape.lanes))
            self.put([(b.load_element(shape.kind, stack, parked), self.place(r, v))])


class FlowSpanTile(SpanTile):
    """The same, with the gradient's rows where they lie or in a panel."""

    stem = "flow_span_tile"

    def grad_step(self) -> Value:
        return self.call.grad_step


class WholeSpanTile(SpanTile):
    """The same without edges: all rows and columns are stored, there is room for them."""

    def write_tile(self) -> None:
        """One register tile."""
        self.store_straight(self.product())
