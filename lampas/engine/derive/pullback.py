"""Reverse-mode differentiation of a piece of graph: from cotangents of its outputs to those of its inputs.

`pull_back(outputs, cotangents, inputs, needed)` walks the nodes between `inputs` and `outputs` once,
users before their sources, and applies one row of `VJP_RULES` each (Griewank & Walther, *Evaluating
Derivatives*, ch. 3).  Nodes before `inputs` are never visited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.derive.attention_rules import spelled_out_gradients
from lampas.engine.derive.host_rules import pull_back_host
from lampas.engine.derive.rules import VJP_RULES
from lampas.engine.graph import build as g
from lampas.engine.graph.primitives import ATTENTION_BACKWARD, HOST, OUTPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node


def pull_back(
    outputs: Sequence[Node],
    cotangents: Sequence[Node | None],
    inputs: Sequence[Node],
    needed: Sequence[bool],
) -> tuple[Node | None, ...]:
    """The cotangents of the needed inputs (None: no path leads there).  Inputs must be distinct."""
    wanted = {id(node) for node, need in zip(inputs, needed, strict=True) if need}
    boundary = {id(node) for node in inputs}
    order = _between(outputs, boundary)
    active = _active(order, wanted, boundary)
    flows: dict[int, Node] = {}
    results: dict[int, dict[int, Node]] = {}
    for node, ct in zip(outputs, cotangents, strict=True):
        if ct is not None and id(node) in active:
            _accumulate(flows, node, ct)
    for node in reversed(order):
        if node.op is HOST and id(node) in results:
            _through_host(flows, active, node, results[id(node)])
        ct = flows.get(id(node))
        if ct is None or id(node) in wanted:
            continue
        if node.op is OUTPUT and node.inputs[0].op is HOST:
            _arrive(results.setdefault(id(node.inputs[0]), {}), node.attributes[0], ct)
            continue
        rule = VJP_RULES[node.op]
        if rule is None:
            continue
        for source, flow in zip(node.inputs, rule(node, ct), strict=True):
            if flow is not None and id(source) in active:
                _accumulate(flows, source, flow)
    return tuple(
        flows.get(id(node)) if need else None for node, need in zip(inputs, needed, strict=True)
    )


def _through_attention_backward(node: Node, ct: Node) -> tuple[Node | None, ...]:
    """The second derivatives of attention, through what its first ones are short for."""
    made = spelled_out_gradients(node)
    return pull_back([made], [ct], node.inputs, [True] * len(node.inputs))


VJP_RULES[ATTENTION_BACKWARD] = _through_attention_backward


def _arrive(arrived: dict[int, Node], position: int, ct: Node) -> None:
    """Note the cotangent of a host call's result, of which there may be several readings."""
    before = arrived.get(position)
    arrived[position] = ct if before is None else g.add(before, ct)


def _through_host(
    flows: dict[int, Node], active: set[int], call: Node, arrived: dict[int, Node]
) -> None:
    """One host call: all of its results at once."""
    for source, flow in zip(call.inputs, pull_back_host(call, arrived), strict=True):
        if id(source) not in active:
            continue
        if flow is NotImplemented:
            raise NotImplementedError(
                f"the derivative for {call.attributes[1] or call.attributes[0]} is not implemented"
            )
        if flow is not None:
            _accumulate(flows, source, flow)


def _accumulate(flows: dict[int, Node], node: Node, flow: Node) -> None:
    before = flows.get(id(node))
    flows[id(node)] = flow if before is None else g.add(before, flow)


def _between(outputs: Sequence[Node], boundary: set[int]) -> list[Node]:
    """Nodes reachable from outputs without passing the boundary, sources first."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False) for node in outputs]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            if id(node) not in boundary:
                stack.extend((source, False) for source in node.inputs)
    return order


def _active(order: list[Node], wanted: set[int], boundary: set[int]) -> set[int]:
    """The nodes that depend on a wanted input; an input may itself be made from another one."""
    active = set(wanted)
    for node in order:
        if id(node) in boundary:
            continue
        if any(id(source) in active for source in node.inputs):
            active.add(id(node))
    return active
