"""From pending nodes to values in memory.

Whoever holds a value that may be asked for later (a storage) is tracked here by a weak reference.  When
somebody looks at one value, all tracked values that are still alive are realised together: the step of a
training loop is then one program, and nothing is computed twice.  Values that nobody holds any more are
never stored.

The tier: a graph that is small and was met only a few times runs on the NumPy reference; everything
else is compiled (`LAMPAS_TIER` forces one of them).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.engine.device.pool import ADDING
from lampas.engine.graph.following import write_follower
from lampas.engine.graph.journal import CURRENT
from lampas.engine.graph.layout import as_row_major
from lampas.engine.graph.linear import LinearGraph, Linearization, linearize
from lampas.engine.graph.primitives import BUFFER, RESHAPE, SCALAR
from lampas.engine.graph.reference import evaluate
from lampas.engine.realize.donation import Donor, find_lone
from lampas.engine.realize.replay import KEYS_KEPT, Replay, find_key
from lampas.engine.settings import settings
from lampas.engine.watch import CLOSE_WATCHERS, WATCHERS, watched

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lampas.engine.graph.journal import Journal
    from lampas.engine.graph.layout import Layout
    from lampas.engine.graph.node import Node
    from lampas.engine.realize.replay import Key


class Holder(Protocol):
    """Anything with a current value."""

    node: Node


SMALL_WORK = 1 << 15  # elements touched by a graph that NumPy runs faster than a compiler starts
COLD_SIGHTINGS = 2
PLANS_KEPT = 2048
REARRANGED_AT_MOST = 4  # times; then somebody else keeps turning the leaves back

COMPILER = "lampas.engine.realize.making"  # loaded with the first program: start-up stays quick

# Called whenever values are about to be computed, in the thread that asks for them.
COMPUTING: list[Callable[[], None]] = []

LOCK = threading.RLock()  # held by whoever computes
# Who wants a value when the next one is asked for, if it still lives then.
PENDING: list[weakref.ref[Holder]] = []
_PLANS: OrderedDict[Any, Plan] = OrderedDict()
LAST: list[Plan | None] = [None]
GENERATION = [0]  # of plans


@final
class Plan:
    """What is known about one structure: its graph, how often it was met, its program, what follows it."""

    __slots__ = (
        "donor",
        "follower",
        "graph",
        "leaves",
        "outputs",
        "program",
        "rearranges",
        "sightings",
        "skeleton",
        "successor",
        "work",
    )

    def __init__(self, line: Linearization) -> None:
        self.graph = line.graph()
        self.skeleton = line.skeleton()
        self.leaves, self.outputs = line.leaves, line.outputs
        self.follower: Any = None
        self.program: Any = None
        self.donor: Any = None
        self.successor: Plan | None = None
        self.sightings = 0
        self.rearranges = 0
        self.work = sum(entry.numel for entry in self.graph.entries)

    def follow(self, targets: Sequence[Node]) -> tuple[Node, ...] | None:
        """The nodes of this structure that lead to `targets`; None if theirs is another."""
        follower = self.follower
        if follower is None:
            steps = [
                (entry.op, entry.attributes, entry.sources, entry.shape, entry.dtype)
                for entry in self.skeleton.entries
            ]
            follower = self.follower = write_follower(steps, self.outputs)
        return follower(targets)

    def compile(self, leaves: Sequence[Node]) -> bool:
        """Build the program, and find out what its runs may overwrite; False where weights were moved instead.

        The graph is then another one, whose leaves have layouts.
        """
        making = importlib.import_module(COMPILER).Making(self.graph)
        if self.rearranges < REARRANGED_AT_MOST:
            wanted = making.wanted.items()
            moved = [settle_in(leaves[position], layout) for position, layout in wanted]
            if any(moved):
                self.rearranges += 1
                return False
        self.program = making.program()
        self.donor = Donor(self.skeleton, list(self.program.donations.values()))
        return True

    def wants_program(self) -> bool:
        """Whether this structure is worth compiling now."""
        if settings.tier != "auto":
            return settings.tier == "compiled"
        return self.work > SMALL_WORK or self.sightings > COLD_SIGHTINGS


def forget_plans() -> None:
    """Compile everything anew when it is next met: a setting that programs depend on has changed."""
    with LOCK:
        _PLANS.clear()
        LAST[0] = None
        GENERATION[0] += 1


ADDING.append(forget_plans)


def bound_pending(node: Node) -> None:
    """Compute what waits, where too much does; in eager mode compute `node` at once."""
    if len(PENDING) > settings.pending:
        realize(())
    if settings.eager:
        realize((node,))


def realize(nodes: Iterable[Node]) -> None:
    """Give memory to `nodes` and to all tracked values that are alive."""
    for told in COMPUTING:
        told()
    with LOCK:
        asked = [node for node in nodes if node.buffer is None]
        waiting = list(PENDING)
        journal = CURRENT.journal
        key = None
        try:
            plainly = CLOSE_WATCHERS or settings.eager or settings.tier == "reference"
            if not (journal.written or plainly):
                key = find_key(journal, asked, waiting)
                replay = journal.entry.flushes.get(key)
                if (
                    replay is not None
                    and replay.generation == GENERATION[0]
                    and (_watched(replay, journal) if WATCHERS else replay.run(journal))
                ):
                    journal.close()
                    LAST[0] = replay.plan
                    del PENDING[: len(waiting)]
                    return
            _run_anew(journal, key, asked, waiting)
        except Exception:
            # One bad value among many must not make every other one unreachable, nor spoil the flushes to come: who waited
            # waits no longer, and is computed when somebody looks.
            journal.end()
            del PENDING[: len(waiting)]
            if len(_unrealised(asked, waiting)[0]) == len(asked):
                raise
            _run(_unrealised(asked, ())[0], {})
            return
        del PENDING[: len(waiting)]


def _watched(replay: Replay, journal: Journal) -> bool:
    return watched("realize", len(replay.outputs), replay.run, journal)


def _run_anew(
    journal: Journal, key: Key | None, asked: list[Node], waiting: list[weakref.ref[Holder]]
) -> None:
    """Write the graph out, find its plan and run it; note it at the end of the journal's path."""
    entry = journal.entry
    numbers = {} if key is None else {id(node): n for n, node in enumerate(journal.values)}
    held = journal.held()
    journal.end()
    targets, settled = _unrealised(asked, waiting)
    replay = _run(targets, numbers)
    if key is None or replay is None:
        return
    replay.generation = GENERATION[0]
    replay.outputs = tuple([numbers[id(node)] for node in targets])
    replay.settled = tuple([(numbers[id(node)], numbers[id(leaf)]) for node, leaf in settled])
    done = {*replay.outputs, *[number for number, _ in replay.settled]}
    replay.held = tuple([number for number in held if number not in done])
    if len(entry.flushes) >= KEYS_KEPT:
        entry.flushes.clear()
    entry.flushes[key] = replay


