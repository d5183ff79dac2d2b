"""Recipes: the graph of an operation, found once and then made again as a single node.

Composing primitives, inferring shapes and finding derivatives depend only on the shapes and dtypes of the
inputs and on the attributes.  So an operation's graph is traced once on ghosts; from then on a
call adds one `call` node that carries the recipe.  `graph.linear` replaces calls by their steps when
a structure is met for the first time: what is compiled knows nothing of recipes, and a training loop makes,
walks and keys a few dozen nodes instead of hundreds.

A recipe lists only the inputs that it reads (`used`): a derivative thereby tells which saved values matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from lampas.engine.graph.journal import CURRENT
from lampas.engine.graph.node import Node, sort_topologically
from lampas.engine.graph.primitives import BUFFER, CALL, OUTPUT

if TYPE_CHECKING:
    from collections.abc import Sequence


def ghost(node: Node) -> Node:
    """A leaf of the same shape and dtype, without a value."""
    return Node(BUFFER, (), (), node.shape, node.dtype)


@final
class Recipe:
    """Steps that make `outputs` from the inputs at the places `used`.

    Values are numbered: the used inputs first, then the steps.  `results[i]` says where output i comes
    from: (True, place of an input), (False, position among the computed outputs) or None.  `origin` is the
    name of what is computed, for profiles.
    """

    __slots__ = (
        "computed",
        "facts",
        "hands_on",
        "kinds",
        "origin",
        "origins",
        "plain",
        "results",
        "steps",
        "takes_all",
        "used",
    )

    def __init__(
        self,
        inputs: Sequence[Node],
        outputs: Sequence[Node | None],
        origin: str = "",
        origins: dict[int, Any] | None = None,
    ) -> None:
        self.origin = origin
        self.facts: tuple[Any, ...] | None = None
        places = {id(node): place for place, node in enumerate(inputs)}
        made = [node for node in outputs if node is not None and id(node) not in places]
        order = _steps_between(made, places)
        read = {places[id(s)] for node in order for s in node.inputs if id(s) in places}
        self.used = tuple(sorted(read))
        self.takes_all = len(read) == len(inputs)
        number = {id(inputs[place]): position for position, place in enumerate(self.used)}
        for node in order:
            number[id(node)] = len(number)
        self.steps = tuple(
            (
                node.op,
                tuple([number[id(source)] for source in node.inputs]),
                node.attributes,
                node.shape,
                node.dtype,
            )
            for node in order
        )
        # Where the steps come from several operations: (name, shapes of its inputs) of each, for profiles.
        self.origins = None if origins is None else tuple([origins[id(node)] for node in order])
        distinct = {id(node): node for node in made}
        self.computed = tuple(number[key] for key in distinct)
        self.kinds = tuple((node.shape, node.dtype) for node in distinct.values())
        position = {key: place for place, key in enumerate(distinct)}
        self.results = tuple(_result(node, places, position) for node in outputs)
        self.hands_on = any(result is not None and result[0] for result in self.results)
        self.plain = all(result == (False, n) for n, result in enumerate(self.results))

    def make(self, inputs: Sequence[Node]) -> tuple[Node | None, ...]:
        """The outputs for inputs of the same kinds."""
        if self.takes_all:
            nodes = self.apply(inputs if type(inputs) is tuple else tuple(inputs))
        else:
            nodes = self.apply(tuple([inputs[place] for place in self.used]))
        if self.plain:
            return nodes
        return tuple(
            [
                None if result is None else (inputs if result[0] else nodes)[result[1]]
                for result in self.results
            ]
        )

    def apply(self, used: tuple[Node, ...]) -> tuple[Node, ...]:
        """What is computed from the used inputs: promised by the journal, if it can."""
        if not self.kinds:
            return ()
        return CURRENT.journal.append(self, used) or self.spread(used)

    def spread(self, used: Sequence[Node]) -> tuple[Node, ...]:
        """The same as ordinary nodes."""
        kinds = self.kinds
        if len(self.steps) == 1:
            op, _, attributes, shape, kind = self.steps[0]
            sources = tuple([used[place] for place in self.steps[0][1]])
            return (Node(op, sources, attributes, shape, kind),)
        call = Node(CALL, tuple(used), (self,), *kinds[0])
        if len(kinds) == 1:
            return (call,)
        return tuple(
            [
                Node(OUTPUT, (call,), (place,), shape, kind)
                for place, (shape, kind) in enumerate(kinds)
            ]
        )

    def instantiate(self, used: Sequence[Node]) -> list[Node]:
        """The used inputs, then every step as a node of its own."""
        nodes = list(used)
        for op, places, attributes, shape, kind in self.steps:
            nodes.append(
                Node(op, tuple([nodes[place] for place in places]), attributes, shape, kind)
            )
        return nodes

    def write_out(self, inputs: Sequence[Node]) -> list[Node]:
        """The outputs, every step a node of its own: for graphs that become part of another recipe."""
        nodes = self.instantiate([inputs[place] for place in self.used])
        made = [nodes[number] for number in self.computed]
        return [(inputs if r[0] else made)[r[1]] for r in self.results if r is not None]

    def kinds_of_results(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """(shape, dtype) of each output that there is, from those of the inputs."""
        return tuple(
            [
                (inputs if result[0] else self.kinds)[result[1]]
                for result in self.results
                if result is not None
            ]
        )

    def facts_of_results(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """What `kinds_of_results` gives, whether each has a derivative, and None for each input and for each result.

        A recipe's inputs are always of the same kinds.
        """
        facts = self.facts
        if facts is None:
            kinds = self.kinds_of_results(inputs)
            differentiable = tuple([kind.is_floating_point or kind.is_complex for _, kind in kinds])
            nothing = (None,) * len(inputs), (None,) * len(kinds)
            facts = self.facts = kinds, differentiable, nothing
        return facts

    def uses(self, place: int) -> bool:
        """Whether input `place` is read, or handed on as a result."""
        return place in self.used or (True, place) in self.results

    def sources(self) -> list[frozenset[int]]:
        """For each output, the places of the inputs that it is made of."""
        values = [frozenset((place,)) for place in self.used]
        for _, sources, *_ in self.steps:
            values.append(frozenset().union(*(values[source] for source in sources)))
        made = [values[number] for number in self.computed]
        return [
            frozenset() if r is None else frozenset((r[1],)) if r[0] else made[r[1]]
            for r in self.results
        ]


def _result(
    node: Node | None, places: dict[int, int], position: dict[int, int]
) -> tuple[bool, int] | None:
    if node is None:
        return None
    if id(node) in places:
        return True, places[id(node)]
    return False, position[id(node)]


def _steps_between(outputs: Sequence[Node], boundary: dict[int, int]) -> list[Node]:
    """The nodes between the boundary and the outputs, sources first."""
    return [node for node in sort_topologically(outputs) if id(node) not in boundary]


def write_out_calls(inputs: Sequence[Node], outputs: Sequence[Node | None], origin: str) -> Recipe:
    """One recipe of a graph that calls others."""
    values: dict[int, Node] = {id(node): node for node in inputs}
    results: dict[int, list[Node]] = {}
    origins: dict[int, Any] = {}
    kept: list[Node] = []  # alive, so that their ids stay theirs
    for node in sort_topologically([node for node in outputs if node is not None]):
        if id(node) in values:
            continue
        came_from = node.op.name, tuple([source.shape for source in node.inputs])
        if node.op is OUTPUT and id(node.inputs[0]) in results:
            values[id(node)] = results[id(node.inputs[0])][node.attributes[0]]
            continue
        sources = [values[id(source)] for source in node.inputs]
        if node.op is CALL:
            recipe: Recipe = node.attributes[0]
            made = recipe.instantiate(sources)
            inner = made[len(sources) :]
            origins.update([(id(each), (recipe.origin, came_from[1])) for each in inner])
            results[id(node)] = [made[number] for number in recipe.computed]
            values[id(node)] = results[id(node)][0]
        else:
            made = [Node(node.op, tuple(sources), node.attributes, node.shape, node.dtype)]
            origins[id(made[0])] = came_from
            values[id(node)] = made[0]
        kept.extend(made)
    targets = [None if node is None else values[id(node)] for node in outputs]
    return Recipe(inputs, targets, origin, origins)


@final
class RecipeBook:
    """The recipes of one operation by the kinds of their inputs; forgets all when there are many."""

    __slots__ = ("recipes",)
    CAPACITY = 512

    def __init__(self) -> None:
        self.recipes: dict[Any, Recipe] = {}

    def find(self, key: Any) -> Recipe | None:
        """The recipe, if it is known."""
        return self.recipes.get(key)

    def keep(self, key: Any, recipe: Recipe) -> Recipe:
        """Remember a recipe."""
        if len(self.recipes) >= self.CAPACITY:
            self.recipes.clear()
        self.recipes[key] = recipe
        return recipe
