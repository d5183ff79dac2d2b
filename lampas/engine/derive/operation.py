"""An operation: what one call through the door computes, and how its derivative is found.

`forward(*nodes, *attributes)` composes primitives.  The derivative of any composition follows from
`VJP_RULES`; an operation may give its own `vjp(saved, *cotangents)` where a shorter formula is known
or PyTorch's choice at a kink matters.  Both are written in nodes, so either can be derived again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from lampas.engine.derive.pullback import pull_back
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.engine.graph.primitives import BUFFER, PERMUTE, RESHAPE, SLICE

if TYPE_CHECKING:
    from collections.abc import Callable

Cotangents = tuple["Node | None", ...]


@final
@dataclass(frozen=True, slots=True)
class Saved:
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
    reads: "both", "inputs", "outputs" or "none" (then only shapes and dtypes are kept).
    """

    __slots__ = ("forward", "grad_name", "multiple", "name", "saves_inputs", "saves_outputs", "vjp")

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        *,
        vjp: Callable[..., Cotangents] | None = None,
        grad_name: str | None = None,
        saves: str = "both",
        multiple: bool = False,
    ) -> None:
        self.name = name
        self.forward = forward
        self.vjp = vjp
        self.grad_name = grad_name or _grad_name(name)
        self.multiple = multiple
        self.saves_inputs = saves in ("both", "inputs")
        self.saves_outputs = saves in ("both", "outputs")

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def compute(self, inputs: tuple[Node, ...], attributes: tuple[Any, ...]) -> tuple[Node, ...]:
        """The output nodes."""
        result = self.forward(*inputs, *attributes)
        return tuple(result) if self.multiple else (result,)

    def rebuild(self, saved: Saved) -> Saved:
        """`saved` with the way from inputs to outputs, which realised values have forgotten.

        Operations with a `vjp` of their own need no way.
        """
        if self.vjp is not None:
            return saved
        inputs = distinct_inputs(saved.inputs)
        outputs = self.compute(inputs, saved.attributes)
        return Saved(inputs, outputs, saved.attributes, saved.needed)

    def pull_back(self, saved: Saved, cotangents: tuple[Node | None, ...]) -> Cotangents:
        """The cotangents of the inputs, None where not needed or zero; `saved` comes from `rebuild`."""
        if self.vjp is not None:
            return self.vjp(saved, *cotangents)
        return pull_back(saved.outputs, cotangents, saved.inputs, saved.needed)


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


def ghost(node: Node) -> Node:
    """Shape and dtype of a node whose value is not kept."""
    return Node(BUFFER, (), (), node.shape, node.dtype)


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
        outputs = operation.compute(inputs, attributes)
        saved = operation.rebuild(Saved(inputs, outputs, attributes, needed))
        flows = operation.pull_back(saved, cotangents)
        return tuple(
            zeros_for(node) if flow is None else flow
            for flow, node, need in zip(flows, inputs, needed, strict=True)
            if need
        )

    name = operation.grad_name.removesuffix("0").removesuffix("Backward")
    return Operation(
        f"{operation.name}_backward", forward, grad_name=f"{name}BackwardBackward0", multiple=True
    )
