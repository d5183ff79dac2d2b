"""Calls of the attention kernels, from the entries of the two primitives; None where only the reference knows the sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.dtype import float32
from lampas.engine.graph import primitives as p
from lampas.engine.loops.attention_plan import (
    AttentionSizes,
    Strides,
    plan_attention,
    plan_attention_backward,
    suits_kernel,
)
from lampas.engine.schedule.contract import GemmCall, operand

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.reading import Reading
    from lampas.engine.schedule.steps import HostStep

ATTENTIONS = frozenset({p.ATTENTION, p.ATTENTION_BACKWARD})


def attention_sizes(entry: Entry, paths: Paths) -> AttentionSizes:
    """The sizes of an entry of either primitive."""
    query, key, value = (paths.entries[source].shape for source in entry.sources[:3])
    outer, heads, queries, depth = query
    return AttentionSizes(outer, heads, queries, key[2], depth, value[3])


def has_attention_kernel(paths: Paths, number: int) -> bool:
    """Whether an entry is an attention, or its derivatives, of sizes for which there are kernels."""
    entry = paths.entries[number]
    if entry.op not in ATTENTIONS or entry.dtype is not float32 or not entry.numel:
        return False
    sizes = attention_sizes(entry, paths)
    return suits_kernel(sizes.queries, sizes.keys, sizes.depth, sizes.width)


def attention_call(
    paths: Paths, step: HostStep, scratch: dict[int, int], threads: int
) -> GemmCall | None:
    """The call of an attention or its derivatives; None for any other entry."""
    number = step.entry
    entry = paths.entries[number]
    if not has_attention_kernel(paths, number):
        return None
    sizes = attention_sizes(entry, paths)
    (stored,) = step.stores
    places: dict[str, tuple[Place, int]] = {"c": (("entry", stored), 0)}
    strides: list[Strides] = []
    names = [
        "a",
        "b",
        "extra0",
        *(["extra1"] if entry.op is p.ATTENTION_BACKWARD else []),
        "extra2",
    ]
    for name, source in zip(names, entry.sources, strict=False):
        base, reading = operand(paths, source)
        places[name] = (("entry", base), reading.offset * entry.dtype.itemsize)
        strides.append(row_strides(reading))
    plan = plan_attention if entry.op is p.ATTENTION else plan_attention_backward
    plain = len(names) - 1
    bias = strides[plain] if len(strides) > plain else None
    scale, causal = entry.attributes
    results = [(target.offset, row_strides(target)) for target in step.targets]
    made = plan(sizes, strides[:plain], scale, causal, bias=bias, results=results, threads=threads)
    slot = len(scratch)
    scratch[slot] = made.scratch_bytes
    places["scratch"] = (("scratch", slot), 0)
    return GemmCall(number, made, places, (), (number,))


def row_strides(reading: Reading) -> Strides:
    """The strides of batch, heads and rows; elements of a row lie side by side."""
    outer, inner, row, _ = reading.strides
    return outer, inner, row
