"""Norms, distances, condition numbers, and products of vectors (`lampas.linalg` and old names).

The derivative of a p-norm is ct · sgn(x)·|x|^(p-1) / norm^(p-1), 0 where the norm is 0; the infinity norms
share the cotangent evenly among the elements that reach them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import dtype, int64
from lampas.engine.graph import build as g
from lampas.engine.shape import normalize_dim, normalize_dims
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.decomposition import svdvals
from lampas.engine.tensor.dimensions import finish, kept_shape, reduced_dims
from lampas.engine.tensor.door import record
from lampas.engine.tensor.linear_algebra import inv, inv_ex, require_matrices, solve
from lampas.engine.tensor.operands import (
    accumulation_dtype,
    check_broadcast,
    common_dtype,
    require_tensor,
)
from lampas.engine.tensor.values import array_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]

# Vector norms -------------------------------------------------------------------------------------


def _vector_norm(x: Node, order: float, dims: tuple[int, ...], keepdim: bool, kind: dtype) -> Node:
    size = g.absolute(g.cast(x, accumulation_dtype(kind)))
    if order == math.inf:
        total = g.max_dims(size, dims)
    elif order == -math.inf:
        total = g.min_dims(size, dims)
    elif order == 0:
        total = g.sum_dims(g.cast(g.not_equal(size, g.like(size, 0)), size.dtype), dims)
    elif order == 1:
        total = g.sum_dims(size, dims)
    elif order == 2:
        total = g.sqrt(g.sum_dims(g.multiply(size, size), dims))
    else:
        powers = g.sum_dims(g.power(size, g.like(size, order)), dims)
        total = g.power(powers, g.like(size, 1 / order))
    return finish(g.cast(total, kind.to_real()), dims, keepdim)


def _vector_norm_vjp(saved: Saved, ct: Node) -> Grads:
    order, dims, _, kind = saved.attributes
    x = g.cast(saved.inputs[0], accumulation_dtype(kind))
    kept = kept_shape(x.shape, dims)
    norm, ct = (g.cast(g.reshape(y, kept), x.dtype.to_real()) for y in (saved.output, ct))
    flow = _norm_flow(x, norm, ct, order, dims)
    source = saved.inputs[0].dtype
    if flow.dtype.is_complex and not source.is_complex:
        flow = g.real(flow)
    return (g.cast(flow, source),)


def _norm_flow(x: Node, norm: Node, ct: Node, order: float, dims: tuple[int, ...]) -> Node:
    zero = g.like(norm, 0)
    if order == 0:
        return g.full(x.shape, 0, x.dtype)
    if order == 1:
        return g.multiply(g.cast(ct, x.dtype), g.sign(x))
    if order == 2:
        share = g.where(g.equal(norm, zero), zero, g.divide(ct, norm))
        return g.multiply(x, g.cast(share, x.dtype))
    size = g.absolute(x)
    if math.isinf(order):
        chosen = g.cast(g.equal(size, norm), size.dtype)
        share = g.multiply(chosen, g.divide(ct, g.sum_dims(chosen, dims)))
        return g.multiply(g.sign(x), g.cast(share, x.dtype))
    slope = g.power(size, g.like(size, order - 1))
    if order < 1:
        slope = g.where(g.equal(size, zero), zero, slope)
    below = g.power(norm, g.like(norm, order - 1))
    share = g.where(g.equal(norm, zero), zero, g.divide(ct, below))
    return g.multiply(g.sign(x), g.cast(g.multiply(slope, share), x.dtype))


VECTOR_NORM = Operation("linalg_vector_norm", _vector_norm, vjp=_vector_norm_vjp)


def _norm_dtype(name: str, kind: dtype, wanted: dtype | None) -> dtype:
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {kind.title}"
        )
    if wanted is None:
        return kind
    if not (wanted.is_floating_point or wanted.is_complex):
        raise RuntimeError(f"{name}: dtype should be floating point or complex. Got {wanted}")
    if kind.is_complex and not wanted.is_complex:
        raise RuntimeError(f"{name}: dtype should be complex for complex inputs. Got {wanted}")
    return wanted


@public(namespace="linalg", out=True)
def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: dtype | None = None,
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over `dim` (all if none); the largest |x| for inf, a count for 0."""
    kind = _norm_dtype("linalg.vector_norm", require_tensor("vector_norm", "x", x).dtype, dtype)
    dims = reduced_dims("vector_norm", dim, len(x._shape))
    if (ord < 0 or ord == math.inf) and any(x._shape[d] == 0 for d in dims):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    return record(VECTOR_NORM, (x,), (float(ord), dims, keepdim, kind))


# Matrix norms -------------------------------------------------------------------------------------


def _two_dims(name: str, dim: Any, rank: int) -> tuple[int, int]:
    if len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {tuple(dim)}")
    first, second = normalize_dim(dim[0], rank), normalize_dim(dim[1], rank)
    if first == second:
        raise RuntimeError(f"{name}: dims must be different. Got {tuple(dim)}")
    return first, second