def _unrealised(
    asked: Sequence[Node], waiting: Sequence[weakref.ref[Holder]]
) -> tuple[list[Node], list[tuple[Node, Node]]]:
    """The distinct nodes to be computed, and the plain re-readings of stored leaves, which are settled at once."""
    found: dict[int, Node] = {}
    settled: list[tuple[Node, Node]] = []
    candidates = list(asked)
    for reference in waiting:
        holder = reference()
        if holder is not None and holder.node.buffer is None:
            candidates.append(holder.node)
    for node in candidates:
        source = node
        while source.op is RESHAPE:
            source = source.inputs[0]
        if source.op is BUFFER and source.buffer.capacity and not source.attributes:
            if node.buffer is None:
                source.buffer.aliased = True
                node.realize_as(source.buffer)
                settled.append((node, source))
        else:
            found[id(node)] = node
    return list(found.values()), settled


def _run(targets: Sequence[Node], numbers: dict[int, int], watching: bool = False) -> Replay | None:
    """Compute the targets; return how to do so again, if a program did and all leaves have `numbers` (by their ids)."""
    if not targets:
        return None
    if WATCHERS and not watching:
        return watched("realize", len(targets), _run, targets, numbers, True)
    plan, nodes = _find_plan(targets)
    plan.sightings += 1
    leaves = [nodes[number] for number in plan.leaves]
    if plan.program is None and plan.wants_program():
        with paused_collection():
            compiled = watched("compile", plan.graph, plan.compile, leaves)
        if not compiled:
            del plan, nodes, leaves  # or these would be references to what may be given away
            return _run(targets, numbers, watching)
    replay = None
    if plan.program is not None and settings.tier != "reference":
        buffers, free = _run_program(plan, nodes, leaves)
        if all(id(node) in numbers for node in leaves):
            replay = Replay(plan, [(numbers[id(node)], node) for node in leaves], free)
        for node, buffer, layout in zip(targets, buffers, plan.program.layouts, strict=True):
            node.realize_as(buffer, layout)
    else:
        buffers = _run_reference(plan.graph, leaves)
        for node, buffer in zip(targets, buffers, strict=True):
            node.realize_as(buffer)
    if len({id(buffer) for buffer in buffers}) < len(buffers):
        for buffer in buffers:
            buffer.aliased = True
        return None
    return replay


