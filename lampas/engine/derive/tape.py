"""The tape: what was done to tensors that require gradients, and the walk back over it.

A `GradNode` stands for one recorded operation; its `edges` lead to the grad nodes of its inputs.  What
flows backwards is a `Flow`: a value node, with an edge when the derivative is itself recorded
(`create_graph`).  The walk visits nodes in the reverse order of recording (largest sequence number
first), each when all of its users have been visited, as PyTorch does: sums of cotangents then round in
the same order.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from lampas.engine.derive import anomaly
from lampas.engine.derive.operation import Operation, Saved, alias, ghost
from lampas.engine.graph import build as g
from lampas.engine.watch import WATCHERS, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.derive.recipe import Recipe
    from lampas.engine.graph.node import Node

next_sequence = itertools.count().__next__


class Edge(NamedTuple):
    """A place where a cotangent goes: output `index` of a grad node."""

    node: GradNode
    index: int


class Flow(NamedTuple):
    """A cotangent on its way; `edge` is set when it is recorded for higher derivatives."""

    node: Node
    edge: Edge | None


class GradNode:
    """One step of the tape.  Shown to users as `grad_fn`."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "captured",
        "edges",
        "metadata",
        "post_hooks",
        "pre_hooks",
        "sequence",
        "tensor_hooks",
    )

    if TYPE_CHECKING:  # attached where tensors are known (tensor/backward.py)
        register_hook: Callable[..., Any]
        register_prehook: Callable[..., Any]

    def __init__(self, edges: tuple[Edge | None, ...], metadata: tuple[Node, ...]) -> None:
        self.edges = edges
        self.metadata = metadata  # shapes and dtypes of the outputs
        self.sequence = next_sequence()
        if anomaly.state.enabled:
            anomaly.remember_call(self)
        self.tensor_hooks: dict[int, dict[int, Callable[..., Any]]] | None = None
        self.pre_hooks: dict[int, Callable[..., Any]] | None = None
        self.post_hooks: dict[int, Callable[..., Any]] | None = None
        self.captured: dict[int, Callable[[Flow], None]] | None = None

    def name(self) -> str:
        """The name that `repr` of a tensor shows."""
        raise NotImplementedError

    def shown(self) -> GradNode:
        """The same object, whose class is called as it is: `type(tensor.grad_fn).__name__` is what users print."""
        name = self.name().rpartition("::")[2]
        if type(self).__name__ != name:
            self.__class__ = _named(type(self), name)
        return self

    def apply(self, flows: tuple[Flow | None, ...], create_graph: bool) -> Sequence[Flow | None]:
        """From the cotangents of the outputs to those along `edges`."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget saved values; a second walk then raises."""

    @property
    def next_functions(self) -> tuple[tuple[GradNode | None, int], ...]:
        """The grad nodes of the inputs, as PyTorch shows them."""
        return tuple(
            [(None, 0) if edge is None else (edge.node.shown(), edge.index) for edge in self.edges]
        )

    def __repr__(self) -> str:
        return f"<{self.name().rpartition('::')[2]} object at {id(self):#x}>"


@functools.cache
def _named(kind: type, name: str) -> type:
    """A class of that name which adds nothing."""
    return type(name, (kind,), {"__slots__": (), "__module__": kind.__module__})


