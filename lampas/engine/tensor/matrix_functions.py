"""Matrix functions on LAPACK (NumPy, SciPy) at node level, with their derivatives.

Every function takes stacks of matrices.  The derivatives are those of Giles, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation" (2008); of eigenvectors and singular vectors
also Wan & Zhang, "Automatic differentiation for complex valued SVD" (2019); of Cholesky, Murray,
"Differentiation of the Cholesky decomposition" (2016); of QR and LU, Roberts & Roberts, "QR and LQ
decomposition matrix backpropagation algorithms" (2020); of the pseudo-inverse, Golub & Pereyra (1973).
Below, a cotangent is written with a bar, and ᴴ is the conjugate transpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.dtype import int32, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.tensor import lapack
from lampas.engine.tensor.contraction import stacked_product as mm
from lampas.engine.tensor.contraction import transposed as adjoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]
Arrays = tuple[np.ndarray, ...]
Shape = tuple[int, ...]


# Building blocks ----------------------------------------------------------------------------------


def mask(x: Node, keep: Callable[[Node, Node], Node], offset: int = 0) -> Node:
    """x where keep(column - row, offset), else 0."""
    rows, columns = x.shape[-2:]
    gap = g.subtract(g.iota(columns), g.reshape(g.iota(rows), (rows, 1)))
    return g.where(keep(gap, g.constant(offset, int64)), x, g.like(x, 0))


def lower(x: Node, offset: int = 0) -> Node:
    """The lower triangle."""
    return mask(x, g.less_equal, offset)


def upper(x: Node, offset: int = 0) -> Node:
    """The upper triangle."""
    return mask(x, g.greater_equal, offset)


def diagonal_of(x: Node) -> Node:
    """The diagonals of square matrices."""
    return g.reshape(g.sum_dims(mask(x, g.equal), (len(x.shape) - 1,)), x.shape[:-1])


def as_diagonal(x: Node) -> Node:
    """Square matrices with x on their diagonals."""
    size = x.shape[-1]
    wide = g.expand(g.reshape(x, (*x.shape, 1)), (*x.shape, size))
    return mask(wide, g.equal)


def row(x: Node) -> Node:
    """A stack of vectors as rows: (…, 1, n)."""
    return g.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


def identity(size: int, kind: Any) -> Node:
    """The unit matrix."""
    return as_diagonal(g.full((size,), 1, kind))


def scaled(x: Node, factor: complex) -> Node:
    """factor · x."""
    return g.multiply(x, g.like(x, factor))


def columns(x: Node, start: int, count: int) -> Node:
    """A range of columns."""
    return g.narrow(x, len(x.shape) - 1, start, count)


def rows(x: Node, start: int, count: int) -> Node:
    """A range of rows."""
    return g.narrow(x, len(x.shape) - 2, start, count)


def off_diagonal(x: Node, gaps: Node) -> Node:
    """x / gaps off the diagonal, 0 on it."""
    rows_, columns_ = x.shape[-2:]
    on = g.equal(g.iota(columns_), g.reshape(g.iota(rows_), (rows_, 1)))
    safe = g.where(on, g.like(gaps, 1), gaps)
    return g.where(on, g.like(x, 0), g.divide(x, g.cast(safe, x.dtype)))


# Inverse and solution -----------------------------------------------------------------------------


host_function("inverse")(lapack.inverse)


def inverse(a: Node) -> tuple[Node, Node]:
    """(inverse, info): info is the place of a zero pivot, or 0."""
    found, info = g.host("inverse", (a,), ((a.shape, a.dtype), (a.shape[:-2], int32)))
    return found, info


@host_vjp("inverse")
def _inverse_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Ā = -X ᴴ X̄ X ᴴ for X the inverse."""
    turned = adjoint(outputs[0])
    return (g.negative(mm(mm(turned, cts[0]), turned)),)


host_function("solve")(lapack.solve)


def solve(a: Node, b: Node) -> tuple[Node, Node]:
    """(X, info) with a X = b, for stacks of equal shape."""
    found, info = g.host("solve", (a, b), ((b.shape, b.dtype), (a.shape[:-2], int32)))
    return found, info


@host_vjp("solve")
def _solve_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """B̄ = A⁻ᴴ X̄, Ā = -B̄ Xᴴ."""
    to_b = solve(adjoint(inputs[0]), cts[0])[0]
    return g.negative(mm(to_b, adjoint(outputs[0]))), to_b


host_function("solve_triangular")(lapack.solve_triangular)


def solve_triangular(a: Node, b: Node, is_upper: bool, unit: bool = False) -> Node:
    """X with a X = b, reading one triangle of a."""
    parameters = (is_upper, unit)
    return g.host("solve_triangular", (a, b), ((b.shape, b.dtype),), parameters)[0]


