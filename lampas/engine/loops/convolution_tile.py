"""The register tile of a convolution: rows are positions, columns are filters, the depth comes in segments.

    sums[r, k] = Σ over segments s, i < length:   panel[r, s·length + i] · weight[first[s] + i, k]

The panel (rows of input values, side by side for all segments) lies in the thread's scratch memory; the weight is
blocked by vectors of filters: [vector of filters][tap and channel][lane].  A table gives the place of each row in the
result.  This is a batch-reduce product (Georganas et al., arXiv 1906.06440): the segments are its batch.
"""

from __future__ import annotations

from typing import NamedTuple

from lampas.engine.llvm.text import Builder, Module, Value, vector
from lampas.engine.loops.brgemm_store import (
    FIRST,
    LAST,
    Epilogue,
    Place,
    read_vector,
    shape_bytes,
    write_vector,
)
from lampas.engine.loops.brgemm_tile import TileShape, TileWriter, unrolled, zero_accumulators

# fmt: off
TILE_PARAMETERS = (
    ("ptr", "panel"), ("i64", "pitch"), ("ptr", "runs"), ("i64", "segments"), ("i64", "length"), ("ptr", "weight"),
    ("i64", "vector_step"), ("ptr", "c"), ("i64", "c_row"), ("ptr", "positions"), ("i64", "rows"), ("i64", "columns"),
    ("i64", "column"), ("i64", "flags"), ("ptr", "operands"), ("ptr", "integers"),
)
# fmt: on
RUN_WORDS = 2  # of a run: offset in the image, row of the weight


class TileValues(NamedTuple):
    """The arguments of a tile function, in order."""

    panel: Value
    pitch: Value
    runs: Value
    segments: Value
    length: Value
    weight: Value
    vector_step: Value
    c: Value
    c_row: Value
    positions: Value
    rows: Value
    columns: Value
    column: Value
    flags: Value
    operands: Value
    integers: Value