class OperationGrad(GradNode):
    """The tape's entry for an `Operation`.

    `guards` are (storage, version) pairs of the inputs, then the outputs: where a version has moved
    on and the derivative would read the old value, PyTorch's error is raised.
    """

    __slots__ = ("attributes", "guards", "inputs", "operation", "outputs")

    def __init__(
        self,
        operation: Operation,
        inputs: tuple[Node, ...],
        outputs: tuple[Node, ...],
        attributes: tuple[Any, ...],
        edges: tuple[Edge | None, ...],
    ) -> None:
        super().__init__(edges, outputs)
        self.operation = operation
        self.attributes = attributes
        self.guards: tuple[tuple[Any, int], ...] | None = None
        self.inputs: tuple[Node, ...] | None = (
            inputs if operation.saves_inputs else tuple([ghost(node) for node in inputs])
        )
        if operation.saves_outputs:
            self.outputs = outputs
        else:
            self.outputs = self.metadata = tuple([ghost(node) for node in outputs])

    def name(self) -> str:
        return self.operation.grad_name

    def release(self) -> None:
        """Forget the saved values; what has saved none can be walked again."""
        operation = self.operation
        if self.edges and (operation.saves_inputs or operation.saves_outputs):
            self.inputs = None
            self.outputs = ()
            self.guards = None
            self.metadata = tuple([ghost(node) for node in self.metadata])

    def apply(self, flows: tuple[Flow | None, ...], create_graph: bool) -> Sequence[Flow | None]:
        if self.inputs is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Saved intermediate values of the "
                f"graph ({self.name()}) are freed when you call .backward() or autograd.grad(). "
                "Specify retain_graph=True if you need to backward through the graph a second "
                "time or if you need to access saved tensors after calling backward."
            )
        needed = tuple([edge is not None for edge in self.edges])
        cotangents = tuple([None if flow is None else flow.node for flow in flows])
        saved = Saved(self.inputs, self.outputs, self.attributes, needed)
        recipe = self.operation.derivative(saved, cotangents)
        if self.guards is not None:
            self._check_versions(recipe)
        given = [node for node in cotangents if node is not None]
        if create_graph:
            return self._apply_recorded(flows, needed, given)
        grads = recipe.make((*self.inputs, *self.outputs, *given))
        return [None if grad is None else Flow(grad, None) for grad in grads]

    def _apply_recorded(
        self, flows: tuple[Flow | None, ...], needed: tuple[bool, ...], given: list[Node]
    ) -> list[Flow | None]:
        assert self.inputs is not None
        present = tuple([flow is not None for flow in flows])
        derived = self.operation.derived()
        inputs = (*self.inputs, *given)
        attributes = (len(self.inputs), present, needed, self.attributes)
        recipe = derived.recipe(inputs, attributes)
        outputs: tuple[Node, ...] = recipe.make(inputs)  # type: ignore[assignment]
        edges = (*self.edges, *(flow.edge for flow in flows if flow is not None))
        wanted = {place for place, edge in enumerate(edges) if edge is not None}
        varies = [not wanted.isdisjoint(sources) for sources in recipe.sources()]
        entry = OperationGrad(derived, inputs, outputs, attributes, edges)
        entry.guards = self.guards[: len(self.inputs)] if self.guards is not None else None
        results: list[Flow | None] = []
        position = 0
        for need in needed:
            if need:
                edge = Edge(entry, position) if varies[position] else None
                results.append(Flow(outputs[position], edge))
                position += 1
            else:
                results.append(None)
        return results

    def _check_versions(self, recipe: Recipe) -> None:
        """RuntimeError if a value that the derivative reads was overwritten since it was saved."""
        for place, (storage, version) in enumerate(self.guards or ()):
            if storage is None or storage.version == version or not recipe.uses(place):
                continue
            value = (*(self.inputs or ()), *self.outputs)[place]
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: [torch.{value.dtype.title}Tensor {list(value.shape)}], "
                f"saved for {self.name()}, is at version {storage.version}; expected version "
                f"{version} instead. Hint: enable anomaly detection to find the operation "
                "that failed to compute its gradient, with "
                "torch.autograd.set_detect_anomaly(True)."
            )


_ADD = Operation("add", g.add, grad_name="AddBackward0", saves="none")


def add_flows(a: Flow, b: Flow) -> Flow:
    """The sum of two cotangents, recorded when either is."""
    if a.edge is None and b.edge is None:
        return Flow(g.add(a.node, b.node), None)
    first, second = (a.node, alias(b.node) if b.node is a.node else b.node)
    total = g.add(first, second)
    entry = OperationGrad(_ADD, (first, second), (total,), (), (a.edge, b.edge))
    return Flow(total, Edge(entry, 0))


class Interface(NamedTuple):
    """How the tape speaks with tensors, for the sake of hooks."""

    wrap: Callable[[Flow], Any]
    unwrap: Callable[[Any], Flow]


def walk(
    roots: Sequence[tuple[Edge, Flow]],
    *,
    keep_graph: bool,
    create_graph: bool,
    interface: Interface,
    captures: dict[tuple[int, int], Callable[[Flow], None]] | None = None,
    only: set[int] | None = None,
) -> None:
    """Send the cotangents of `roots` back over the tape.

    `captures[(id(grad node), index)]` receives the cotangent at that place (`autograd.grad`).  With
    `only`, grad nodes whose id is not in it are not run.  Of two that are as late, the first to be ready goes first.
    """
    waiting = _count_users(roots)
    arrivals: dict[int, list[Flow | None]] = {}
    heap: list[tuple[int, int, GradNode]] = []
    queued: set[int] = set()
    ready = itertools.count()
    for edge, flow in roots:
        _arrive(arrivals, edge, flow)
        if waiting[id(edge.node)] == 0 and id(edge.node) not in queued:
            queued.add(id(edge.node))
            heapq.heappush(heap, (-edge.node.sequence, next(ready), edge.node))
    while heap:
        node = heapq.heappop(heap)[2]
        arrived = arrivals.pop(id(node), None)
        results: Sequence[Flow | None] = ()
        if arrived is not None:
            flows = tuple(arrived)
            if captures or node.tensor_hooks is not None or node.captured is not None:
                flows = _run_tensor_hooks(node, flows, interface, captures)
            if only is None or id(node) in only:
                results = _run(node, flows, create_graph, interface)
        if not keep_graph and (only is None or id(node) in only):
            node.release()
        for edge, result in zip(node.edges, results or (None,) * len(node.edges), strict=False):
            if edge is None:
                continue
            if result is not None:
                _arrive(arrivals, edge, result)
            key = id(edge.node)
            waiting[key] -= 1
            if waiting[key] == 0:
                heapq.heappush(heap, (-edge.node.sequence, next(ready), edge.node))


