"""Guards: every index that a program picks by is checked, and a bad one raises after the run.

Indices whose range is known (`ranges.Ranges`) need no guard.

A kernel that meets an index out of range reads nothing and goes on with 0, so memory is safe; beside it a
small nest reduces "some index is out of range" to one byte.  Guards whose indices do not depend on what the
program computes are *early*: they run, and are looked at, before anything is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.dtype import bool_, int64
from lampas.engine.graph import primitives as p
from lampas.engine.schedule.draft import DraftOperand, NestCall
from lampas.engine.schedule.kinds import PICKING, SERIAL, is_elementwise
from lampas.engine.schedule.nesting import RegionWriter
from lampas.engine.schedule.ranges import Ranges
from lampas.engine.schedule.reading import reshape_reading, squeeze
from lampas.engine.schedule.serial import serial_form
from lampas.engine.schedule.steps import Region, numel

if TYPE_CHECKING:
    from lampas.engine.schedule.nesting import Cells
    from lampas.engine.schedule.paths import Path, Paths

Shape = tuple[int, ...]
REARRANGING = frozenset({p.RESHAPE, p.PERMUTE, p.EXPAND, p.FLIP})


@final
class Guard(NamedTuple):
    """A nest that writes whether an index leaves [-size, size) of a dimension.

    `leaf` is the entry of an int64 leaf that the index is read from as it is, if there is one.
    """

    call: NestCall
    entry: int
    op: str
    dim: int
    size: int
    early: bool
    leaf: int | None = None


def picked_dims(paths: Paths, number: int) -> list[tuple[int, int, int]]:
    """(index entry, dimension, size) of every index that an entry picks by."""
    entry = paths.entries[number]
    shape = paths.entries[entry.sources[0]].shape
    dims = entry.attributes[0] if entry.op is p.INDEX else (entry.attributes[0],)
    return [(index, d, shape[d]) for index, d in zip(entry.sources[1:], dims, strict=True)]


def checked_dims(paths: Paths, number: int) -> list[tuple[int, int, int]]:
    """The indices that an entry's kernel relies on; host steps check their own."""
    entry = paths.entries[number]
    if entry.op in PICKING:
        return picked_dims(paths, number) if paths.looped[number] else []
    form = serial_form(paths, number)
    if form is None or form.index is None:
        return []
    index = entry.sources[2 if entry.op is p.INDEX_PUT else 1]
    return [(index, form.dim, form.size)]


def make_guards(paths: Paths, cells: Cells) -> list[Guard]:
    """The guards of all picking entries; the same index and size are checked once."""
    found: dict[tuple[int, int], Guard] = {}
    ranges = Ranges(paths.entries)
    for number, entry in enumerate(paths.entries):
        if entry.op in PICKING or entry.op in SERIAL:
            for picked, dim, size in checked_dims(paths, number):
                index = before_rearrangement(paths, picked)
                needed = paths.entries[index].numel and not ranges.inside(index, size)
                if needed and (index, size) not in found:
                    call, early = guard_call(paths, index, size, len(found), cells)
                    leaf = leaf_of(paths, index)
                    found[index, size] = Guard(call, number, entry.op.name, dim, size, early, leaf)
    return list(found.values())


def before_rearrangement(paths: Paths, index: int) -> int:
    """The entry with the same numbers in another order or shape: what suits one suits the other."""
    entry = paths.entries[index]
    while entry.op in REARRANGING:
        index = entry.sources[0]
        entry = paths.entries[index]
    return index


def leaf_of(paths: Paths, index: int) -> int | None:
    """The leaf of which an index shows elements."""
    base = paths.follow(index)[0]
    entry = paths.entries[base]
    return base if entry.op is p.BUFFER and entry.dtype is int64 else None


def from_leaves(paths: Paths, path: Path, frame: Shape, depth: int = 8) -> bool:
    """Whether an operand can be computed from leaves alone, at each point of a frame."""
    base, steps = path
    entry = paths.entries[base]
    if entry.op.kind == "leaf":
        reading = paths.reading(path)
        return reading is not None and reshape_reading(reading, frame) is not None
    if not is_elementwise(entry) or not paths.looped[base] or not depth:
        return False
    inner = [(source, before + steps) for source, before in paths.steps_in(base)]
    return all(from_leaves(paths, each, frame, depth - 1) for each in inner)


@final
class EarlyWriter:
    """Computes an index from leaves, whatever else computes it in the program."""

    def __init__(self, writer: RegionWriter) -> None:
        self.writer = writer
        self.paths = writer.paths

    def value(self, path: Path, frame: Shape) -> int:
        """The instruction that gives an operand."""
        base, steps = path
        entry = self.paths.entries[base]
        if entry.op.kind == "leaf":
            return self.writer.value(base, steps, frame)
        inner = [(source, before + steps) for source, before in self.paths.steps_in(base)]
        arguments = tuple(self.value(each, frame) for each in inner)
        if entry.op is p.CAST and self.paths.entries[entry.sources[0]].dtype is entry.dtype:
            return arguments[0]
        return self.writer.draft.apply(entry.op.name, arguments, entry.dtype)


def guard_call(
    paths: Paths, index: int, size: int, number: int, cells: Cells
) -> tuple[NestCall, bool]:
    """The nest of one guard, which sets flag `number` for a bad index; and whether it may run early."""
    space = squeeze(paths.entries[index].shape)
    writer = RegionWriter(Region(space, tuple(range(len(space)))), paths, cells)
    draft = writer.draft
    path = paths.follow(index)
    early = from_leaves(paths, path, space)
    value = EarlyWriter(writer).value(path, space) if early else writer.value(*path, space)
    value = writer.wide(value, index)
    top, bottom = writer.cell(size), writer.cell(-size)
    below, above = draft.truth("less", value, bottom), draft.truth("greater_equal", value, top)
    bad = draft.append("bitwise_or", (below, above), bool_)
    if numel(space) > 1:
        bad = draft.reduce("max", bad, bool_)
    none = (0,) * len(space)
    draft.store(DraftOperand(("flag", number), bool_, "output", none, 0), bad)
    return draft.finish(), early
