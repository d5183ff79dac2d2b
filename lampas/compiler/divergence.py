"""Where two structures part: the first operation in which one differs from the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.linear import LinearGraph

MOST_SHAPES = 4


def divergence(before: LinearGraph, now: LinearGraph) -> str:
    """The first differing operation as text; nothing if the structures are the same.

    Leaves come last: that an operation has another input says more than that there is another input.
    """
    shorter = min(len(before.entries), len(now.entries))
    differing = [n for n in range(shorter) if before.entries[n] != now.entries[n]]
    operations = [n for n in differing if now.entries[n].op.kind != "leaf"]
    if operations:
        place = operations[0]
        return f"{operation_text(now, place)} was {operation_text(before, next_operation(before, place))}"
    if len(now.entries) > shorter:
        return f"goes on with {operation_text(now, shorter)}"
    if len(before.entries) > shorter:
        return f"ends before {operation_text(before, shorter)}"
    if differing:
        return f"{operation_text(now, differing[0])} was {operation_text(before, differing[0])}"
    if before.outputs != now.outputs:
        return f"the same operations, {len(now.outputs)} values kept, not {len(before.outputs)}"
    return ""


def next_operation(graph: LinearGraph, number: int) -> int:
    """The first entry from a place on that is no leaf; the place itself if there is none."""
    entries = graph.entries
    return next((n for n in range(number, len(entries)) if entries[n].op.kind != "leaf"), number)


def operation_text(graph: LinearGraph, number: int) -> str:
    """An entry as `add((2, 3), ()) → (2, 3)`: the operation that it came from, its inputs' shapes, its own."""
    entry = graph.entries[number]
    shape = shape_text(entry.shape)
    if entry.op.kind == "leaf":
        return f"input {entry.dtype.name} {shape}"
    name, shapes = graph.origins[number] if graph.origins else (entry.op.name, ())
    listed = [shape_text(given) for given in shapes[:MOST_SHAPES]]
    return f"{name}({', '.join(listed + ['…'] * (len(shapes) > MOST_SHAPES))}) → {shape}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as a list: the empty tuple reads as nothing."""
    return str(list(shape))
