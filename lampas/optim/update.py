"""From an algorithm on nodes to one fused update of many tensors.

An algorithm is a rule, written once: `rule(x, gradient, states, numbers, options)` returns the new
parameter and the new states. `Update` makes one graph operation of it that treats all parameters of
a group together, so that a step passes the door once. `numbers` (learning rate, bias corrections) are
run-time scalars: changing them compiles nothing. `options` belong to the structure.

A complex parameter is treated as two real ones, as PyTorch does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

import lampas
from lampas.engine.derive.operation import Operation
from lampas.engine.derive.recipe import Recipe, ghost
from lampas.engine.device.buffer import Buffer
from lampas.engine.dtype import dtype
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node, buffer_node, scalar_node
from lampas.engine.tensor.core import Tensor, rebind
from lampas.engine.tensor.declare import check_in_place
from lampas.engine.tensor.door import HOOKS, LOOKERS, record, run_hooks, shown
from lampas.engine.watch import watched

# Told of every update before it is made: its rows, the nodes of its numbers, its options.
APPLYING: list[Callable[[Sequence[Sequence[Tensor]], list[Node], Any], None]] = []

Rule = Callable[[Node, Node, Sequence[Node], Sequence[Node], Any], Sequence[Node]]


class Update:
    """The fused operation of a rule."""

    def __init__(self, name: str, rule: Rule) -> None:
        self.rule = rule
        self.operation = Operation(name, self._forward, multiple=True)
        self._rows: dict[Any, Recipe] = {}
        self._last: tuple[Any, ...] = ((), [], [], None)  # attributes, shapes, dtypes, recipe

    def _forward(self, *nodes_and_attributes: Any) -> list[Node]:
        """Inputs: the numbers, then (parameter, gradient, *states) of each parameter."""
        *nodes, count, width, options = nodes_and_attributes
        casts: dict[dtype, list[Node]] = {}
        results: list[Node] = []
        for start in range(count, len(nodes), width):
            row = nodes[start : start + width]
            kind = row[0].dtype
            real = _REAL_PART.get(kind.name, kind)
            if real not in casts:
                casts[real] = [g.cast(number, real) for number in nodes[:count]]
            results.extend(self._row(row, casts[real], options))
        return results

    def _row(self, row: list[Node], numbers: list[Node], options: Any) -> list[Node]:
        key = (options, *[(node.dtype, node.shape) for node in row])
        recipe = self._rows.get(key)
        if recipe is None:
            if len(self._rows) >= _ROWS_KEPT:
                self._rows.clear()
            recipe = self._rows[key] = self._trace_row(row, numbers, options)
        return recipe.write_out([*row, *numbers])

    def _trace_row(self, row: list[Node], numbers: list[Node], options: Any) -> Recipe:
        """A rule's graph for one kind of row: nothing is inferred twice."""
        leaves = [ghost(node) for node in (*row, *numbers)]
        row, numbers = leaves[: len(row)], leaves[len(row) :]
        kind = row[0].dtype
        x, gradient, *states = [g.cast(node, kind) for node in row]
        if kind.is_complex:
            halves = [
                self.rule(part(x), part(gradient), [part(s) for s in states], numbers, options)
                for part in (g.real, g.imaginary)
            ]
            made = [g.complex_pair(a, b) for a, b in zip(*halves, strict=True)]
        else:
            made = list(self.rule(x, gradient, states, numbers, options))
        before = (row[0], *row[2:])
        outputs = [g.cast(new, old.dtype) for new, old in zip(made, before, strict=True)]
        return Recipe(leaves, outputs)

    def apply(
        self,
        rows: Sequence[Sequence[Tensor]],
        numbers: Sequence[float],
        options: Any,
        differentiable: bool = False,
    ) -> None:
        """Updates (parameter, gradient, *states) of every row in place.

        With `differentiable`, the tape records the update (and refuses to overwrite leaves).
        """
        inputs: list[Any] = [scalar_node(float(number)) for number in numbers]
        for told in APPLYING:
            told(rows, list(inputs), options)
        targets: list[Tensor] = []
        for row in rows:
            inputs.extend(row)
            targets.append(row[0])
            targets.extend(row[2:])
        attributes = (len(numbers), len(rows[0]), options)
        if differentiable:
            self._apply_recorded(inputs, attributes, targets)
            return
        if HOOKS or LOOKERS:
            made = self._apply_hooked(tuple(inputs), attributes)
        else:
            nodes = _values(inputs)
            made = self._recipe(nodes, attributes).make(nodes)
        rebind(targets, made)  # type: ignore[arg-type]

    def _recipe(self, nodes: tuple[Node, ...], attributes: tuple[Any, ...]) -> Recipe:
        """The operation's recipe: first the one that was used last time."""
        shapes, kinds = [*map(_SHAPE, nodes)], [*map(_DTYPE, nodes)]
        last = self._last
        if last[0] == attributes and last[1] == shapes and last[2] == kinds:
            return last[3]
        recipe = self.operation.recipe(nodes, attributes)
        self._last = attributes, shapes, kinds, recipe
        return recipe

    def _apply_hooked(
        self, inputs: tuple[Any, ...], attributes: tuple[Any, ...]
    ) -> tuple[Node, ...]:
        """The same for those who look on; the door itself would make tensors that nobody wants."""
        if not HOOKS:
            nodes = _values(inputs)
            return shown(self.operation, _compute, (self.operation, nodes, attributes))
        inputs = run_hooks(self.operation, inputs, attributes)
        nodes = _values(inputs)
        return watched("operator", self.operation, _compute, self.operation, nodes, attributes)

    def _apply_recorded(
        self, inputs: list[Any], attributes: tuple[Any, ...], targets: list[Tensor]
    ) -> None:
        for target in targets:
            check_in_place(target, self.operation.name)
        made = record(self.operation, tuple(inputs), attributes)
        # Overwriting the states does not hurt what the tape has saved: nodes keep their values.
        made[0].grad_fn.guards = None
        for target, new in zip(targets, made, strict=True):
            target._write(new._value(), new._tape_edge())


