"""Planning a matrix product: which operand feeds the vectors, what is packed, how the work is cut.

`Problem` says what to compute; `candidates` lists the ways to do it, `estimate` weighs them with a few measured costs,
and `build_plan` turns the chosen `Choice` into kernel calls. A choice depends on sizes, strides and the target alone,
never on the number of threads, so results do not either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target
from lampas.engine.loops.brgemm_arguments import COPY_ALL, COPY_NARROW
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_store import Layout
from lampas.engine.loops.brgemm_tile import Access, TileShape, tile_shape

Feed = Literal["direct", "copy", "pack"]

# Costs on one core, in nanoseconds; only their ratios matter.
TILE_STEP = 0.30  # one row of a tile, one step of k
TILE_START = 45.0  # entering and leaving a tile
COPIED = 0.06  # an element moved in vectors
TURNED = 0.17  # an element transposed in registers
PICKED = 1.2  # an element moved alone
FIGHT = 1.35  # slowdown when the rows of a tile fall into the same cache sets
SWAPPED = 90.0  # transposing a tile on its way to C
RECORD = 1500.0  # a record of its own
DEPTH_BLOCK = 512
CACHE_WAY = 4096  # bytes between addresses that share a set of the first cache
PANEL_BYTES = 1 << 19  # a panel of B that should stay in the second cache
UNITS_WANTED = 32


@dataclass(frozen=True)
class Matrix:
    """Strides in elements: between rows, between columns, and of the two batch dimensions."""

    row: int
    column: int
    batch: tuple[int, int] = (0, 0)
    kind: dtype | None = None

    @property
    def turned(self) -> Matrix:
        return replace(self, row=self.column, column=self.row)


@dataclass(frozen=True)
class Problem:
    """C[m, n] = epilogue(Σ_k A[m, k]·B[k, n]) for each of batch[0] × batch[1] matrices."""

    m: int
    n: int
    k: int
    a: Matrix
    b: Matrix
    c: Matrix
    batch: tuple[int, int]
    element: str
    c_element: str
    epilogue: NestEpilogue | None = None

    @property
    def turned(self) -> Problem:
        """The same problem for the transposes: C′ = B′·A′."""
        return replace(self, m=self.n, n=self.m, a=self.b.turned, b=self.a.turned, c=self.c.turned)

    @property
    def batches(self) -> int:
        return self.batch[0] * self.batch[1]


@dataclass(frozen=True)
class Choice:
    """One way to compute a problem (the turned one for layout "along")."""

    layout: Layout
    access: Access
    feed: Feed
    unit_tiles: int
    unit_panels: int
    depth_block: int


@dataclass(frozen=True)
class Cut:
    """How a problem's rows and columns are cut into tiles and panels."""

    height: int
    tiles: int
    tall: int
    panels: int


