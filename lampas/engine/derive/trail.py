"""Trails: the tape of a training step that looks like the step before it.

Writing the tape and walking back over it costs more than the computation of a small network.  But the steps of a
training loop do the same operations on values of the same kinds.  So an operation that is recorded for its gradient
only leaves a note: a trie of all sequences met so far (`Step`) is followed by comparison, and the `Trail` keeps what the
derivatives will read.  Tensors hold a `Mark`, a promise of an edge.

- `backward()` from a mark runs the whole walk as one node of the graph: its recipe belongs to the step where the walk
  starts, was found by the real walk over ghosts, and takes the trail's saved values.
- Whoever wants to see the tape (`grad_fn`, hooks, `create_graph`, custom functions) gets it: `Trail.resolve` writes the
  entries that would have been there, with the same order, guards and released parts.

A trail takes only operations whose inputs are leaves or on the same trail; it ends when a walk has released it, when it
has been resolved, or when values are computed (so that a loop that never walks back keeps nothing).
"""

from __future__ import annotations

import threading
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, final

from lampas.engine.derive import anomaly
from lampas.engine.derive.operation import Operation
from lampas.engine.derive.recipe import Recipe, write_out_calls
from lampas.engine.derive.tape import Edge, Flow, GradNode, OperationGrad, next_sequence, walk
from lampas.engine.graph import build as g
from lampas.engine.graph.journal import aside
from lampas.engine.graph.node import Node
from lampas.engine.graph.primitives import BUFFER
from lampas.engine.graph.sightings import TRAILS, longer, next_unmet
from lampas.engine.watch import CLOSE_WATCHERS, WATCHERS, WalkStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.dtype import dtype

STEPS_KEPT = 1 << 14  # in the trie; then a new one is begun
LONGEST_TRAIL = 1 << 14
INDEX_BITS = 20

Kind = tuple[tuple[int, ...], "dtype"]
# Where a cotangent goes: None, the number of a leaf (≥ 0), or ~(place << INDEX_BITS | output) on the same trail.
Source = int | None


@final
class Mark:
    """A promised edge: output `index` of the operation at `place` of a trail."""

    __slots__ = ("index", "place", "source", "trail")

    def __init__(self, trail: Trail, place: int, index: int) -> None:
        self.trail = trail
        self.place = place
        self.index = index
        self.source = ~(place << INDEX_BITS | index)

    def edge(self) -> Edge:
        """The edge itself; the tape is written."""
        return Edge(self.trail.resolve()[self.place], self.index)


@final
class Step:
    """An operation in the trie: all that is the same each time the same sequence led here."""

    __slots__ = (
        "aliased",
        "attributes",
        "branches",
        "differentiable",
        "first",
        "follow",
        "kept",
        "key",
        "kinds",
        "next",
        "operation",
        "path",
        "recipe",
        "results",
        "sources",
        "taken",
        "unsaved",
        "walks",
    )

    def __init__(
        self,
        operation: Operation,
        attributes: tuple[Any, ...],
        key: tuple[Any, ...],
        recipe: Recipe,
        sources: list[Source],
        first: int,
        path: int,
    ) -> None:
        """`key` are the exact attributes, and then the kinds of the inputs, to which the recipe belongs."""
        self.operation = operation
        self.attributes = attributes
        self.key, *kinds = key
        self.kinds: tuple[Kind, ...] = tuple(kinds)
        self.sources = sources
        self.first = first  # of its slots
        self.path = path  # see `graph.sightings`
        self.recipe = recipe
        self.aliased = recipe.hands_on
        facts = recipe.facts or recipe.facts_of_results(self.kinds)
        self.results, self.differentiable, self.unsaved = facts
        self.next: Step | None = None
        self.branches: dict[Any, Step] = {}
        self.walks: dict[Any, Walk] = {}
        self.taken = 0  # times
        self.follow: Any = None  # a function that takes it once more: see `tensor.cursor`
        self.kept: Any = None  # what that one refers to, if it is native

    @property
    def last(self) -> int:
        """The end of its slots: inputs, then outputs."""
        return self.first + len(self.kinds) + len(self.results)


