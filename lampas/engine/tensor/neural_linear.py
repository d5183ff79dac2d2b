"""The linear layer as one operation, and embedding lookups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.realize.realize import read
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_precision import wide

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]


def _rows(x: Node) -> Node:
    """All leading dimensions joined: (rows, features)."""
    count = 1
    for size in x.shape[:-1]:
        count *= size
    return g.reshape(x, (count, x.shape[-1]))


def _linear(x: Node, weight: Node, *bias: Node) -> Node:
    product = g.matmul(_rows(wide(x)), g.transpose(wide(weight)))
    if bias:
        product = g.add(product, wide(bias[0]))
    return g.reshape(g.cast(product, x.dtype), (*x.shape[:-1], weight.shape[0]))


def _linear_vjp(saved: Saved, ct: Node) -> Grads:
    x, weight, *bias = saved.inputs
    flow = _rows(ct)
    to_x = to_weight = None
    if saved.needed[0]:
        to_x = g.reshape(g.matmul(flow, g.conjugate(weight)), x.shape)
    if saved.needed[1]:
        to_weight = g.matmul(g.transpose(flow), g.conjugate(_rows(x)))
    if not bias:
        return to_x, to_weight
    return to_x, to_weight, (g.sum_to(flow, bias[0].shape) if saved.needed[2] else None)


def _operation(grad_name: str) -> Operation:
    return Operation("linear", _linear, vjp=_linear_vjp, grad_name=grad_name, saves="inputs")


# By (rank of the input is 2, there is a bias): what PyTorch's tape shows.
LINEAR = {
    (True, True): _operation("AddmmBackward0"),
    (True, False): _operation("MmBackward0"),
    (False, True): _operation("ViewBackward0"),
    (False, False): _operation("UnsafeViewBackward0"),
}


def linear_map(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x·Wᵀ + b for weight (out, in), bias (out,) or broadcastable; shapes are checked."""
    operands = (x, weight) if bias is None else (x, weight, bias)
    return record(LINEAR[len(x._shape) == 2, bias is not None], operands)


# Embedding ----------------------------------------------------------------------------------------


def _embedding(weight: Node, index: Node, padding: int, by_frequency: bool) -> Node:
    return g.index_select(weight, 0, g.cast(index, int64))


def _embedding_vjp(saved: Saved, ct: Node) -> Grads:
    weight, index = saved.inputs
    padding, by_frequency = saved.attributes
    flat = g.reshape(g.cast(index, int64), (index.numel,))
    flow = g.reshape(ct, (index.numel, weight.shape[1]))
    if by_frequency:
        one = g.full((index.numel,), 1, flow.dtype)
        counts = g.index_add(g.full((weight.shape[0],), 0, flow.dtype), 0, flat, one)
        scale = g.reciprocal(g.index_select(counts, 0, flat))
        flow = g.multiply(flow, g.reshape(scale, (index.numel, 1)))
    if padding >= 0:
        hidden = g.reshape(g.equal(flat, g.constant(padding, int64)), (index.numel, 1))
        flow = g.where(hidden, g.like(flow, 0), flow)
    return g.index_add(g.full(weight.shape, 0, weight.dtype), 0, flat, flow), None


EMBEDDING = Operation("embedding", _embedding, vjp=_embedding_vjp, saves="inputs")


# Told of every index whose values are looked at: its node, and the number that they have to be below.
BOUNDING: list[Callable[[Node, int], None]] = []


def known_bounds(index: Tensor, size: int) -> tuple[int, int] | None:
    """Smallest and largest value of an integer tensor that exists in memory already; all of [0, size) is good."""
    node = index._value()
    if node.buffer is None or not node.numel:
        return None
    for told in BOUNDING:
        told(node, size)
    return stored_bounds(node)


def stored_bounds(node: Node) -> tuple[int, int]:
    """Smallest and largest value of a stored node, which keeps them: it never changes its value."""
    if node.value is None:
        values = read(node).reshape(-1)
        node.value = int(np.minimum.reduce(values)), int(np.maximum.reduce(values))
    return node.value


@public()
def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight` (rows, width) at `indices` (*) -> (*, width).

    Raises IndexError for an index outside the table, where the indices are known already.
    """
    bounds = known_bounds(indices, weight._shape[0])
    if bounds is not None and (bounds[0] < 0 or bounds[1] >= weight._shape[0]):
        raise IndexError(
            f"index out of range in self: embedding() of {weight._shape[0]} rows was given "
            f"indices from {bounds[0]} to {bounds[1]}"
        )
    attributes: tuple[Any, ...] = (int(padding_idx), bool(scale_grad_by_freq))
    return record(EMBEDDING, (weight, indices), attributes)
