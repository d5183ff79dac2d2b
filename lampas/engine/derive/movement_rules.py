"""The derivatives of views, movement and scans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Cotangents = tuple["Node | None", ...]


def _zeros(x: Node) -> Node:
    return g.full(x.shape, 0, x.dtype)


def _reshape(node: Node, ct: Node) -> Cotangents:
    return (g.reshape(ct, node.inputs[0].shape),)


def _permute(node: Node, ct: Node) -> Cotangents:
    dims = node.attributes[0]
    inverse = [0] * len(dims)
    for place, dim in enumerate(dims):
        inverse[dim] = place
    return (g.permute(ct, inverse),)


def _slice(node: Node, ct: Node) -> Cotangents:
    starts, lengths, steps = node.attributes
    x = node.inputs[0]
    if all(step == 1 for step in steps):
        high = tuple(n - a - k for n, a, k in zip(x.shape, starts, lengths, strict=True))
        return (g.pad(ct, starts, high, g.like(ct, 0)),)
    strides = contiguous_strides(x.shape)
    offset = sum(a * s for a, s in zip(starts, strides, strict=True))
    jumps = tuple(k * s for k, s in zip(steps, strides, strict=True))
    return (g.as_strided_scatter(_zeros(x), ct, lengths, jumps, offset),)


def _as_strided(node: Node, ct: Node) -> Cotangents:
    _shape, strides, offset = node.attributes
    return (g.as_strided_accumulate(ct, node.inputs[0].shape, strides, offset),)


def _as_strided_scatter(node: Node, ct: Node) -> Cotangents:
    shape, strides, offset = node.attributes
    _base, value = node.inputs
    hidden = g.full(value.shape, 0, ct.dtype)
    return (
        g.as_strided_scatter(ct, hidden, shape, strides, offset),
        g.sum_to(g.as_strided(ct, shape, strides, offset), value.shape),
    )


def _as_strided_accumulate(node: Node, ct: Node) -> Cotangents:
    _base_shape, strides, offset = node.attributes
    return (g.as_strided(ct, node.inputs[0].shape, strides, offset),)


def _pad(node: Node, ct: Node) -> Cotangents:
    low, high = node.attributes
    x, _fill = node.inputs
    if any(n < 0 for n in (*low, *high)):
        inside = g.pad(ct, tuple(-n for n in low), tuple(-n for n in high), g.like(ct, 0))
    else:
        inside = g.slice_dims(ct, low, x.shape, (1,) * len(low))
    total = g.sum_to(ct, ())
    return inside, g.subtract(total, g.sum_to(inside, ()))


def _concatenate(node: Node, ct: Node) -> Cotangents:
    dim = node.attributes[0]
    parts = []
    start = 0
    for source in node.inputs:
        parts.append(g.narrow(ct, dim, start, source.shape[dim]))
        start += source.shape[dim]
    return tuple(parts)


def _gather(node: Node, ct: Node) -> Cotangents:
    x, index = node.inputs
    return g.scatter(_zeros(x), node.attributes[0], index, ct, "add"), None


def _scatter(node: Node, ct: Node) -> Cotangents:
    dim, mode = node.attributes
    _x, index, source = node.inputs
    if mode == "add":
        return ct, None, _restored(g.gather(ct, dim, index), source)
    if mode == "set":
        hidden = g.full(index.shape, 0, ct.dtype)
        kept = g.scatter(ct, dim, index, hidden)
        return kept, None, _restored(g.gather(ct, dim, index), source)
    if mode == "multiply":
        return _scatter_product(node, ct)
    return _scatter_extreme(node, ct)


def _used(node: Node) -> Node:
    """The part of source that the index reads."""
    index, source = node.inputs[1:]
    return g.slice_dims(source, (0,) * len(index.shape), index.shape, (1,) * len(index.shape))


def _scatter_product(node: Node, ct: Node) -> Cotangents:
    """The product of all other factors at a place, from the product of the non-zero ones there."""
    dim = node.attributes[0]
    x, index, source = node.inputs
    used = _used(node)
    zero, one = g.like(x, 0), g.like(x, 1)
    empty, gone = g.equal(x, zero), g.equal(used, zero)
    rest = g.scatter(g.where(empty, one, x), dim, index, g.where(gone, one, used), "multiply")
    zeros = g.scatter(g.cast(empty, x.dtype), dim, index, g.cast(gone, x.dtype), "add")

    def others(factor: Node, lost: Node, product: Node, count: Node) -> Node:
        alone = g.where(g.equal(count, one), product, zero)
        kept = g.where(g.equal(count, zero), g.divide(product, g.where(lost, one, factor)), zero)
        return g.conjugate(g.where(lost, alone, kept))

    there = [g.gather(each, dim, index) for each in (rest, zeros, ct)]
    to_source = g.multiply(there[2], others(used, gone, there[0], there[1]))
    to_x = g.multiply(ct, others(x, empty, rest, zeros))
    return to_x, None, _restored(to_source, source)


def _scatter_extreme(node: Node, ct: Node) -> Cotangents:
    """All candidates that reach the extreme share the cotangent evenly."""
    dim = node.attributes[0]
    x, index, source = node.inputs
    own = g.cast(g.equal(x, node), ct.dtype)
    hits = g.cast(g.equal(_used(node), g.gather(node, dim, index)), ct.dtype)
    share = g.divide(ct, g.scatter(own, dim, index, hits, "add"))
    to_source = g.multiply(hits, g.gather(share, dim, index))
    return g.multiply(own, share), None, _restored(to_source, source)


def _restored(grad: Node, source: Node) -> Node:
    """Zeros for the part of source that a smaller index did not use."""
    high = tuple(n - k for n, k in zip(source.shape, grad.shape, strict=True))
    return g.pad(grad, (0,) * len(high), high, g.like(grad, 0))


def _index_select(node: Node, ct: Node) -> Cotangents:
    dim = node.attributes[0]
    x, index = node.inputs
    flat = g.reshape(index, (index.numel,))
    rows = g.reshape(ct, (*x.shape[:dim], index.numel, *x.shape[dim + 1 :]))
    return g.index_add(_zeros(x), dim, flat, rows), None


def _index_add(node: Node, ct: Node) -> Cotangents:
    dim = node.attributes[0]
    return ct, None, g.index_select(ct, dim, node.inputs[1])


def _index(node: Node, ct: Node) -> Cotangents:
    x, *indices = node.inputs
    flow = g.index_put(_zeros(x), node.attributes[0], indices, ct, accumulate=True)
    return (flow, *(None for _ in indices))


def _index_put(node: Node, ct: Node) -> Cotangents:
    dims, accumulate = node.attributes
    _x, value, *indices = node.inputs
    taken = g.sum_to(g.index(ct, dims, indices), value.shape)
    if accumulate:
        return (ct, taken, *(None for _ in indices))
    kept = g.index_put(ct, dims, indices, g.like(ct, 0))
    return (kept, taken, *(None for _ in indices))


def _cumulative(node: Node, ct: Node) -> Cotangents:
    dim, kind = node.attributes
    if kind == "sum":
        return (_sum_from(ct, dim),)
    if kind == "product":
        return (_cumulative_product(node, ct, dim),)
    raise NotImplementedError(f"the derivative of a running {kind} is not implemented")


def _sum_from(x: Node, dim: int) -> Node:
    """Element i: the sum of elements i, i+1, … to the end."""
    return g.flip(g.cumulative(g.flip(x, (dim,)), dim, "sum"), (dim,))


def _cumulative_product(node: Node, ct: Node, dim: int) -> Node:
    """d/dx_k is the sum of ct_i·y_i from k on, divided by x_k; exact with zeros, and so are its derivatives.

    Where x_k is 0 it is x_0…x_(k-1) times Horner's rule, ct_k + x_(k+1)·(ct_(k+1) + x_(k+2)·(…)).
    """
    x = node.inputs[0]
    if not x.shape[dim]:
        return ct
    zero, one = g.like(x, 0), g.like(x, 1)
    is_zero = g.equal(x, zero)
    sums = _sum_from(g.multiply(ct, g.conjugate(node)), dim)
    quotient = g.divide(sums, g.conjugate(g.where(is_zero, one, x)))
    low = tuple(int(d == dim) for d in range(len(x.shape)))
    shifted = g.narrow(node, dim, 0, x.shape[dim] - 1)
    before = g.pad(shifted, low, (0,) * len(low), one)
    kinds = ((x.shape, x.dtype),)
    following = g.host("recurrence", (g.conjugate(x), ct), kinds, (dim, True, True))[0]
    # Behind an earlier zero nothing counts: what overflows there must not make NaN of it.
    is_finite = g.equal(g.multiply(following, zero), zero)
    counts = g.bitwise_or(g.not_equal(before, zero), is_finite)
    product = g.multiply(g.conjugate(before), g.where(counts, following, zero))
    return g.where(is_zero, product, quotient)


MOVEMENT_VJP_RULES: dict[p.Primitive, Callable[[Node, Node], Cotangents] | None] = {
    p.RESHAPE: _reshape,
    p.PERMUTE: _permute,
    p.EXPAND: lambda node, ct: (g.sum_to(ct, node.inputs[0].shape),),
    p.SLICE: _slice,
    p.FLIP: lambda node, ct: (g.flip(ct, node.attributes[0]),),
    p.AS_STRIDED: _as_strided,
    p.AS_STRIDED_SCATTER: _as_strided_scatter,
    p.AS_STRIDED_ACCUMULATE: _as_strided_accumulate,
    p.PAD: _pad,
    p.CONCATENATE: _concatenate,
    p.GATHER: _gather,
    p.SCATTER: _scatter,
    p.INDEX_SELECT: _index_select,
    p.INDEX_ADD: _index_add,
    p.INDEX: _index,
    p.INDEX_PUT: _index_put,
    p.CUMULATIVE: _cumulative,
}
