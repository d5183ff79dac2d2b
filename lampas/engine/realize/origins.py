"""Which operations a step of a schedule came from, and in what proportion: for profiles.

A fused kernel computes entries of several operations; each gets the share of its operations (by `entry_work`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import Entry
from lampas.engine.realize.costs import product_operations
from lampas.engine.schedule.steps import Contraction, Region

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lampas.engine.graph.linear import LinearGraph, Shape
    from lampas.engine.schedule.lower import Schedule
    from lampas.engine.schedule.steps import ScheduleStep

INDEX_CHECK = "index check"
# Of a convolution as it is called: what has a value for each place of the window, and what is as large as the weight.
CONVOLUTIONS: dict[p.Primitive, Callable[[Entry, Entry, Entry], tuple[Entry, Entry]]] = {
    p.CONVOLUTION: lambda result, x, weight: (result, weight),
    p.CONVOLUTION_BACKWARD_INPUT: lambda result, gradient, weight: (gradient, weight),
    p.CONVOLUTION_BACKWARD_WEIGHT: lambda result, x, gradient: (gradient, result),
}
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
    computed: dict[int, None] = {}
    for number in members(schedule.steps[place]):
        add_inlined(schedule, number, computed)
    return shares(schedule.graph, computed)


def members(step: ScheduleStep) -> list[int]:
    """The entries that a step is for."""
    if isinstance(step, Region):
        return step.members
    if isinstance(step, Contraction):
        return [step.entry, *step.region.members]
    return [step.entry]


def add_inlined(schedule: Schedule, number: int, computed: dict[int, None]) -> None:
    """Put an entry behind the inlined ones that are computed on the way to it."""
    paths = schedule.paths
    for source in schedule.graph.entries[number].sources:
        base = paths.base(source)
        if base in paths.inline and base not in computed:
            add_inlined(schedule, base, computed)
    computed[number] = None


def shares(graph: LinearGraph, numbers: Iterable[int]) -> tuple[Share, ...]:
    """The shares of some entries in the order in which their operations first come; leaves have none."""
    found: dict[tuple[str, tuple[Shape, ...]], int] = {}
    for number in numbers:
        if graph.entries[number].op.kind == "leaf":
            continue
        origin = graph.origins[number]
        found[origin] = found.get(origin, 0) + entry_work(graph, number)
    total = sum(found.values()) or 1
    return tuple(Share(name, shapes, work / total) for (name, shapes), work in found.items())


def entry_work(graph: LinearGraph, number: int) -> int:
    """Operations of an entry, roughly: at least 1, so that nobody's share is nothing."""
    entry, entries = graph.entries[number], graph.entries
    if entry.op.kind == "view":
        return 1
    if entry.op in CONVOLUTIONS and isinstance(entry.attributes[0], tuple):
        x, y = (entries[source] for source in entry.sources)
        points, taps = CONVOLUTIONS[entry.op](entry, x, y)
        return max(2 * points.numel * prod(taps.shape[1:]), 1)
    if entry.op is p.MATMUL or entry.op in CONVOLUTIONS:
        return max(product_operations(entry, entries), 1)
    return max(entry.numel, *(entries[source].numel for source in entry.sources), 1)


def joined(found: tuple[Share, ...]) -> str:
    """The operations' names in one word, as "linear+relu"."""
    names = list(dict.fromkeys(share.name for share in found))
    return "+".join(names[:MOST_NAMES]) + ("+…" if len(names) > MOST_NAMES else "")
