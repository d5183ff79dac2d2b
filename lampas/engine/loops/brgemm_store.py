"""From a finished register tile to C: partial sums, epilogue, edges, transposition.

`TileFunction` writes the function that computes one tile and stores it. A tile that is whole, final and has no
epilogue goes straight from the registers to C. Any other passes through a small array on the stack and is then
finished vector by vector in a loop, so that an epilogue's code is emitted once, however many accumulators there are.

`Layout` tells how the tile lies in C: with "across" the tile's vectors lie along C's contiguous columns; with "along"
the tile's *rows* do (the operands were swapped to spare packing the big one), and the tile is transposed on its way.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from lampas.engine.llvm.text import Builder, Module, Value, lanes_of, undefined, vector
from lampas.engine.loops.brgemm_arguments import Integer
from lampas.engine.loops.brgemm_tile import (
    Access,
    Panel,
    TileShape,
    tile_product,
    transpose,
    zero_accumulators,
)

Layout = Literal["across", "along"]

# Flags of a tile call: no earlier block of K was stored; no later block will come.
FIRST, LAST = 1, 2


class Place(NamedTuple):
    """Where in C a vector of sums stands, and what an epilogue may read there.

    `row` and `column` are those of the first lane; lanes run along columns. `mask` is None for a whole vector.
    `batch` holds the two batch indices. `operands` and `integers` are the kernel's argument arrays.
    """

    row: Value
    column: Value
    mask: Value | None
    batch: tuple[Value, Value]
    operands: Value
    integers: Value


class Epilogue(Protocol):
    """What is done to the sums before they are stored.

    Equal epilogues are the same code. `operands` and `integers` are how many it appends to the kernel's arrays; its first
    ones stand at `FIRST_OPERAND` and `FIRST_INTEGER` (brgemm_arguments.py). `emit` returns the vector to store.
    """

    @property
    def operands(self) -> int: ...

    @property
    def integers(self) -> int: ...

    def emit(self, b: Builder, sums: Value, place: Place) -> Value: ...


class TileCall(NamedTuple):
    """The arguments of a tile function, in order; `tiles` of them lie one below the other."""

    a: Value
    a_stride: Value
    b: Value
    b_stride: Value
    depth: Value
    c: Value
    c_stride: Value
    columns: Value
    flags: Value
    row: Value
    column: Value
    batch0: Value
    batch1: Value
    operands: Value
    integers: Value
    tiles: Value


# fmt: off
TILE_PARAMETERS = (
    ("ptr", "a"), ("i64", "a_stride"), ("ptr", "b"), ("i64", "b_stride"), ("i64", "depth"), ("ptr", "c"),
    ("i64", "c_stride"), ("i64", "columns"), ("i64", "flags"), ("i64", "row"), ("i64", "column"),
    ("i64", "batch0"), ("i64", "batch1"), ("ptr", "operands"), ("ptr", "integers"), ("i64", "tiles"),
)
# fmt: on


class TileFunction:
    """Writes ``void tile<height>(…)`` for one height: some tiles, one below the other."""

    def __init__(
        self,
        module: Module,
        shape: TileShape,
        height: int,
        access: Access,
        layout: Layout,
        c_element: str,
        epilogue: Epilogue | None,
    ) -> None:
        self.shape, self.height, self.epilogue = shape, height, epilogue
        self.access: Access = access
        self.layout: Layout = layout
        self.c_element = c_element
        self.name = f"tile{height}"
        self.b = module.function(self.name, TILE_PARAMETERS, internal=True)
        self.call = TileCall(*self.b.arguments)
        self.write()

    def write(self) -> None:
        """All tiles that a call asks for: a call for each would take as long as some dozen steps of the depth."""
        b, call, height = self.b, self.call, self.height
        down, below = (
            b.multiply(b.load_element("i64", call.integers, place), height)
            for place in (Integer.A_ROW, Integer.C_TILE_ROW)
        )
        with b.carrying_loop(0, call.tiles, 1, [call.a, call.c, call.row]) as loop:
            a, c, row = loop.values
            self.call = call._replace(a=a, c=c, row=row)
            self.write_tile()
            loop.carry(
                [
                    b.element_pointer(a, down, self.shape.element),
                    b.element_pointer(c, below, self.c_element),
                    b.add(row, height),
                ]
            )
        b.ret()

    def write_tile(self) -> None:
        """One tile."""
        b, call, shape = self.b, self.call, self.shape
        panel = Panel(call.a, call.a_stride, call.b, call.b_stride, call.depth)
        start = zero_accumulators(shape, self.height)
        sums = tile_product(b, shape, self.height, self.access, panel, start)
        whole = b.compare("sge", call.columns, shape.columns)
        if self.layout == "along":
            self.store_along(sums)
        elif self.c_element == shape.element:
            with b.branch(self.is_straight(whole)) as (straight, other):
                with straight:
                    self.store_straight(sums)
                with other:
                    self.store_across(sums, whole)
        else:
            self.store_across(sums, whole)

    def is_straight(self, whole: Value) -> Value:
        """Return whether the sums of a tile can be stored (or added) as they are."""
        if self.epilogue is None:
            return whole
        unfinished = self.b.compare("eq", self.b.bit_and(self.call.flags, LAST), 0)
        return self.b.bit_and(whole, unfinished)

    def c_row(self, index: Value | int) -> Value:
        """Return the address of a row of the tile in C (of a column for "along")."""
        return self.b.element_pointer(
            self.call.c, self.b.multiply(self.call.c_stride, index), self.c_element
        )

    def store_straight(self, sums: list[Value]) -> None:
        """Store from the registers, or add to what earlier blocks of K left in C."""
        b, shape = self.b, self.shape
        places: list[Value] = []
        for r in range(self.height):
            row = self.c_row(r)
            offsets = [v * shape.lanes for v in range(shape.vectors)]
            places += [b.element_pointer(row, offset, shape.element) for offset in offsets]
        first = b.compare("ne", b.bit_and(self.call.flags, FIRST), 0)
        with b.branch(first) as (fresh, added):
            with fresh:
                for total, place in zip(sums, places, strict=True):
                    b.store(total, place)
            with added:
                for total, place in zip(sums, places, strict=True):
                    b.store(b.add(b.load(shape.kind, place), total), place)

    # ---- vectors across C's columns ---------------------------------------------------------------------------

    def store_across(self, sums: list[Value], whole: Value) -> None:
        b, shape = self.b, self.shape
        stack = b.allocate(shape.element, self.height * shape.columns)
        for number, total in enumerate(sums):
            place = b.element_pointer(stack, number * shape.lanes, shape.element)
            b.store(total, place, shape.lanes * shape_bytes(shape))
        with b.branch(whole) as (full, partial):
            with full:
                self.finish_rows(stack, masked=False)
            with partial:
                self.finish_rows(stack, masked=True)

    def finish_rows(self, stack: Value, masked: bool) -> None:
        """Vector by vector; whole rows at once where there is an epilogue, so that its long chains overlap."""
        b, shape, call = self.b, self.shape, self.call
        wide = self.epilogue is not None and not masked
        step = shape.columns if wide else shape.lanes
        kind = vector(shape.element, step)
        with b.loop(0, self.height) as r, b.loop(0, shape.columns, step) as offset:
            from_stack = b.add(b.multiply(r, shape.columns), offset)
            total = b.load_element(kind, stack, from_stack)
            left = b.subtract(call.columns, offset)
            mask = b.lane_mask(shape.lanes, left) if masked else None
            target = b.element_pointer(self.c_row(r), offset, self.c_element)
            place = self.place(b.add(call.row, r), b.add(call.column, offset), mask)
            self.finish(total, target, place, left if masked else None)

    def place(self, row: Value, column: Value, mask: Value | None) -> Place:
        call = self.call
        batch = call.batch0, call.batch1
        return Place(row, column, mask, batch, call.operands, call.integers)

    def finish(self, total: Value, target: Value, place: Place, left: Value | None = None) -> None:
        """Add earlier partial sums, apply the epilogue if this is the last block of K, store one vector."""
        b, flags = self.b, self.call.flags
        if self.c_element == self.shape.element and self.layout == "across":
            first = b.compare("ne", b.bit_and(flags, FIRST), 0)
            entry, more, joined = b.block, b.label("more"), b.label("joined")
            b.line(f"br {first}, label %{joined}, label %{more}")
            b.begin(more)
            added = b.add(read_vector(b, total.type, target, place.mask), total)
            b.line(f"br label %{joined}")
            b.begin(joined)
            total = b.phi([(total, entry), (added, more)])
        if self.epilogue is None:
            write_vector(b, total, target, place.mask, left)
            return
        last = b.compare("ne", b.bit_and(flags, LAST), 0)
        with b.branch(last) as (final, unfinished):
            with final:
                result = self.epilogue.emit(b, total, place)
                write_vector(b, result, target, place.mask, left)
            with unfinished:
                if self.c_element == self.shape.element:
                    write_vector(b, total, target, place.mask, left)

    # ---- rows of the tile along C's columns -------------------------------------------------------------------

    def store_along(self, sums: list[Value]) -> None:
        """Transpose in squares of lanes × lanes and store C's rows."""
        b, shape, lanes = self.b, self.shape, self.shape.lanes
        width = lanes * shape_bytes(shape)
        stack = b.allocate(shape.element, self.height * shape.columns)
        turned = b.allocate(shape.element, lanes * shape.columns)
        for number, total in enumerate(sums):
            b.store(total, b.element_pointer(stack, number * lanes, shape.element), width)
        for top in range(0, self.height, lanes):
            used = min(lanes, self.height - top)
            with b.loop(0, shape.columns, lanes) as first:
                places = [b.add(first, (top + i) * shape.columns) for i in range(used)]
                square = [b.load_element(shape.kind, stack, place) for place in places]
                square += [undefined(shape.kind)] * (lanes - used)
                for j, row in enumerate(transpose(b, square)):
                    place = b.multiply(b.add(first, j), lanes)
                    b.store(row, b.element_pointer(turned, place, shape.element), width)
            self.finish_columns(turned, top, used)

    def finish_columns(self, stack: Value, top: int, used: int) -> None:
        b, shape, call = self.b, self.shape, self.call
        mask = None
        if used < shape.lanes:
            mask = b.lane_mask(shape.lanes, used)
        with b.loop(0, b.minimum(call.columns, shape.columns)) as j:
            total = b.load_element(shape.kind, stack, b.multiply(j, shape.lanes))
            target = b.element_pointer(self.c_row(j), top, self.c_element)
            place = self.place(b.add(call.column, j), b.add(call.row, top), mask)
            self.finish(total, target, place)


def read_vector(b: Builder, kind: str, source: Value, mask: Value | None) -> Value:
    """Load a vector, or those of its lanes that a mask allows."""
    return b.load(kind, source) if mask is None else b.masked_load(kind, source, mask)


def write_vector(
    b: Builder, value: Value, target: Value, mask: Value | None, left: Value | None = None
) -> None:
    """Store a vector, or those of its lanes that a mask allows: the first `left`, if that is told.

    A store under a mask takes a dozen cycles on some processors of 32-byte vectors: whole vectors are told apart.
    """
    if mask is None:
        b.store(value, target)
    elif left is None:
        b.masked_store(value, target, mask)
    else:
        with b.branch(b.compare("sge", left, lanes_of(value.type))) as (whole, part):
            with whole:
                b.store(value, target)
            with part:
                b.masked_store(value, target, mask)


def shape_bytes(shape: TileShape) -> int:
    """Return the size of one element of a tile in bytes."""
    return 8 if shape.element == "double" else 4
