"""The door: the one way by which an operation on tensors enters the graph.

`record(operation, inputs, attributes)` reads the inputs' nodes, lets the operation compose its primitives,
writes the tape's entry if a gradient is wanted, and wraps the results.  Nothing is computed here.
Autocast and functional transforms hook in by `HOOKS`, profilers look on by `LOOKERS`, and nobody does elsewhere.
"""

from __future__ import annotations

from itertools import repeat
from math import prod
from typing import TYPE_CHECKING, Any

from lampas.engine.derive import anomaly
from lampas.engine.derive.operation import Operation, alias, exact
from lampas.engine.derive.tape import Edge, OperationGrad
from lampas.engine.derive.trail import CURRENT, Mark, Step, Trail, current_trail, end_trail
from lampas.engine.graph import build as g
from lampas.engine.graph import journal as journals
from lampas.engine.graph.journal import OFTEN
from lampas.engine.graph.node import Node
from lampas.engine.realize.realize import COMPUTING, PENDING
from lampas.engine.settings import settings
from lampas.engine.tensor.core import Tensor, wrap, wrap_view
from lampas.engine.tensor.cursor import count_entry, write_step
from lampas.engine.tensor.cursor_binding import bind_step, tensor_of
from lampas.engine.tensor.device import CPU, device
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.storage import strided_reading, strided_readings
from lampas.engine.watch import T, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.derive.recipe import Recipe

Input = Tensor | Node

# Each hook may replace the inputs: hook(operation, inputs, attributes) -> inputs or None.  While there is one,
# `engine.watch.WATCHERS` are told of every operation too.
HOOKS: list[Callable[[Operation, tuple[Input, ...], tuple[Any, ...]], Any]] = []

# Who only looks on: looker(operation, call, arguments) returns `call(*arguments)`, which records the operation as ever.
LOOKERS: list[Callable[[Operation, Callable[..., Any], tuple[Any, ...]], Any]] = []


LARGE_VALUE = 1 << 20  # bytes
VIEWS_NOTED = 64

# A loop that computes values and never walks back must keep nothing.
COMPUTING.append(end_trail)


def record(
    operation: Operation,
    inputs: tuple[Input, ...],
    attributes: tuple[Any, ...] = (),
    hooked: bool = False,
) -> Any:
    """Apply `operation`; inputs are tensors, or nodes for what has no gradient (Python numbers).

    Returns a tensor, or a tuple of tensors for an operation with several results; nodes, if it is untracked.
    `hooked` is the door's own word that the hooks have been run.
    """
    if HOOKS:
        if not hooked:
            inputs = run_hooks(operation, inputs, attributes)
            return watched("operator", operation, record, operation, inputs, attributes, True)
    elif LOOKERS and not hooked:
        return shown(operation, record, (operation, inputs, attributes, True))
    elif not settings.eager:
        trail = CURRENT.trail
        if trail is not None and grad_mode.enabled:
            step = trail.step.next
            if (
                step is not None
                and step.operation is operation
                and step.follow is not None
                and (step.attributes is attributes or step.key == exact(attributes))
            ):
                made = step.follow(trail, inputs)
                if made is not None:
                    return made
        made = _record_plainly(operation, inputs, attributes)
        if made is not None:
            return made
    nodes, place, traced = _read(operation, inputs)
    key = (exact(attributes), *[(node.shape, node.dtype) for node in nodes])
    recipe = operation.recipe(nodes, attributes, key)
    if traced and not (HOOKS or settings.eager or anomaly.state.enabled):
        trail = current_trail()
        if trail.learns(recipe):
            tensors = _note(trail, operation, inputs, nodes, attributes, place, key, recipe)
            if tensors is not None:
                return tensors if operation.multiple else tensors[0]
    outputs: tuple[Node, ...] = recipe.make(nodes)  # type: ignore[assignment]
    if recipe.hands_on:
        outputs = tuple([alias(out) for out in outputs])
    if traced and any(map(_differentiable, outputs)):  # else an entry would be nobody's
        tensors = _write_entry(operation, inputs, nodes, outputs, attributes, place)
        return tensors if operation.multiple else tensors[0]
    if not traced:
        count_entry(operation, recipe, inputs, attributes)
    return _untraced(operation, outputs, place)