@public(namespace="linalg", out=True)
def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: dtype | None = None,
) -> Tensor:
    """A norm of matrices: "fro", "nuc", or ±1, ±2, ±inf for sums of columns, singular values, rows."""
    rank = len(require_tensor("matrix_norm", "A", A)._shape)
    if rank < 2:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    kind = _norm_dtype("linalg.matrix_norm", A.dtype, dtype)
    source = A if kind is A.dtype else A.to(kind)  # type: ignore[attr-defined]
    row, column = _two_dims("linalg.matrix_norm", dim, rank)
    if ord == "fro":
        return vector_norm(source, 2, (row, column), keepdim)
    if ord == "nuc" or ord in (2, -2):
        return _singular_norm(source, ord, row, column, keepdim)
    if ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, kept = (row, column) if abs(ord) == 1 else (column, row)
    sums = vector_norm(source, 1, summed, True)
    result = sums.amax(kept, True) if ord > 0 else sums.amin(kept, True)  # type: ignore[attr-defined]
    return result if keepdim else result.squeeze((row, column))


def _singular_norm(A: Tensor, order: Any, row: int, column: int, keepdim: bool) -> Tensor:
    rest = [d for d in range(len(A._shape)) if d not in (row, column)]
    values = svdvals(A.permute(*rest, row, column))  # type: ignore[attr-defined]
    if order == "nuc":
        result = values.sum(-1)  # type: ignore[attr-defined]
    else:
        result = values.amax(-1) if order > 0 else values.amin(-1)  # type: ignore[attr-defined]
    if keepdim:
        for d in sorted((row, column)):
            result = result.unsqueeze(d)
    return result


@public(namespace="linalg", out=True)
def norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: dtype | None = None,
) -> Tensor:
    """A vector norm (one dim, or none given) or a matrix norm (two dims, or a matrix with `ord`)."""
    rank = len(require_tensor("norm", "A", A)._shape)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and rank > 2:
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{rank}D."
        )
    dims = (dim,) if isinstance(dim, int) else dim
    if isinstance(ord, str) or (len(dims) == 2 if dims is not None else rank == 2):
        return matrix_norm(A, ord, (0, 1) if dims is None else dims, keepdim, dtype=dtype)
    return vector_norm(A, ord, dims, keepdim, dtype=dtype)


def _norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    dtype: dtype | None = None,
) -> Tensor:
    """The p-norm over `dim`, "fro" for 2; "nuc" for the sum of singular values."""
    if p == "nuc":
        dims = (-2, -1) if dim is None else dim
        return matrix_norm(input, "nuc", dims, keepdim, dtype=dtype)
    order = 2 if p in ("fro", None) else p
    if isinstance(order, str):
        raise RuntimeError(f"norm: order {order!r} is not supported")
    return vector_norm(input, order, dim, keepdim, dtype=dtype)


_norm.__name__ = "norm"
public(method=True, out=True)(_norm)


@public(out=True)
def frobenius_norm(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The root of the sum of squares over `dim`."""
    return vector_norm(input, 2, dim, keepdim)


@public(out=True)
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of singular values."""
    return matrix_norm(input, "nuc", dim, keepdim)


@public(namespace="linalg", out=True)
def cond(A: Tensor, p: Any = None) -> Tensor:
    """norm(A) · norm(A⁻¹), infinite for singular A; a ratio of singular values for p None, 2, -2."""
    if p in (None, 2, -2):
        require_matrices("linalg.cond", A)
        if 0 in A._shape:
            return A.new_zeros(A._shape[:-2], dtype=A.dtype.to_real())  # type: ignore[attr-defined]
        values = svdvals(A)
        largest, smallest = values.select(-1, 0), values.select(-1, -1)  # type: ignore[attr-defined]
        return smallest / largest if p == -2 else largest / smallest
    require_matrices("linalg.cond", A, square=True)
    found = inv_ex(A)
    bad = found.info.ne(0)  # type: ignore[attr-defined]
    result = matrix_norm(A, p) * matrix_norm(found.inverse, p)  # type: ignore[operator]
    return result.masked_fill(bad, math.inf) if bool(array_of(bad).any()) else result


# Distances ----------------------------------------------------------------------------------------


@public(method=True, out=True)
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other."""
    return vector_norm(input - other, p)  # type: ignore[operator]


@public(method=True, inplace=True, out=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Every slice along `dim` scaled down so that its p-norm does not exceed `maxnorm`."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    rank = len(input._shape)
    if rank < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {rank} dimensions")
    place = normalize_dim(dim, rank)
    size = vector_norm(input, p, [d for d in range(rank) if d != place], True)
    factor = (maxnorm / (size + 1e-7)).where(size > maxnorm, 1.0)  # type: ignore[operator,attr-defined]
    return input * factor.to(input.dtype)  # type: ignore[operator]


# Products of vectors ------------------------------------------------------------------------------


def _cross_product(a: Node, b: Node, dim: int, kind: dtype) -> Node:
    first = [g.narrow(g.cast(a, kind), dim, place, 1) for place in range(3)]
    second = [g.narrow(g.cast(b, kind), dim, place, 1) for place in range(3)]
    parts = []
    for place in range(3):
        after, last = (place + 1) % 3, (place + 2) % 3
        left = g.multiply(first[after], second[last])
        parts.append(g.subtract(left, g.multiply(first[last], second[after])))
    return g.concatenate(parts, dim)


CROSS = Operation("linalg_cross", _cross_product, saves="inputs")


@public(namespace="linalg", out=True)
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along a dimension of size 3."""
    if len(input._shape) != len(other._shape):
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    place = normalize_dim(dim, len(input._shape))
    if input._shape[place] != 3 or other._shape[place] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got "
            f"{input._shape[place]} and {other._shape[place]}"
        )
    kind = common_dtype("linalg.cross", input, other)
    check_broadcast("linalg.cross", [input._shape, other._shape])
    return record(CROSS, (input, other), (place, kind))


