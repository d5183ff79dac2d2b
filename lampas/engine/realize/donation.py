"""Donation: which leaves of a run nobody will ask for again, so that results may overwrite them.

A parameter's old value dies when its update is realised; writing the new one into the same memory saves
fetching fresh memory into the caches, and a second copy of the model.  A leaf may be given away if

- the plan has a result that can overwrite it (`Program.donations`),
- all references to its node come from the graph that is being run, and none to any inner node that
  depends on it (a saved value could be computed again later),
- its buffer belongs to that node alone and no array shows its memory.

This is decided by reference counts, calibrated at import; a count that is not exactly as expected keeps
the leaf.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any, final

from lampas.engine.graph.primitives import BUFFER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.device.buffer import Buffer
    from lampas.engine.graph.linear import LinearGraph
    from lampas.engine.graph.node import Node


def _count_in_tuple() -> int:
    return next(map(getrefcount, (object(),)))


def _count_in_list_and_slot() -> int:
    class Owner:
        __slots__ = ("held",)

    owner = Owner()
    owner.held = object()
    listed = [owner.held]
    return next(map(getrefcount, listed))


IN_TUPLE = _count_in_tuple()
IN_LIST_AND_SLOT = _count_in_list_and_slot()


class _Held:
    __slots__ = ("_node", "buffer", "node")


def _count_in_written() -> tuple[int, int]:
    storage, tensor = _Held(), _Held()
    storage.node = tensor._node = _Held()
    storage.node.buffer = object()
    names: dict[str, Any] = {"getrefcount": getrefcount}
    source = "n = s.node; b = n.buffer\n    return getrefcount(n), getrefcount(b)"
    exec(f"def count(s, t):\n    {source}", names)
    return names["count"](storage, tensor)


# References to a tensor's node and to its buffer, as a function that was written for a step (and has both in a variable)
# counts them where nobody but the tensor and its storage has any.
NODE_ALONE, BUFFER_ALONE = _count_in_written()


@final
class Donor:
    """Finds the leaves that can be given away, for runs of one graph."""

    def __init__(self, graph: LinearGraph, wanted: Sequence[int]) -> None:
        """`wanted` are positions among the buffer leaves that some result could overwrite."""
        entries = graph.entries
        buffers = [number for number in graph.leaves if entries[number].op is BUFFER]
        self.wanted = sorted(set(wanted))
        self.numbers = [buffers[position] for position in self.wanted]
        uses = [0] * len(entries)
        for entry in entries:
            for source in entry.sources:
                uses[source] += 1
        leaves, targets = set(graph.leaves), set(graph.outputs)
        self.expected = [IN_TUPLE + count + (number in leaves) for number, count in enumerate(uses)]
        self.touched = self.dependents(graph)
        self.inner = [
            number
            for number, mask in enumerate(self.touched)
            if mask and number not in targets and number not in leaves
        ]

    def dependents(self, graph: LinearGraph) -> list[int]:
        """For each entry, a bit for every wanted leaf that its value depends on."""
        touched = [0] * len(graph.entries)
        for bit, number in enumerate(self.numbers):
            touched[number] = 1 << bit
        for number, entry in enumerate(graph.entries):
            for source in entry.sources:
                touched[number] |= touched[source]
        return touched

    def find(self, nodes: Sequence[Node]) -> list[int]:
        """Positions of leaves that nobody asks for again, in ascending order.

        `nodes` is the tuple of the linearization; besides it, exactly one list holds the leaves.
        """
        if not self.wanted:
            return []
        counts = list(map(getrefcount, nodes))
        expected, held = self.expected, 0
        for number in self.inner:
            if counts[number] != expected[number]:
                held |= self.touched[number]
        return [
            position
            for bit, (position, number) in enumerate(zip(self.wanted, self.numbers, strict=True))
            if counts[number] == expected[number] and not held >> bit & 1
        ]


def find_lone(positions: Sequence[int], buffers: Sequence[Buffer]) -> list[int]:
    """Those positions whose buffers belong to one node alone, and whose memory no array shows.

    Exactly one list, `buffers`, holds the buffers.
    """
    if not positions:
        return []
    counts = list(map(getrefcount, buffers))
    return [
        position
        for position in positions
        if counts[position] == IN_LIST_AND_SLOT and not buffers[position].is_seen_outside()
    ]
