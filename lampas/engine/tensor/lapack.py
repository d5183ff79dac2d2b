"""Factorisations of stacks of matrices, arrays in and out: LAPACK by SciPy, or NumPy's loops.

Stacks of small matrices take NumPy's loops, which are compiled; others go to SciPy's LAPACK one by one,
which works on their memory where NumPy copies, and whose library is the faster.  LAPACK is column-major: a
row-major matrix is handed over as its transpose, without a copy, wherever the result allows that.
"""

# pyright: basic
# NumPy's and SciPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lampas.engine.device.pool import get_num_threads
from lampas.engine.host.blas_threads import at_most

if TYPE_CHECKING:
    from collections.abc import Callable

Arrays = tuple[np.ndarray, ...]
F = TypeVar("F", bound="Callable[..., Any]")

LARGE = 512  # rows or columns from which on a second thread pays
SMALL = 24  # below, the call of SciPy's function costs more than NumPy's copies


def each_matrix(function: Callable[..., Any], *stacks: np.ndarray) -> list[Any]:
    """The function's results for every matrix of stacks of equal length."""
    count = math.prod(stacks[0].shape[:-2])
    rows = [stack.reshape(count, *stack.shape[-2:]) for stack in stacks]
    return [function(*matrices) for matrices in zip(*rows, strict=True)]


def is_small(a: np.ndarray) -> bool:
    """Whether the stack is NumPy's."""
    return min(a.shape[-2:]) < SMALL or not a.size


def with_few_threads(function: F) -> F:
    """The function with as many threads in BLAS as its first argument is worth."""

    @functools.wraps(function)
    def call(a: np.ndarray, *rest: Any) -> Any:
        if is_small(a):
            return function(a, *rest)
        count = get_num_threads() if max(a.shape[-2:]) >= LARGE else 1
        with at_most(count, "numpy"), at_most(count, "scipy"):
            return function(a, *rest)

    return call  # type: ignore[return-value]


def _routine(name: str, matrix: np.ndarray) -> Any:
    from scipy.linalg import lapack  # slow to import, and few programs need it

    return lapack.get_lapack_funcs(name, (matrix,))


def _stacked(lead: tuple[int, ...], parts: list[Any], kind: Any = None) -> np.ndarray:
    """Results of `each_matrix`, or one place of them, as a stack."""
    found = np.array(parts, kind)
    return found.reshape((*lead, *found.shape[1:]))


# Solving ------------------------------------------------------------------------------------------


def _zero_pivot(matrix: np.ndarray) -> int:
    """Which diagonal element of U is zero (from 1), 0 if none."""
    return int(_routine("getrf", matrix)(matrix)[2]) if matrix.size else 0


def _solve_one(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, int]:
    _, _, found, info = _routine("gesv", a)(a, b)
    return (np.full_like(b, np.nan) if info else found), info


@with_few_threads
def solve(a: np.ndarray, b: np.ndarray) -> Arrays:
    """(X, info) with a X = b, for stacks of equal shape; NaN and the place of a zero pivot where there is none."""
    lead = a.shape[:-2]
    if not is_small(a) and b.size:
        pairs = each_matrix(_solve_one, a, b)
        info = _stacked(lead, [pair[1] for pair in pairs], np.int32)
        return _stacked(lead, [pair[0] for pair in pairs]), info
    info = np.zeros(lead, np.int32)
    try:
        return np.linalg.solve(a, b), info
    except np.linalg.LinAlgError:
        info = np.array(each_matrix(_zero_pivot, a), np.int32).reshape(lead)
        bad = (info != 0)[..., None, None]
        found = np.linalg.solve(np.where(bad, np.eye(a.shape[-1], dtype=a.dtype), a), b)
        return np.where(bad, np.nan, found), info


def inverse(a: np.ndarray) -> Arrays:
    """(inverse, info)."""
    return solve(a, np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))