def _untraced(operation: Operation, outputs: tuple[Node, ...], place: device) -> Any:
    """What an operation gives that no tape wants."""
    if operation.untracked:
        return outputs
    if operation.multiple:
        return tuple([tensor_of(node, place, None) for node in outputs])
    return tensor_of(outputs[0], place, None)


def _write_entry(
    operation: Operation,
    inputs: tuple[Input, ...],
    nodes: tuple[Node, ...],
    outputs: tuple[Node, ...],
    attributes: tuple[Any, ...],
    place: device,
) -> tuple[Tensor, ...]:
    """The tensors of an operation that is written on the tape."""
    entry = trace(operation, inputs, nodes, outputs, attributes)
    if len(outputs) == 1:
        tensors = (tensor_of(outputs[0], place, Edge(entry, 0)),)
    else:
        edges = [Edge(entry, n) if _differentiable(o) else None for n, o in enumerate(outputs)]
        tensors = tuple([tensor_of(*made) for made in zip(outputs, repeat(place), edges)])  # type: ignore[misc]
    if operation.saves_inputs or operation.saves_outputs:
        entry.guards = _guards(operation, inputs, tensors)
    return tensors


def _record_plainly(
    operation: Operation, inputs: tuple[Input, ...], attributes: tuple[Any, ...]
) -> Any:
    """What no tape wanted and was recorded here last time, once more; None if that was something else."""
    entry = journals.CURRENT.journal.entry.next
    if (
        entry is not None
        and entry.operation is operation
        and entry.recorder is not None
        and (entry.attributes is attributes or entry.key == exact(attributes))
    ):
        return entry.recorder(inputs)
    return None


def record_view(
    operation: Operation,
    source: Tensor,
    attributes: tuple[Any, ...],
    strides: tuple[int, ...],
    offset: int,
    hooked: bool = False,
) -> Tensor:
    """Apply a view operation: the result shares `source`'s storage at `strides` and `offset`."""
    if (HOOKS or LOOKERS) and not hooked:
        arguments = (operation, source, attributes, strides, offset, True)
        if not HOOKS:
            return shown(operation, record_view, arguments)
        run_hooks(operation, (source,), attributes)
        return watched("operator", operation, record_view, *arguments)
    edge: Any = None
    node = source._value()
    stored = source._storage.node
    if grad_mode.enabled and source.requires_grad:
        output, edge = _trace_view(operation, source, node, attributes)
        shape, kind = output.shape, output.dtype
    else:
        recipe = operation.recipe((node,), attributes)
        shape, kind = recipe.kinds_of_results(((node.shape, node.dtype),))[0]
        output = None
    if stored.buffer is not None and prod(shape) < stored.numel:
        # Memory that is there: the part becomes a leaf, so that no plan depends on where it lies.
        output = strided_reading(g.reinterpret(stored, kind), shape, strides, offset)
    elif output is None:
        if stored.buffer is not None:
            bound_journal(stored)
        output = recipe.make((node,))[0]
    return wrap_view(source, output, strides, offset, edge)  # type: ignore[arg-type]


def view_memory(
    source: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Tensor | None:
    """A part of memory that is there, which no tape, trail or hook wants to know of; else None.

    A loop over the rows of a data set takes this way; memory shared with NumPy is not copied for it.
    """
    if not _views_memory(source, shape):
        return None
    stored = source._storage.node
    return wrap_view(source, strided_reading(stored, shape, strides, offset), strides, offset)


def views_of_memory(
    source: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], offsets: Sequence[int]
) -> tuple[Tensor, ...] | None:
    """As `view_memory`, for parts of one form at many offsets."""
    if not _views_memory(source, shape):
        return None
    nodes = strided_readings(source._storage.node, shape, strides, offsets)
    return tuple(
        [
            wrap_view(source, node, strides, offset)
            for node, offset in zip(nodes, offsets, strict=True)
        ]
    )


def is_memory(source: Tensor) -> bool:
    """Whether parts of a tensor can be had from memory that is there, and no tape, trail or hook wants to know."""
    stored = source._storage.node
    return not (
        stored.buffer is None
        or HOOKS
        or LOOKERS
        or source._node.dtype is not stored.dtype
        or (grad_mode.enabled and source.requires_grad)
    )


