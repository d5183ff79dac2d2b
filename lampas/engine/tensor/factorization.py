"""LU and LDL factors, products of Householder reflections, and what is done with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import int32
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.tensor import matrix_functions as f
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.lapack import each_matrix
from lampas.engine.tensor.linear_algebra import (
    raise_where,
    require_matrices,
    same_dtypes,
)
from lampas.engine.tensor.operands import check_broadcast
from lampas.engine.tensor.returns import return_type

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

# LU -----------------------------------------------------------------------------------------------

LU = Operation("linalg_lu", lambda a, pivot: f.lu(a, pivot)[:3], multiple=True)
LU_RESULT = return_type("linalg_lu", "P", "L", "U")
LU_FACTOR_RESULT = return_type("linalg_lu_factor", "LU", "pivots")
LU_FACTOR_EX_RESULT = return_type("linalg_lu_factor_ex", "LU", "pivots", "info")
LU_UNPACK_RESULT = return_type("lu_unpack", "P", "L", "U")


@public(namespace="linalg", out=True)
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """(P, L, U) with A = P L U; P is empty without pivoting."""
    require_matrices("linalg.lu", A)
    order, low, high = record(LU, (A,), (pivot,))
    order = order.detach() if pivot else order.detach().new_empty((0,))
    return LU_RESULT(order, low, high)


LU_FACTOR = Operation("linalg_lu_factor_ex", f.lu_packed, multiple=True)


@public(namespace="linalg", out=True)
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """(LU in one matrix, pivots counted from 1, info)."""
    require_matrices("torch.linalg.lu_factor_ex", A)
    found = LU_FACTOR_EX_RESULT(*record(LU_FACTOR, (A,), (pivot,)))
    if check_errors:
        raise_where(
            found.info,
            "torch.linalg.lu_factor: {batch}U[{place},{place}] is zero and using it on lu_solve "
            "would result in a division by zero. If you still want to perform the factorization, "
            "consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)",
        )
    return found


@public(namespace="linalg", out=True)
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """(LU in one matrix, pivots counted from 1)."""
    packed, pivots, _ = lu_factor_ex(A, pivot=pivot, check_errors=True)
    return LU_FACTOR_RESULT(packed, pivots)


def _lu(input: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """(LU in one matrix, pivots counted from 1), and info if wanted."""
    found = lu_factor_ex(input, pivot=pivot, check_errors=not get_infos)
    return found if get_infos else tuple(found)[:2]


_lu.__name__ = "lu"
public(method=True, out=True)(_lu)


@host_function("permutation")
def _permutation_array(pivots: np.ndarray, size: int) -> np.ndarray:
    rows = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    result = np.empty((len(rows), size, size))
    for number, row in enumerate(rows):
        order = np.arange(size)
        for place, other in enumerate(row - 1):
            order[[place, other]] = order[[other, place]]
        result[number] = np.eye(size)[:, order]
    return result.reshape(*pivots.shape[:-1], size, size)


def _order(pivots: Node, size: int, kind: Any) -> Node:
    shape = (*pivots.shape[:-1], size, size)
    return g.host("permutation", (pivots,), ((shape, kind),), (size,))[0]


def _unpack(packed: Node, pivots: Node) -> tuple[Node, Node, Node]:
    height, width = packed.shape[-2:]
    k = min(height, width)
    low = f.lower(f.columns(packed, 0, k), -1)
    on = g.equal(g.iota(k), g.reshape(g.iota(height), (height, 1)))
    unit = g.where(on, g.like(low, 1), low)
    high = f.upper(f.rows(packed, 0, k))
    return _order(pivots, height, packed.dtype), unit, high


LU_UNPACK = Operation("lu_unpack", _unpack, multiple=True)


@public(out=True)
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """(P, L, U) from what `lu_factor` returns; parts that are not wanted are empty."""
    require_matrices("lu_unpack", LU_data)
    if LU_pivots.dtype is not int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 "
            "dtype. Note: this function is intended to be used with the output produced by "
            "torch.linalg.lu_factor"
        )
    order, low, high = record(LU_UNPACK, (LU_data, LU_pivots))
    empty = LU_data.new_empty((0,))  # type: ignore[attr-defined]
    if not unpack_data:
        low = high = empty
    return LU_UNPACK_RESULT(order.detach() if unpack_pivots else empty, low, high)


def _lu_solve(packed: Node, pivots: Node, b: Node, left: bool, turned: bool) -> Node:
    """A = P L U: X = U⁻¹ L⁻¹ Pᵀ B, and the corresponding orders for Xᴴ and Aᴴ."""
    if not left:
        solved = _lu_solve(packed, pivots, f.adjoint(b), True, not turned)
        return f.adjoint(solved)
    order, low, high = _unpack(packed, pivots)
    lead = check_broadcast("lu_solve", [packed.shape[:-2], b.shape[:-2]])
    size = packed.shape[-1]
    square = (*lead, size, size)
    order, low, high = (g.expand(x, square) for x in (order, low, high))
    b = g.expand(b, (*lead, *b.shape[-2:]))
    if turned:
        first = f.solve_triangular(f.adjoint(high), b, False)
        second = f.solve_triangular(f.adjoint(low), first, True, True)
        return f.mm(order, second)
    first = f.solve_triangular(low, f.mm(f.adjoint(order), b), False, True)
    return f.solve_triangular(high, first, True)


LU_SOLVE = Operation("linalg_lu_solve", _lu_solve)


@public(namespace="linalg", out=True)
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X with A X = B (X A = B if not left; Aᴴ for A if `adjoint`), from A's LU factors."""
    require_matrices("torch.linalg.lu_solve", LU, square=True)
    require_matrices("torch.linalg.lu_solve", B, what="B")
    same_dtypes("linalg.lu_solve", LU, B)
    return record(LU_SOLVE, (LU, pivots, B), (left, adjoint))


