"""Recordings: one call of a function as a program, with the places where its values come from and go to.

A call is recorded while it runs as usual.  It must compute once, by a program that ran for the same path before
(`realize.replay`).  Then every leaf of the program is looked up among the values that stood in arguments, tensors and
gradients before the call, every result among those that stand there afterwards, or in what the call returned; whatever
cannot be placed is a `Refusal`.  `lampas.compiler.replaying` writes the function that does the same without the call.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.compiler.dependencies import MISSING, Dependencies
from lampas.compiler.inspection import Refusal
from lampas.engine.derive.tape import OperationGrad
from lampas.engine.derive.trail import Mark, end_trail
from lampas.engine.graph.journal import ALONE
from lampas.engine.realize.realize import realize
from lampas.engine.realize.replay import OBSERVERS
from lampas.engine.realize.statistics import statistics
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.device import CPU
from lampas.engine.tensor.neural_linear import BOUNDING
from lampas.engine.tensor.random_fill import DRAWING
from lampas.nn.parameter import Parameter
from lampas.optim.turns import GroupTurn
from lampas.optim.update import APPLYING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.derive.tape import Edge
    from lampas.engine.graph.journal import Journal
    from lampas.engine.graph.node import Node
    from lampas.engine.realize.replay import Replay

NUMBERS = (type(None), bool, int, float, complex, str, bytes)
CONTAINERS = (tuple, list, dict, set)
Applied = tuple[Any, "list[Node]", Any]  # rows, numbers, options of an update
REFERENCES = 2  # to the node of a tensor's value: the storage's, and the tensor's own


class NotYet(Exception):
    """The call cannot be recorded this time, but perhaps the next."""


class Place(NamedTuple):
    """Where a leaf is found: argument, tensor (its storage, or the view of it), gradient of one, or draw; by number."""

    kind: str
    number: int


class Change(NamedTuple):
    """A tensor's storage holds output `output` after the call; its counts move by so much."""

    output: int
    revisions: int
    versions: int


class Gradient(NamedTuple):
    """A tensor's gradient after the call: "kept", "dropped", or "fresh" with an output."""

    kind: str
    output: int = -1


class Before(NamedTuple):
    """A tensor before the call.  Values are told by their ids: nobody else may refer to them while the call runs."""

    storage: Any
    value: int
    revision: int
    version: int
    history: int
    gradient: Any
    gradient_counts: tuple[int, int]  # revision, version


class Returned(NamedTuple):
    """A tensor that the call made: its output, and where its gradients would have come from."""

    output: int
    mark: Edge | Mark | None
    silent: bool