@with_few_threads
def solve_triangular(a: np.ndarray, b: np.ndarray, is_upper: bool, unit: bool) -> np.ndarray:
    """X with a X = b, reading one triangle of a; infinite where a zero is on its diagonal."""
    if not b.size:
        return b

    def one(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        # Of the transpose, transposed again: no copy into columns.
        found, info = _routine("trtrs", matrix)(
            matrix.T, right, lower=is_upper, trans=1, unitdiag=unit
        )
        return np.full_like(right, np.inf) if info else found

    return np.array(each_matrix(one, a, b)).reshape(b.shape)


# Cholesky and LU ----------------------------------------------------------------------------------


def _cholesky_below(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    found, info = _routine("potrf", matrix)(matrix, lower=True, clean=True)
    return found, int(info)


def _cholesky_one(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    # The upper factor of the transpose is the transposed lower factor, complex or not.
    found, info = _routine("potrf", matrix)(matrix.T, lower=False, clean=True)
    return (found.T, 0) if info == 0 else _cholesky_below(matrix)


@with_few_threads
def cholesky(a: np.ndarray) -> Arrays:
    """(lower factor, info): info is the order of a minor that is not positive, or 0."""
    lead = a.shape[:-2]
    if is_small(a):
        try:
            return np.linalg.cholesky(a), np.zeros(lead, np.int32)
        except np.linalg.LinAlgError:
            pairs = each_matrix(_cholesky_below, a)
    else:
        pairs = each_matrix(_cholesky_one, a)
    found = np.array([pair[0] for pair in pairs]).reshape(a.shape)
    return found, np.array([pair[1] for pair in pairs], np.int32).reshape(lead)


def _packed_one(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    if not matrix.size:
        return matrix, np.zeros((0,), np.int32), 0
    return _routine("getrf", matrix)(matrix)


def _packed_stack(a: np.ndarray, function: Callable[..., Any]) -> Arrays:
    lead, k = a.shape[:-2], min(a.shape[-2:])
    found = each_matrix(function, a)
    packed = np.array([each[0] for each in found], a.dtype).reshape(a.shape)
    pivots = np.array([each[1] for each in found], np.int32).reshape((*lead, k))
    return packed, pivots, np.array([each[2] for each in found], np.int32).reshape(lead)


@with_few_threads
def lu_packed(a: np.ndarray) -> Arrays:
    """(L below the diagonal and U from it on, exchanged rows from 0, info)."""
    return _packed_stack(a, _packed_one)


def _plain_one(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    k = min(matrix.shape)
    work = matrix.copy()
    for step in range(k):
        with np.errstate(all="ignore"):
            work[step + 1 :, step] /= work[step, step]
        outer = np.outer(work[step + 1 :, step], work[step, step + 1 :])
        work[step + 1 :, step + 1 :] -= outer
    zero = np.flatnonzero(np.diagonal(work[:k, :k]) == 0)
    return work, np.arange(k), int(zero[0]) + 1 if zero.size else 0


def lu_packed_plain(a: np.ndarray) -> Arrays:
    """`lu_packed` without exchange of rows."""
    return _packed_stack(a, _plain_one)


def order_of(pivots: np.ndarray, height: int) -> list[int]:
    """The order of rows after their exchanges, of one matrix."""
    order = list(range(height))
    for place, other in enumerate(pivots.tolist()):
        order[place], order[other] = order[other], order[place]
    return order


def _diagonal_one(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """U's diagonal, and the sign of the exchanges; of the transpose, whose determinant is the same."""
    packed, pivots, _ = _routine("getrf", matrix)(matrix.T)
    exchanges = np.count_nonzero(pivots != np.arange(len(pivots)))
    return packed.diagonal(), -1.0 if exchanges % 2 else 1.0


def _slogdet_one(matrix: np.ndarray) -> tuple[Any, Any]:
    diagonal, sign = _diagonal_one(matrix)
    size = np.abs(diagonal)
    with np.errstate(all="ignore"):
        log = np.log(size).sum()
        turns = diagonal / np.where(size == 0, 1, size)
    return sign * np.prod(turns), log


@with_few_threads
def slogdet(a: np.ndarray) -> Arrays:
    """(sign, log of the magnitude) of the determinant."""
    if is_small(a):
        sign, log = np.linalg.slogdet(a)
        return np.asarray(sign, a.dtype), np.asarray(log)
    pairs = each_matrix(_slogdet_one, a)
    lead = a.shape[:-2]
    return _stacked(lead, [pair[0] for pair in pairs], a.dtype), _stacked(
        lead, [pair[1] for pair in pairs]
    )


def _det_one(matrix: np.ndarray) -> Any:
    diagonal, sign = _diagonal_one(matrix)
    wide = np.result_type(diagonal.dtype, np.float64)
    return sign * np.prod(diagonal, dtype=wide)


@with_few_threads
def det(a: np.ndarray) -> np.ndarray:
    """The determinant."""
    if is_small(a):
        return np.asarray(np.linalg.det(a), a.dtype)
    with np.errstate(all="ignore"):
        return _stacked(a.shape[:-2], each_matrix(_det_one, a), a.dtype)


# Eigenvalues and singular values ------------------------------------------------------------------


@with_few_threads
def eigh(a: np.ndarray, uplo: str) -> Arrays:
    """(ascending eigenvalues, eigenvectors) of Hermitian matrices of which one triangle is read."""
    if not np.isfinite(a).all():
        return np.full(a.shape[:-1], np.nan, np.real(a).dtype), np.full(a.shape, np.nan, a.dtype)
    return tuple(np.linalg.eigh(a, UPLO=uplo))  # type: ignore[call-overload]


@with_few_threads
def eigvalsh(a: np.ndarray, uplo: str) -> np.ndarray:
    """Ascending eigenvalues of Hermitian matrices."""
    if not np.isfinite(a).all():
        return np.full(a.shape[:-1], np.nan, np.real(a).dtype)
    if is_small(a):
        return np.linalg.eigvalsh(a, UPLO=uplo)  # type: ignore[call-overload]
    import scipy.linalg  # slow to import, and few programs need it

    def one(matrix: np.ndarray) -> np.ndarray:
        # Of the transpose: the same values, and no copy into columns.
        return scipy.linalg.eigvalsh(matrix.T, lower=uplo == "U", check_finite=False)

    return _stacked(a.shape[:-2], each_matrix(one, a))


@with_few_threads
def svd(a: np.ndarray, full: bool) -> Arrays:
    """(U, descending singular values, Vᴴ)."""
    if is_small(a) or not np.isfinite(a).all():
        return tuple(np.linalg.svd(a, full_matrices=full))
    import scipy.linalg  # slow to import, and few programs need it

    def one(matrix: np.ndarray) -> Arrays:
        right, values, left = scipy.linalg.svd(matrix.T, full_matrices=full, check_finite=False)
        return left.T, values, right.T

    found = each_matrix(one, a)
    return tuple(_stacked(a.shape[:-2], [each[place] for each in found]) for place in range(3))


@with_few_threads
def svdvals(a: np.ndarray) -> np.ndarray:
    """Descending singular values."""
    if is_small(a) or not np.isfinite(a).all():
        return np.linalg.svd(a, compute_uv=False)
    import scipy.linalg  # slow to import, and few programs need it

    def one(matrix: np.ndarray) -> np.ndarray:
        return scipy.linalg.svd(matrix.T, compute_uv=False, check_finite=False)

    return _stacked(a.shape[:-2], each_matrix(one, a))


@with_few_threads
def qr(a: np.ndarray, mode: str) -> Arrays:
    """(Q, R); `mode` is "reduced", "complete" or "r" (R alone)."""
    if is_small(a):
        found = np.linalg.qr(a, mode=mode)  # type: ignore[call-overload]
        return (found,) if mode == "r" else (np.asarray(found[0]), np.asarray(found[1]))
    import scipy.linalg  # slow to import, and few programs need it

    k = min(a.shape[-2:])

    def one(matrix: np.ndarray) -> Arrays:
        if mode == "r":
            return (scipy.linalg.qr(matrix, mode="r", check_finite=False)[0][:k],)
        kind = "economic" if mode == "reduced" else "full"
        return scipy.linalg.qr(matrix, mode=kind, check_finite=False)

    parts = each_matrix(one, a)
    return tuple(
        _stacked(a.shape[:-2], [each[place] for each in parts]) for place in range(len(parts[0]))
    )


@with_few_threads
def pinv(a: np.ndarray, atol: np.ndarray, rtol: np.ndarray, hermitian: bool) -> np.ndarray:
    """The pseudo-inverse; singular values up to max(atol, rtol · the largest) count as zero."""
    if not a.size:
        return np.swapaxes(a, -1, -2)
    if hermitian:
        values, vectors = eigh(a, "L")
        size = np.abs(values)
        u, vh = vectors, np.conjugate(np.swapaxes(vectors, -1, -2))
    else:
        u, values, vh = svd(a, False)
        size = values
    limit = np.maximum(atol[..., None], rtol[..., None] * size.max(-1, keepdims=True))
    kept = size > limit
    inverted = np.where(kept, 1 / np.where(kept, values, 1), 0)
    return np.conjugate(np.swapaxes((u * inverted[..., None, :]) @ vh, -1, -2))


def rank(a: np.ndarray, atol: np.ndarray, rtol: np.ndarray, hermitian: bool) -> np.ndarray:
    """How many singular values exceed max(atol, rtol · the largest)."""
    if not a.size:
        return np.zeros(a.shape[:-2], np.int64)
    values = np.abs(eigvalsh(a, "L")) if hermitian else svdvals(a)
    limit = np.maximum(atol, rtol * values.max(-1))
    return (values > limit[..., None]).sum(-1)