def _lu_solve_public(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """X with A X = b, from A's LU factors."""
    return lu_solve(LU_data, LU_pivots, b)


_lu_solve_public.__name__ = "lu_solve"
public(method=True, out=True)(_lu_solve_public)

# LDL ----------------------------------------------------------------------------------------------

LDL_RESULT = return_type("linalg_ldl_factor", "LD", "pivots")
LDL_EX_RESULT = return_type("linalg_ldl_factor_ex", "LD", "pivots", "info")


@host_function("ldl_factor")
def _ldl_array(a: np.ndarray, hermitian: bool) -> tuple[np.ndarray, ...]:
    from scipy.linalg import lapack  # slow to import, and few programs need it

    name = "hetrf" if hermitian and a.dtype.kind == "c" else "sytrf"

    def one(matrix: np.ndarray) -> tuple[Any, ...]:
        factor = lapack.get_lapack_funcs(name, (matrix,))
        packed, pivots, info = factor(matrix, lower=1)
        return np.tril(packed), pivots, info

    found = each_matrix(one, a)
    lead = a.shape[:-2]
    return (
        np.array([each[0] for each in found], a.dtype).reshape(a.shape),
        np.array([each[1] for each in found], np.int32).reshape(a.shape[:-1]),
        np.array([each[2] for each in found], np.int32).reshape(lead),
    )


def _ldl(a: Node, hermitian: bool) -> tuple[Node, ...]:
    results = ((a.shape, a.dtype), (a.shape[:-1], int32), (a.shape[:-2], int32))
    return g.host("ldl_factor", (a,), results, (hermitian,))


LDL = Operation("linalg_ldl_factor_ex", _ldl, multiple=True)


@public(namespace="linalg", out=True)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """(LD in one matrix, pivots, info) of symmetric (Hermitian) matrices."""
    require_matrices("torch.linalg.ldl_factor_ex", A, square=True)
    found = LDL_EX_RESULT(*record(LDL, (A.detach(),), (hermitian,)))  # type: ignore[attr-defined]
    if check_errors:
        raise_where(found.info, "torch.linalg.ldl_factor_ex: {batch}D[{place},{place}] is zero.")
    return found


@public(namespace="linalg", out=True)
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """(LD in one matrix, pivots) of symmetric (Hermitian) matrices."""
    packed, pivots, _ = ldl_factor_ex(A, hermitian=hermitian)
    return LDL_RESULT(packed, pivots)


@host_function("ldl_solve")
def _ldl_solve_array(
    packed: np.ndarray, pivots: np.ndarray, b: np.ndarray, hermitian: bool
) -> np.ndarray:
    from scipy.linalg import lapack  # slow to import, and few programs need it

    name = "hetrs" if hermitian and packed.dtype.kind == "c" else "sytrs"
    lead = np.broadcast_shapes(packed.shape[:-2], b.shape[:-2])
    size = packed.shape[-1]
    count = math.prod(lead)
    factors = np.broadcast_to(packed, (*lead, size, size)).reshape(count, size, size)
    swaps = np.broadcast_to(pivots, (*lead, size)).reshape(count, size)
    right = np.broadcast_to(b, (*lead, *b.shape[-2:]))
    if not right.size:
        return right
    found = []
    sides = right.reshape(count, *b.shape[-2:])
    for matrix, swap, side in zip(factors, swaps, sides, strict=True):
        solver = lapack.get_lapack_funcs(name, (matrix,))
        found.append(solver(matrix, swap, side, lower=1)[0])
    return np.array(found).reshape(right.shape)


def _ldl_solve(packed: Node, pivots: Node, b: Node, hermitian: bool) -> Node:
    lead = check_broadcast("linalg.ldl_solve", [packed.shape[:-2], b.shape[:-2]])
    shape = (*lead, *b.shape[-2:])
    return g.host("ldl_solve", (packed, pivots, b), ((shape, b.dtype),), (hermitian,))[0]


LDL_SOLVE = Operation("linalg_ldl_solve", _ldl_solve)


@public(namespace="linalg", out=True)
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """X with A X = B, from A's LDL factors."""
    require_matrices("torch.linalg.ldl_solve", LD, square=True)
    require_matrices("torch.linalg.ldl_solve", B, what="B")
    return record(LDL_SOLVE, (LD, pivots, B), (hermitian,))


# Householder reflections --------------------------------------------------------------------------


def _reflect(target: Node, vectors: Node, tau: Node, step: int) -> Node:
    """(I - τ v vᴴ) target, for the reflection that column `step` holds (1 on the diagonal)."""
    height = vectors.shape[-2]
    column = f.columns(vectors, step, 1)
    place = g.reshape(g.iota(height), (height, 1))
    below = g.greater(place, g.constant(step, place.dtype))
    on = g.equal(place, g.constant(step, place.dtype))
    one, zero = g.like(column, 1), g.like(column, 0)
    v = g.where(below, column, g.where(on, one, zero))
    weight = g.reshape(g.narrow(tau, len(tau.shape) - 1, step, 1), (*tau.shape[:-1], 1, 1))
    return g.subtract(target, g.multiply(weight, f.mm(v, f.mm(f.adjoint(v), target))))


def _householder(vectors: Node, tau: Node) -> Node:
    height, width = vectors.shape[-2:]
    start = f.columns(f.identity(height, vectors.dtype), 0, width)
    product = g.expand(start, (*vectors.shape[:-2], height, width))
    for step in reversed(range(tau.shape[-1])):
        product = _reflect(product, vectors, tau, step)
    return product


HOUSEHOLDER = Operation("linalg_householder_product", _householder)


@public(namespace="linalg", out=True)
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of the reflections that A's columns and tau describe."""
    require_matrices("torch.linalg.householder_product", A, what="input")
    if A._shape[-2] < A._shape[-1]:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            "input.shape[-1]"
        )
    if tau._shape[-1] > A._shape[-1]:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to "
            "tau.shape[-1]"
        )
    return record(HOUSEHOLDER, (A, tau))


