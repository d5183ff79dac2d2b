"""Maximum pooling of float32 and float64 as a kernel; other dtypes take the way of `windows`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import Entry
from lampas.engine.llvm.target import host
from lampas.engine.loops.pooling import PoolKernel, lanes_for, stride_word
from lampas.engine.schedule import windows as views
from lampas.engine.schedule.contract import operand
from lampas.engine.schedule.serial import SerialCall
from lampas.engine.schedule.steps import numel
from lampas.engine.schedule.windows import plain

if TYPE_CHECKING:
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.rewrites import Writer

MOST_CELLS = 1 << 31


def max_pool_index(w: Writer, entry: Entry) -> int | None:
    """The same entry of a row-major source, where the kernel can compute it."""
    if len(entry.attributes) == 1:
        return None  # it carries a form of channels-last pooling
    source = w.entries[entry.sources[0]]
    rank = len(entry.attributes[0])
    cells = numel(source.shape[len(source.shape) - rank :])
    if source.dtype not in (float32, float64) or not entry.numel or not 0 < cells < MOST_CELLS:
        return views.max_pool_index(w, entry)
    moved = plain(w, entry.sources[0], source.shape)
    return w.append(Entry(entry.op, entry.attributes, (moved,), entry.shape, entry.dtype))


def pool_call(paths: Paths, number: int) -> SerialCall | None:
    """The call of the kernel that computes an entry, if it is a pooling that the kernel knows."""
    entry = paths.entries[number]
    if entry.op is not p.MAX_POOL_INDEX or not entry.numel or len(entry.attributes) == 1:
        return None
    base, reading = operand(paths, entry.sources[0])
    kind = paths.entries[base].dtype
    if kind not in (float32, float64) or not reading.shape:
        return None
    kernel, stride, padding, dilation, sizes = entry.attributes
    rank = len(kernel)
    ones, zeros = (1,) * (3 - rank), (0,) * (3 - rank)
    spatial = reading.shape[len(reading.shape) - rank :]
    integers = (
        numel(sizes), numel(kernel), *ones, *sizes, *ones, *spatial, *ones, *kernel,
        *ones, *stride, *zeros, *padding, *ones, *dilation,
    )  # fmt: skip
    element = "float" if kind is float32 else "double"
    places: tuple[tuple[Place, int], ...] = (
        (("entry", number), 0),
        (("entry", base), reading.offset * kind.itemsize),
    )
    low = -(-padding[-1] // stride[-1])
    inside = (spatial[-1] + padding[-1] - dilation[-1] * (kernel[-1] - 1) - 1) // stride[-1] + 1
    lanes = lanes_for(host(), element, min(inside, sizes[-1]) - low)
    made = PoolKernel(host(), element, stride_word(stride[-1]), lanes)
    return SerialCall(made, places, integers, entry.numel // numel(sizes), number)
