"""The derivatives of host functions.

`HOST_VJP_RULES[name](inputs, outputs, cotangents, parameters) -> cotangent of each input or None`, where
`cotangents` has None for an output through which nothing flows.  Op families register theirs with
`@host_vjp("name")`, beside the host function.  Rules are written in nodes, so they can be derived again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

HOST_VJP_RULES: dict[str, Callable[..., tuple[Node | None, ...]]] = {}

F = TypeVar("F", bound="Callable[..., Any]")


def host_vjp(name: str) -> Callable[[F], F]:
    """Register the derivative of the host function `name`."""

    def register(function: F) -> F:
        if name in HOST_VJP_RULES:
            raise ValueError(f"the derivative of host function {name!r} is declared twice")
        HOST_VJP_RULES[name] = function
        return function

    return register


def outputs_of(call: Node) -> tuple[Node, ...]:
    """All results of a host call."""
    count = len(call.attributes[2])
    return tuple(g.make(p.OUTPUT, (call,), (position,)) for position in range(count))


def pull_back_host(call: Node, arrived: dict[int, Node]) -> tuple[Node | None, ...]:
    """The cotangents of a host call's inputs from those of its outputs, by position."""
    name, parameters, results = call.attributes
    rule = HOST_VJP_RULES.get(name)
    if rule is None:
        raise NotImplementedError(f"the derivative of {name} is not implemented")
    cotangents = tuple(arrived.get(position) for position in range(len(results)))
    return rule(call.inputs, outputs_of(call), cotangents, parameters)
