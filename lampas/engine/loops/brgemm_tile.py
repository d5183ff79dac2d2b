"""The register tile of the matrix product: `height` rows × `vectors` vectors of accumulators.

The inner loop adds, for every k, the product of one element of A for each row (broadcast to all lanes) and the
vectors of one row of B:

    accumulator[r][v] += A[r, k] · B[k, v]        (one fused multiply-add each)

A is read in one of two ways: "row" (k runs along memory, rows lie a run-time stride apart) or "column" (the rows of a
tile lie side by side, consecutive k a stride apart; packed A is this with the tile's own height as the stride). The
tile's shape fills the register file: accumulators, the vectors of B, and one register for the broadcast (the scheme
of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Value, constant, vector

Access = Literal["row", "column", "packed"]
UNROLL = 4
MOST_WIDE_ROWS = 4
STEPS_AHEAD = 16  # how far a wide tile, which only streams B, asks for it beforehand


class TileShape(NamedTuple):
    """Rows and vectors of the largest tile of a target, for one element type; `streams` where B passes by but once."""

    element: str
    lanes: int
    rows: int
    vectors: int
    fma: bool
    streams: bool = False

    @property
    def columns(self) -> int:
        """Elements across the tile."""
        return self.lanes * self.vectors

    @property
    def kind(self) -> str:
        """The vector type of an accumulator."""
        return vector(self.element, self.lanes)


ROWS = {1: (14, 14, 12, 10), 2: (14, 12, 6, 5), 3: (9, 8, 4, 3)}
"""Rows of a tile by its vectors: with 32 registers of 64 bytes, with 32, with multiply-add, without."""


def tile_shape(target: Target, element: str, vectors: int = 2) -> TileShape:
    """Choose the tile that fills a target's registers."""
    if target.registers >= 32:
        machine = 0 if target.vector_bytes == 64 else 1
    else:
        machine = 2 if target.fma else 3
    rows = ROWS[vectors][machine]
    return TileShape(element, target.lanes(element), rows, vectors, target.fma)