@final
class Walk:
    """A walk back, found once.

    `goals` are numbers of leaves, one for each result of `recipe`, whose inputs are all slots up to `root`, and then the
    cotangent given by the user; `slots` are those that it reads; `reached` are the places it passes.
    """

    __slots__ = ("goals", "reached", "recipe", "root", "slots")

    def __init__(
        self, recipe: Recipe, goals: list[int], reached: frozenset[int], root: int
    ) -> None:
        self.recipe = recipe
        self.goals = goals
        self.reached = reached
        self.root = root
        handed_on = {result[1] for result in recipe.results if result is not None and result[0]}
        self.slots = [slot for slot in sorted({*recipe.used, *handed_on}) if slot != root]


class _Root:
    """Where the trie begins."""

    __slots__ = ("branches", "count", "next", "path")

    def __init__(self) -> None:
        self.path = TRAILS
        self.next: Step | None = None
        self.branches: dict[Any, Step] = {}
        self.count = 0


_ROOT = [_Root()]


class _Current(threading.local):
    trail: Trail | None = None


CURRENT = _Current()


def current_trail() -> Trail:
    """The trail of this thread; a fresh one where it has ended."""
    trail = CURRENT.trail
    if trail is None or len(trail.steps) >= LONGEST_TRAIL:
        trail = CURRENT.trail = Trail()
    return trail


def end_trail() -> None:
    """The next operation begins a new trail; there is none while anomalies are looked for."""
    trail = CURRENT.trail
    if anomaly.state.enabled:
        CURRENT.trail = None
    elif trail is None or trail.steps or trail.unmet:
        CURRENT.trail = Trail()


def end_unmet_trail() -> None:
    """The tape is walked: what comes next is not what followed the operations that it has and the trail has not."""
    trail = CURRENT.trail
    if trail is not None and trail.unmet:
        CURRENT.trail = Trail()


