"""A graph in one line: the form in which graphs are keyed, interpreted and compiled.

`linearize(targets)` numbers every node that the targets need, inputs before users.  Two graphs of the
same structure give equal keys, whatever their buffers and scalar values; shapes of leaves and all
attributes are part of the key, so every other shape and dtype is too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.engine.graph.primitives import BUFFER, CALL, OUTPUT, SCALAR, Primitive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.dtype import dtype
    from lampas.engine.graph.node import Node, Shape

# What an entry came from: an operation's name (a primitive's, where it stood alone), its inputs' shapes.
Origin = tuple[str, tuple["Shape", ...]]


@final
class Entry(NamedTuple):
    """One numbered node: `sources` are the numbers of its inputs."""

    op: Primitive
    attributes: tuple[Any, ...]
    sources: tuple[int, ...]
    shape: Shape
    dtype: dtype

    @property
    def numel(self) -> int:
        """Number of elements of the value."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@final
@dataclass(frozen=True, slots=True)
class LinearGraph:
    """Entries in topological order; `leaves` and `outputs` are entry numbers.

    `leaves` lists the `buffer` and `scalar` entries in order: run-time data come in this order.
    `origins`, one for each entry, are there for those who read (profiles): no key and no kernel knows them.
    """

    entries: tuple[Entry, ...]
    leaves: tuple[int, ...]
    outputs: tuple[int, ...]
    origins: tuple[Origin, ...] = field(default=(), compare=False)


@final
class Linearization(NamedTuple):
    """The nodes behind a linear graph, its key, and the numbers that `linearize` gave."""

    key: tuple[Any, ...]
    nodes: tuple[Node, ...]
    leaves: tuple[int, ...]
    outputs: tuple[int, ...]

    def graph(self) -> LinearGraph:
        """The full description, calls written out; made only for a key that was not met before."""
        entries: list[Entry] = []
        origins: list[Origin] = []
        place: dict[int, int] = {}
        results: dict[int, tuple[int, ...]] = {}
        for node in self.nodes:
            name = node.op.name
            if node.op is CALL:
                recipe = node.attributes[0]
                name = recipe.origin
                sources = [place[id(source)] for source in node.inputs]
                results[id(node)] = _write_out(recipe, sources, entries)
                place[id(node)] = results[id(node)][0]
                origins.extend(recipe.origins or ())
            elif node.op is OUTPUT and id(node.inputs[0]) in results:
                place[id(node)] = results[id(node.inputs[0])][node.attributes[0]]
            else:
                sources = [place[id(source)] for source in node.inputs]
                entries.append(_entry(node, tuple(sources)))
                place[id(node)] = len(entries) - 1
            origin = name, tuple([source.shape for source in node.inputs])
            origins.extend([origin] * (len(entries) - len(origins)))
        leaves = tuple(place[id(self.nodes[number])] for number in self.leaves)
        outputs = tuple(place[id(self.nodes[number])] for number in self.outputs)
        return LinearGraph(tuple(entries), leaves, outputs, tuple(origins))

    def skeleton(self) -> LinearGraph:
        """One entry for each node, calls as they are: what holds references to what."""
        number = {id(node): position for position, node in enumerate(self.nodes)}
        entries = tuple(
            _entry(node, tuple([number[id(source)] for source in node.inputs]))
            for node in self.nodes
        )
        return LinearGraph(entries, self.leaves, self.outputs)


def _entry(node: Node, sources: tuple[int, ...]) -> Entry:
    return Entry(node.op, node.attributes, sources, node.shape, node.dtype)


def _write_out(recipe: Any, sources: list[int], entries: list[Entry]) -> tuple[int, ...]:
    """Append a recipe's steps; return the entry numbers of what it computes."""
    numbers = list(sources)
    steps: Sequence[Any] = recipe.steps
    computed: Sequence[int] = recipe.computed
    for op, places, attributes, shape, kind in steps:
        inputs = tuple(map(numbers.__getitem__, places))
        entries.append(Entry(op, attributes, inputs, shape, kind))
        numbers.append(len(entries) - 1)
    return tuple(map(numbers.__getitem__, computed))


def linearize(targets: Sequence[Node]) -> Linearization:
    """Number the nodes that `targets` need, inputs before users, and make the structural key.

    One walk does both: this runs for every program that is started.
    """
    number: dict[int, int] = {}
    nodes: list[Node] = []
    key: list[Any] = []
    leaves: list[int] = []
    stack = list(reversed(targets))
    while stack:
        node = stack[-1]
        if id(node) in number:
            stack.pop()
            continue
        inputs = node.inputs
        if inputs:
            waiting = [source for source in inputs if id(source) not in number]
            if waiting:
                waiting.reverse()
                stack.extend(waiting)
                continue
        stack.pop()
        op = node.op
        if inputs:
            key.append((op, tuple([number[id(source)] for source in inputs]), node.attributes))
        elif op is BUFFER or op is SCALAR:
            leaves.append(len(nodes))
            key.append((op, node.shape, node.dtype, node.attributes))
        else:
            key.append((op, node.attributes, node.dtype))
        number[id(node)] = len(nodes)
        nodes.append(node)
    outputs = tuple([number[id(node)] for node in targets])
    return Linearization((tuple(key), outputs), tuple(nodes), tuple(leaves), outputs)
