"""Starting the backward walk: `Tensor.backward`, `autograd.backward`, `autograd.grad`, hooks on tensors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lampas.engine.derive import anomaly
from lampas.engine.derive.operation import ghost
from lampas.engine.derive.tape import Edge, Flow, GradNode, Interface, walk
from lampas.engine.derive.trail import Mark, end_unmet_trail
from lampas.engine.graph import build as g
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import LeafGrad, Tensor, accumulate_grad, share, wrap
from lampas.engine.tensor.cursor_binding import tensor_of
from lampas.engine.tensor.declare import method
from lampas.engine.tensor.device import CPU
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.joining import stack
from lampas.engine.watch import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.graph.node import Node

_HOOK_NUMBERS = itertools.count()


def _wrap_flow(flow: Flow) -> Tensor:
    return wrap(flow.node, CPU, flow.edge)


def _unwrap_flow(tensor: Tensor) -> Flow:
    return Flow(tensor._value(), tensor._tape_edge())


def _has_nan(node: Node) -> bool:
    if not (node.dtype.is_floating_point or node.dtype.is_complex):
        return False
    return bool(np.isnan(array_of(wrap(node, CPU))).any())


anomaly.state.has_nan = _has_nan

INTERFACE = Interface(_wrap_flow, _unwrap_flow)


@final
class grad_switch:
    """Records (or not) inside a `with` block; the previous state comes back after it."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(grad_mode.enabled)
        grad_mode.enabled = self.enabled

    def __exit__(self, *error: object) -> None:
        grad_mode.enabled = self.before.pop()


def as_tuple(value: Any) -> tuple[Any, ...]:
    """One tensor, or a sequence of them, as a tuple."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def make_roots(
    tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], create_graph: bool
) -> list[tuple[Edge, Flow]]:
    """The places and cotangents where the walk starts; RuntimeError where there is none."""
    end_unmet_trail()
    roots = []
    for position, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
        edge = tensor._tape_edge()
        if edge is None:
            raise RuntimeError(
                f"element {position} of tensors does not require grad and does not have a grad_fn"
            )
        roots.append((edge, _start_flow(tensor, gradient, create_graph)))
    return roots


def _start_flow(tensor: Tensor, gradient: Tensor | None, create_graph: bool) -> Flow:
    if gradient is None:
        if tensor._node_count() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if tensor.dtype.is_complex:
            raise RuntimeError("grad can be implicitly created only for real scalar outputs")
        return Flow(g.full(tensor._shape, 1, tensor.dtype), None)
    if not isinstance(gradient, Tensor):
        raise TypeError(
            f"gradients can be either Tensors or None, but got {type(gradient).__name__}"
        )
    if gradient._shape != tensor._shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {gradient.shape} and output[0] has "
            f"a shape of {tensor.shape}."
        )
    if gradient.dtype.is_complex and not tensor.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype."
        )
    edge = gradient._tape_edge() if create_graph else None
    return Flow(g.cast(gradient._value(), tensor.dtype), edge)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Sum d(tensors)/d(leaf) · grad_tensors into `.grad` of the leaves (or of `inputs` only).

    RuntimeError for a tensor without tape, a missing gradient of a non-scalar, a second walk over a
    released tape, an overwritten saved value.
    """
    outputs = as_tuple(tensors)
    given = as_tuple(grad_tensors) or (None,) * len(outputs)
    if inputs is not None and not as_tuple(inputs):
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    keep = create_graph if retain_graph is None else retain_graph
    simple = inputs is None and not create_graph and len(outputs) == 1 == len(given)
    if simple and _walk_trail(outputs[0], given[0], keep):
        return
    roots = make_roots(outputs, given, create_graph)
    with grad_switch(create_graph):
        if inputs is None:
            walk(roots, keep_graph=keep, create_graph=create_graph, interface=INTERFACE)
        else:
            _backward_to(roots, as_tuple(inputs), keep, create_graph)


def _leaf_flows(
    tensor: Tensor, gradient: Tensor | None
) -> tuple[Mark, list[tuple[GradNode, Node]]] | None:
    """What arrives at the leaves by a walk without a tape, and where it began; None where there must be one."""
    mark = tensor._edge
    if type(mark) is not Mark or tensor.is_leaf or tensor._edge is not mark:
        return None
    trail = mark.trail
    if not trail.can_walk(mark.place):
        return None
    start = None
    if gradient is not None:
        start = _start_flow(tensor, gradient, False).node
    elif tensor._node_count() != 1 or tensor._node.dtype.is_complex:
        return None  # the error comes where the tape is walked
    found = trail.walk(mark.place, mark.index, start)
    return None if found is None else (mark, found)