@final
class Trail:
    """Notes of the operations that were recorded, in order.

    Slots are numbered through: the inputs, then the outputs, of each operation.  `saved` has the value of a slot that
    the operation's derivative may read (else None); `storages` and `versions` tell which memory it was, for the check
    against overwriting, and keep it alive.
    """

    __slots__ = (
        "__weakref__",
        "entries",
        "leaves",
        "released",
        "saved",
        "sequences",
        "step",
        "steps",
        "storages",
        "unmet",
        "versions",
    )

    def __init__(self) -> None:
        self.step: Step | _Root = _ROOT[0]
        # The path's number since it led where nobody was before: the tape has what follows.
        self.unmet = 0
        self.steps: list[Step] = []
        self.sequences: list[int] = []
        self.saved: list[Node | None] = []
        self.storages: list[Any] = []
        self.versions: list[int] = []
        self.leaves: dict[GradNode, int] = {}
        self.released: set[int] = set()
        self.entries: list[OperationGrad] | None = None

    def learns(self, recipe: Recipe) -> bool:
        """Whether the path with one more recipe was met before."""
        self.unmet = next_unmet(self.step.path, self.unmet, recipe)
        return not self.unmet

    def advance(
        self,
        operation: Operation,
        attributes: tuple[Any, ...],
        key: tuple[Any, ...],
        recipe: Recipe,
        sources: list[Source],
    ) -> Step:
        """The step for one more operation, whose recipe belongs to the key."""
        step = self.step.next
        if step is not None and step.recipe is recipe and step.sources == sources:
            return step
        branch = (recipe, *sources)
        step = self.step.branches.get(branch)
        if step is None:
            path = longer(self.step.path, recipe)
            step = Step(operation, attributes, key, recipe, sources, len(self.saved), path)
            self.step.branches[branch] = step
            count_steps()
        self.step.next = step
        return step

    def note(self, step: Step, nodes: tuple[Node, ...], outputs: tuple[Node, ...]) -> int:
        """Write an operation down; return its place.  Storages are the caller's to add."""
        operation = step.operation
        self.saved.extend(nodes if operation.saves_inputs else step.unsaved[0])
        self.saved.extend(outputs if operation.saves_outputs else step.unsaved[1])
        self.sequences.append(next_sequence())
        self.step = step
        self.steps.append(step)
        return len(self.steps) - 1

    def move_guards(self, place: int, ours: Any, made: Any) -> None:
        """After an in-place operation: its old input is kept as a value, its result is the tensor now."""
        step = self.steps[place]
        for slot in range(step.first, step.last):
            if self.storages[slot] is ours:
                self.storages[slot] = None
            elif self.storages[slot] is made:
                self.storages[slot] = ours
                self.versions[slot] = ours.version

    # The tape ------------------------------------------------------------------------------------

    def resolve(self) -> list[OperationGrad]:
        """The tape's entries, written now if need be."""
        if self.entries is None:
            if CURRENT.trail is self:
                CURRENT.trail = None
            leaves = list(self.leaves)
            entries: list[OperationGrad] = []
            for place in range(len(self.steps)):
                entries.append(self._entry(place, leaves, entries))
            for place in self.released:
                entries[place].release()
            self.entries = entries
            self.saved, self.storages = [], []
        return self.entries

    def _entry(
        self, place: int, leaves: Sequence[GradNode], entries: Sequence[OperationGrad]
    ) -> OperationGrad:
        step = self.steps[place]
        first, middle, last = step.first, step.first + len(step.kinds), step.last
        kinds = (*step.kinds, *step.results)
        values = tuple([
            _ghost_of(kind) if node is None else node
            for node, kind in zip(self.saved[first:last], kinds, strict=True)
        ])  # fmt: skip
        edges = _edges(step.sources, leaves, entries)
        count = middle - first
        entry = OperationGrad(
            step.operation, values[:count], values[count:], step.attributes, edges
        )
        entry.sequence = self.sequences[place]
        pairs = zip(self.storages[first:last], self.versions[first:last], strict=True)
        entry.guards = tuple(pairs)
        return entry

    # The walk ------------------------------------------------------------------------------------

    def can_walk(self, place: int) -> bool:
        """Whether a walk may start at a place without the tape being written."""
        if self.entries is not None or CLOSE_WATCHERS or place in self.released:
            return False
        if anomaly.state.enabled:
            return False
        return not any(map(_is_hooked, self.leaves))

    def walk(
        self, place: int, index: int, given: Node | None
    ) -> list[tuple[GradNode, Node]] | None:
        """The cotangents of the leaves, from `given` (None: one) at output `index` of the operation at `place`.

        None where the tape must be walked: a saved value was overwritten, or parts have been released.
        """
        step = self.steps[place]
        plan = step.walks.get((index, given is None))
        if plan is None:
            plan = self._plan(place, index, given)
            step.walks[index, given is None] = plan
        storages, versions = self.storages, self.versions
        for slot in plan.slots:
            storage = storages[slot]
            if storage is not None and storage.version != versions[slot]:
                return None
        if self.released and not self.released.isdisjoint(plan.reached):
            return None
        made = plan.recipe.make([*self.saved[: plan.root], given])  # type: ignore[list-item]
        leaves = list(self.leaves)
        if WATCHERS:
            self._tell(plan, leaves, made)
        return [(leaves[goal], node) for goal, node in zip(plan.goals, made, strict=True)]  # type: ignore[misc]

    def _plan(self, place: int, index: int, given: Node | None) -> Walk:
        """Walk over ghosts."""
        ghosts: list[Node] = []
        entries: list[OperationGrad] = []
        arrived: list[_Goal] = []
        leaves = [_Goal(number, arrived) for number in range(len(self.leaves))]
        for step in self.steps[: place + 1]:
            inputs = tuple(map(_ghost_of, step.kinds))
            outputs = tuple(map(_ghost_of, step.results))
            ghosts.extend(chain(inputs, outputs))
            edges = _edges(step.sources, leaves, entries)
            entries.append(OperationGrad(step.operation, inputs, outputs, step.attributes, edges))
        shape, kind = self.steps[place].results[index]
        root = _ghost_of((shape, kind)) if given is not None else g.full(shape, 1, kind)
        start = Edge(entries[place], index)
        with aside():
            walk([(start, Flow(root, None))], keep_graph=True, create_graph=False, interface=None)  # type: ignore[arg-type]
        results = [goal.cotangent for goal in arrived]
        inputs = ghosts if given is None else [*ghosts, root]
        recipe = write_out_calls(inputs, results, "backward")
        return Walk(
            recipe, [goal.number for goal in arrived], _reached(start, entries), len(ghosts)
        )

    def _tell(self, plan: Walk, leaves: Sequence[GradNode], made: Sequence[Node | None]) -> None:
        """Show watchers a walk, and what it brought."""
        ends = [
            (leaves[goal].name(), (node.shape,))  # type: ignore[union-attr]
            for goal, node in zip(plan.goals, made, strict=True)
        ]
        for watcher in tuple(WATCHERS):
            watcher.walked(partial(_steps_of_walk, self.steps, plan, ends))

    def release(self, place: int, index: int, given: bool) -> None:
        """Forget what the walk from here has read; nobody can walk there again."""
        reached = self.steps[place].walks[index, given].reached
        self.released |= reached
        if len(self.released) == len(self.steps):
            count = len(self.saved)
            self.saved, self.storages = [None] * count, [None] * count
        else:
            for each in reached:
                for slot in range(self.steps[each].first, self.steps[each].last):
                    self.saved[slot] = self.storages[slot] = None
        if CURRENT.trail is self:
            end_trail()

    def released_copy(self) -> Trail:
        """A trail with the same steps on which nobody can walk: what is seen of it once all is released."""
        copy = Trail()
        copy.step, copy.steps, copy.sequences = self.step, self.steps, self.sequences
        copy.leaves = self.leaves
        copy.released = set(range(len(self.steps)))
        count = 0 if not self.steps else self.steps[-1].last
        copy.saved, copy.storages, copy.versions = [None] * count, [None] * count, [0] * count
        return copy