def vectors_across(columns: int, lanes: int) -> int:
    """How many vectors a tile had better be wide for so many columns: two, where another width does not waste fewer.

    >>> [vectors_across(columns, 8) for columns in (6, 16, 24, 32, 40, 72, 96)]
    [1, 2, 3, 2, 2, 3, 2]
    """
    whole = -(-columns // lanes)
    if whole == 1:
        return 1
    return 3 if whole % 3 == 0 and whole % 2 else 2


def wide_shape(target: Target, element: str, rows: int) -> TileShape:
    """Choose the tile for products of at most MOST_WIDE_ROWS rows: as wide as the registers allow."""
    lanes = target.lanes(element)
    plenty = {1: 8, 2: 8, 3: 6, 4: 5}
    scarce = {1: 8, 2: 4, 3: 3, 4: 2}
    vectors = (plenty if target.registers >= 32 else scarce)[rows]
    return TileShape(element, lanes, rows, vectors, target.fma, streams=True)


class Panel(NamedTuple):
    """One tile's view of its operands: base addresses and strides in elements."""

    a: Value
    a_stride: Value  # between rows for "row", between consecutive k for "column"
    b: Value
    b_stride: Value  # between consecutive k
    depth: Value


def tile_product(
    b: Builder, shape: TileShape, height: int, access: Access, panel: Panel, start: list[Value]
) -> list[Value]:
    """Emit the k loop; return the accumulators, row by row, starting from `start`."""
    stride = panel.a_stride if access != "packed" else b.value(height)
    writer = TileWriter(b, shape, height, access, stride, panel.b_stride)
    pointers = writer.first_pointers(panel.a)
    state = unrolled(b, panel.depth, [panel.b, *pointers, *start], writer.steps)
    return state[1 + len(pointers) :]


def unrolled(
    b: Builder,
    depth: Value,
    start: list[Value],
    steps: Callable[[list[Value], int, Value], list[Value]],
) -> list[Value]:
    """The state after `depth` steps, some of them together: `steps(state, how many, the first)` advances it."""
    whole = b.bit_and(depth, -UNROLL)
    with b.carrying_loop(0, whole, UNROLL, start) as loop:
        loop.carry(steps(list(loop.values), UNROLL, loop.index))
    with b.carrying_loop(whole, depth, 1, loop.results) as rest:
        rest.carry(steps(list(rest.values), 1, rest.index))
    return list(rest.results)


class TileWriter:
    """Emits k steps of a tile; B's vectors lie side by side, or `vector_step` elements apart."""

    def __init__(
        self,
        b: Builder,
        shape: TileShape,
        height: int,
        access: Access,
        a: Value,
        b_stride: Value,
        vector_step: Value | None = None,
    ) -> None:
        self.b, self.shape, self.height, self.access = b, shape, height, access
        self.a_stride, self.b_stride, self.vector_step = a, b_stride, vector_step

    def first_pointers(self, a: Value) -> list[Value]:
        """Return the pointers that walk A: one, or for "row" one for every third row.

        The two rows after it are reached by x86's base + index addressing; a pointer for each row would not fit the
        registers.
        """
        if self.access != "row":
            return [a]
        thrice = self.b.multiply(self.a_stride, 3)
        found = [a]
        for _ in range(3, self.height, 3):
            found.append(self.b.element_pointer(found[-1], thrice, self.shape.element))
        return found

    def steps(self, state: list[Value], count: int, first: Value | None = None) -> list[Value]:
        """Advance `count` steps; state is (B pointer, A pointers …, accumulators …), which tells where they begin."""
        b, shape = self.b, self.shape
        split = len(state) - self.height * shape.vectors
        row, pointers, sums = state[0], state[1:split], list(state[split:])
        for step in range(count):
            places = self.vector_places(row)
            vectors = [b.load(shape.kind, place) for place in places]
            if shape.streams:
                self.look_ahead(places)
            for r in range(self.height):
                place = self.broadcast_place(pointers, r, step)
                lone = b.splat(b.load(shape.element, place), shape.kind)
                for v, loaded in enumerate(vectors):
                    index = r * shape.vectors + v
                    sums[index] = self.accumulate(lone, loaded, sums[index])
            row = b.element_pointer(row, self.b_stride, shape.element)
            if self.access != "row":
                pointers = [b.element_pointer(pointers[0], self.a_stride, shape.element)]
            elif step + 1 < count:
                # Loads may not cross this: fetched early, they would push accumulators out of the registers.
                b.line('call void asm sideeffect "", "~{memory}"()')
        if self.access == "row":
            pointers = [self.opaque(b.element_pointer(p, count, shape.element)) for p in pointers]
        return [row, *pointers, *sums]

    def vector_places(self, row: Value) -> list[Value]:
        """The addresses of B's vectors."""
        b, shape = self.b, self.shape
        if self.vector_step is None:
            return [
                b.element_pointer(row, v * shape.lanes, shape.element) for v in range(shape.vectors)
            ]
        found = [row]
        for _ in range(1, shape.vectors):
            moved = b.element_pointer(found[-1], self.vector_step, shape.element, inside=False)
            found.append(moved)
        return found

    def opaque(self, pointer: Value) -> Value:
        """Hide how a pointer came about, lest LLVM trades it for one pointer a row."""
        return self.b.emit(f'call ptr asm "", "=r,0"({pointer})', "ptr")

    def look_ahead(self, places: list[Value]) -> None:
        b = self.b
        distance = b.multiply(self.b_stride, STEPS_AHEAD)
        for place in places:
            b.prefetch(b.element_pointer(place, distance, self.shape.element, inside=False))

    def accumulate(self, lone: Value, loaded: Value, total: Value) -> Value:
        if self.shape.fma:
            return self.b.fma(lone, loaded, total)
        return self.b.add(self.b.multiply(lone, loaded), total)

    def broadcast_place(self, pointers: list[Value], r: int, step: int) -> Value:
        """Return the address of A's element in row `r`, `step` steps on."""
        b, element = self.b, self.shape.element
        if self.access != "row":
            return b.element_pointer(pointers[0], r, element)
        place, beyond = pointers[r // 3], r % 3
        if beyond:
            place = b.element_pointer(place, b.shift_left(self.a_stride, beyond - 1), element)
        return b.element_pointer(place, step, element)


def zero_accumulators(shape: TileShape, height: int) -> list[Value]:
    """Return the accumulators of an empty sum."""
    return [constant(0, shape.kind)] * (height * shape.vectors)


def transpose(b: Builder, rows: list[Value]) -> list[Value]:
    """Transpose a square of vectors in registers: log2(lanes) rounds of exchanging blocks.

    In round d, lane j of row i trades places with lane j - d of row i + d wherever i has bit d clear and j set.
    """
    lanes = len(rows)
    distance = lanes // 2
    while distance:
        keep = [j if not j & distance else j - distance + lanes for j in range(lanes)]
        rest = [j + distance if not j & distance else j + lanes for j in range(lanes)]
        swapped = list(rows)
        for i in range(lanes):
            if not i & distance:
                upper, lower = rows[i], rows[i + distance]
                swapped[i] = b.shuffle(upper, lower, keep)
                swapped[i + distance] = b.shuffle(upper, lower, rest)
        rows, distance = swapped, distance // 2
    return rows
