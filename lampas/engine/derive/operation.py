"""An operation: what one call through the door computes, and how its derivative is found.

`forward(*nodes, *attributes)` composes primitives.  The derivative of any composition follows from
`VJP_RULES`; an operation may give its own `vjp(saved, *cotangents)` where a shorter formula is known
or PyTorch's choice at a kink matters.  Both are written in nodes, so either can be derived again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.engine.derive.pullback import pull_back
from lampas.engine.derive.recipe import Recipe, RecipeBook, ghost
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.engine.graph.primitives import PERMUTE, RESHAPE, SLICE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Cotangents = tuple["Node | None", ...]


@final
class Saved(NamedTuple):
    """What a derivative may use: the operation's inputs, outputs, attributes, and what is asked."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    attributes: tuple[Any, ...]
    needed: tuple[bool, ...]

    @property
    def output(self) -> Node:
        """The single output."""
        return self.outputs[0]


@final
class Operation:
    """A named computation on nodes.

    `grad_name` is what `grad_fn` shows ("MulBackward0").  `saves` says whose values the derivative
    reads: "both", "inputs", "outputs" or "none" (then only shapes and dtypes are kept).  The results of an
    `untracked` operation are new values for tensors that there are: the door returns nodes, and no tape wants them.
    """

    __slots__ = (
        "derivatives",
        "forward",
        "grad_name",
        "multiple",
        "name",
        "recipes",
        "saves_inputs",
        "saves_outputs",
        "second",
        "untracked",
        "vjp",
    )

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        *,
        vjp: Callable[..., Cotangents] | None = None,
        grad_name: str | None = None,
        saves: str = "both",
        multiple: bool = False,
        untracked: bool = False,
    ) -> None:
        self.name = name
        self.forward = forward
        self.vjp = vjp
        self.grad_name = grad_name or _grad_name(name)
        self.multiple = multiple
        self.untracked = untracked
        self.saves_inputs = saves in ("both", "inputs")
        self.saves_outputs = saves in ("both", "outputs")
        self.recipes = RecipeBook()
        self.derivatives = RecipeBook()
        self.second: Operation | None = None

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def trace(self, inputs: Sequence[Node], attributes: tuple[Any, ...]) -> tuple[Node, ...]:
        """The output nodes, composed anew."""
        result = self.forward(*inputs, *attributes)
        return tuple(result) if self.multiple else (result,)

    def compute(self, inputs: tuple[Node, ...], attributes: tuple[Any, ...]) -> tuple[Node, ...]:
        """The output nodes, by the recipe for inputs of these shapes and dtypes."""
        return self.recipe(inputs, attributes).make(inputs)  # type: ignore[return-value]

    def recipe(
        self,
        inputs: tuple[Node, ...],
        attributes: tuple[Any, ...],
        key: tuple[Any, ...] | None = None,
    ) -> Recipe:
        """The graph for inputs of these shapes and dtypes; who has made the key gives it."""
        if key is None:
            key = (exact(attributes), *[(node.shape, node.dtype) for node in inputs])
        recipe = self.recipes.find(key)
        if recipe is None:
            leaves = [ghost(node) for node in inputs]
            made = self.trace(leaves, attributes)
            recipe = self.recipes.keep(key, Recipe(leaves, made, self.name))
        return recipe

    def derivative(self, saved: Saved, cotangents: tuple[Node | None, ...]) -> Recipe:
        """The recipe of the inputs' cotangents, from (*inputs, *outputs, *given cotangents).

        Results are None where not needed or zero.
        """
        kinds = [
            None if node is None else (node.shape, node.dtype)
            for node in (*saved.inputs, *saved.outputs, *cotangents)
        ]
        key = (exact(saved.attributes), saved.needed, *kinds)
        recipe = self.derivatives.find(key)
        return recipe or self.derivatives.keep(key, self._trace_derivative(saved, cotangents))

    def _trace_derivative(self, saved: Saved, cotangents: tuple[Node | None, ...]) -> Recipe:
        inputs = tuple(ghost(node) for node in saved.inputs)
        flows = tuple(None if node is None else ghost(node) for node in cotangents)
        outputs = tuple(ghost(node) for node in saved.outputs)
        if self.vjp is not None:
            again = Saved(inputs, outputs, saved.attributes, saved.needed)
            results = self.vjp(again, *flows)
        else:
            made = self.trace(inputs, saved.attributes)
            results = pull_back(made, flows, inputs, saved.needed)
            # What was made again stands for the stored output, where that is kept.
            outputs = made if self.saves_outputs else outputs
        given = [flow for flow in flows if flow is not None]
        return Recipe((*inputs, *outputs, *given), results, self.grad_name)

    def derived(self) -> Operation:
        """The operation that computes the derivative: see `derive_operation`."""
        if self.second is None:
            self.second = derive_operation(self)
        return self.second


def exact(attributes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Attributes as a key that tells 0.0 from -0.0 and 2 from 2.0."""
    if float not in map(type, attributes):
        return attributes
    return tuple([(each, repr(each)) if type(each) is float else each for each in attributes])


def distinct_inputs(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes, with another node of the same value for some.

    For every repeated one, since x·x has two inputs, not one; and for views that the constructors
    would fold into a view of them: then no path would lead through the input itself.
    """
    seen: set[int] = set()
    result = []
    for node in nodes:
        folds = node.op is RESHAPE or node.op is PERMUTE
        result.append(_whole(node) if folds or id(node) in seen else node)
        seen.add(id(node))
    return tuple(result)


def _whole(node: Node) -> Node:
    """The slice that is all of a node: an alias that is not folded away."""
    rank = len(node.shape)
    attributes = ((0,) * rank, node.shape, (1,) * rank)
    return Node(SLICE, (node,), attributes, node.shape, node.dtype)


def alias(node: Node) -> Node:
    """Another node of the same value."""
    return Node(RESHAPE, (node,), (node.shape,), node.shape, node.dtype)


def zeros_for(node: Node) -> Node:
    """A cotangent of zeros."""
    return g.full(node.shape, 0, node.dtype)


def _grad_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.strip("_").split("_")) + "Backward0"


def derive_operation(operation: Operation) -> Operation:
    """The operation that computes `operation`'s derivative, itself derivable.

    Its inputs are the inputs of `operation`, then the given cotangents; its attributes are
    (number of inputs, mask of given cotangents, needed mask, attributes); outputs are the needed
    cotangents (zeros where nothing flows).
    """

    def forward(*arguments: Any) -> tuple[Node, ...]:
        *nodes, count, given, needed, attributes = arguments
        inputs = tuple(nodes[:count])
        rest = iter(nodes[count:])
        cotangents = tuple(next(rest) if present else None for present in given)
        outputs = operation.trace(inputs, attributes)
        if operation.vjp is not None:
            flows = operation.vjp(Saved(inputs, outputs, attributes, needed), *cotangents)
        else:
            flows = pull_back(outputs, cotangents, inputs, needed)
        return tuple(
            zeros_for(node) if flow is None else flow
            for flow, node, need in zip(flows, inputs, needed, strict=True)
            if need
        )

    name = operation.grad_name.removesuffix("0").removesuffix("Backward")
    return Operation(
        f"{operation.name}_backward", forward, grad_name=f"{name}BackwardBackward0", multiple=True
    )