def _views_memory(source: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a part of some shape is such a part: not all, and not nothing."""
    return is_memory(source) and 0 < prod(shape) < source._storage.node.numel


def bound_journal(stored: Node) -> None:
    """Begin a new journal where it has nothing but views of stored values, lest it keeps many of these, or large ones."""
    journal = journals.CURRENT.journal
    if not PENDING and (stored.buffer.nbytes > LARGE_VALUE or len(journal.values) > VIEWS_NOTED):
        journal.end()


def _trace_view(
    operation: Operation, source: Tensor, node: Node, attributes: tuple[Any, ...]
) -> tuple[Node, Edge | Mark]:
    """The value of a view, and its place on the trail or the tape."""
    own = exact(attributes)
    trail = None if HOOKS or settings.eager or anomaly.state.enabled else current_trail()
    if trail is not None:
        step = trail.step.next
        if (
            step is not None
            and step.follow is not None
            and step.operation is operation
            and step.key == own
        ):
            made = step.follow(trail, (source,))
            if made is not None:
                return made
    key = (own, (node.shape, node.dtype))
    recipe = operation.recipe((node,), attributes, key)
    if trail is not None and trail.learns(recipe):
        leaves = len(trail.leaves)
        sources = _sources(trail, (source,), (node,))
        if sources is not None:
            step = trail.advance(operation, attributes, key, recipe, sources)
            _count(step, (source,), len(trail.steps), leaves, True)
            outputs = _outputs(step, (node,))
            place = trail.note(step, (node,), outputs)
            trail.storages.extend((None, None))
            trail.versions.extend((0, 0))
            return outputs[0], Mark(trail, place, 0)
    output: Node = recipe.make((node,))[0]  # type: ignore[assignment]
    return output, Edge(trace(operation, (source,), (node,), (output,), attributes), 0)


def _note(
    trail: Trail,
    operation: Operation,
    inputs: tuple[Input, ...],
    nodes: tuple[Node, ...],
    attributes: tuple[Any, ...],
    place: device,
    key: tuple[Any, ...],
    recipe: Recipe,
) -> tuple[Tensor, ...] | None:
    """Record on the trail of this thread: the results, or None where the tape must be written."""
    leaves = len(trail.leaves)
    sources = _sources(trail, inputs, nodes)
    if sources is None:
        return None
    step = trail.advance(operation, attributes, key, recipe, sources)
    _count(step, inputs, len(trail.steps), leaves, False)
    outputs = _outputs(step, nodes)
    number = trail.note(step, nodes, outputs)
    storages, versions = trail.storages, trail.versions
    if operation.saves_inputs:
        for given in inputs:
            storage = None if type(given) is Node else given._storage  # type: ignore[union-attr]
            storages.append(storage)
            versions.append(0 if storage is None else storage.version)
    else:
        storages.extend(step.unsaved[0])
        versions.extend([0] * len(nodes))
    if len(outputs) == 1:
        mark = Mark(trail, number, 0) if step.differentiable[0] else None
        tensors = (tensor_of(outputs[0], place, mark),)
    else:
        marks = [
            Mark(trail, number, index) if differentiable else None
            for index, differentiable in enumerate(step.differentiable)
        ]
        tensors = tuple([wrap(*made) for made in zip(outputs, repeat(place), marks)])  # type: ignore[misc]
    versions.extend([0] * len(outputs))
    if operation.saves_outputs:
        storages.extend([made._storage for made in tensors])
    else:
        storages.extend(step.unsaved[1])
    return tensors


def _count(step: Step, inputs: tuple[Input, ...], place: int, leaves: int, view: bool) -> None:
    """A step is taken the long way; soon it gets its function."""
    step.taken += 1
    if step.taken == OFTEN:
        step.follow = write_step(step, inputs, place, leaves, view)
        if step.follow is not None:
            bind_step(step, inputs, place, leaves, view)


def _outputs(step: Step, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    outputs = step.recipe.make(nodes)
    if step.aliased:
        return tuple([alias(out) if any(out is n for n in nodes) else out for out in outputs])  # type: ignore[arg-type,misc]
    return outputs  # type: ignore[return-value]


def _sources(
    trail: Trail, inputs: tuple[Input, ...], nodes: tuple[Node, ...]
) -> list[int | None] | None:
    """Where the inputs' cotangents go, in the words of the trail; None if one goes elsewhere."""
    sources: list[int | None] = []
    for given, node in zip(inputs, nodes, strict=True):
        if type(given) is Node or not _differentiable(node):
            sources.append(None)
            continue
        base = given._base  # type: ignore[union-attr]
        if base is not None and given._past != given._storage.history:  # type: ignore[union-attr]
            given._tape_edge()  # type: ignore[union-attr]
        edge = given._edge  # type: ignore[union-attr]
        if edge is None:
            if not given._requires_grad:  # type: ignore[union-attr]
                sources.append(None)
                continue
            leaf = given._leaf or given._tape_edge().node  # type: ignore[union-attr]
            number = trail.leaves.get(leaf)
            if number is None:
                number = trail.leaves[leaf] = len(trail.leaves)
            sources.append(number)
        elif type(edge) is Mark and edge.trail is trail:
            sources.append(edge.source)
        else:
            return None
    return sources


def trace(
    operation: Operation,
    inputs: tuple[Input, ...],
    nodes: tuple[Node, ...],
    outputs: tuple[Node, ...],
    attributes: tuple[Any, ...],
) -> OperationGrad:
    """The tape's entry for an operation on these inputs."""
    edges: list[Edge | None] = []
    for given, node in zip(inputs, nodes, strict=True):
        edge = None
        if type(given) is not Node and _differentiable(node):
            edge = given._edge  # type: ignore[union-attr]
            if type(edge) is not Edge or given._base is not None:  # type: ignore[union-attr]
                edge = given._tape_edge()  # type: ignore[union-attr]
        edges.append(edge)
    return OperationGrad(operation, nodes, outputs, attributes, tuple(edges))


def _read(operation: Operation, inputs: tuple[Input, ...]) -> tuple[tuple[Node, ...], device, bool]:
    """The inputs' nodes, the device of the results, and whether the tape wants to know."""
    nodes = []
    place = None
    traced = False
    for given in inputs:
        if type(given) is Node:
            nodes.append(given)
            continue
        storage = given._storage  # type: ignore[union-attr]
        if given._seen == storage.revision and not storage.shared:  # type: ignore[union-attr]
            nodes.append(given._node)  # type: ignore[union-attr]
        else:
            nodes.append(given._value())  # type: ignore[union-attr]
        if not traced and (
            given._requires_grad  # type: ignore[union-attr]
            or given._edge is not None  # type: ignore[union-attr]
            or (given._base is not None and given._tape_edge() is not None)  # type: ignore[union-attr]
        ):
            traced = True
        if place is None or (place is not storage.device and not given._shape):  # type: ignore[union-attr]
            place = place or storage.device
        elif place is not storage.device:
            place = _common_device(operation, inputs)
    traced = traced and grad_mode.enabled and not operation.untracked
    return tuple(nodes), place or CPU, traced


def _common_device(operation: Operation, inputs: tuple[Input, ...]) -> device:
    places = {
        given._storage.device for given in inputs if isinstance(given, Tensor) and given._shape
    }
    if len(places) > 1:
        names = ", ".join(sorted(str(place) for place in places))
        raise RuntimeError(
            f"{operation.name}: Expected all tensors to be on the same device, but found at "
            f"least two devices, {names}!"
        )
    return places.pop()


def _differentiable(node: Node) -> bool:
    return node.dtype.is_floating_point or node.dtype.is_complex


def _guards(
    operation: Operation, inputs: tuple[Input, ...], outputs: tuple[Tensor, ...]
) -> tuple[tuple[Any, int], ...]:
    """(storage, version) of what the derivative may read; keeps those values alive."""
    absent = (None, 0)
    if operation.saves_inputs:
        first = [
            absent if type(given) is Node else (given._storage, given._storage.version)  # type: ignore[union-attr]
            for given in inputs
        ]
    else:
        first = [absent] * len(inputs)
    if not operation.saves_outputs:
        return (*first, *[absent] * len(outputs))
    return (*first, *[(out._storage, out._storage.version) for out in outputs])


def shown(operation: Operation, call: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Return `call(*arguments)`, which records an operation, before the eyes of `LOOKERS`."""
    first, *others = LOOKERS
    for looker in others:
        call, arguments = looker, (operation, call, arguments)
    return first(operation, call, arguments)


def run_hooks(
    operation: Operation, inputs: tuple[Input, ...], attributes: tuple[Any, ...]
) -> tuple[Input, ...]:
    """The inputs as the hooks want them."""
    for hook in HOOKS:
        changed = hook(operation, inputs, attributes)
        if changed is not None:
            inputs = changed
    return inputs