def _grad_on_trail(
    output: Tensor, gradient: Tensor | None, inputs: tuple[Tensor, ...], keep: bool
) -> tuple[Tensor, ...] | None:
    """The gradients with respect to leaves, without a tape; None where there must be one.

    PyTorch releases only what leads to the inputs, a trail all that was reached: so nothing else may be.
    """
    if any(x._edge is not None or x._base is not None or not x._requires_grad for x in inputs):
        return None
    walked = _leaf_flows(output, gradient)
    if walked is None:
        return None
    mark, arrived = walked
    flows = {id(leaf): node for leaf, node in arrived}
    wanted = [id(tensor._leaf) for tensor in inputs]
    if not flows.keys() >= set(wanted) or not (keep or len(set(wanted)) == len(flows)):
        return None
    if not keep:
        mark.trail.release(mark.place, mark.index, gradient is None)
    return tuple(
        [
            _result(tensor, Flow(flows[place], None))
            for tensor, place in zip(inputs, wanted, strict=True)
        ]
    )


def _walk_trail(tensor: Tensor, gradient: Tensor | None, keep: bool) -> bool:
    """Walk back without a tape; False where there must be one."""
    walked = _leaf_flows(tensor, gradient)
    if walked is None:
        return False
    mark, found = walked
    if not keep:
        mark.trail.release(mark.place, mark.index, gradient is None)
    for leaf, node in found:
        variable = leaf.variable()  # type: ignore[attr-defined]
        if variable is None:
            continue
        if variable._grad is None and variable._node.dtype is node.dtype:
            variable._grad = tensor_of(node, variable._storage.device, None)
        else:
            with grad_switch(False):
                accumulate_grad(variable, Flow(node, None))
    return True


def _backward_to(
    roots: list[tuple[Edge, Flow]], inputs: tuple[Tensor, ...], keep: bool, create_graph: bool
) -> None:
    found = _capture(roots, inputs, keep, create_graph)
    for tensor, flow in zip(inputs, found, strict=True):
        if flow is not None:
            accumulate_grad(tensor, flow)


def _capture(
    roots: list[tuple[Edge, Flow]], inputs: Sequence[Tensor], keep: bool, create_graph: bool
) -> list[Flow | None]:
    """Walk; return the cotangent that arrives at each input instead of accumulating it."""
    found: dict[tuple[int, int], Flow] = {}
    captures: dict[tuple[int, int], Callable[[Flow], None]] = {}
    places = []
    for tensor in inputs:
        edge = tensor._tape_edge()
        if edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        place = (id(edge.node), edge.index)
        places.append(place)
        captures[place] = lambda flow, place=place: found.__setitem__(place, flow)
    goals = {place[0] for place in places}
    needed = _leading_to(roots, goals)
    walk(
        roots,
        keep_graph=keep,
        create_graph=create_graph,
        interface=INTERFACE,
        captures=captures,
        only=needed - {id(edge.node) for edge in _leaf_edges(inputs)},
    )
    return [found.get(place) for place in places]


def _leaf_edges(inputs: Sequence[Tensor]) -> list[Edge]:
    edges = [tensor._tape_edge() for tensor in inputs]
    return [edge for edge in edges if edge is not None and isinstance(edge.node, LeafGrad)]