@final
class Recording:
    """What a call computed.  `tensors` are all that it could reach; `gradients` and `changes` go by their numbers."""

    def __init__(
        self, dependencies: Dependencies, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        self.dependencies = dependencies
        self.names = tuple(kwargs)
        self.count = len(args)
        self.arguments = [*args, *kwargs.values()]
        self.tensors = list(dependencies.tensors.values())
        self.replays: list[tuple[Replay, list[Node]]] = []
        self.applied: list[Applied] = []
        self.bounded: list[tuple[Place | None, int]] = []
        self.revisions: list[int] = []  # of arguments
        self.befores: list[Before] = []
        self.places: dict[int, Place] = {}
        self.same: list[tuple[Place, Place]] = []
        self.leaves: list[Place] = []
        self.leaf_layouts: list[Any] = []
        self.scalars: list[Any] = []  # numbers, or (turn, position)
        self.turns: list[GroupTurn] = []
        self.draws: list[Callable[[], Any]] = []
        self.bounds: list[tuple[Place, int]] = []  # indices that were found to be below a number
        self.changes: dict[int, Change] = {}
        self.gradient_changes: dict[int, Change] = {}
        self.gradients: dict[int, Gradient] = {}
        self.value: Any = MISSING
        self.described: set[int] = set()  # ids of returned tensors
        self.result: Any = None
        self.program: Any = None
        self.kinds: list[tuple[Any, Any]] = []  # shape and dtype of outputs

    # ---- before -------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Look at everything before the call; raise `Refusal` for what no recording can have."""
        for number, argument in enumerate(self.arguments):
            if isinstance(argument, Tensor):
                self.check_argument(argument, number)
            elif isinstance(argument, CONTAINERS):
                raise Refusal(f"argument {number} is a {type(argument).__name__}")
        realize([a._value() for a in self.arguments if isinstance(a, Tensor)])
        end_trail()
        for number, argument in enumerate(self.arguments):
            if isinstance(argument, Tensor):
                self.place(argument._value(), Place("argument", number))
                self.revisions.append(argument._storage.revision)
        for number, tensor in enumerate(self.tensors):
            check_held(tensor)
            storage, gradient = tensor._storage, tensor._grad
            self.place(storage.node, Place("tensor", number))
            if tensor._node is not storage.node and tensor._node.buffer is not None:
                self.place(tensor._node, Place("view", number))
            if gradient is not None:
                check_held(gradient, whole=True)
                self.place(gradient._storage.node, Place("gradient", number))
            counts = storage.revision, storage.version, storage.history
            of_gradient = (0, 0) if gradient is None else counts_of(gradient)
            self.befores.append(Before(storage, id(storage.node), *counts, gradient, of_gradient))

    def check_argument(self, argument: Tensor, number: int) -> None:
        """An argument has to be a plain value."""
        storage = argument._storage
        if type(argument) not in (Tensor, Parameter) or storage.device is not CPU:
            raise Refusal(f"argument {number} is a {type(argument).__name__} on {storage.device}")
        if argument.requires_grad and id(argument) not in self.dependencies.tensors:
            raise Refusal(f"argument {number} wants a gradient")
        if storage.shared and storage.is_shared():
            raise Refusal(f"argument {number} shares its memory with a NumPy array")

    def place(self, node: Node, place: Place) -> None:
        """Note where a value stands; the first place counts."""
        first = self.places.setdefault(id(node), place)
        if first is not place:
            self.same.append((first, place))

    # ---- during -------------------------------------------------------------------------------------------------

    def note_replay(self, replay: Replay, journal: Journal) -> None:
        """A program has run; the journal's values would be gone afterwards."""
        self.replays.append((replay, list(journal.values)))

    def note_update(self, rows: Any, numbers: list[Node], options: Any) -> None:
        """An optimizer updates a group."""
        self.applied.append((rows, numbers, options))

    def note_draw(self, node: Node, again: Callable[[], Any]) -> None:
        """Random numbers were drawn."""
        self.places[id(node)] = Place("draw", len(self.draws))
        self.draws.append(again)

    def note_bounds(self, node: Node, size: int) -> None:
        """Indices were looked at."""
        self.bounded.append((self.places.get(id(node)), size))

    def run(self, call: Callable[[], Any]) -> Any:
        """The result of the call, which is run as usual; raise `NotYet` or `Refusal` with `self.value` set."""
        listed: list[tuple[list[Any], Any]] = [
            (OBSERVERS, self.note_replay),
            (APPLYING, self.note_update),
            (DRAWING, self.note_draw),
            (BOUNDING, self.note_bounds),
        ]
        runs = statistics.runs
        for observers, note in listed:
            observers.append(note)
        try:
            self.value = call()
            check_released(self.value)  # before anything is computed for nobody
            realize(())
        finally:
            for observers, note in listed:
                observers.remove(note)
        if statistics.runs - runs > 1:
            raise Refusal("values are computed more than once in the call")
        if len(self.replays) != 1:
            raise NotYet
        for place, size in self.bounded:
            if place is None or place.kind == "draw":
                raise Refusal("it looks at indices that it makes itself")
            self.bounds.append((place, size))
        self.evaluate(*self.replays[0], self.applied)
        return self.value

    # ---- afterwards ---------------------------------------------------------------------------------------------

    def evaluate(self, replay: Replay, values: list[Node], applied: list[Applied]) -> None:
        """Find the places of everything that the program read and made."""
        if replay.settled or replay.held:
            raise Refusal("it keeps values that are not computed")
        self.program = replay.plan.program
        self.leaf_layouts = replay.layouts
        self.find_leaves([values[number] for number in replay.buffers])
        self.find_turns(applied)
        self.find_scalars([values[number] for number in replay.scalars], applied)
        nodes = [values[number] for number in replay.outputs]
        self.kinds = [(node.shape, node.dtype) for node in nodes]
        values.clear()
        applied.clear()
        numbers = {id(node): number for number, node in enumerate(nodes)}
        holders = [0] * len(nodes)
        for number in range(len(self.tensors)):
            self.find_change(number, numbers, holders)
        given = [argument for argument in self.arguments if isinstance(argument, Tensor)]
        if [argument._storage.revision for argument in given] != self.revisions:
            raise Refusal("it changes an argument")
        self.result = self.describe(self.value, numbers, holders)
        for number, count in enumerate(map(getrefcount, nodes)):
            if count != ALONE + REFERENCES * holders[number]:
                shape = list(self.kinds[number][0])
                raise Refusal(f"a value of shape {shape} is kept where it is not found")

    def find_leaves(self, nodes: list[Node]) -> None:
        """The places of what the program read."""
        for node in nodes:
            place = self.places.get(id(node))
            if place is None:
                raise Refusal(f"it makes a value of shape {list(node.shape)} anew in each call")
            self.leaves.append(place)

    def find_turns(self, applied: list[Applied]) -> None:
        """Which groups of optimizers took a step."""
        for rows, _, options in applied:
            first = rows[0][0]
            for optimizer in self.dependencies.optimizers.values():
                for group in optimizer.param_groups:
                    if any(first is parameter for parameter in group["params"]):
                        parameters = [row[0] for row in rows]
                        turn = GroupTurn(optimizer, group, parameters, options)
                        self.turns.append(turn)
        groups = [id(turn.group) for turn in self.turns]
        if len(self.turns) != len(applied) or len(set(groups)) != len(groups):
            raise Refusal("parameters of one group are updated apart from each other")
        if any(turn.has_steps_apart() for turn in self.turns):
            raise Refusal("parameters of one group stand at different steps")

    def find_scalars(self, nodes: list[Node], applied: list[Applied]) -> None:
        """Which numbers come from optimizers; all others stand in the code, or in what is guarded."""
        sources = {
            id(node): (turn, position)
            for turn, (_, numbers, _) in enumerate(applied)
            for position, node in enumerate(numbers)
        }
        self.scalars = [sources.get(id(node), node.value) for node in nodes]

    def find_change(self, number: int, numbers: dict[int, int], holders: list[int]) -> None:
        """What has become of a tensor and its gradient."""
        tensor, before = self.tensors[number], self.befores[number]
        storage = tensor._storage
        if storage is not before.storage or storage.history != before.history:
            raise Refusal("a tensor gets other memory")
        check_held(tensor, whole=id(storage.node) != before.value)
        if id(storage.node) != before.value:
            output = output_of(storage.node, numbers, holders)
            counts = storage.revision - before.revision, storage.version - before.version
            self.changes[number] = Change(output, *counts)
        gradient = tensor._grad
        if gradient is None:
            kind = "kept" if before.gradient is None else "dropped"
            self.gradients[number] = Gradient(kind)
        elif gradient is not before.gradient:
            check_fresh(gradient)
            output = output_of(gradient._storage.node, numbers, holders)
            self.gradients[number] = Gradient("fresh", output)
        else:
            self.find_accumulation(number, gradient, numbers, holders)

    def find_accumulation(
        self, number: int, gradient: Tensor, numbers: dict[int, int], holders: list[int]
    ) -> None:
        """What was added to a gradient that is still the same tensor."""
        self.gradients[number] = Gradient("kept")
        check_held(gradient, whole=True)
        node = gradient._storage.node
        if self.places.get(id(node)) is None:
            output = output_of(node, numbers, holders)
            moved = zip(counts_of(gradient), self.befores[number].gradient_counts, strict=True)
            self.gradient_changes[number] = Change(
                output, *[after - before for after, before in moved]
            )

    def describe(self, value: Any, numbers: dict[int, int], holders: list[int]) -> Any:
        """What the call returned, in terms of arguments, tensors and outputs."""
        if isinstance(value, NUMBERS):
            return value
        if type(value) in (tuple, list):
            return type(value)([self.describe(each, numbers, holders) for each in value])
        if type(value) is dict:
            return {key: self.describe(each, numbers, holders) for key, each in value.items()}
        if not isinstance(value, Tensor):
            raise Refusal(f"it returns a {type(value).__name__}")
        for number, argument in enumerate(self.arguments):
            if value is argument:
                return Place("argument", number)
        for number, tensor in enumerate(self.tensors):
            if value is tensor:
                return Place("tensor", number)
        if id(value) in self.described or any(value is tensor._grad for tensor in self.tensors):
            raise Refusal("it returns a gradient, or one tensor twice")
        self.described.add(id(value))
        check_fresh(value)
        edge = None if value._edge is None else released(value._edge)
        output = output_of(value._storage.node, numbers, holders)
        return Returned(output, edge, bool(value._silent))


def output_of(node: Node, numbers: dict[int, int], holders: list[int]) -> int:
    """The output that a value is; somebody more holds it."""
    output = numbers.get(id(node))
    if output is None:
        raise Refusal(f"a value of shape {list(node.shape)} is not made by the program")
    holders[output] += 1
    return output


def check_released(value: Any) -> None:
    """Raise where gradients may be asked of a result."""
    if isinstance(value, Tensor):
        if value._edge is not None:
            released(value._edge)
    elif isinstance(value, tuple | list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            check_released(each)


def counts_of(tensor: Tensor) -> tuple[int, int]:
    """Revision and version of its memory."""
    return tensor._storage.revision, tensor._storage.version


def released(edge: Edge | Mark) -> Edge | Mark:
    """An edge from which nobody can walk back any more; it serves for all later results."""
    if type(edge) is Mark and edge.trail.entries is None:
        if edge.place in edge.trail.released:
            return Mark(edge.trail.released_copy(), edge.place, edge.index)
    else:
        found = edge.edge() if type(edge) is Mark else edge
        if isinstance(found.node, OperationGrad) and found.node.inputs is None:
            return found
    raise Refusal("gradients may be asked of what it returns")


def check_held(tensor: Tensor, whole: bool = False) -> None:
    """A tensor that the call reads must be a leaf, and up to date; one that it writes, also the `whole` of its storage."""
    storage = tensor._storage
    if storage.shared and storage.is_shared():
        raise Refusal("a tensor shares its memory with a NumPy array")
    if storage.device is not CPU or tensor._edge is not None:
        raise Refusal("a tensor that it uses is computed elsewhere, or on another device")
    node = storage.node
    if node.buffer is None:
        realize((node,))
    if tensor._seen != storage.revision or (whole and tensor._node is not node):
        raise Refusal("a tensor that it uses is a part of another")


def check_fresh(tensor: Tensor) -> None:
    """A tensor that the call made must be as operations make them."""
    whole = tensor._strides is None and not tensor._offset and tensor._base is None
    node = tensor._storage.node
    if type(tensor) is not Tensor or not whole or tensor._requires_grad or tensor._node is not node:
        raise Refusal("it makes a tensor that is a part of another, or wants a gradient")
