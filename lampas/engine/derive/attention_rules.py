"""The derivatives of attention, and of its derivatives by way of what they are short for.

    S = q·kᵀ·scale + bias,   P = softmax(S),   out = P·v
    dP = flow·vᵀ,   dS = P∘(dP − Σ dP∘P),   dq = dS·k·scale,   dk = dSᵀ·q·scale,   dv = Pᵀ·flow

The gradients of query, key and value are one flat value, one after the other.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node


def attention_rule(node: Node, ct: Node) -> tuple[Node | None, ...]:
    """By query, key and value; a bias has no derivative here, who wants one spells attention out."""
    query, key, value, *bias = node.inputs
    operands = (query, key, value, ct, *bias)
    flat = g.make(p.ATTENTION_BACKWARD, operands, node.attributes)
    made = g.parts_of(flat, [query.shape, key.shape, value.shape])
    return (*made, *(None for _ in bias))


def spelled_out_gradients(node: Node) -> Node:
    """The value of a node of ATTENTION_BACKWARD by plain primitives."""
    query, key, value, flow, *bias = node.inputs
    scale, causal = node.attributes
    scores = g.matmul(query, g.transpose(key))
    scores = g.multiply(scores, g.like(scores, scale))
    if bias:
        scores = g.add(scores, bias[0])
    lowest, zero = g.like(scores, float("-inf")), g.like(scores, 0)
    if causal:
        rows, columns = scores.shape[-2:]
        column = g.reshape(g.iota(columns), (1, columns))
        row = g.reshape(g.iota(rows), (rows, 1))
        scores = g.where(g.less_equal(column, row), scores, lowest)
    last = (len(scores.shape) - 1,)
    largest = g.max_dims(scores, last)
    blind = g.equal(largest, lowest)
    powers = g.exp(g.subtract(scores, g.where(blind, zero, largest)))
    total = g.where(blind, g.like(scores, 1), g.sum_dims(powers, last))
    weights = g.divide(powers, total)
    spread = g.matmul(flow, g.transpose(value))
    spread = g.subtract(spread, g.sum_dims(g.multiply(spread, weights), last))
    spread = g.multiply(g.multiply(weights, spread), g.like(weights, scale))
    parts = (
        g.matmul(spread, key),
        g.matmul(g.transpose(spread), query),
        g.matmul(g.transpose(weights), flow),
    )
    return g.concatenate([g.reshape(part, (prod(part.shape),)) for part in parts], 0)
