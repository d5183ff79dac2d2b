"""Eigenvalues, singular values, QR, pseudo-inverses, least squares, matrix functions (`lampas.linalg`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.tensor import lapack
from lampas.engine.tensor import matrix_functions as f
from lampas.engine.tensor import spectral_functions as s
from lampas.engine.tensor.contraction import matmul
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.linear_algebra import cholesky, inv, require_matrices, same_dtypes
from lampas.engine.tensor.operands import check_broadcast
from lampas.engine.tensor.returns import return_type
from lampas.engine.tensor.values import array_of, tensor_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

# Eigenvalues --------------------------------------------------------------------------------------

EIGH = Operation("linalg_eigh", s.eigh, multiple=True)
EIGVALSH = Operation("linalg_eigh", s.eigvalsh, saves="inputs")
EIG = Operation("linalg_eig", s.eig, multiple=True)
EIGH_RESULT = return_type("linalg_eigh", "eigenvalues", "eigenvectors")
EIG_RESULT = return_type("linalg_eig", "eigenvalues", "eigenvectors")


def _check_triangle(name: str, uplo: str) -> str:
    if uplo.upper() not in ("L", "U"):
        raise RuntimeError(f"{name}: Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    return uplo.upper()


@public(namespace="linalg", out=True)
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """(eigenvalues in ascending order, eigenvectors) of Hermitian matrices; one triangle is read."""
    require_matrices("linalg.eigh", A, square=True)
    return EIGH_RESULT(*record(EIGH, (A,), (_check_triangle("linalg.eigh", UPLO),)))


@public(namespace="linalg", out=True)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of Hermitian matrices, in ascending order."""
    require_matrices("linalg.eigvalsh", A, square=True)
    return record(EIGVALSH, (A,), (_check_triangle("linalg.eigvalsh", UPLO),))


def _require_finite(name: str, A: Tensor) -> None:
    if A._value().buffer is not None and not np.isfinite(array_of(A)).all():
        raise RuntimeError(f"torch.{name}: input tensor should not contain infs or NaNs.")


@public(namespace="linalg", out=True)
def eig(A: Tensor) -> Any:
    """(eigenvalues, eigenvectors) of square matrices; complex, in no particular order."""
    require_matrices("linalg.eig", A, square=True)
    _require_finite("linalg.eig", A)
    return EIG_RESULT(*record(EIG, (A,)))


@public(namespace="linalg", out=True)
def eigvals(A: Tensor) -> Tensor:
    """The eigenvalues of square matrices; complex, in no particular order."""
    require_matrices("linalg.eigvals", A, square=True)
    _require_finite("linalg.eigvals", A)
    return record(EIG, (A,))[0]


# Singular values ----------------------------------------------------------------------------------

SVD = Operation("linalg_svd", s.svd, multiple=True)
SVDVALS = Operation("linalg_svd", s.svdvals, saves="inputs")
LINALG_SVD_RESULT = return_type("linalg_svd", "U", "S", "Vh")
SVD_RESULT = return_type("svd", "U", "S", "V")


@public(namespace="linalg", out=True)
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """(U, singular values in descending order, Vᴴ) with A = U S Vᴴ."""
    require_matrices("linalg.svd", A)
    return LINALG_SVD_RESULT(*record(SVD, (A,), (full_matrices,)))


@public(namespace="linalg", out=True)
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values in descending order."""
    require_matrices("linalg.svdvals", A)
    return record(SVDVALS, (A,))


def _svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, singular values, V) with input = U S Vᴴ; zeros for U and V unless `compute_uv`."""
    require_matrices("linalg.svd", input)
    u, values, vh = record(SVD, (input,), (not some,))
    if not compute_uv:
        height, width = input._shape[-2:]
        lead = input._shape[:-2]
        u = input.new_zeros((*lead, height, height))  # type: ignore[attr-defined]
        return SVD_RESULT(u, values, input.new_zeros((*lead, width, width)))  # type: ignore[attr-defined]
    return SVD_RESULT(u, values, vh.mH)


_svd.__name__ = "svd"
public(method=True, out=True)(_svd)

# QR -----------------------------------------------------------------------------------------------

QR = Operation("linalg_qr", s.qr, multiple=True)
LINALG_QR_RESULT = return_type("linalg_qr", "Q", "R")
QR_RESULT = return_type("qr", "Q", "R")


@public(namespace="linalg", out=True)
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """(Q, R) with A = Q R; `mode` is "reduced", "complete" or "r" (no Q, no derivative)."""
    require_matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    if mode == "r":
        right = record(QR, (A.detach(),), ("reduced",))[1]  # type: ignore[attr-defined]
        return LINALG_QR_RESULT(A.new_empty((0,)), right)  # type: ignore[attr-defined]
    return LINALG_QR_RESULT(*record(QR, (A,), (mode,)))


