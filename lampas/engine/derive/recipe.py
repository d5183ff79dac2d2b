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

    __slots__ = ("computed", "kinds", "origin", "results", "steps", "used")

    def __init__(
        self, inputs: Sequence[Node], outputs: Sequence[Node | None], origin: str = ""
    ) -> None:
        self.origin = origin
        places = {id(node): place for place, node in enumerate(inputs)}
        made = [node for node in outputs if node is not None and id(node) not in places]
        order = _steps_between(made, places)
        read = {places[id(s)] for node in order for s in node.inputs if id(s) in places}
        self.used = tuple(sorted(read))
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
        distinct = {id(node): node for node in made}
        self.computed = tuple(number[key] for key in distinct)
        self.kinds = tuple((node.shape, node.dtype) for node in distinct.values())
        position = {key: place for place, key in enumerate(distinct)}
        self.results = tuple(_result(node, places, position) for node in outputs)

    def make(self, inputs: Sequence[Node]) -> tuple[Node | None, ...]:
        """The outputs for inputs of the same kinds."""
        nodes = self._nodes(tuple([inputs[place] for place in self.used]))
        return tuple(
            [
                None if result is None else (inputs if result[0] else nodes)[result[1]]
                for result in self.results
            ]
        )

    def _nodes(self, used: tuple[Node, ...]) -> tuple[Node, ...]:
        kinds = self.kinds
        if not kinds:
            return ()
        if len(self.steps) == 1:
            op, _, attributes, shape, kind = self.steps[0]
            sources = tuple([used[place] for place in self.steps[0][1]])
            return (Node(op, sources, attributes, shape, kind),)
        call = Node(CALL, used, (self,), *kinds[0])
        if len(kinds) == 1:
            return (call,)
        return tuple(
            [
                Node(OUTPUT, (call,), (place,), shape, kind)
                for place, (shape, kind) in enumerate(kinds)
            ]
        )

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