@final
class _Goal(GradNode):
    """A leaf of a walk over ghosts: keeps what arrives."""

    __slots__ = ("arrived", "cotangent", "number")

    def __init__(self, number: int, arrived: list[_Goal]) -> None:
        super().__init__((), ())
        self.sequence = 1 << 62
        self.number = number
        self.arrived = arrived
        self.cotangent: Node | None = None

    def apply(self, flows: tuple[Flow | None, ...], create_graph: bool) -> Sequence[Flow | None]:
        if flows[0] is not None:
            self.cotangent = flows[0].node
            self.arrived.append(self)
        return ()


def count_steps() -> None:
    """Begin a new trie when this one has become large; trails under way keep to the old one."""
    root = _ROOT[0]
    root.count += 1
    if root.count > STEPS_KEPT:
        _ROOT[0] = _Root()


def _ghost_of(kind: Kind) -> Node:
    return Node(BUFFER, (), (), *kind)


def _steps_of_walk(steps: Sequence[Step], plan: Walk, ends: Sequence[WalkStep]) -> list[WalkStep]:
    """What a walk passes, in its order, then the leaves."""
    passed = [steps[place] for place in sorted(plan.reached, reverse=True)]
    shapes = [tuple([shape for shape, _ in step.results]) for step in passed]
    names = [step.operation.grad_name for step in passed]
    return [*zip(names, shapes, strict=True), *ends]


def _is_hooked(leaf: Any) -> bool:
    return (
        leaf.accumulate_hooks is not None
        or leaf.tensor_hooks is not None
        or leaf.captured is not None
        or leaf.post_hooks is not None
        or leaf.pre_hooks is not None
    )


def _edges(
    sources: Sequence[Source], leaves: Sequence[GradNode], entries: Sequence[GradNode]
) -> tuple[Edge | None, ...]:
    edges: list[Edge | None] = []
    for source in sources:
        if source is None:
            edges.append(None)
        elif source >= 0:
            edges.append(Edge(leaves[source], 0))
        else:
            place, index = divmod(~source, 1 << INDEX_BITS)
            edges.append(Edge(entries[place], index))
    return tuple(edges)


def _reached(start: Edge, entries: Sequence[GradNode]) -> frozenset[int]:
    """Places from which cotangents may come on a walk from `start`."""
    place_of = {id(entry): place for place, entry in enumerate(entries)}
    stack, found = [start.node], set()
    while stack:
        node = stack.pop()
        place = place_of.get(id(node))
        if place is None or place in found:
            continue
        found.add(place)
        stack.extend([edge.node for edge in node.edges if edge is not None])
    return frozenset(found)