def _values(inputs: Sequence[Node | Tensor]) -> tuple[Node, ...]:
    """The nodes of tensors' values, and nodes as they are."""
    return tuple([i if type(i) is Node else i._value() for i in inputs])  # type: ignore[union-attr]


def _compute(
    operation: Operation, nodes: tuple[Node, ...], attributes: tuple[Any, ...]
) -> tuple[Node, ...]:
    return operation.compute(nodes, attributes)


_SHAPE, _DTYPE = attrgetter("shape"), attrgetter("dtype")
_ROWS_KEPT = 4096  # kinds of parameters (dtypes, shapes, options) of one algorithm
_REAL_PART = {"complex64": lampas.float32, "complex128": lampas.float64}


def lerp(a: Node, b: Node, weight: Node, complement: Node, light: bool) -> Node:
    """a + weight·(b - a), from the nearer end: `light` says that weight < 1/2."""
    step = g.subtract(b, a)
    if light:
        return g.add(a, g.multiply(weight, step))
    return g.subtract(b, g.multiply(step, complement))


def add_scaled(x: Node, scale: Node, y: Node) -> Node:
    """x + scale·y."""
    return g.add(x, g.multiply(scale, y))


class Counters:
    """Reads and writes 0-d state tensors (step counts) without computing anything.

    Parameters that are at the same count share one buffer, so a step makes one small array for all.
    """

    def __init__(self) -> None:
        self._read: dict[int, tuple[Node, float]] = {}
        self._made: dict[tuple[float, dtype], Node] = {}

    def read(self, tensor: Tensor) -> float:
        """The tensor's value."""
        node = tensor._value()
        known = self._read.get(id(node))
        if known is not None:
            return known[1]
        if node.buffer is None:
            value = float(tensor.item())  # type: ignore[attr-defined]
        else:
            value = float(node.buffer.array(node.dtype.numpy, (1,))[0])
        self._read[id(node)] = (node, value)
        return value

    def write(self, tensor: Tensor, value: float) -> float:
        """Stores a value; returns it as the tensor's dtype rounds it."""
        node, rounded = self.make(value, tensor.dtype)
        tensor._write(node, None, recorded=False)
        return rounded

    def make(self, value: float, kind: dtype) -> tuple[Node, float]:
        """A stored value, and the number that it is once a dtype has rounded it."""
        node = self._made.get((value, kind))
        if node is None:
            array = np.array(value, kind.numpy)
            node = buffer_node(Buffer.from_array(array), (), kind)
            self._made[value, kind] = node
            self._read[id(node)] = (node, float(array))
        return node, self._read[id(node)][1]

    def scale(self, tensor: Tensor, factor: float) -> float:
        """Multiplies in the tensor's dtype; returns the product."""
        kind = tensor.dtype.numpy.type
        return self.write(tensor, float(kind(self.read(tensor)) * kind(factor)))


def counter(value: float = 0.0) -> Tensor:
    """A new 0-d state tensor, float32 (float64 where that is the default dtype)."""
    wide = lampas.get_default_dtype() is lampas.float64
    return lampas.tensor(value, dtype=lampas.float64 if wide else lampas.float32)


def plain_number(value: Any) -> float:
    """A learning rate or the like as a Python number; a tensor must have one element."""
    return value.item() if isinstance(value, Tensor) else value  # type: ignore[attr-defined]