@host_vjp("solve_triangular")
def _triangular_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    is_upper, unit = parameters
    to_b = solve_triangular(adjoint(inputs[0]), cts[0], not is_upper, unit)
    full = g.negative(mm(to_b, adjoint(outputs[0])))
    offset = int(unit)
    return upper(full, offset) if is_upper else lower(full, -offset), to_b


# Cholesky and LU ----------------------------------------------------------------------------------


@host_function("cholesky")
def _cholesky_array(a: np.ndarray, is_upper: bool) -> Arrays:
    return lapack.cholesky(np.conjugate(np.swapaxes(a, -1, -2)) if is_upper else a)


def cholesky(a: Node, is_upper: bool) -> tuple[Node, Node]:
    """(lower factor, info): info is the order of a minor that is not positive, or 0.

    With `is_upper` the upper triangle of a is read.
    """
    results = ((a.shape, a.dtype), (a.shape[:-2], int32))
    found, info = g.host("cholesky", (a,), results, (is_upper,))
    return found, info


@host_vjp("cholesky")
def _cholesky_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Ā = L⁻ᴴ S L⁻¹ with S = (T + tril(T, -1)ᴴ)/2 and T = tril(Lᴴ L̄)."""
    factor = outputs[0]
    turned = adjoint(factor)
    middle = lower(mm(turned, lower(cts[0])))
    middle = scaled(g.add(middle, adjoint(lower(middle, -1))), 0.5)
    left = solve_triangular(turned, middle, True)
    return (adjoint(solve_triangular(turned, adjoint(left), True)),)


@host_function("lu")
def _lu_array(a: np.ndarray, pivot: bool) -> Arrays:
    height, width = a.shape[-2:]
    k = min(height, width)
    packed, pivots, info = lapack.lu_packed(a) if pivot else lapack.lu_packed_plain(a)
    order = np.zeros((*a.shape[:-2], height, height), a.dtype)
    across = np.arange(height)
    for place in np.ndindex(a.shape[:-2]):
        order[place][lapack.order_of(pivots[place], height), across] = 1
    low = np.tril(packed[..., :k], -1)
    low[..., np.arange(k), np.arange(k)] = 1
    return order, low, np.triu(packed[..., :k, :]), pivots + 1, info


@host_function("lu_packed")
def _lu_packed_array(a: np.ndarray, pivot: bool) -> Arrays:
    packed, pivots, info = lapack.lu_packed(a) if pivot else lapack.lu_packed_plain(a)
    return packed, pivots + 1, info


def lu_packed(a: Node, pivot: bool = True) -> tuple[Node, ...]:
    """(L below the diagonal and U from it on, pivots from 1, info)."""
    lead, k = a.shape[:-2], min(a.shape[-2:])
    results = ((a.shape, a.dtype), ((*lead, k), int32), (lead, int32))
    return g.host("lu_packed", (a,), results, (pivot,))


@host_vjp("lu_packed")
def _lu_packed_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    k = min(inputs[0].shape[-2:])
    flows = (None, columns(cts[0], 0, k), rows(cts[0], 0, k), None, None)
    return _lu_vjp(inputs, lu(inputs[0], *parameters), flows, parameters)


def lu(a: Node, pivot: bool = True) -> tuple[Node, ...]:
    """(P, L, U, pivots from 1, info) with a = P L U."""
    height, width = a.shape[-2:]
    k = min(height, width)
    lead = a.shape[:-2]
    results = (
        ((*lead, height, height), a.dtype),
        ((*lead, height, k), a.dtype),
        ((*lead, k, width), a.dtype),
        ((*lead, k), int32),
        (lead, int32),
    )
    return g.host("lu", (a,), results, (pivot,))


@host_vjp("lu")
def _lu_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Square part: P L⁻ᴴ [tril(Lᴴ L̄, -1) + triu(Ū Uᴴ)] U⁻ᴴ; what sticks out enters the brackets."""
    order, low, high = outputs[:3]
    height, width = inputs[0].shape[-2:]
    k = min(height, width)
    to_low = lower(cts[1], -1) if cts[1] is not None else g.full(low.shape, 0, low.dtype)
    to_high = upper(cts[2]) if cts[2] is not None else g.full(high.shape, 0, high.dtype)
    low1, high1 = rows(low, 0, k), columns(high, 0, k)
    left = mm(adjoint(low1), rows(to_low, 0, k))
    right = mm(columns(to_high, 0, k), adjoint(high1))
    if width > k:
        tail = columns(to_high, k, width - k)
        left = g.subtract(left, mm(tail, adjoint(columns(high, k, width - k))))
    if height > k:
        below = rows(to_low, k, height - k)
        right = g.subtract(right, mm(adjoint(rows(low, k, height - k)), below))
    middle = g.add(lower(left, -1), upper(right))
    turned = adjoint(low1)
    inner = adjoint(solve_triangular(high1, adjoint(middle), True))
    whole = solve_triangular(turned, inner, True, True)
    if width > k:
        extra = solve_triangular(turned, columns(to_high, k, width - k), True, True)
        whole = g.concatenate([whole, extra], len(whole.shape) - 1)
    if height > k:
        below = rows(to_low, k, height - k)
        extra = adjoint(solve_triangular(high1, adjoint(below), True))
        whole = g.concatenate([whole, extra], len(whole.shape) - 2)
    return (mm(order, whole),)