@contextlib.contextmanager
def paused_collection() -> Iterator[None]:
    """Python's garbage collector waits: compiling makes very many objects that stay, which it would walk again and again."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _find_plan(targets: Sequence[Node]) -> tuple[Plan, tuple[Node, ...]]:
    """The plan of a structure and the nodes in its order: first the one that came next last time."""
    last = LAST[0]
    guess = None if last is None else last.successor
    if guess is not None:
        nodes = guess.follow(targets)
        if nodes is not None:
            LAST[0] = guess
            return guess, nodes
    line = linearize(targets)
    plan = _PLANS.get(line.key)
    if plan is None:
        plan = _PLANS[line.key] = Plan(line)
        if len(_PLANS) > PLANS_KEPT:
            _PLANS.popitem(last=False)
    if last is not None:
        last.successor = plan
    LAST[0] = plan
    return plan, line.nodes


def _run_program(
    plan: Plan, nodes: Sequence[Node], leaves: Sequence[Node]
) -> tuple[list[Buffer], list[int]]:
    """The results, and which leaves nobody needs any more."""
    buffers = [node.buffer for node in leaves if node.op is not SCALAR]
    scalars = [node.value for node in leaves if node.op is SCALAR]
    free = plan.donor.find(nodes)
    return plan.program.run(buffers, scalars, find_lone(free, buffers)), free


def _run_reference(graph: LinearGraph, leaves: Sequence[Node]) -> list[Buffer]:
    arrays = [read(node) for node in leaves]
    results = watched("reference", graph, evaluate, graph, arrays)
    return [_own(array, arrays) for array in results]


def read(node: Node) -> np.ndarray:
    """A leaf's value as a NumPy array over its own memory (strided if that lies in a layout; else a copy of it)."""
    if node.op is SCALAR:
        return np.asarray(node.value, dtype=node.dtype.numpy)
    if node.attributes:
        layout = node.attributes[0]
        return as_row_major(node.buffer.array(node.dtype.numpy, layout.memory), layout)
    return node.buffer.array(node.dtype.numpy, node.shape)


def settle_row_major(node: Node) -> Buffer:
    """The buffer of a stored value, which from now on lies row-major."""
    if node.attributes:
        fresh = Buffer.allocate(node.buffer.nbytes)
        fresh.array(node.dtype.numpy, node.shape)[...] = read(node)
        fresh.exported = False  # that array is gone
        node.realize_as(fresh)
    return node.buffer


def settle_in(node: Node, layout: Layout) -> bool:
    """Have a row-major value lie in a layout from now on; False where an array outside shares its memory."""
    buffer = node.buffer
    if node.attributes or buffer.is_seen_outside():
        return False
    fresh = Buffer.allocate(buffer.nbytes)
    value = buffer.array(node.dtype.numpy, node.shape)
    fresh.array(node.dtype.numpy, layout.memory)[...] = value.reshape(layout.split).transpose(
        layout.order
    )
    fresh.exported = False
    node.realize_as(fresh, layout)
    return True


def _own(array: np.ndarray, leaves: Sequence[np.ndarray]) -> Buffer:
    """A buffer of the result's own memory."""
    view = array.base is not None or any(array is leaf for leaf in leaves)
    return Buffer.from_array(np.array(array, order="C") if view else np.ascontiguousarray(array))
