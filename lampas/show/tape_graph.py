"""Reads a tensor's tape into boxes and edges: leaves, constants, operations and the result.

The tape keeps the shapes of everything, but values only where a derivative needs them. Inputs that need
no gradient are not on the tape; they are shown where an operation still knows them, which is until
`backward()` releases it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lampas.engine.derive.tape import GradNode, OperationGrad
from lampas.engine.graph.primitives import CONSTANT, SCALAR
from lampas.engine.tensor.core import LeafGrad, Tensor
from lampas.nn.modules.module import Module

LEAF, CONSTANT_INPUT, NUMBER, OPERATION = "leaf", "constant", "number", "operation"


@dataclass
class Vertex:
    """One box: `title` in large letters, `lines` below it, `tip` for the mouse."""

    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    tip: str = ""
    result: bool = False


@dataclass
class TapeGraph:
    """Boxes and the edges between them, from what is computed first to the result."""

    vertices: list[Vertex] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    def add(self, vertex: Vertex) -> int:
        """Append a box; return its number."""
        self.vertices.append(vertex)
        return len(self.vertices) - 1


def read_tape(tensor: Tensor, names: Mapping[str, Any]) -> TapeGraph:
    """The graph of everything that `tensor` was made from.

    `names` gives tensors (or the parameters of modules) their names. ValueError for a tensor that
    has no tape.
    """
    edge = tensor._tape_edge()
    if edge is None:
        raise ValueError(
            "the tensor has no computational graph: it does not require grad and was not made from "
            "one that does"
        )
    return _Reader(edge.node, _Names(tensor, names)).graph


class _Names:
    """What tensors are called, by their place on the tape and by their value."""

    def __init__(self, result: Tensor, names: Mapping[str, Any]) -> None:
        self.by_place: dict[tuple[int, int], str] = {}
        self.by_value: dict[int, str] = {}
        self.result = ""
        for name, tensor in _named_tensors(names):
            edge = tensor._tape_edge()
            if edge is None:
                self.by_value.setdefault(id(tensor._value()), name)
            else:
                self.by_place.setdefault((id(edge.node), edge.index), name)
            if tensor is result:
                self.result = name


def _named_tensors(names: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Tensors by name, and the parameters of modules (with the module's name if there are several)."""
    modules = {id(each) for each in names.values() if isinstance(each, Module)}
    for name, value in names.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Module):
            prefix = f"{name}." if len(modules) > 1 else ""
            for inner, parameter in value.named_parameters():
                yield prefix + inner, parameter
            for inner, buffer in value.named_buffers():
                yield prefix + inner, buffer


class _Reader:
    def __init__(self, root: GradNode, names: _Names) -> None:
        self.graph = TapeGraph()
        self.names = names
        self.places: dict[int, int] = {}
        for entry in inputs_first(root):
            self.places[id(entry)] = self._add(entry)
        self.graph.vertices[self.places[id(root)]].result = True

    def _add(self, entry: GradNode) -> int:
        if isinstance(entry, LeafGrad):
            return self.graph.add(self._leaf(entry))
        vertex = Vertex(OPERATION, _plain(entry.name()), [_shapes(entry.metadata)])
        saved = _saved(entry)
        if saved:
            vertex.lines.append(f"saves {saved}")
        produced = [
            name
            for place in range(len(entry.metadata))
            if (name := self.names.by_place.get((id(entry), place)))
        ]
        if produced:
            vertex.title += f"  =  {', '.join(produced)}"
        vertex.tip = f"{entry.name()}: gives {_described(entry.metadata)}"
        inputs = self._inputs(entry)
        number = self.graph.add(vertex)
        self.graph.edges += [(source, number) for source in inputs]
        return number

    def _leaf(self, entry: LeafGrad) -> Vertex:
        name = self.names.by_place.get((id(entry), 0), "leaf")
        shape = entry.metadata[0]
        tip = f"{name}: {_described((shape,))}, requires grad"
        return Vertex(LEAF, name, [_shape(shape)], tip)

    def _inputs(self, entry: GradNode) -> list[int]:
        """The boxes of an operation's inputs in their order; those off the tape are added here."""
        known = getattr(entry, "inputs", None) if isinstance(entry, OperationGrad) else None
        numbers = []
        for place, edge in enumerate(entry.edges):
            if edge is not None:
                numbers.append(self.places[id(edge.node)])
            elif known is not None and (vertex := self._constant(known[place])):
                key = id(known[place])
                if key not in self.places:
                    self.places[key] = self.graph.add(vertex)
                numbers.append(self.places[key])
        return numbers

    def _constant(self, node: Any) -> Vertex | None:
        if node.op is SCALAR:
            return Vertex(NUMBER, f"{node.value:g}")
        if node.op is CONSTANT:
            return Vertex(NUMBER, f"{node.attributes[0]:g}")
        name = self.names.by_value.get(id(node), "input")
        tip = f"{name}: {_described((node,))}, needs no gradient"
        return Vertex(CONSTANT_INPUT, name, [_shape(node)], tip)


def inputs_first(root: GradNode) -> list[GradNode]:
    """Every grad node below `root`, each after those that it leads to."""
    order: list[GradNode] = []
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((edge.node, False) for edge in reversed(node.edges) if edge is not None)
    return order


def _plain(name: str) -> str:
    """A grad name without its ending: "AddmmBackward0" is "Addmm"."""
    return re.sub(r"Backward\d*$", "", name.rpartition("::")[2]) or name


def _saved(entry: GradNode) -> str:
    if isinstance(entry, OperationGrad):
        if entry.inputs is None:
            return ""
        kept = entry.inputs if entry.operation.saves_inputs else ()
        kept += entry.outputs if entry.operation.saves_outputs else ()
        return ", ".join(_shape(node) for node in kept if node.shape)
    saved = getattr(entry, "_saved", ())
    return ", ".join(_shape(tensor) for tensor in saved if tensor is not None)


def _shape(value: Any) -> str:
    return f"({', '.join(map(str, value.shape))})" if len(value.shape) else "scalar"


def _shapes(values: tuple[Any, ...]) -> str:
    return ", ".join(_shape(value) for value in values[:1]) + (", …" if len(values) > 1 else "")


def _described(values: tuple[Any, ...]) -> str:
    return ", ".join(f"{_shape(value)} {value.dtype.name}" for value in values)
