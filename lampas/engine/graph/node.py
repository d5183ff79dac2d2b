"""The immutable node: one value of the lazy graph.

A node is a primitive, its input nodes and its attributes; shape and dtype follow from them.  The
value is always meant in row-major order, whatever the compiler makes of it.  When a node is realised
it receives a buffer and forgets its inputs, so that history does not keep memory alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from lampas.engine.dtype import bool_, complex128, dtype, float64, int64
from lampas.engine.graph.primitives import BUFFER, CONSTANT, SCALAR, Primitive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lampas.engine.graph.layout import Layout

Shape = tuple[int, ...]
Number = bool | int | float | complex


@final
class Node:
    """A value: `op` applied to `inputs`.  `buffer` is set once, when the value exists in memory.

    A result of a recipe may be promised only: then `journal` knows what it is made of.
    `value` is the Python number of a `scalar` leaf, and what a stored leaf of integers has been found to hold
    (its smallest and largest number).
    """

    __slots__ = (
        "__weakref__",
        "attributes",
        "buffer",
        "dtype",
        "inputs",
        "journal",
        "number",
        "op",
        "shape",
        "value",
    )

    number: int  # of a promised node, in its journal

    def __init__(
        self,
        op: Primitive,
        inputs: tuple[Node, ...],
        attributes: tuple[Any, ...],
        shape: Shape,
        dtype: dtype,
    ) -> None:
        self.op = op
        self.inputs: tuple[Node, ...] = inputs
        self.attributes: tuple[Any, ...] = attributes
        self.shape = shape
        self.dtype = dtype
        self.buffer: Any = None
        self.value: Any = None
        self.journal: Any = None

    def __getattr__(self, name: str) -> Any:
        """What a promised node (`graph.journal`) lacks is written out when somebody looks."""
        if name in ("attributes", "inputs", "op"):
            self.journal.keep(self)
            return getattr(self, name)
        raise AttributeError(f"'Node' object has no attribute '{name}'")

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    def realize_as(self, buffer: Any, layout: Layout | None = None) -> None:
        """Give the value its memory; the node becomes a leaf (which carries the layout of its buffer, if any)."""
        self.buffer = buffer
        self.op = BUFFER
        self.inputs = ()
        self.attributes = () if layout is None else (layout,)
        self.journal = None

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.dtype.name}{list(self.shape)}>"


def buffer_node(buffer: Any, shape: Shape, dtype: dtype) -> Node:
    """A leaf whose value lies in `buffer`, row-major."""
    node = Node(BUFFER, (), (), shape, dtype)
    node.buffer = buffer
    return node


def scalar_node(value: Number) -> Node:
    """A leaf for a Python number that may differ from run to run (a learning rate, a step count)."""
    node = Node(SCALAR, (), (), (), _NUMBER_DTYPES[type(value)])
    node.value = value
    return node


def constant_node(value: Number, dtype: dtype) -> Node:
    """A leaf for a number that belongs to the structure of a computation (2 in x*x*2)."""
    return Node(CONSTANT, (), (value, repr(value)), (), dtype)


_NUMBER_DTYPES = {bool: bool_, int: int64, float: float64, complex: complex128}


def sort_topologically(targets: Iterable[Node]) -> list[Node]:
    """Every node that `targets` need, inputs before users, each once; realised nodes are leaves."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(list(targets))]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
            continue
        key = id(node)
        if key in seen:
            continue
        seen.add(key)
        stack.append((node, True))
        stack.extend(
            [(source, False) for source in reversed(node.inputs) if id(source) not in seen]
        )
    return order
