"""Copies from one order of dimensions to another: found among the regions, done by a kernel of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.graph import primitives as p
from lampas.engine.llvm.target import host
from lampas.engine.loops.brgemm import GemmPlan
from lampas.engine.loops.dimensions import collapse
from lampas.engine.loops.transposition import plan_transposition
from lampas.engine.schedule.contract import GemmCall
from lampas.engine.schedule.reading import reshape_reading
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.steps import Region

Shape = tuple[int, ...]
FEW_ELEMENTS = 512


def transposition_call(region: Region, paths: Paths) -> GemmCall | None:
    """The call that does what a region does, if that is a mere copy in another order."""
    if len(region.members) != 1 or region.stores != region.members or region.reduced:
        return None
    number = region.members[0]
    entry = paths.entries[number]
    source = paths.entries[entry.sources[0]] if entry.sources else entry
    if entry.op is not p.CAST or source.dtype is not entry.dtype or entry.numel < FEW_ELEMENTS:
        return None
    (path,) = paths.steps_in(number)
    if path[0] in paths.inline:
        return None
    base = paths.entries[path[0]]
    reading = paths.reading(path)
    framed = None if reading is None else reshape_reading(reading, region.space)
    if framed is None or (base.op.kind == "leaf" and base.op is not p.BUFFER):
        return None
    written = contiguous_strides(region.space)
    form = collapse(len(region.space), region.space, [written, framed.strides])
    size = entry.dtype.itemsize
    source_strides, target_strides, starts = upwards(form.sizes, form.strides[1], form.strides[0])
    call = plan_transposition(host(), size, form.sizes, source_strides, target_strides)
    if call is None:
        return None
    places: dict[str, tuple[Place, int]] = {
        "a": (("entry", path[0]), (framed.offset + starts[0]) * size),
        "c": (("entry", number), starts[1] * size),
    }
    return GemmCall(number, GemmPlan((call,), 0), places, (), (number,))


def upwards(sizes: Shape, read: Shape, written: Shape) -> tuple[Shape, Shape, tuple[int, int]]:
    """The strides where a dimension that is read downwards in steps of 1 is walked from its end, and where each begins.

    A turn by a quarter is a transposition with one side the other way round.
    """
    if 1 in read or -1 not in read:
        return read, written, (0, 0)
    turned = read.index(-1)
    last = sizes[turned] - 1
    source, target = (
        tuple([-s if d == turned else s for d, s in enumerate(strides)])
        for strides in (read, written)
    )
    return source, target, (last * read[turned], last * written[turned])