def cut_of(problem: Problem, shape: TileShape) -> Cut:
    """Spread the rows evenly over as few tiles as will do.

    >>> cut_of  # 64 rows and tiles of at most 14: four of 13 and one of 12
    """
    tiles = -(-problem.m // shape.rows)
    height = -(-problem.m // tiles)
    tall = problem.m - tiles * (height - 1)
    return Cut(height, tiles, tall if height > 1 else tiles, -(-problem.n // shape.columns))


def plain_access(matrix: Matrix, problem: Problem) -> Access | None:
    """Return how A can be read where it lies, or None if it must be packed."""
    if matrix.kind is not None and plain_element(matrix.kind) != problem.element:
        return None
    if matrix.column == 1 or problem.k == 1:
        return "row"
    return "column" if matrix.row == 1 or problem.m == 1 else None


def plain_element(kind: dtype) -> str:
    """Return the element type that a dtype has where no conversion is needed."""
    return {"float32": "float", "float64": "double"}.get(kind.name, "")


def fights(stride: int, problem: Problem) -> bool:
    """Tell whether neighbours `stride` elements apart share a cache set."""
    return stride * element_bytes(problem.element) % CACHE_WAY == 0 and stride > 0


def element_bytes(element: str) -> int:
    return 8 if element == "double" else 4


def candidates(problem: Problem, target: Target) -> list[Choice]:
    """List the sensible ways; the first costs least by `estimate` is taken."""
    found: list[Choice] = []
    shape = tile_shape(target, problem.element)
    layouts: list[Layout] = []
    if problem.c.column == 1 or problem.n == 1:
        layouts.append("across")
        if problem.c.row != 1 or problem.m == 1:
            layouts.append("along")
    for layout in layouts:
        turned = problem if layout == "across" else problem.turned
        access = plain_access(turned.a, turned)
        ways: list[Access] = ["packed"] if access is None else [access, "packed"]
        for way in ways:
            for feed in feeds(turned):
                found.append(choice(turned, layout, way, feed, shape))
    return found


def feeds(problem: Problem) -> list[Feed]:
    """Return the ways to feed the vectors."""
    plain = problem.b.kind is None or plain_element(problem.b.kind) == problem.element
    if plain and (problem.b.column == 1 or problem.n == 1):
        return ["direct", "copy", "pack"]
    return ["pack"]


def choice(
    problem: Problem, layout: Layout, access: Access, feed: Feed, shape: TileShape
) -> Choice:
    """Fill in the sizes of units and blocks."""
    cut = cut_of(problem, shape)
    block = max(problem.k, 1)
    stored_plain = layout == "across" and problem.c_element == problem.element
    if problem.k > DEPTH_BLOCK and stored_plain:
        block = -(-problem.k // -(-problem.k // DEPTH_BLOCK))
    rows_in_cache = max(1, PANEL_BYTES // (element_bytes(problem.element) * block * shape.rows))
    if feed == "pack":
        unit_tiles = min(cut.tiles, rows_in_cache)
        unit_panels = min(cut.panels, 8)
    else:
        unit_tiles, unit_panels = cut.tiles, 1
    unit_tiles, unit_panels = shrink(cut, unit_tiles, unit_panels, problem.batches)
    return Choice(layout, access, feed, unit_tiles, unit_panels, block)


def shrink(cut: Cut, unit_tiles: int, unit_panels: int, batches: int) -> tuple[int, int]:
    """Make units smaller until there are enough of them, and even."""
    while True:
        groups = -(-cut.tiles // unit_tiles), -(-cut.panels // unit_panels)
        if groups[0] * groups[1] * batches >= UNITS_WANTED or unit_tiles * unit_panels == 1:
            break
        if unit_panels > 1 and unit_panels * 2 >= unit_tiles:
            unit_panels = -(-unit_panels // 2)
        else:
            unit_tiles = -(-unit_tiles // 2)
    return -(-cut.tiles // groups[0]), -(-cut.panels // groups[1])


def estimate(problem: Problem, made: Choice, target: Target) -> float:
    """Return the nanoseconds that a choice should take on one core."""
    shape = tile_shape(target, problem.element)
    turned = problem if made.layout == "across" else problem.turned
    cut = cut_of(turned, shape)
    rows = turned.m * max(cut.height, 4) / cut.height
    blocks = -(-turned.k // made.depth_block) if turned.k else 1
    step = TILE_STEP
    if made.access == "row" and fights(turned.a.row, turned) and cut.height > 8:
        step *= FIGHT
    total = rows * cut.panels * turned.k * step
    total += cut.tiles * cut.panels * blocks * TILE_START
    if made.layout == "along":
        total += cut.tiles * cut.panels * SWAPPED
    total *= turned.batches
    total += pack_cost(turned, made)
    if made.feed == "copy":
        row_groups = -(-cut.tiles // made.unit_tiles)
        total += row_groups * cut.panels * shape.columns * turned.k * COPIED * turned.batches
    elif made.feed == "direct" and fights(turned.b.row, turned) and cut.tiles > 1:
        total *= 1.15
    return total


def pack_cost(turned: Problem, made: Choice) -> float:
    """Return the nanoseconds spent on packing records."""
    total = 0.0
    if made.access == "packed":
        repeated = 1 if turned.a.batch == (0, 0) else turned.batches
        total += RECORD + repeated * turned.m * turned.k * move_cost(turned.a.row, turned.a.column)
    if made.feed == "pack":
        repeated = 1 if turned.b.batch == (0, 0) else turned.batches
        total += RECORD + repeated * turned.n * turned.k * move_cost(turned.b.column, turned.b.row)
    return total


def move_cost(across: int, along: int) -> float:
    """Return the cost of packing one element of a matrix with these strides."""
    return COPIED * 2 if across == 1 else TURNED if along == 1 else PICKED


def copy_mode(made: Choice) -> int:
    """Return what the macro kernel shall copy (brgemm_arguments.py)."""
    return {"direct": COPY_NARROW, "copy": COPY_ALL, "pack": 0}[made.feed]


def best_choice(problem: Problem, target: Target) -> Choice:
    """Return the candidate with the least estimate; raise NotImplementedError if there is none."""
    found = candidates(problem, target)
    if not found:
        raise NotImplementedError(
            f"matrix product into strides ({problem.c.row}, {problem.c.column}): one of them has to be 1"
        )
    return min(found, key=lambda made: estimate(problem, made, target))