@public(method=True, out=True)
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """As `linalg.householder_product`."""
    return householder_product(input, input2)


def _ormqr(vectors: Node, tau: Node, other: Node, left: bool, turned: bool) -> Node:
    if not left:
        return f.adjoint(_ormqr(vectors, tau, f.adjoint(other), True, not turned))
    steps = range(tau.shape[-1])
    weights = g.conjugate(tau) if turned else tau
    for step in steps if turned else reversed(steps):
        other = _reflect(other, vectors, weights, step)
    return other


ORMQR = Operation("ormqr", _ormqr)


@public(method=True, out=True)
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """other multiplied by the orthogonal matrix that reflections describe (or its adjoint)."""
    require_matrices("torch.ormqr", input, what="input")
    require_matrices("torch.ormqr", other, what="other")
    return record(ORMQR, (input, tau, other), (left, transpose))


GEQRF_RESULT = return_type("geqrf", "a", "tau")


@host_function("geqrf")
def _geqrf_array(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.linalg import lapack  # slow to import, and few programs need it

    k = min(a.shape[-2:])
    if not a.size:
        return a, np.zeros((*a.shape[:-2], k), a.dtype)
    found = each_matrix(lambda m: lapack.get_lapack_funcs("geqrf", (m,))(m)[:2], a)
    factors = np.array([each[0] for each in found]).reshape(a.shape)
    return factors, np.array([each[1] for each in found]).reshape(*a.shape[:-2], k)


def _geqrf(a: Node) -> tuple[Node, ...]:
    results = ((a.shape, a.dtype), ((*a.shape[:-2], min(a.shape[-2:])), a.dtype))
    return g.host("geqrf", (a,), results)


GEQRF = Operation("geqrf", _geqrf, multiple=True)


@public(method=True, out=True)
def geqrf(input: Tensor) -> Any:
    """(R and the reflections of a QR factorisation in one matrix, their weights)."""
    require_matrices("torch.geqrf", input, what="input")
    return GEQRF_RESULT(*record(GEQRF, (input,)))
