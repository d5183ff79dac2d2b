"""Blocks: reductions of much to little, cut so that all threads have work.

The block length follows from the sizes alone, so the results do not depend on the number of threads.  The
first nest reduces each block to a partial result in scratch memory (and stores what the region stores
along the way); the second nest reduces the partial results and computes the members that follow.

    region [1000000] reduced [0]      nest: 62 blocks of 16384 -> scratch [62]
      %2 sum %1                  =>   nest: scratch [62] reduced [0] -> %3
      %3 multiply %2 1e-06
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.graph.reference import extreme_value
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.emit_parking import stores_along
from lampas.engine.loops.emit_passes import COLUMN_CHAIN
from lampas.engine.loops.emit_scope import dependences
from lampas.engine.loops.nest import STRIDED
from lampas.engine.schedule.draft import Draft, DraftOperand, NestCall, widened
from lampas.engine.schedule.nesting import Cells, RegionWriter, fill_call, stepped
from lampas.engine.schedule.steps import Region, numel
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype
    from lampas.engine.loops.nest import Nest
    from lampas.engine.schedule.paths import Paths

Shape = tuple[int, ...]
BLOCK_ELEMENTS = 16384
BLOCK_ROWS = 16  # partial results of fewer rows would cost what is saved; more lie on more pages than are at hand
BLOCKS_WANTED = 8
WIDE = 128  # columns
FAR_ELEMENTS = 1 << 20  # of an array that no near cache holds
MANY_ROWS = 64
LARGE_SPACE = 8192


def region_calls(
    region: Region, paths: Paths, cells: Cells, scratch: dict[int, int]
) -> list[NestCall]:
    """The nests of a region: one, or two where it is reduced in blocks, or none where nothing is stored."""
    if not region.stores:
        return []
    if not numel(region.space):
        return empty_calls(region, paths)
    if worth_blocks(region, paths):
        return BlockedRegion(region, paths, cells, scratch).calls()
    return [RegionWriter(region, paths, cells).write().finish(tuple(region.stores))]


def empty_calls(region: Region, paths: Paths) -> list[NestCall]:
    """A reduction of nothing gives the identity of its operation."""
    calls: list[NestCall] = []
    for member in region.stores:
        entry = paths.entries[member]
        if entry.numel:
            value = identity(entry.op.name, entry.dtype)
            calls.append(fill_call(member, entry.shape, value, paths))
    return calls


def identity(op: str, kind: dtype) -> float:
    """What an empty reduction yields."""
    if op in ("sum", "prod"):
        return float(op == "prod")
    return extreme_value(kind.numpy, op == "min")


def worth_blocks(region: Region, paths: Paths) -> bool:
    """Whether a region has too few rows for its size and can be cut: no value follows a reduction
    along the rows, and nothing counts positions."""
    if not region.reduced or numel(region.space) < LARGE_SPACE:
        return False
    frame = numel(region.row_frame)
    if frame >= MANY_ROWS and not region.runs_across:
        return False
    if frame >= BLOCK_ELEMENTS:
        return False  # a block would be one element long, and the partial results as large as all
    for member in region.members:
        entry = paths.entries[member]
        if entry.op.name in ("argmax", "argmin"):
            return False
        full = entry.op.kind == "reduce" or region.frames[member] == region.space
        rows = any(
            base in region.frames and region.frames[base] != region.space
            for base, _ in paths.operands(member)
        )
        if full and rows:
            return False
    return True


@final
class BlockedRegion:
    """A region written as two nests."""

    def __init__(self, region: Region, paths: Paths, cells: Cells, scratch: dict[int, int]) -> None:
        self.region, self.paths, self.cells, self.scratch = region, paths, cells, scratch
        self.entries = paths.entries
        self.full = [m for m in region.members if region.frames[m] == region.space]
        self.reductions = [m for m in region.members if self.entries[m].op.kind == "reduce"]
        self.rows = [m for m in region.members if m not in self.full and m not in self.reductions]
        self.frame = region.row_frame
        self.kept = tuple(n for d, n in enumerate(region.space) if d not in region.reduced)
        self.partials: dict[int, int] = {}

    def calls(self) -> list[NestCall]:
        first = self.first()
        count = first.sizes[0]
        for member in self.reductions:
            kind = widened(self.entries[member].dtype)
            number = self.partials[member]
            self.scratch[number] = count * numel(self.kept) * kind.itemsize
        return [first, self.second(count)]

    def first(self) -> NestCall:
        """Partial results of the blocks, and the stores of full members."""
        part = Region(self.region.space, self.region.reduced, self.full, self.region.frames)
        writer = RegionWriter(part, self.paths, self.cells)
        writer.write()
        for member in self.full:
            if member in self.region.stores:
                writer.store(member)
        draft = writer.draft
        strides = stepped(contiguous_strides(self.frame), self.frame)
        for member in self.reductions:
            entry = self.entries[member]
            base, steps = self.paths.steps_in(member)[0]
            value = writer.value(base, steps, self.region.space)
            kind = widened(entry.dtype)
            value = value if kind is entry.dtype else draft.append("cast", (value,), kind)
            number = self.partials[member] = len(self.scratch)
            self.scratch[number] = 0
            operand = DraftOperand(("scratch", number), kind, "output", strides, 0)
            draft.store(operand, draft.reduce(entry.op.name, value, kind))
        stored = tuple(m for m in self.full if m in self.region.stores)
        return blocked_call(draft, stored)

    def second(self, count: int) -> NestCall:
        """Combine the partial results; compute the row members."""
        space = (count, *self.kept)
        region = Region(space, (0,))
        for member in (*self.reductions, *self.rows):
            region.frames[member] = (1, *self.kept)
        writer = RegionWriter(region, self.paths, self.cells)
        strides = contiguous_strides(space)
        for member in self.reductions:
            kind = widened(self.entries[member].dtype)
            place = ("scratch", self.partials[member])
            # One block is walked as many would be: by the same kernel.
            walked = (strides[0], *stepped(strides, space)[1:])
            value = writer.draft.load(DraftOperand(place, kind, "input", walked, 0))
            value = writer.draft.reduce(self.entries[member].op.name, value, kind)
            own = self.entries[member].dtype
            writer.values[member] = (
                value if own is kind else writer.draft.append("cast", (value,), own)
            )
        for member in self.rows:
            writer.values[member] = writer.compute(member, (), region.frames[member])
        for member in self.region.stores:
            if member not in self.full:
                writer.store(member)
        return writer.draft.finish(tuple(m for m in self.region.stores if m not in self.full))


def pays_to_stream(nest: Nest, sizes: Shape) -> bool:
    """Whether the rows of wide columns had better be walked as they lie: much memory, read once, nothing stored along it."""
    if nest.mode != "column" or nest.kept != 1 or nest.reduced != 1 or max(nest.depths) > 1:
        return False
    if sizes[0] < WIDE or numel(sizes) < FAR_ELEMENTS or stores_along(nest):
        return False
    reductions = [i for i in nest.instructions if i.op == "reduce"]
    varies = dependences(nest)
    return all(
        i.dtype.is_floating_point and nest.lane_dimension in varies[i.arguments[0]]
        for i in reductions
    )


def blocked_call(draft: Draft, entries: tuple[int, ...]) -> NestCall:
    """The draft in normal form, with a dimension in front that numbers blocks of the first reduced one."""
    plain = draft.finish(entries)
    nest, sizes = plain.nest, plain.sizes
    first = sizes[nest.kept]
    inner = numel(sizes) // max(first, 1)
    block = max(1, -(-BLOCK_ELEMENTS // max(inner, 1)), min(BLOCK_ROWS, first // BLOCKS_WANTED))
    streamed = pays_to_stream(nest, sizes)
    if streamed:
        block = min(COLUMN_CHAIN, -(-first // BLOCKS_WANTED))
    count = -(-first // block)
    rows = numel(sizes[: nest.kept])
    strides: list[Shape] = []
    for (place, _), walked in zip(plain.places, plain.strides, strict=True):
        ahead = rows if place[0] == "scratch" else block * walked[nest.kept]
        strides.append((ahead, *walked))
    flags = {"narrow": nest.narrow, "streamed": streamed}
    builder = NestBuilder(nest.kept + 1, nest.reduced, blocked=True, **flags)
    for operand, walked in zip(nest.operands, strides, strict=True):
        builder.operand(
            operand.dtype, operand.role, (STRIDED if walked[0] else 0, *operand.classes)
        )
    for instruction in nest.instructions:
        attribute = instruction.attribute
        if instruction.op == "index":
            attribute = int(attribute or 0) + 1
        builder.append(instruction.op, instruction.arguments, instruction.dtype, attribute)
    return NestCall(builder.build(), (count, *sizes), tuple(strides), plain.places, block, entries)