def _count_users(roots: Sequence[tuple[Edge, Flow]]) -> dict[int, int]:
    """For every reachable grad node, how many edges lead to it."""
    waiting: dict[int, int] = {}
    stack: list[GradNode] = []
    for edge, _ in roots:
        if id(edge.node) not in waiting:
            waiting[id(edge.node)] = 0
            stack.append(edge.node)
    while stack:
        node = stack.pop()
        for edge in node.edges:
            if edge is None:
                continue
            key = id(edge.node)
            if key in waiting:
                waiting[key] += 1
            else:
                waiting[key] = 1
                stack.append(edge.node)
    return waiting


def _arrive(arrivals: dict[int, list[Flow | None]], edge: Edge, flow: Flow) -> None:
    """Add a cotangent to those that have come to an output of a grad node."""
    node, index = edge
    flows = arrivals.get(id(node))
    if flows is None:
        flows = arrivals[id(node)] = [None] * max(len(node.metadata), 1)
    before = flows[index]
    flows[index] = flow if before is None else add_flows(before, flow)


def _run_tensor_hooks(
    node: GradNode,
    flows: tuple[Flow | None, ...],
    interface: Interface,
    captures: dict[tuple[int, int], Callable[[Flow], None]] | None,
) -> tuple[Flow | None, ...]:
    if node.tensor_hooks is None and node.captured is None and not captures:
        return flows
    result = list(flows)
    for index, flow in enumerate(flows):
        if flow is None:
            continue
        for hook in list((node.tensor_hooks or {}).get(index, {}).values()):
            changed = hook(interface.wrap(flow))
            if changed is not None:
                flow = interface.unwrap(changed)
        result[index] = flow
        if node.captured and index in node.captured:
            node.captured[index](flow)
        if captures and (id(node), index) in captures:
            captures[(id(node), index)](flow)
    return tuple(result)


def _run(
    node: GradNode, flows: tuple[Flow | None, ...], create_graph: bool, interface: Interface
) -> Sequence[Flow | None]:
    if node.pre_hooks:
        flows = _run_pre_hooks(node, flows, interface)
    if WATCHERS and interface is not None:  # without one it is a rehearsal
        results = watched("backward", node.name(), node.apply, flows, create_graph)
    else:
        results = node.apply(flows, create_graph)
    if anomaly.state.enabled:
        anomaly.check(node, results)
    if node.post_hooks:
        results = _run_post_hooks(node, results, flows, interface)
    return results


def _wrap_all(flows: Sequence[Flow | None], interface: Interface) -> tuple[Any, ...]:
    return tuple(None if flow is None else interface.wrap(flow) for flow in flows)


def _unwrap_all(tensors: Any, interface: Interface) -> tuple[Flow | None, ...]:
    if not isinstance(tensors, tuple):
        tensors = (tensors,)
    return tuple(None if tensor is None else interface.unwrap(tensor) for tensor in tensors)


def _run_pre_hooks(
    node: GradNode, flows: tuple[Flow | None, ...], interface: Interface
) -> tuple[Flow | None, ...]:
    for hook in list((node.pre_hooks or {}).values()):
        changed = hook(_wrap_all(flows, interface))
        if changed is not None:
            flows = _unwrap_all(changed, interface)
    return flows


def _run_post_hooks(
    node: GradNode,
    results: Sequence[Flow | None],
    flows: tuple[Flow | None, ...],
    interface: Interface,
) -> Sequence[Flow | None]:
    for hook in list((node.post_hooks or {}).values()):
        changed = hook(_wrap_all(results, interface), _wrap_all(flows, interface))
        if changed is not None:
            results = _unwrap_all(changed, interface)
    return results
