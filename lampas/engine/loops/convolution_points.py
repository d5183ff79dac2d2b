"""The register tile of a convolution over few values: inputs are read where they lie.

    sums[r, k] = Σ over values v:   image[place[r] + offset[v]] · weight[row[v], k]

To gather the three neighbours of a gray image's point takes longer than to multiply them by sixteen filters.  Here each row of
the tile has a pointer to its place in the image, and a table gives each value's offset from it and its row of the weight.
"""

from __future__ import annotations

import functools

from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.loops.brgemm_arguments import Operand
from lampas.engine.loops.brgemm_store import Epilogue, shape_bytes
from lampas.engine.loops.brgemm_tile import TileShape, unrolled, zero_accumulators
from lampas.engine.loops.convolution_tile import RUN_WORDS, SegmentTile


def words_of_row(shape: TileShape) -> int:
    """The elements that one place takes in its table."""
    return 8 // shape_bytes(shape)


def add_products(
    b: Builder,
    shape: TileShape,
    rows: list[Value],
    offset: Value,
    vectors: list[Value],
    sums: list[Value],
) -> list[Value]:
    """The accumulators after the products of one element for each row, so far from its pointer, with some vectors."""
    found: list[Value] = []
    for r, pointer in enumerate(rows):
        spot = b.element_pointer(pointer, offset, shape.element, inside=False)
        lone = b.splat(b.load(shape.element, spot), shape.kind)
        own = sums[r * shape.vectors : (r + 1) * shape.vectors]
        for loaded, total in zip(vectors, own, strict=True):
            if shape.fma:
                found.append(b.fma(lone, loaded, total))
            else:
                found.append(b.add(b.multiply(lone, loaded), total))
    return found


def settled(b: Builder, sums: list[Value], registers: str) -> list[Value]:
    """The accumulators, after all that was written before.

    Loads and products that were mixed with those of the next values would push accumulators out of the registers.
    """
    count = len(sums)
    if not registers:
        b.line('call void asm sideeffect "", "~{memory}"()')
        return sums
    kinds = ", ".join(each.type for each in sums)
    places = [f"={registers}"] * count + [str(n) for n in range(count)] + ["~{memory}"]
    listed = ", ".join(str(each) for each in sums)
    call = f'call {{ {kinds} }} asm sideeffect "", "{",".join(places)}"({listed})'
    found = b.emit(call, f"{{ {kinds} }}")
    return [b.emit(f"extractvalue {found}, {n}", each.type) for n, each in enumerate(sums)]


class PointTile(SegmentTile):
    """The same, with a table of places for the panel and one of values for the runs; rows beyond the last repeat it.

    `registers` is how inline assembly asks for a register where they are scarce.
    """

    def __init__(
        self,
        module: Module,
        shape: TileShape,
        height: int,
        epilogue: Epilogue | None,
        registers: str,
    ) -> None:
        self.registers = registers
        super().__init__(module, shape, height, epilogue)

    def product(self) -> list[Value]:
        """The accumulators after all values."""
        b, call, shape = self.b, self.call, self.shape
        image = b.load_element("ptr", call.operands, Operand.A)
        last = b.subtract(call.rows, 1)
        places = [
            b.load_element("i64", call.panel, b.minimum(b.value(r), last))
            for r in range(self.height)
        ]
        rows = [b.element_pointer(image, place, shape.element, inside=False) for place in places]
        start = zero_accumulators(shape, self.height)
        return unrolled(b, call.segments, start, functools.partial(self.add_values, rows))

    def add_values(
        self, rows: list[Value], sums: list[Value], count: int, first: Value
    ) -> list[Value]:
        """Add the products of `count` values from the first on."""
        b, call, shape = self.b, self.call, self.shape
        words = b.element_pointer(call.runs, b.multiply(first, RUN_WORDS), "i64")
        for step in range(count):
            offset = b.load_element("i64", words, RUN_WORDS * step)
            row = b.load_element("i64", words, RUN_WORDS * step + 1)
            weight = b.multiply(row, shape.lanes)
            vectors: list[Value] = []
            for _ in range(shape.vectors):
                vectors.append(b.load(shape.kind, b.element_pointer(call.weight, weight, shape.element, inside=False)))  # fmt: skip
                weight = b.add(weight, call.vector_step)
            sums = settled(b, add_products(b, shape, rows, offset, vectors, sums), self.registers)
        return sums
