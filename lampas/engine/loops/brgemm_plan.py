"""Planning a matrix product: which operand feeds the vectors, what is packed, how the work is cut.

`Problem` says what to compute; `candidates` lists the ways to do it, `estimate` weighs them with a few measured costs,
and `build_plan` turns the chosen `Choice` into kernel calls. A choice depends on sizes, strides and the target alone,
never on the number of threads, so results do not either.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Literal, NamedTuple

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target
from lampas.engine.loops.brgemm_arguments import COPY_ALL, COPY_NARROW
from lampas.engine.loops.brgemm_dot import COLUMNS, MOST_ROWS
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_pack import Mode
from lampas.engine.loops.brgemm_store import Layout
from lampas.engine.loops.brgemm_tile import (
    MOST_WIDE_ROWS,
    Access,
    TileShape,
    tile_shape,
    wide_shape,
)

Feed = Literal["direct", "copy", "pack", "dot"]

# Costs on one core, in nanoseconds; only their ratios matter.
TILE_STEP = 0.30  # one row of a tile, one step of k
WIDE_ROW = 2.5  # one vector of B in a wide tile, which waits for memory, in tile steps
TILE_START = 45.0  # entering and leaving a tile
COPIED = 0.12  # an element moved in vectors to memory and back
TURNED = 0.30  # an element transposed in registers on the way
PICKED = 1.2  # an element moved alone
ROW_FIGHTS = 0.07  # slowdown by each row of a tile that finds its set of the first cache crowded
STEPS_FIGHT = 1.6  # slowdown when successive steps of k in A fall into the same cache sets
STEPS_SPARSE = 1.12  # when there are many of them, each on a cache line of its own
PANEL_FIGHTS = 1.8  # the same in a panel of B that is read many times
PANEL_SPARSE = 1.08  # when a panel of B that is read many times is not packed
STREAMED = 1.2  # when a long and narrow A or B is packed, or read by panels that it throws out of the first cache
LONG = 8  # times as long as C is high and wide
SPARSE_BYTES = 512  # rows of B further apart than this are
TOO_DEEP = 1.1  # when K had to stay in one long block
TOO_BIG = 1.05  # when A does not stay in the second cache from panel to panel
DOT_STEP = 0.45  # one vector of a line of B against the rows, in a product of few rows
DOT_END = 5.0  # summing the lanes of one result
SWAPPED = 90.0  # transposing a tile on its way to C
RECORD = 1500.0  # a record of its own
CACHE_WAY = 4096  # bytes between addresses that share a set of the first cache
CACHE_WAYS = 10  # lines that share a set of the first cache (8 ways) before it shows
CACHE_LINE = 64
UNITS_WANTED = 32
UNITS_OF_ROWS = 8  # where a row of A is fetched whole for the tiles of a unit
UNITS_OF_PANELS = 12  # where each unit that shares a panel has to read or copy it again
FEW_PANELS = 4
PANELS_IN_TURN = 16  # packed panels that a group of tiles meets before it leaves the second cache


class Matrix(NamedTuple):
    """Strides in elements: between rows, between columns, and of the two batch dimensions."""

    row: int
    column: int
    batch: tuple[int, int] = (0, 0)
    kind: dtype | None = None

    @property
    def turned(self) -> Matrix:
        return self._replace(row=self.column, column=self.row)


class Problem(NamedTuple):
    """C[m, n] = epilogue(Σ_k A[m, k]·B[k, n]) for each of batch[0] × batch[1] matrices.

    `shared` tells that an operand of the epilogue may share C's memory.
    """

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
    shared: bool = False

    @property
    def turned(self) -> Problem:
        """The same problem for the transposes: C′ = B′·A′."""
        return self._replace(m=self.n, n=self.m, a=self.b.turned, b=self.a.turned, c=self.c.turned)

    @property
    def batches(self) -> int:
        return self.batch[0] * self.batch[1]


class Choice(NamedTuple):
    """One way to compute a problem, or the turned one if it is `swapped`."""

    swapped: bool
    layout: Layout
    access: Access
    feed: Feed
    unit_tiles: int
    unit_panels: int
    depth_block: int


class Cut(NamedTuple):
    """How a problem's rows and columns are cut into tiles and panels."""

    height: int
    tiles: int
    tall: int
    panels: int