def _leading_to(roots: list[tuple[Edge, Flow]], goals: set[int]) -> set[int]:
    """The grad nodes from which a goal can be reached through at least one edge."""
    order: list[GradNode] = []
    seen: set[int] = set()
    stack: list[tuple[GradNode, bool]] = [(edge.node, False) for edge, _ in roots]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((edge.node, False) for edge in node.edges if edge is not None)
    leading: set[int] = set()
    for node in order:
        if any(
            edge is not None and (id(edge.node) in goals or id(edge.node) in leading)
            for edge in node.edges
        ):
            leading.add(id(node))
    return leading


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` (summed with weights `grad_outputs`) with respect to `inputs`.

    RuntimeError for an input that the outputs do not depend on, unless `allow_unused`.
    """
    targets, sources = as_tuple(outputs), as_tuple(inputs)
    given = as_tuple(grad_outputs) or (None,) * len(targets)
    if is_grads_batched:
        return _batched_grad(targets, sources, given, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, "
            "but got: allow_unused=False."
        )
    if not create_graph and len(targets) == 1 == len(given) and sources:
        results_on_trail = _grad_on_trail(targets[0], given[0], sources, keep)
        if results_on_trail is not None:
            return results_on_trail
    roots = make_roots(targets, given, create_graph)
    with grad_switch(create_graph):
        found = _capture(roots, sources, keep, create_graph)
    results: list[Tensor | None] = []
    for tensor, flow in zip(sources, found, strict=True):
        if flow is None and materialize_grads:
            flow = Flow(g.full(tensor._shape, 0, tensor.dtype), None)
        if flow is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. Set "
                "allow_unused=True if this is the desired behavior."
            )
        results.append(None if flow is None else _result(tensor, flow))
    return tuple(results)


def _result(tensor: Tensor, flow: Flow) -> Tensor:
    return wrap(g.cast(flow.node, tensor.dtype), tensor._storage.device, flow.edge)


def _batched_grad(
    targets: tuple[Tensor, ...], sources: tuple[Tensor, ...], given: Any, create_graph: bool
) -> tuple[Tensor, ...]:
    """One walk for each entry of the leading dimension of `grad_outputs`."""
    count = given[0].shape[0]
    rows = [
        grad(
            targets,
            sources,
            tuple(each[i] for each in given),
            True,
            create_graph,
            allow_unused=True,
        )
        for i in range(count)
    ]
    return tuple(
        stack([_or_zeros(row[place], source) for row in rows])
        for place, source in enumerate(sources)
    )


def _or_zeros(found: Tensor | None, tensor: Tensor) -> Tensor:
    if found is not None:
        return found
    return wrap(g.full(tensor._shape, 0, tensor.dtype), tensor._storage.device)


@method("backward")
def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Sum the gradients of this tensor into `.grad` of the leaves that it depends on."""
    if inputs is None and not create_graph and _walk_trail(self, gradient, bool(retain_graph)):
        return
    backward((self,), (gradient,), retain_graph, create_graph, inputs=inputs)


# Hooks --------------------------------------------------------------------------------------------


@final
class HookHandle:
    """Removes a hook: `handle.remove()`, or at the end of a `with` block."""

    def __init__(self, hooks: dict[int, Any], hook: Callable[..., Any]) -> None:
        CHANGES[0] += 1
        self.hooks = hooks
        self.id = next(_HOOK_NUMBERS)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away; nothing happens if it is gone already."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


@method()
def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
    """Call `hook(gradient)` when this tensor's gradient is known; what it returns replaces it."""
    edge = self._tape_edge()
    if edge is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if edge.node.tensor_hooks is None:
        edge.node.tensor_hooks = {}
    return HookHandle(edge.node.tensor_hooks.setdefault(edge.index, {}), hook)


@method()
def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> HookHandle:
    """Call `hook(tensor)` after a gradient has been added to this leaf's `.grad`."""
    edge = self._tape_edge()
    if edge is None or not isinstance(edge.node, LeafGrad):
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if edge.node.accumulate_hooks is None:
        edge.node.accumulate_hooks = {}
    return HookHandle(edge.node.accumulate_hooks, hook)


@method()
def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this non-leaf tensor in `.grad`."""
    edge = self._tape_edge()
    if edge is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if isinstance(edge.node, LeafGrad):
        return
    if edge.node.captured is None:
        edge.node.captured = {}

    def keep(flow: Flow) -> None:
        self._grad = wrap(flow.node, self._storage.device, flow.edge)

    edge.node.captured[edge.index] = keep


def _retains_grad(self: Tensor) -> bool:
    edge = self._edge
    return (
        type(edge) is Edge and edge.node.captured is not None and edge.index in edge.node.captured
    )


Tensor.retains_grad = property(_retains_grad)  # type: ignore[attr-defined]


def _register_node_hook(self: GradNode, hook: Callable[..., Any]) -> HookHandle:
    """Call `hook(grad_inputs, grad_outputs)` after this step of the walk."""
    if self.post_hooks is None:
        self.post_hooks = {}
    return HookHandle(self.post_hooks, hook)


def _register_node_prehook(self: GradNode, hook: Callable[..., Any]) -> HookHandle:
    """Call `hook(grad_outputs)` before this step of the walk."""
    if self.pre_hooks is None:
        self.pre_hooks = {}
    return HookHandle(self.pre_hooks, hook)


GradNode.register_hook = _register_node_hook  # type: ignore[attr-defined]
GradNode.register_prehook = _register_node_prehook  # type: ignore[attr-defined]


# Data ---------------------------------------------------------------------------------------------


def _get_data(self: Tensor) -> Tensor:
    return share(self, silent=True)


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
    self._storage, self._shape, self._strides = value._storage, value._shape, value._strides
    self._offset, self._node, self._seen = value._offset, value._node, value._seen
    if self._leaf is not None:
        self._leaf.metadata = (ghost(self._node),)


Tensor.data = property(_get_data, _set_data)  # type: ignore[attr-defined]