# Determinant --------------------------------------------------------------------------------------


host_function("slogdet")(lapack.slogdet)


def slogdet(a: Node) -> tuple[Node, Node]:
    """(sign, log of the magnitude) of the determinant."""
    lead = a.shape[:-2]
    sign, log = g.host("slogdet", (a,), ((lead, a.dtype), (lead, a.dtype.to_real())))
    return sign, log


@host_vjp("slogdet")
def _slogdet_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Ā = (l̄ + i·c) A⁻ᴴ with c = -Im(sign · conj(sign̄))."""
    a, sign = inputs[0], outputs[0]
    weight = None if cts[1] is None else g.cast(cts[1], a.dtype)
    if a.dtype.is_complex and cts[0] is not None:
        turn = g.imaginary(g.multiply(sign, g.conjugate(cts[0])))
        part = scaled(g.cast(g.negative(turn), a.dtype), 1j)
        weight = part if weight is None else g.add(weight, part)
    if weight is None:
        return (None,)
    flow = adjoint(inverse(a)[0])
    return (g.multiply(g.reshape(weight, (*weight.shape, 1, 1)), flow),)


host_function("det")(lapack.det)


def det(a: Node) -> Node:
    """The determinant."""
    return g.host("det", (a,), ((a.shape[:-2], a.dtype),))[0]


@host_vjp("det")
def _det_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Ā = d̄ · conj(cofactors), which exist for singular matrices too."""
    a = inputs[0]
    cofactors = g.host("cofactors", (a,), ((a.shape, a.dtype),))[0]
    return (g.multiply(g.reshape(cts[0], (*cts[0].shape, 1, 1)), g.conjugate(cofactors)),)


@host_function("cofactors")
@lapack.with_few_threads
def _cofactor_array(a: np.ndarray) -> np.ndarray:
    """With A = U S Vᴴ and pᵢ the product of all singular values but sᵢ:
    det(U) det(Vᴴ) · conj(U diag(p) Vᴴ)."""
    u, s, vh = np.linalg.svd(a)
    size = a.shape[-1]
    others = np.ones_like(s)
    for place in range(size):
        others[..., place] = np.prod(np.delete(s, place, axis=-1), axis=-1)
    factor = np.linalg.det(u) * np.linalg.det(vh)
    adjoint_ = np.conjugate((u * others[..., None, :]) @ vh)
    return np.asarray(factor[..., None, None] * adjoint_, a.dtype)


@host_vjp("cofactors")
def _cofactor_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """The derivative of det(A) · A⁻ᵀ, for regular A."""
    a = inputs[0]
    found = inverse(a)[0]
    turned = adjoint(found)
    size = det(a)
    wide = g.reshape(size, (*size.shape, 1, 1))
    inner = g.sum_dims(
        g.multiply(cts[0], g.conjugate(g.transpose(found))), (len(a.shape) - 2, len(a.shape) - 1)
    )
    first = g.multiply(g.multiply(inner, g.conjugate(wide)), turned)
    moved = mm(mm(turned, g.transpose(cts[0])), turned)
    return (g.subtract(first, g.multiply(g.conjugate(wide), moved)),)


# The exponential ----------------------------------------------------------------------------------


@host_function("matrix_exp")
@lapack.with_few_threads
def _exponential_array(a: np.ndarray) -> np.ndarray:
    import scipy.linalg  # slow to import, and few programs need it

    return np.asarray(scipy.linalg.expm(a)) if a.size else a


def matrix_exp(a: Node) -> Node:
    """The matrix exponential."""
    return g.host("matrix_exp", (a,), ((a.shape, a.dtype),))[0]


@host_vjp("matrix_exp")
def _exponential_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """The upper right block of exp([[Aᴴ, X̄], [0, Aᴴ]]) (Mathias, 1996)."""
    turned, ct = adjoint(inputs[0]), cts[0]
    size, last = turned.shape[-1], len(turned.shape) - 1
    zero = g.full(turned.shape, 0, turned.dtype)
    block = g.concatenate(
        [g.concatenate([turned, ct], last), g.concatenate([zero, turned], last)], last - 1
    )
    return (columns(rows(matrix_exp(block), 0, size), size, size),)
