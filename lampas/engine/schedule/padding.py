"""Padding that stands alone: a copy of the inside and fillings of the edges, each without a question to any element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.graph import primitives as p
from lampas.engine.schedule.draft import DraftOperand
from lampas.engine.schedule.nesting import RegionWriter, copy_call, stepped
from lampas.engine.schedule.reading import Reading, squeeze
from lampas.engine.schedule.steps import Region, numel
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.schedule.draft import NestCall
    from lampas.engine.schedule.nesting import Cells
    from lampas.engine.schedule.paths import Paths

Shape = tuple[int, ...]
FILLS = frozenset({p.BUFFER, p.CONSTANT})
FEW_ELEMENTS = 1 << 14  # of which one kernel is done sooner than several


def padding_calls(region: Region, paths: Paths, cells: Cells) -> list[NestCall]:
    """The calls that do what a region does, if that is to pad a stored value at edges that are small beside it."""
    if len(region.members) != 1 or region.stores != region.members or region.reduced:
        return []
    number = region.members[0]
    entry = paths.entries[number]
    if entry.op is not p.PAD or entry.numel < FEW_ELEMENTS:
        return []
    low, high = entry.attributes
    inner = paths.entries[entry.sources[0]].shape
    base, fill = paths.follow(entry.sources[0])[0], paths.base(entry.sources[1])
    if {base, fill} & set(paths.inline) or min(*low, *high) < 0 or 2 * numel(inner) < entry.numel:
        return []
    if paths.entries[fill].op.kind == "leaf" and paths.entries[fill].op not in FILLS:
        return []
    strides = contiguous_strides(entry.shape)
    begin = sum(n * s for n, s in zip(low, strides, strict=True))
    inside = copy_call(paths, entry.sources[0], number, Reading(inner, strides, begin), cells)
    edges = [
        fill_call(paths, cells, number, fill, edge) for edge in edges_of(entry.shape, low, high)
    ]
    return [inside, *edges] if inside else []


def edges_of(shape: Shape, low: Shape, high: Shape) -> list[Reading]:
    """What lies around the inside: those of a dimension reach over the later ones, not over earlier ones' edges."""
    strides = contiguous_strides(shape)
    found: list[Reading] = []
    before: list[int] = []
    offset = 0
    for dim, (size, below, above) in enumerate(zip(shape, low, high, strict=True)):
        for start, count in ((0, below), (size - above, above)):
            if count:
                frame = (*before, count, *shape[dim + 1 :])
                found.append(Reading(frame, strides, offset + start * strides[dim]))
        before.append(size - below - above)
        offset += below * strides[dim]
    return found


def fill_call(paths: Paths, cells: Cells, number: int, fill: int, edge: Reading) -> NestCall:
    """A nest that stores one number at strided places of an entry's memory."""
    kind = paths.entries[number].dtype
    kept = [d for d, n in enumerate(edge.shape) if n != 1]
    space = squeeze(edge.shape)
    writer = RegionWriter(Region(space), paths, cells)
    draft, given = writer.draft, paths.entries[fill]
    if given.op is p.CONSTANT:
        value = writer.constant(given.attributes[0], kind)
    else:
        value = draft.load(DraftOperand(("entry", fill), kind, "input", (0,) * len(space), 0))
    strides = tuple([edge.strides[d] for d in kept])
    place = ("entry", number)
    draft.store(DraftOperand(place, kind, "output", stepped(strides, space), edge.offset), value)
    return draft.finish((number,))
