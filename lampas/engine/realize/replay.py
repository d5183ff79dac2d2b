"""Replays: values are wanted where they were wanted before, so what was run then is run again.

At the end of a journal's path (`graph.journal`) the same graph leads to the same values.  Which of them somebody waits
for, and what may be overwritten, can differ: that is told by the numbers of those who wait and by how often every value
is referred to (`Key`).  Where path and key are known, the leaves' buffers are collected by their numbers and the
program runs; no graph is made, sought, compared or walked.

A key is kept only after the long way (`realize._run`) has run a compiled program for it, and only where no promise was
kept early; so equal counts mean that nobody besides the journal, tensors and storages refers to more than then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from lampas.engine.graph.primitives import SCALAR
from lampas.engine.realize.donation import find_lone

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable, Sequence

    from lampas.engine.device.buffer import Buffer
    from lampas.engine.graph.journal import Journal
    from lampas.engine.graph.node import Node

Key = tuple[tuple[int, ...], tuple[int, ...]]

KEYS_KEPT = 8  # of one path

# Told of every replay that has run, while its journal is whole.
OBSERVERS: list[Callable[[Replay, Journal], None]] = []


@final
class Replay:
    """What is run for a key.

    `buffers` and `scalars` are numbers of the leaves, `outputs` those of the results; `settled` pairs a value with the
    leaf whose memory it reads as it is; `free` are places among `buffers` whose nodes nobody needs; `held` are values that are not computed, but that somebody refers to.
    """

    __slots__ = (
        "buffers",
        "free",
        "generation",
        "held",
        "layouts",
        "outputs",
        "plan",
        "scalars",
        "settled",
    )

    def __init__(self, plan: Any, leaves: Sequence[tuple[int, Node]], free: Sequence[int]) -> None:
        self.plan = plan
        self.generation = 0  # of plans
        self.buffers = [number for number, node in leaves if node.op is not SCALAR]
        self.scalars = [number for number, node in leaves if node.op is SCALAR]
        self.layouts = [node.attributes for _, node in leaves if node.op is not SCALAR]
        self.free = free
        self.outputs: tuple[int, ...] = ()
        self.settled: tuple[tuple[int, int], ...] = ()
        self.held: tuple[int, ...] = ()

    def run(self, journal: Journal) -> bool:
        """Compute the outputs; False, with nothing done, where a leaf lies otherwise than then."""
        values = journal.values
        buffers: list[Buffer] = []
        for number, layout in zip(self.buffers, self.layouts, strict=True):
            node = values[number]
            if node.attributes != layout:
                return False
            buffers.append(node.buffer)
        plan = self.plan
        plan.sightings += 1
        program = plan.program
        scalars = [values[number].value for number in self.scalars]
        made = program.run(buffers, scalars, find_lone(self.free, buffers) if self.free else ())
        for number, buffer, layout in zip(self.outputs, made, program.layouts, strict=True):
            values[number].realize_as(buffer, layout)
        for number, leaf in self.settled:
            buffer = values[leaf].buffer
            buffer.aliased = True
            values[number].realize_as(buffer)
        for told in OBSERVERS:
            told(self, journal)
        if self.held:
            journal.keep_all(self.held)
        return True


def find_key(
    journal: Journal, asked: Sequence[Node], waiting: Sequence[weakref.ref[Any]]
) -> Key | None:
    """What is wanted of a journal, and who refers to its values; None where others are wanted too."""
    numbers: list[int] = []
    for node in asked:
        if node.journal is not journal:
            return None
        numbers.append(node.number)
    for reference in waiting:
        holder = reference()
        if holder is not None:
            node = holder.node
            if node.journal is journal:
                numbers.append(node.number)
            elif node.buffer is None:
                return None
    node = holder = None  # or they would be counted
    return tuple(numbers), journal.counts()
