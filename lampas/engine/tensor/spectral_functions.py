"""Eigenvalues, singular values, QR and the pseudo-inverse at node level, with their derivatives.

Sources of the formulas: see `matrix_functions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.tensor import lapack
from lampas.engine.tensor.matrix_functions import (
    Arrays,
    Grads,
    adjoint,
    as_diagonal,
    columns,
    diagonal_of,
    lower,
    mask,
    mm,
    off_diagonal,
    row,
    scaled,
    solve,
    solve_triangular,
)

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

# Hermitian eigenvalues ----------------------------------------------------------------------------


host_function("eigh")(lapack.eigh)


def eigh(a: Node, uplo: str = "L") -> tuple[Node, Node]:
    """(eigenvalues in ascending order, eigenvectors) of Hermitian matrices."""
    results = ((a.shape[:-1], a.dtype.to_real()), (a.shape, a.dtype))
    values, vectors = g.host("eigh", (a,), results, (uplo,))
    return values, vectors


host_function("eigvalsh")(lapack.eigvalsh)


def eigvalsh(a: Node, uplo: str = "L") -> Node:
    """Eigenvalues of Hermitian matrices in ascending order."""
    return g.host("eigvalsh", (a,), ((a.shape[:-1], a.dtype.to_real()),), (uplo,))[0]


@host_vjp("eigvalsh")
def _eigvalsh_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """As of eigh, whose vectors the derivative needs."""
    return _eigh_vjp(inputs, eigh(inputs[0], *parameters), (cts[0], None), parameters)


def _gaps(values: Node) -> Node:
    """Element (i, j): value j - value i."""
    return g.subtract(row(values), g.reshape(values, (*values.shape, 1)))


@host_vjp("eigh")
def _eigh_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Ā = V (diag(λ̄) + skew(Vᴴ V̄)/2 / (λⱼ - λᵢ)) Vᴴ."""
    values, vectors = outputs
    kind = vectors.dtype
    turned = adjoint(vectors)
    middle = None
    if cts[1] is not None:
        middle = off_diagonal(scaled(_skew(mm(turned, cts[1])), 0.5), _gaps(values))
    if cts[0] is not None:
        direct = as_diagonal(g.cast(cts[0], kind))
        middle = direct if middle is None else g.add(middle, direct)
    return (None if middle is None else mm(mm(vectors, middle), turned),)


@host_function("eig")
@lapack.with_few_threads
def _eig_array(a: np.ndarray) -> Arrays:
    return tuple(np.linalg.eig(a))


def eig(a: Node) -> tuple[Node, Node]:
    """(eigenvalues, eigenvectors of length 1) of square matrices; both complex."""
    kind = a.dtype.to_complex()
    values, vectors = g.host("eig", (a,), ((a.shape[:-1], kind), (a.shape, kind)))
    return values, vectors