def _qr(input: Tensor, some: bool = True) -> Any:
    """(Q, R) with input = Q R, complete unless `some`."""
    return QR_RESULT(*qr(input, "reduced" if some else "complete"))


_qr.__name__ = "qr"
public(method=True, out=True)(_qr)

# Pseudo-inverse and rank ---------------------------------------------------------------------------

PINV = Operation("linalg_pinv", s.pinv)


def _tolerances(name: str, A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """Both tolerances as tensors of A's batch shape; rtol is eps·max(m, n) unless atol is given."""
    kind = A._node.dtype.to_real()
    if rtol is None:
        positive = isinstance(atol, Tensor) or (atol is not None and atol > 0)
        eps = np.finfo(kind.numpy).eps * max(A._shape[-2:])
        rtol = 0.0 if positive and not isinstance(atol, Tensor) else float(eps)
        if isinstance(atol, Tensor):
            given = array_of(atol)
            rtol = tensor_of(np.where(given > 0, 0.0, eps), kind)
    found = []
    for value in (0.0 if atol is None else atol, rtol):
        array = array_of(value) if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.kind == "c":
            raise RuntimeError(f"torch.{name}: tolerances must be real, got a complex tensor")
        found.append(tensor_of(np.broadcast_to(array, A._shape[:-2]), kind))
    return found[0], found[1]


@public(namespace="linalg", out=True)
def pinv(
    A: Tensor, rcond: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
    """The Moore-Penrose inverse; singular values up to max(atol, rtol·largest) count as zero."""
    require_matrices("linalg.pinv", A, square=hermitian)
    limits = _tolerances("linalg.pinv", A, atol, rcond if rtol is None else rtol)
    return record(PINV, (A, *limits), (hermitian,))


@public(method=True)
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The Moore-Penrose inverse."""
    return pinv(input, rtol=rcond)


host_function("matrix_rank")(lapack.rank)


def _rank(a: Node, atol: Node, rtol: Node, hermitian: bool) -> Node:
    return g.host("matrix_rank", (a, atol, rtol), ((a.shape[:-2], int64),), (hermitian,))[0]


RANK = Operation("linalg_matrix_rank", _rank, saves="none")


@public(namespace="linalg", out=True)
def matrix_rank(
    A: Tensor, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
    """How many singular values exceed max(atol, rtol·largest)."""
    require_matrices("linalg.matrix_rank", A, square=hermitian)
    if tol is not None:
        atol, rtol = tol, 0.0
    limits = _tolerances("linalg.matrix_rank", A, atol, rtol)
    return record(RANK, (A, *limits), (hermitian,))


# Least squares ------------------------------------------------------------------------------------

LSTSQ_RESULT = return_type("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


def _least_squares(a: Node, b: Node, atol: Node, rtol: Node) -> Node:
    lead = check_broadcast("linalg.lstsq", [a.shape[:-2], b.shape[:-2]])
    inverse = s.pinv(a, atol, rtol, False)
    inverse = g.expand(inverse, (*lead, *inverse.shape[-2:]))
    return f.mm(inverse, g.expand(b, (*lead, *b.shape[-2:])))


NO_RESIDUALS = Operation(
    "linalg_lstsq", lambda a: g.full((0,), 0, a.dtype.to_real()), vjp=lambda saved, ct: (None,)
)
LSTSQ = Operation("linalg_lstsq", _least_squares, saves="inputs")


@public(namespace="linalg", out=True)
def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None) -> Any:
    """(solution, residuals, rank, singular values) of the least-squares problem min |A X - B|."""
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    require_matrices("torch.linalg.lstsq", A, what="input")
    same_dtypes("torch.linalg.lstsq", A, B)
    vector = len(B._shape) == len(A._shape) - 1
    right = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    height, width = A._shape[-2:]
    if right._shape[-2] != height:
        raise RuntimeError("torch.linalg.lstsq: input.size(-2) should match other.size(-2)")
    limits = _tolerances("linalg.lstsq", A, None, rcond)
    solution = record(LSTSQ, (A, right, *limits))
    empty = record(NO_RESIDUALS, (A,))
    rank = tensor_of(np.zeros(0, np.int64))
    if driver != "gels":
        rank = record(RANK, (A.detach(), *limits), (False,))  # type: ignore[attr-defined]
    residuals = empty
    full = driver == "gels" or bool((array_of(rank) == width).all())
    if height > width and driver != "gelsy" and driver is not None and full:
        gap = matmul(A, solution) - right  # type: ignore[operator]
        residuals = (gap * gap.conj()).sum(-2)
        residuals = residuals.real if A.dtype.is_complex else residuals
        residuals = residuals.squeeze(-1) if vector else residuals
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else empty.detach()  # type: ignore[attr-defined]
    solution = solution.squeeze(-1) if vector else solution
    return LSTSQ_RESULT(solution, residuals, rank, values)


# Functions of matrices ----------------------------------------------------------------------------

MATRIX_EXP = Operation("linalg_matrix_exp", f.matrix_exp, saves="inputs")


@public(namespace="linalg")
def matrix_exp(A: Tensor) -> Tensor:
    """The matrix exponential of square matrices; half types are computed in float32."""
    if A.dtype.itemsize == 2 and A.dtype.is_floating_point:
        return matrix_exp(A.float()).to(A.dtype)  # type: ignore[attr-defined]
    require_matrices("linalg.matrix_exp", A, square=True)
    return record(MATRIX_EXP, (A,))


public(method=True)(matrix_exp)


ZEROTH_POWER = Operation(
    "linalg_matrix_power",
    lambda a: g.expand(f.identity(a.shape[-1], a.dtype), a.shape),
    vjp=lambda saved, ct: (g.full(ct.shape, 0, ct.dtype),),
    saves="none",
)


@public(namespace="linalg", out=True)
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The n-th power of square matrices by repeated squaring; of the inverse for negative n."""
    if len(A._shape) < 2 or A._shape[-1] != A._shape[-2]:
        require_matrices("linalg.matrix_power", A, square=True)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 0:
        return record(ZEROTH_POWER, (A,))
    result: Tensor | None = None
    square = A
    while True:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        if not n:
            return result.clone() if result is A else result  # type: ignore[union-attr,return-value,attr-defined]
        square = matmul(square, square)


public(method=True, out=True)(matrix_power)

# Low rank -----------------------------------------------------------------------------------------


def _range_basis(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """An orthonormal basis for A's range by subspace iteration (Halko et al., 2011, algorithm 4.4)."""
    shifted = A if M is None else A - M  # type: ignore[operator]
    start = A.new_empty((A._shape[-1], q)).normal_()  # type: ignore[attr-defined]
    basis = qr(matmul(shifted, start)).Q
    for _ in range(niter):
        basis = qr(matmul(shifted.mH, basis)).Q  # type: ignore[attr-defined]
        basis = qr(matmul(shifted, basis)).Q
    return basis


@public()
def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V) of an approximation of A (minus M) of rank q."""
    count = 6 if q is None else q
    wide = A._shape[-2] < A._shape[-1]
    source = A.mH if wide else A  # type: ignore[attr-defined]
    shift = (
        None if M is None else (M.broadcast_to(A._shape).mH if wide else M.broadcast_to(A._shape))
    )  # type: ignore[attr-defined]
    basis = _range_basis(source, count, 2 if niter is None else niter, shift)
    shifted = source if shift is None else source - shift
    u, values, vh = svd(matmul(basis.mH, shifted), full_matrices=False)  # type: ignore[attr-defined]
    left, right = matmul(basis, u), vh.mH
    return (right, values, left) if wide else (left, values, right)


@public()
def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V) of an approximation of A, its columns centred, of rank q."""
    height, width = A._shape[-2:]
    count = min(6, height, width) if q is None else q
    if not 0 <= count <= min(height, width):
        raise ValueError(
            f"q(={count}) must be non-negative integer and not greater than min(m, n)="
            f"{min(height, width)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    source = A - A.mean(-2, keepdim=True) if center else A  # type: ignore[attr-defined]
    return svd_lowrank(source, count, niter)


@public()
def lobpcg(
    A: Tensor,
    k: int | None = None,
    B: Tensor | None = None,
    X: Tensor | None = None,
    n: int | None = None,
    iK: Tensor | None = None,
    niter: int | None = None,
    tol: float | None = None,
    largest: bool | None = None,
    method: str | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """(the k largest or smallest eigenvalues, their vectors) of A x = λ B x, A symmetric.

    Found by the full decomposition, which is exact; `X`, `iK`, `niter`, `tol` steer an iteration in
    PyTorch and change nothing here.
    """
    require_matrices("lobpcg", A, square=True)
    count = (1 if X is None else X._shape[-1]) if k is None else k
    turned, source = None, A
    if B is not None:
        turned = inv(cholesky(B))
        source = matmul(matmul(turned, A), turned.mT)  # type: ignore[attr-defined]
    values, vectors = eigh(source)
    if turned is not None:
        vectors = matmul(turned.mT, vectors)  # type: ignore[attr-defined]
    if largest is False:
        return values[..., :count], vectors[..., :count]
    return values[..., -count:].flip(-1), vectors[..., -count:].flip(-1)