def _cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along `dim`, or along the first dimension of size 3."""
    if dim is None:
        sizes = [d for d, n in enumerate(input._shape) if n == 3]
        if not sizes:
            raise RuntimeError("no dimension of size 3 in input")
        dim = sizes[0]
    return cross(input, other, dim=dim)


_cross.__name__ = "cross"
public(method=True, out=True)(_cross)


@public(namespace="linalg", out=True)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Σ conj(x) · y along `dim`."""
    left = x.conj() if x.dtype.is_complex else x  # type: ignore[attr-defined]
    return (left * y).sum(dim)


def _powers(x: Node, most: int, falling: bool) -> Node:
    """x⁰ … x to the power of `most` along a new last dimension, or from the highest on."""
    last = len(x.shape)
    wide = g.expand(g.reshape(x, (*x.shape, 1)), (*x.shape, most))
    grown = g.cumulative(wide, last, "product")
    made = g.concatenate([g.full((*x.shape, 1), 1, x.dtype), grown], last)
    return g.flip(made, (last,)) if falling else made


def _powers_vjp(saved: Saved, ct: Node) -> Grads:
    """Σₖ k · conj(x)ᵏ⁻¹ · the cotangent of xᵏ."""
    most, falling = saved.attributes
    last = len(ct.shape) - 1
    made = saved.output
    if falling:
        made, ct = g.flip(made, (last,)), g.flip(ct, (last,))
    factors = g.add(g.iota(most), g.constant(1, int64))
    lower = g.multiply(g.narrow(made, last, 0, most), g.cast(factors, made.dtype))
    flow = g.multiply(g.conjugate(lower), g.narrow(ct, last, 1, most))
    return (g.reshape(g.sum_dims(flow, (last,)), saved.inputs[0].shape),)


VANDER = Operation("linalg_vander", _powers, vjp=_powers_vjp)


@public(namespace="linalg")
def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 … N-1 of each element, along a new last dimension."""
    if not x._shape and N is None:
        raise RuntimeError("linalg.vander: input must be at least one-dimensional")
    x = x if x._shape else x.reshape(1)  # type: ignore[attr-defined]
    size = x._shape[-1] if N is None else N
    if size <= 1 and N is not None and N <= 1:
        raise RuntimeError("N must be greater than 1.")
    kind = x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else None
    source: Any = x if kind is not None else x.long()  # type: ignore[attr-defined]
    return record(VANDER, (source,), (max(size - 1, 0), False))


def _vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of each element as columns, descending unless `increasing`."""
    count = x._shape[0] if N is None else N
    if count < 2:
        source = x if x.dtype.is_floating_point or x.dtype.is_complex else x.long()  # type: ignore[attr-defined]
        return source.new_ones((x._shape[0], count))
    source = x if x.dtype.is_floating_point or x.dtype.is_complex else x.long()  # type: ignore[attr-defined]
    return record(VANDER, (source,), (count - 1, not increasing))


_vander.__name__ = "vander"
public()(_vander)


# Tensors as matrices ------------------------------------------------------------------------------


@public(namespace="linalg", out=True)
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of A read as a matrix whose rows are its first `ind` dimensions."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    first, last = A._shape[:ind], A._shape[ind:]
    if math.prod(first) != math.prod(last):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {math.prod(last)} != {math.prod(first)}"
        )
    size = math.prod(first)
    return inv(A.reshape(size, size)).reshape(*last, *first)  # type: ignore[attr-defined]


@public(namespace="linalg", out=True)
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X with tensordot(A, X) = B; `dims` of A are moved to its end first."""
    source: Any = A
    if dims is not None:
        places = normalize_dims(dims, len(A._shape))
        source = A.movedim(places, tuple(range(-len(places), 0)))  # type: ignore[attr-defined]
    shape = source._shape[len(B._shape) :]
    size = math.prod(shape)
    if size != math.prod(source._shape[: len(B._shape)]):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {size} != "
            f"{math.prod(source._shape[: len(B._shape)])}"
        )
    return solve(source.reshape(-1, size), B.reshape(-1)).reshape(shape)  # type: ignore[attr-defined]


@public(namespace="linalg")
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of the last two dimensions."""
    return A.diagonal(offset, dim1, dim2)  # type: ignore[attr-defined]


@public(namespace="linalg", out=True)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product, as `lampas.matmul`."""
    return input.matmul(other)  # type: ignore[attr-defined]