@host_vjp("eig")
def _eig_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Ā = V⁻ᴴ (diag(λ̄) + (Vᴴ V̄ - Vᴴ V diag(Re(Vᴴ V̄))) / conj(λⱼ - λᵢ)) Vᴴ."""
    values, vectors = outputs
    turned = adjoint(vectors)
    middle = None
    if cts[1] is not None:
        flow = mm(turned, cts[1])
        lengths = g.cast(g.real(diagonal_of(flow)), flow.dtype)
        kept = g.subtract(flow, g.multiply(mm(turned, vectors), row(lengths)))
        middle = off_diagonal(kept, g.conjugate(_gaps(values)))
    if cts[0] is not None:
        direct = as_diagonal(cts[0])
        middle = direct if middle is None else g.add(middle, direct)
    if middle is None:
        return (None,)
    whole = solve(turned, mm(middle, turned))[0]
    return (whole if inputs[0].dtype.is_complex else g.real(whole),)


# Singular values ----------------------------------------------------------------------------------


host_function("svd")(lapack.svd)


def svd(a: Node, full: bool) -> tuple[Node, Node, Node]:
    """(U, singular values in descending order, Vᴴ) with a = U S Vᴴ."""
    height, width = a.shape[-2:]
    lead, k = a.shape[:-2], min(a.shape[-2:])
    results = (
        ((*lead, height, height if full else k), a.dtype),
        ((*lead, k), a.dtype.to_real()),
        ((*lead, width if full else k, width), a.dtype),
    )
    u, s, vh = g.host("svd", (a,), results, (full,))
    return u, s, vh


def _skew(x: Node) -> Node:
    return g.subtract(x, adjoint(x))


@host_vjp("svd")
def _svd_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """U [skew(Uᴴ Ū)/E · S + S · skew(Vᴴ V̄)/E + diag(s̄)] Vᴴ, E = sⱼ² - sᵢ², and the parts that
    Ū and V̄ have outside the spaces that U and V span."""
    a = inputs[0]
    height, width = a.shape[-2:]
    k = min(height, width)
    s = g.cast(outputs[1], a.dtype)
    u = columns(outputs[0], 0, k)
    v = columns(adjoint(outputs[2]), 0, k)
    squares = g.multiply(outputs[1], outputs[1])
    middle = None if cts[1] is None else as_diagonal(g.cast(cts[1], a.dtype))
    whole = None
    if cts[0] is not None:
        flow = columns(cts[0], 0, k)
        inner = mm(adjoint(u), flow)
        skewed = _skew(inner)
        part = g.multiply(off_diagonal(skewed, _gaps(squares)), row(s))
        if a.dtype.is_complex:
            turn = g.divide(diagonal_of(skewed), scaled(s, 2))
            part = g.add(part, as_diagonal(turn))
        middle = part if middle is None else g.add(middle, part)
        if height > k:
            rest = g.subtract(flow, mm(u, inner))
            whole = mm(g.divide(rest, row(s)), adjoint(v))
    if cts[2] is not None:
        flow = columns(adjoint(cts[2]), 0, k)
        inner = mm(adjoint(v), flow)
        ratio = off_diagonal(_skew(inner), _gaps(squares))
        part = g.multiply(g.reshape(s, (*s.shape, 1)), ratio)
        middle = part if middle is None else g.add(middle, part)
        if width > k:
            rest = adjoint(g.subtract(flow, mm(v, inner)))
            extra = mm(g.divide(u, row(s)), rest)
            whole = extra if whole is None else g.add(whole, extra)
    if middle is not None:
        inside = mm(mm(u, middle), adjoint(v))
        whole = inside if whole is None else g.add(whole, inside)
    return (whole,)


host_function("svdvals")(lapack.svdvals)


def svdvals(a: Node) -> Node:
    """Singular values in descending order."""
    shape = (*a.shape[:-2], min(a.shape[-2:]))
    return g.host("svdvals", (a,), ((shape, a.dtype.to_real()),))[0]


@host_vjp("svdvals")
def _svdvals_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """As of svd, whose vectors the derivative needs."""
    return _svd_vjp(inputs, svd(inputs[0], False), (None, cts[0], None), (False,))


# QR -----------------------------------------------------------------------------------------------


host_function("qr")(lapack.qr)


def qr(a: Node, mode: str) -> tuple[Node, Node]:
    """(Q, R) with a = Q R; `mode` is "reduced" or "complete"."""
    height, width = a.shape[-2:]
    k = height if mode == "complete" else min(height, width)
    lead = a.shape[:-2]
    results = (((*lead, height, k), a.dtype), ((*lead, k, width), a.dtype))
    q, r = g.host("qr", (a,), results, (mode,))
    return q, r


@host_vjp("qr")
def _qr_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """(Q̄ + Q copyltu(M)) R⁻ᴴ with M = R R̄ᴴ - Q̄ᴴ Q; columns beyond the square part go first."""
    q, r = outputs
    height, width = inputs[0].shape[-2:]
    if parameters[0] == "complete" and height > width:
        raise NotImplementedError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )
    to_q = g.full(q.shape, 0, q.dtype) if cts[0] is None else cts[0]
    to_r = g.full(r.shape, 0, r.dtype) if cts[1] is None else cts[1]
    if width <= height:
        return (_qr_square(q, r, to_q, to_r),)
    rest = columns(inputs[0], height, width - height)
    tail = columns(to_r, height, width - height)
    beyond = mm(q, tail)
    to_q = g.add(to_q, mm(rest, adjoint(tail)))
    square = _qr_square(q, columns(r, 0, height), to_q, columns(to_r, 0, height))
    return (g.concatenate([square, beyond], len(square.shape) - 1),)


def _qr_square(q: Node, r: Node, to_q: Node, to_r: Node) -> Node:
    m = g.subtract(mm(r, adjoint(to_r)), mm(adjoint(to_q), q))
    below = lower(m, -1)
    middle = g.add(g.add(below, adjoint(below)), _real_diagonal(m))
    whole = g.add(to_q, mm(q, middle))
    return adjoint(solve_triangular(r, adjoint(whole), True))


def _real_diagonal(m: Node) -> Node:
    kept = mask(m, g.equal)
    return g.cast(g.real(kept), m.dtype) if m.dtype.is_complex else kept


# Pseudo-inverse -----------------------------------------------------------------------------------


host_function("pinv")(lapack.pinv)


def pinv(a: Node, atol: Node, rtol: Node, hermitian: bool) -> Node:
    """The Moore-Penrose inverse."""
    shape = (*a.shape[:-2], a.shape[-1], a.shape[-2])
    return g.host("pinv", (a, atol, rtol), ((shape, a.dtype),), (hermitian,))[0]


@host_vjp("pinv")
def _pinv_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    """Golub & Pereyra: -Xᴴ X̄ Xᴴ, and the parts outside the row and the column space of A."""
    a, x = inputs[0], outputs[0]
    turned, flow = adjoint(x), adjoint(cts[0])
    inside = g.negative(mm(mm(turned, cts[0]), turned))
    left, right = mm(flow, x), mm(x, flow)
    first = mm(g.subtract(flow, mm(a, right)), mm(x, turned))
    second = mm(mm(turned, x), g.subtract(flow, mm(left, a)))
    return g.add(inside, g.add(first, second)), None, None
