"""How neural operations treat half precision: they compute in float32 and round the result once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import float32
from lampas.engine.graph import build as g

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node


def wide(x: Node) -> Node:
    """Half types as float32, others as they are."""
    if x.dtype.itemsize == 2 and x.dtype.is_floating_point:
        return g.cast(x, float32)
    return x


def function_of_one(
    name: str, build: Callable[..., Node], grad_name: str | None = None, **options: Any
) -> Operation:
    """An operation of one input that computes in float32 at least and gives the input's dtype."""

    def forward(x: Node, *attributes: Any) -> Node:
        return g.cast(build(wide(x), *attributes), x.dtype)

    return Operation(name, forward, grad_name=grad_name, **options)
