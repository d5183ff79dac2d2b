"""Which operations a step of a schedule came from, and in what proportion: for profiles.

A fused kernel computes entries of several operations; each gets the share of its operations (by `entry_work`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lampas.engine.graph import primitives as p
from lampas.engine.realize.costs import product_operations
from lampas.engine.schedule.steps import Contraction, Region

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lampas.engine.graph.linear import LinearGraph, Shape
    from lampas.engine.schedule.lower import Schedule
    from lampas.engine.schedule.steps import ScheduleStep

INDEX_CHECK = "index check"
MOST_NAMES = 5


class Share(NamedTuple):
    """An operation, its inputs' shapes, and its part (0 to 1) of some work."""

    name: str
    shapes: tuple[Shape, ...]
    part: float


def step_shares(schedule: Schedule, place: int) -> tuple[Share, ...]:
    """The shares of the step at a place of a schedule; -1 is the place of checks of indices."""
    if place < 0:
        return (Share(INDEX_CHECK, (), 1.0),)
    return shares(schedule.graph, members(schedule.steps[place]))


def members(step: ScheduleStep) -> list[int]:
    """The entries that a step computes."""
    if isinstance(step, Region):
        return step.members
    if isinstance(step, Contraction):
        return [step.entry, *step.region.members]
    return [step.entry]


def shares(graph: LinearGraph, numbers: Iterable[int]) -> tuple[Share, ...]:
    """The shares of some entries, in the order in which their operations first come."""
    found: dict[tuple[str, tuple[Shape, ...]], int] = {}
    for number in numbers:
        origin = graph.origins[number]
        found[origin] = found.get(origin, 0) + entry_work(graph, number)
    total = sum(found.values()) or 1
    return tuple(Share(name, shapes, work / total) for (name, shapes), work in found.items())


def entry_work(graph: LinearGraph, number: int) -> int:
    """Operations of an entry, roughly: at least 1, so that nobody's share is nothing."""
    entry, entries = graph.entries[number], graph.entries
    if entry.op.kind in ("leaf", "view"):
        return 1
    if entry.op is p.MATMUL or (entry.op is p.CONVOLUTION and len(entry.attributes) == 1):
        return max(product_operations(entry, entries), 1)
    return max(entry.numel, *(entries[source].numel for source in entry.sources), 1)


def joined(found: tuple[Share, ...]) -> str:
    """The operations' names in one word, as "linear+relu"."""
    names = list(dict.fromkeys(share.name for share in found))
    return "+".join(names[:MOST_NAMES]) + ("+…" if len(names) > MOST_NAMES else "")
