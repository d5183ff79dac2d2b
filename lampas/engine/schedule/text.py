"""The stages of a schedule as text, for reading and for golden tests.

graph                               schedule
  %0 buffer float32[64, 10]           region [64, 10] reduced [1] %1 %2 %3 -> %3
  %1 max [1] %0 float32[64, 1]      memory
  %2 subtract %0 %1 …                 arena 0 bytes; %3 is output 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.dtype import dtype
from lampas.engine.schedule.draft import NestCall
from lampas.engine.schedule.steps import Assembly, Contraction, Region, ScheduleStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lampas.engine.graph.linear import LinearGraph
    from lampas.engine.schedule.lower import Schedule


def graph_text(graph: LinearGraph) -> str:
    """One line an entry, then the outputs."""
    lines = ["graph"]
    for number, entry in enumerate(graph.entries):
        words = [f"%{number} {entry.op.name}"]
        words.extend(attribute_text(attribute) for attribute in shown(entry))
        words.extend(f"%{source}" for source in entry.sources)
        words.append(f"{entry.dtype.name}{list(entry.shape)}")
        lines.append("  " + " ".join(words))
    lines.append("  outputs " + numbers_text(graph.outputs))
    return "\n".join(lines) + "\n"


def shown(entry: Any) -> Sequence[Any]:
    """The attributes that a reader needs: of a constant the number alone."""
    return entry.attributes[:1] if entry.op.name == "constant" else entry.attributes


def attribute_text(attribute: Any) -> str:
    if isinstance(attribute, dtype):
        return attribute.name
    return str(list(attribute)) if isinstance(attribute, tuple) else str(attribute)


def numbers_text(numbers: Iterable[int]) -> str:
    return " ".join(f"%{number}" for number in numbers)


def steps_text(steps: Sequence[ScheduleStep], graph: LinearGraph) -> str:
    """One line a step: what it computes, and what it stores."""
    lines = ["schedule"]
    lines.extend("  " + step_text(step, graph) for step in steps)
    return "\n".join(lines) + "\n"


def step_text(step: ScheduleStep, graph: LinearGraph) -> str:
    """One step in one line."""
    stores = numbers_text(step.stores)
    if isinstance(step, Region):
        reduced = f" reduced {list(step.reduced)}" if step.reduced else ""
        members = numbers_text(step.members)
        return f"region {list(step.space)}{reduced} {members} -> {stores}"
    if isinstance(step, Contraction):
        members = step.region.members
        after = f" then {numbers_text(members)}" if members else ""
        return f"product %{step.entry}{after} -> {stores}"
    if isinstance(step, Assembly):
        parts = ", ".join(f"%{source} at {place}" for source, place in step.parts)
        return f"assembly {parts} -> {stores}"
    return f"host {graph.entries[step.entry].op.name} -> {stores}"


def memory_text(schedule: Schedule) -> str:
    """Where each stored entry lies, and for how long."""
    lines = ["memory"]
    for life in sorted(schedule.lives, key=lambda life: (life.first, life.key)):
        kind, number = life.key
        name = f"%{number}" if kind == "entry" else f"scratch {number}"
        place = schedule.plan.offsets[life.key]
        old = schedule.takes_over.get(life.key)
        over = f" over %{old[1]}" if old else ""
        span = f"steps {life.first}-{life.last}"
        lines.append(f"  {name} {life.nbytes} bytes at {place} {span}{over}")
    for number, position in sorted(schedule.outputs.items(), key=lambda pair: pair[1]):
        leaf = schedule.donations.get(position)
        may = f", may overwrite %{leaf}" if leaf is not None else ""
        lines.append(f"  %{number} is output {position}{may}")
    lines.append(f"  arena {schedule.plan.nbytes} bytes")
    return "\n".join(lines) + "\n"


def nests_text(schedule: Schedule) -> str:
    """The loop nests of all steps with their sizes."""
    lines: list[str] = []
    for calls in schedule.calls:
        for call in calls:
            if isinstance(call, NestCall):
                sizes = "×".join(str(size) for size in call.sizes)
                lines.append(f"{numbers_text(call.entries)} over {sizes}\n{call.nest}")
    return "\n".join(lines)
