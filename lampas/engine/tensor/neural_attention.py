"""Scaled dot-product attention as one operation (Vaswani et al., 2017), with a derivative that shares its weights.

    S = q·kᵀ·scale + mask,   P = softmax(S),   out = P·v

With dP = ct·vᵀ the derivative is dS = P∘(dP − Σ dP∘P), dq = dS·k·scale, dk = dSᵀ·q·scale, dv = Pᵀ·ct.  Only q, k, v are
saved: P is made again, which costs nothing where forward and backward are computed together (equal nodes are one).

Where there are kernels for the sizes, forward and derivative are one primitive each, and no weights lie in memory.
Elsewhere (float64, small or odd sizes, a mask that learns) a causal product is cut into blocks of rows, each with the columns that its rows may see: what lies above the diagonal
is neither multiplied nor stored.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, float32
from lampas.engine.graph import build as g
from lampas.engine.graph.primitives import ATTENTION as FUSED
from lampas.engine.graph.primitives import ATTENTION_BACKWARD
from lampas.engine.loops.attention_plan import suits_kernel
from lampas.engine.shape import broadcast_shapes
from lampas.engine.tensor.contraction import stacked_product
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_activation import softmax_node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]
Shape = tuple[int, ...]

CAUSAL_BLOCK = 64  # rows at least: smaller ones save more products, and have more edges
MOST_BLOCKS = 8


class _Block(NamedTuple):
    """Rows `first` … `first + rows` of a product; a causal one sees the columns before `columns`."""

    first: int
    rows: int
    columns: int


def _blocks(rows: int, columns: int, causal: bool) -> list[_Block]:
    if not causal:
        return [_Block(0, rows, columns)]
    most = max(CAUSAL_BLOCK, -(-rows // MOST_BLOCKS))
    starts = range(0, rows, most)
    sizes = [min(most, rows - first) for first in starts]
    return [_Block(f, n, min(f + n, columns)) for f, n in zip(starts, sizes, strict=True)]


def _cut(x: Node, first: int, count: int) -> Node:
    """Rows of a stack of matrices."""
    dim = len(x.shape) - 2
    return x if count == x.shape[dim] else g.narrow(x, dim, first, count)


def _is_seen(block: _Block) -> Node:
    """Which columns each row of a causal block may see: (rows, columns)."""
    column = g.reshape(g.iota(block.columns), (1, block.columns))
    row = g.reshape(g.iota(block.rows), (block.rows, 1))
    return g.less_equal(column, g.add(row, g.like(row, block.first)))


def _weights(q: Node, k: Node, mask: tuple[Node, ...], scale: float, block: _Block | None) -> Node:
    """P of a block whose q and k are cut already."""
    scores = stacked_product(q, g.transpose(k))
    scores = g.multiply(scores, g.like(scores, scale))
    lowest = g.like(scores, float("-inf"))
    last = len(scores.shape) - 1
    if block is not None:
        return softmax_node(g.where(_is_seen(block), scores, lowest), last)
    if not mask:
        return softmax_node(scores, last)
    given = mask[0]
    if given.dtype is bool_:
        scores = g.where(given, scores, lowest)
    else:
        scores = g.add(scores, g.cast(given, scores.dtype))
    blocked = g.equal(g.max_dims(scores, (last,)), g.like(scores, float("-inf")))
    return g.where(blocked, g.like(scores, 0), softmax_node(scores, last))


def _has_kernel(q: Node, k: Node, v: Node) -> bool:
    sized = suits_kernel(q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1])
    return sized and q.dtype is float32 and 0 not in (*q.shape, *k.shape, *v.shape)


def _fused_operands(
    operands: Sequence[Node], mask: Sequence[Node]
) -> tuple[tuple[Node, ...], Shape]:
    """The operands of the primitive, in two batch dimensions, and the batch dimensions that they stand for."""
    lead = broadcast_shapes(*(each.shape[:-2] for each in (*operands, *mask)))
    pair = (1,) * (2 - len(lead)) + lead if len(lead) <= 2 else (prod(lead[:-1]), lead[-1])
    bias: list[Node] = []
    for given in mask:
        if given.dtype is bool_:
            zero = g.full(given.shape, 0, float32)
            given = g.where(given, zero, g.like(zero, float("-inf")))
        sizes = operands[0].shape[-2], operands[1].shape[-2]
        bias.append(g.expand(g.cast(given, float32), (*lead, *sizes)))
    spread = [g.expand(each, (*lead, *each.shape[-2:])) for each in operands]
    return tuple(g.reshape(each, (*pair, *each.shape[-2:])) for each in (*spread, *bias)), lead


def _attention(q: Node, k: Node, v: Node, *rest: Any) -> Node:
    *mask, scale, causal = rest
    if _has_kernel(q, k, v):
        operands, lead = _fused_operands((q, k, v), mask)
        made = g.make(FUSED, operands, (scale, bool(causal)))
        return g.reshape(made, (*lead, *made.shape[-2:]))
    parts = []
    for block in _blocks(q.shape[-2], k.shape[-2], bool(causal)):
        own = _cut(k, 0, block.columns), _cut(v, 0, block.columns)
        p = _weights(
            _cut(q, block.first, block.rows), own[0], tuple(mask), scale, block if causal else None
        )
        parts.append(stacked_product(p, own[1]))
    return parts[0] if len(parts) == 1 else g.concatenate(parts, len(q.shape) - 2)


def _attention_vjp(saved: Saved, ct: Node) -> Grads:
    q, k, v, *mask = saved.inputs
    scale, causal = saved.attributes
    needed = saved.needed
    if _has_kernel(q, k, v) and not (mask and needed[3]):
        return _fused_vjp(saved, ct)
    to_q, to_k, to_v = [], [], []
    to_mask: Node | None = None
    for block in _blocks(q.shape[-2], k.shape[-2], causal):
        rows, flow = _cut(q, block.first, block.rows), _cut(ct, block.first, block.rows)
        keys, values = _cut(k, 0, block.columns), _cut(v, 0, block.columns)
        p = _weights(rows, keys, tuple(mask), scale, block if causal else None)
        to_v.append(stacked_product(g.transpose(p), flow))
        dp = stacked_product(flow, g.transpose(values))
        last = len(p.shape) - 1
        ds = g.multiply(p, g.subtract(dp, g.sum_dims(g.multiply(dp, p), (last,))))
        if mask and needed[3]:
            to_mask = g.sum_to(ds, mask[0].shape)
        ds = g.multiply(ds, g.like(ds, scale))
        to_q.append(stacked_product(ds, keys))
        to_k.append(stacked_product(g.transpose(ds), rows))
    joined = to_q[0] if len(to_q) == 1 else g.concatenate(to_q, len(ct.shape) - 2)
    made = (joined, _sum(to_k, k.shape[-2]), _sum(to_v, k.shape[-2]))
    found = [
        g.sum_to(flow, operand.shape) if wanted else None
        for flow, operand, wanted in zip(made, (q, k, v), needed, strict=False)
    ]
    return (*found, *([to_mask] if mask else []))


def _fused_vjp(saved: Saved, ct: Node) -> Grads:
    """The derivative by the primitive that computes all three of them."""
    q, k, v, *mask = saved.inputs
    operands, lead = _fused_operands((q, k, v, ct), mask)
    flat = g.make(ATTENTION_BACKWARD, operands, saved.attributes)
    made = g.parts_of(flat, [(*lead, *each.shape[-2:]) for each in (q, k, v)])
    found = [
        g.sum_to(flow, operand.shape) if wanted else None
        for flow, operand, wanted in zip(made, (q, k, v), saved.needed, strict=False)
    ]
    return (*found, *(None for _ in mask))


def _sum(parts: list[Node], rows: int) -> Node:
    """The sum of matrices of which each has the first rows of the one after it, filled up to `rows`."""
    total = parts[0]
    for part in parts[1:]:
        total = g.add(_filled(total, part.shape[-2]), part)
    return _filled(total, rows)


def _filled(x: Node, rows: int) -> Node:
    """A matrix with rows of zeros below."""
    missing = rows - x.shape[-2]
    if not missing:
        return x
    none = (0,) * (len(x.shape) - 2)
    return g.pad(x, (*none, 0, 0), (*none, missing, 0), g.constant(0, x.dtype))


ATTENTION = Operation(
    "scaled_dot_product_attention",
    _attention,
    vjp=_attention_vjp,
    grad_name="ScaledDotProductFlashAttentionForCpuBackward0",
    saves="inputs",
)


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, causal: bool
) -> Tensor:
    """softmax(q·kᵀ·scale + mask)·v of one real dtype; shapes and dtypes are checked by the caller."""
    operands = (query, key, value) if mask is None else (query, key, value, mask)
    return record(ATTENTION, operands, (float(scale), bool(causal)))