class SegmentTile:
    """Writes ``void segment_tile<height>(…)``, which does all `rows`, one register tile below the other.

    Of the last tile all `height` rows are computed, and those stored that are left; of the columns, `columns` are left.
    """

    def __init__(
        self, module: Module, shape: TileShape, height: int, epilogue: Epilogue | None
    ) -> None:
        self.shape, self.height, self.epilogue = shape, height, epilogue
        self.name = f"segment_tile{height}"
        self.b = module.function(self.name, TILE_PARAMETERS, internal=True)
        self.call = TileValues(*self.b.arguments)
        self.write()

    def write(self) -> None:
        b, call, height = self.b, self.call, self.height
        with b.loop(0, call.rows, height) as row:
            left = b.minimum(b.subtract(call.rows, row), height)
            self.call = self.from_row(b, call, row, left)
            self.write_tile()
        b.ret()

    def from_row(self, b: Builder, call: TileValues, row: Value, rows: Value) -> TileValues:
        """The arguments for `rows` rows from a row of the panel on."""
        source = b.element_pointer(call.panel, b.multiply(row, call.pitch), self.shape.element)
        places = b.element_pointer(call.positions, row, "i64")
        return call._replace(panel=source, positions=places, rows=rows)

    def write_tile(self) -> None:
        """One register tile."""
        b, call, shape = self.b, self.call, self.shape
        sums = self.product()
        enough = b.compare("sge", call.columns, shape.columns)
        whole = b.bit_and(enough, b.compare("eq", call.rows, self.height))
        if self.epilogue is not None:
            unfinished = b.compare("eq", b.bit_and(call.flags, LAST), 0)
            whole = b.bit_and(whole, unfinished)
        with b.branch(whole) as (straight, other):
            with straight:
                self.store_straight(sums)
            with other:
                self.store_by_rows(sums)

    # ---- the product ----------------------------------------------------------------------------------------

    def product(self) -> list[Value]:
        """The accumulators after all segments."""
        b, call, shape = self.b, self.call, self.shape
        stride = b.value(shape.lanes)
        writer = TileWriter(b, shape, self.height, "row", call.pitch, stride, call.vector_step)
        pointers = writer.first_pointers(call.panel)
        start = [*pointers, *zero_accumulators(shape, self.height)]
        with b.carrying_loop(0, call.segments, 1, start) as segments:
            place = b.add(b.multiply(segments.index, RUN_WORDS), 1)
            first = b.load_element("i64", call.runs, place)
            row = b.element_pointer(
                call.weight, b.multiply(first, shape.lanes), shape.element, inside=False
            )
            state = unrolled(b, call.length, [row, *segments.values], writer.steps)
            segments.carry(state[1:])
        return segments.results[len(pointers) :]

    # ---- storing --------------------------------------------------------------------------------------------

    def c_row(self, r: Value | int) -> tuple[Value, Value]:
        """The position of a row of the tile, and its address in C at the tile's first column."""
        b, call = self.b, self.call
        position = b.load_element("i64", call.positions, r)
        offset = b.add(b.multiply(position, call.c_row), call.column)
        return position, b.element_pointer(call.c, offset, self.shape.element)

    def is_first(self) -> Value:
        return self.b.compare("ne", self.b.bit_and(self.call.flags, FIRST), 0)

    def store_straight(self, sums: list[Value]) -> None:
        """Store whole rows from the registers, or add to what earlier segments left in C."""
        b, shape = self.b, self.shape
        places: list[Value] = []
        for r in range(self.height):
            _, row = self.c_row(r)
            places += [
                b.element_pointer(row, v * shape.lanes, shape.element) for v in range(shape.vectors)
            ]
        with b.branch(self.is_first()) as (fresh, added):
            with fresh:
                for total, place in zip(sums, places, strict=True):
                    b.store(total, place)
            with added:
                for total, place in zip(sums, places, strict=True):
                    b.store(b.add(b.load(shape.kind, place), total), place)

    def store_by_rows(self, sums: list[Value]) -> None:
        """Park the sums on the stack and finish them vector by vector: edges and epilogues."""
        b, shape, call = self.b, self.shape, self.call
        stack = b.allocate(shape.element, self.height * shape.columns)
        for number, total in enumerate(sums):
            place = b.element_pointer(stack, number * shape.lanes, shape.element)
            b.store(total, place, shape.lanes * shape_bytes(shape))
        with b.branch(b.compare("sge", call.columns, shape.columns)) as (whole, partial):
            with whole:
                self.finish_rows(stack, shape.columns, True)
            with partial:
                self.finish_rows(stack, shape.lanes, False)

    def finish_rows(self, stack: Value, step: int, wide: bool) -> None:
        """Finish the parked sums, whole rows at once (their long chains overlap) or masked vectors."""
        b, shape, call = self.b, self.shape, self.call
        stop = b.value(step) if wide else b.minimum(call.columns, shape.columns)
        with b.loop(0, call.rows) as r:
            position, row = self.c_row(r)
            with b.loop(0, stop, step) as offset:
                kind = vector(shape.element, step)
                total = b.load_element(kind, stack, b.add(b.multiply(r, shape.columns), offset))
                left = None if wide else b.subtract(call.columns, offset)
                mask = None if left is None else b.lane_mask(step, left)
                target = b.element_pointer(row, offset, shape.element)
                column = b.add(call.column, offset)
                zeros = b.value(0), b.value(0)
                place = Place(position, column, mask, zeros, call.operands, call.integers)
                self.finish(total, target, place, left)

    def finish(self, total: Value, target: Value, place: Place, left: Value | None) -> None:
        """Add earlier sums, apply the epilogue where these are the last ones, store one vector."""
        b, mask = self.b, place.mask
        entry, more, joined = b.block, b.label("more"), b.label("joined")
        b.line(f"br {self.is_first()}, label %{joined}, label %{more}")
        b.begin(more)
        added = b.add(read_vector(b, total.type, target, mask), total)
        b.line(f"br label %{joined}")
        b.begin(joined)
        total = b.phi([(total, entry), (added, more)])
        if self.epilogue is None:
            write_vector(b, total, target, mask, left)
            return
        last = b.compare("ne", b.bit_and(self.call.flags, LAST), 0)
        with b.branch(last) as (final, unfinished):
            with final:
                write_vector(b, self.epilogue.emit(b, total, place), target, mask, left)
            with unfinished:
                write_vector(b, total, target, mask, left)