def cut_of(problem: Problem, shape: TileShape) -> Cut:
    """Spread the rows evenly over as few tiles as will do.

    The tall tiles are the tallest there are wherever the rows can be cut so: most numbers of rows share one kernel.

    >>> cut_of  # 64 rows and tiles of at most 14: four of 13 and one of 12
    """
    tiles = -(-problem.m // shape.rows)
    height = -(-problem.m // tiles)
    if tiles > 1 and tiles * (shape.rows - 1) <= problem.m:
        height = shape.rows
    tall = problem.m - tiles * (height - 1)
    return Cut(height, tiles, tall if height > 1 else tiles, -(-problem.n // shape.columns))


def shape_for(seen: Problem, target: Target) -> TileShape:
    """Return the shape of the tiles for a problem: a wide one for few rows and many columns."""
    if seen.m <= MOST_WIDE_ROWS:
        wide = wide_shape(target, seen.element, seen.m)
        if seen.n >= wide.columns:
            return wide
    return tile_shape(target, seen.element)


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


def streams(problem: Problem, layout: Layout) -> bool:
    """Tell whether K is far longer than C is high and wide, and successive steps of k in A lie close together.

    This is the derivative by a narrow layer's weight. Packing would take as long as the product.
    """
    dense = problem.a.row == 1 and problem.a.column * element_bytes(problem.element) <= SPARSE_BYTES
    return dense and layout == "across" and problem.k >= LONG * max(problem.m, problem.n)


def crowding_rows(stride: int, rows: int, problem: Problem) -> int:
    """Return how many of a tile's rows, `stride` elements apart, find no place in a cache set that they share.

    Each step of k reads one element of every row, so such lines are thrown out before they are read to the end.  Strides
    of nearly a way are as bad: the rows' elements then move into the next set one after the other.
    """
    nbytes = element_bytes(problem.element)
    lines = {row * stride * nbytes // CACHE_LINE for row in range(rows)}
    sets = Counter(line % (CACHE_WAY // CACHE_LINE) for line in lines)
    return max(0, max(sets.values()) - CACHE_WAYS)


def element_bytes(element: str) -> int:
    return 8 if element == "double" else 4


def candidates(problem: Problem, target: Target) -> list[Choice]:
    """List the sensible ways; the first costs least by `estimate` is taken."""
    found: list[Choice] = []
    for swapped in (False, True):
        seen = problem.turned if swapped else problem
        if is_dot(seen):
            found.append(dot_choice(seen, swapped))
        layout = layout_of(seen)
        # An epilogue's lanes run along the columns of C as the caller sees it.
        if layout is None or (problem.epilogue is not None and swapped != (layout == "along")):
            continue
        access = plain_access(seen.a, seen)
        ways: list[Access] = ["packed"] if access is None else [access, "packed"]
        for way, feed in product(ways, feeds(seen)):
            found.append(choice(seen, swapped, layout, way, feed, target))
    return found


def is_dot(seen: Problem) -> bool:
    """Tell whether a problem has few rows and both its operands run along k."""
    plain = plain_access(seen.a, seen) == "row" and plain_access(seen.b.turned, seen) == "row"
    along_k = (seen.a.column == 1 and seen.b.row == 1) or seen.k == 1
    return plain and along_k and seen.m <= MOST_ROWS


def dot_choice(seen: Problem, swapped: bool) -> Choice:
    groups = max(1, min(-(-seen.n // COLUMNS), UNITS_WANTED))
    columns = -(-seen.n // groups)
    columns = -(-columns // COLUMNS) * COLUMNS
    return Choice(swapped, "across", "row", "dot", 1, columns, max(seen.k, 1))


def layout_of(seen: Problem) -> Layout | None:
    """Return how tiles lie in C, or None if neither its rows nor its columns are contiguous."""
    if seen.c.column == 1 or seen.n == 1:
        return "across"
    return "along" if seen.c.row == 1 or seen.m == 1 else None


def feeds(problem: Problem) -> list[Feed]:
    """Return the ways to feed the vectors."""
    plain = problem.b.kind is None or plain_element(problem.b.kind) == problem.element
    if plain and (problem.b.column == 1 or problem.n == 1):
        return ["direct", "copy", "pack"]
    return ["copy", "pack"]


def choice(
    problem: Problem, swapped: bool, layout: Layout, access: Access, feed: Feed, target: Target
) -> Choice:
    """Fill in the sizes of units and blocks."""
    shape = shape_for(problem, target)
    cut = cut_of(problem, shape)
    block = max(problem.k, 1)
    stored_plain = layout == "across" and problem.c_element == problem.element
    if problem.shared:
        stored_plain = False  # partial sums would overwrite what the epilogue is to read
    longest = longest_block(feed, target)
    if problem.k > 2 * longest and stored_plain:
        block = -(-problem.k // -(-problem.k // longest))
    row_bytes = element_bytes(problem.element) * block * shape.rows
    rows_in_cache = max(1, cache_share(target) // row_bytes)
    if feed == "pack":
        unit_tiles = min(cut.tiles, rows_in_cache)
        unit_panels = min(cut.panels, PANELS_IN_TURN)
    else:
        unit_tiles, unit_panels = cut.tiles, 1
    if feed == "pack" and access != "packed" and cut.panels <= FEW_PANELS:
        # A is read where it lies: a tile of it should pass all panels while it is in the cache.
        groups = -(-UNITS_WANTED // problem.batches)
        unit_tiles = max(1, min(unit_tiles, cut.tiles // groups))
    else:
        wanted = UNITS_WANTED if feed == "pack" else UNITS_OF_PANELS
        if access == "column" and streams(problem, layout):
            wanted = UNITS_OF_ROWS
        wanted = -(-wanted // problem.batches)
        unit_tiles, unit_panels = shrink(cut, unit_tiles, unit_panels, wanted)
    return Choice(swapped, layout, access, feed, unit_tiles, unit_panels, block)


def shrink(cut: Cut, unit_tiles: int, unit_panels: int, wanted: int) -> tuple[int, int]:
    """Make units smaller until there are enough of them, and even."""
    while True:
        groups = -(-cut.tiles // unit_tiles), -(-cut.panels // unit_panels)
        if groups[0] * groups[1] >= wanted or unit_tiles * unit_panels == 1:
            break
        if unit_panels > 1 and unit_panels * 2 >= unit_tiles:
            unit_panels = -(-unit_panels // 2)
        else:
            unit_tiles = -(-unit_tiles // 2)
    return -(-cut.tiles // groups[0]), -(-cut.panels // groups[1])


def estimate(problem: Problem, made: Choice, target: Target) -> float:
    """Return the nanoseconds that a choice should take on one core."""
    turned = problem.turned if made.swapped else problem
    shape = shape_for(turned, target)
    if made.feed == "dot":
        vectors = -(-turned.k // shape.lanes)
        each = DOT_STEP * vectors * (turned.m + COLUMNS) / COLUMNS + DOT_END * turned.m
        return each * turned.n * turned.batches
    cut = cut_of(turned, shape)
    rows = turned.m * max(cut.height, 4) / cut.height * shape.vectors / 2
    if shape.rows <= MOST_WIDE_ROWS:
        rows = shape.vectors * WIDE_ROW
    blocks = -(-turned.k // made.depth_block) if turned.k else 1
    step = TILE_STEP * slowdown(turned, made, cut, target)
    total = rows * cut.panels * turned.k * step
    total += cut.tiles * cut.panels * blocks * TILE_START
    if made.layout == "along":
        total += cut.tiles * cut.panels * SWAPPED
    total *= turned.batches
    total += pack_cost(turned, made)
    if made.feed == "copy":
        row_groups = -(-cut.tiles // made.unit_tiles)
        each = move_cost(turned.b.column, turned.b.row) / 2
        total += row_groups * cut.panels * shape.columns * turned.k * each * turned.batches
    return total


def slowdown(turned: Problem, made: Choice, cut: Cut, target: Target) -> float:
    """Return the factor by which memory slows the tiles down."""
    if streams(turned, made.layout):
        return 1.0 if (made.access, made.feed) == ("column", "copy") else STREAMED
    factor = 1.0
    row_bytes = turned.b.row * element_bytes(turned.element)
    if made.access == "row":
        factor += ROW_FIGHTS * crowding_rows(turned.a.row, cut.height, turned)
    elif made.access == "column" and fights(turned.a.column, turned) and turned.k > 128:
        factor *= STEPS_FIGHT
    elif made.access == "column" and turned.k > 256:
        factor *= STEPS_SPARSE
    if made.feed == "direct" and cut.tiles > 1 and fights(turned.b.row, turned):
        factor *= PANEL_FIGHTS
    elif made.feed == "direct" and cut.tiles > 8 and row_bytes > SPARSE_BYTES:
        factor *= PANEL_SPARSE
    if made.depth_block > 2 * longest_block(made.feed, target):
        factor *= TOO_DEEP
    block_bytes = turned.m * made.depth_block * element_bytes(turned.element)
    if made.feed != "pack" and block_bytes > 4 * cache_share(target):
        factor *= TOO_BIG
    return factor


def cache_share(target: Target) -> int:
    """Return the bytes of A that a unit should keep in the second cache (an eighth of it)."""
    return 1 << 18 if target.vector_bytes == 64 else 1 << 17


def longest_block(feed: Feed, target: Target) -> int:
    """Return how many steps of k a block should have at most; two are not cut.

    Packed panels stream from the second cache without loss, while another block loads and stores all of C again.
    """
    steps = 512 if target.vector_bytes == 64 else 256
    return 2 * steps if feed == "pack" else steps


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


def copying_mode(across: int, along: int) -> Mode:
    """Return how a matrix with these strides is packed."""
    return "copy" if across == 1 else "turn" if along == 1 else "pick"


def move_cost(across: int, along: int) -> float:
    """Return the cost of packing one element of a matrix with these strides (half of it stays in the cache)."""
    return {"copy": COPIED, "turn": TURNED, "pick": PICKED}[copying_mode(across, along)]


def copy_mode(made: Choice) -> int:
    """Return what the macro kernel shall copy (brgemm_arguments.py)."""
    return {"direct": COPY_NARROW, "copy": COPY_ALL, "pack": 0, "dot": 0}[made.feed]


def best_choice(problem: Problem, target: Target) -> Choice:
    """Return the candidate with the least estimate; raise NotImplementedError if there is none."""
    found = candidates(problem, target)
    if not found:
        raise NotImplementedError(
            f"matrix product into strides ({problem.c.row}, {problem.c.column}): one of them has to be 1"
        )
    return min(found, key=lambda made: estimate(problem, made, target))
