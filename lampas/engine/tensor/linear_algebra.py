"""Solving and factoring: inv, solve, det, cholesky, lu and kin (`lampas.linalg`, and their old names).

Where a factorisation may fail the value is computed at the call, so that the error comes at the user's line;
the forms with `_ex` stay lazy and return `info`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import dtype
from lampas.engine.graph import build as g
from lampas.engine.tensor import matrix_functions as f
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.device import META
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import check_broadcast, require_tensor
from lampas.engine.tensor.pointwise import log
from lampas.engine.tensor.returns import return_type
from lampas.engine.tensor.values import array_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]


class LinAlgError(RuntimeError):
    """A matrix has no inverse or no factorisation of the kind asked for."""


LinAlgError.__name__ = LinAlgError.__qualname__ = "_LinAlgError"


# Checks -------------------------------------------------------------------------------------------


def require_matrices(name: str, a: Any, *, square: bool = False, what: str = "A") -> dtype:
    """The dtype of a stack of (square) matrices; PyTorch's errors for anything else."""
    kind = require_tensor(name, what, a)._node.dtype
    shape = a._shape
    if len(shape) < 2:
        raise RuntimeError(
            f"{name}: The input tensor {what} must have at least 2 dimensions, but got {len(shape)}"
        )
    if square and shape[-1] != shape[-2]:
        raise RuntimeError(
            f"{name}: {what} must be batches of square matrices, but they are {shape[-2]} by "
            f"{shape[-1]} matrices"
        )
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {kind.title}"
        )
    if kind.itemsize == 2:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {kind.title}")
    return kind


def same_dtypes(name: str, a: Tensor, b: Tensor) -> None:
    """RuntimeError where the dtypes of A and B differ."""
    if a._node.dtype is not b._node.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type "
            f"{a.dtype.title} and B of type {b.dtype.title} instead"
        )


def raise_where(info: Tensor, text: str) -> None:
    """LinAlgError for the first matrix whose info is not 0; {batch} and {place} are filled in."""
    if info._storage.device is META:
        return
    found = array_of(info)
    bad = found.reshape(-1).nonzero()[0]
    if not len(bad):
        return
    place = int(found.reshape(-1)[bad[0]])
    batch = f"(Batch element {int(bad[0])}): " if found.ndim else ""
    raise LinAlgError(text.format(batch=batch, place=place))


# Inverse ------------------------------------------------------------------------------------------

INVERSE = Operation("linalg_inv_ex", f.inverse, multiple=True, saves="both")
INV_EX_RESULT = return_type("linalg_inv_ex", "inverse", "info")
_SINGULAR = (
    "linalg.inv: {batch}The diagonal element {place} is zero, the inversion could not be "
    "completed because the input matrix is singular."
)


@public(namespace="linalg", out=True)
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """(inverse, info) of square matrices; info is not 0 where there is no inverse."""
    require_matrices("linalg.inv", A, square=True)
    found = INV_EX_RESULT(*record(INVERSE, (A,)))
    if check_errors:
        raise_where(found.info, _SINGULAR)
    return found


def _inv(A: Tensor) -> Tensor:
    return inv_ex(A, check_errors=True).inverse


@public(namespace="linalg", out=True)
def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices; LinAlgError (a RuntimeError) for singular ones."""
    return _inv(A)


@public(method=True, out=True)
def inverse(input: Tensor) -> Tensor:
    """The inverse of square matrices; LinAlgError (a RuntimeError) for singular ones."""
    return _inv(input)


# Solving ------------------------------------------------------------------------------------------


def _solve(a: Node, b: Node, vector: bool, left: bool) -> tuple[Node, Node]:
    if vector:
        b = g.reshape(b, (*b.shape, 1))
    if not left:
        a, b = g.transpose(a), g.transpose(b)
    lead = check_broadcast("linalg.solve", [a.shape[:-2], b.shape[:-2]])
    a, b = g.expand(a, (*lead, *a.shape[-2:])), g.expand(b, (*lead, *b.shape[-2:]))
    found, info = f.solve(a, b)
    found = found if left else g.transpose(found)
    return g.reshape(found, found.shape[:-1]) if vector else found, info


SOLVE = Operation("linalg_solve_ex", _solve, multiple=True, saves="inputs")
SOLVE_EX_RESULT = return_type("linalg_solve_ex", "result", "info")


def _is_vector(a: Tensor, b: Tensor) -> bool:
    return len(b._shape) == 1 or (len(a._shape) - 1 == len(b._shape) and b._shape == a._shape[:-1])


def _check_solvable(name: str, a: Tensor, b: Tensor, vector: bool, left: bool) -> None:
    if vector:
        sizes = (b._shape[-1], 1)
    else:
        sizes = b._shape[-2:]
    if sizes[0 if left or vector else 1] != a._shape[-2 if not left else -1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({a._shape[-2]}x{a._shape[-1]} and "
            f"{sizes[0]}x{sizes[1]})"
        )


@public(namespace="linalg", out=True)
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """(X, info) with A X = B (X A = B if not left); info is not 0 where A is singular."""
    require_matrices("linalg.solve", A, square=True)
    same_dtypes("linalg.solve", A, B)
    vector = _is_vector(A, B)
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for "
            "left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    _check_solvable("linalg.solve", A, B, vector, left)
    found = SOLVE_EX_RESULT(*record(SOLVE, (A, B), (vector, left)))
    if check_errors:
        raise_where(
            found.info,
            "torch.linalg.solve: {batch}The solver failed because the input matrix is singular.",
        )
    return found


@public(namespace="linalg", out=True)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A X = B (X A = B if not left); LinAlgError for singular A."""
    return solve_ex(A, B, left=left, check_errors=True).result


def _solve_triangular(a: Node, b: Node, is_upper: bool, left: bool, unit: bool) -> Node:
    if not left:
        a, b, is_upper = g.transpose(a), g.transpose(b), not is_upper
    lead = check_broadcast("linalg.solve_triangular", [a.shape[:-2], b.shape[:-2]])
    a, b = g.expand(a, (*lead, *a.shape[-2:])), g.expand(b, (*lead, *b.shape[-2:]))
    found = f.solve_triangular(a, b, is_upper, unit)
    return found if left else g.transpose(found)


SOLVE_TRIANGULAR = Operation("linalg_solve_triangular", _solve_triangular)


@public(namespace="linalg", out=True)
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with A X = B (X A = B if not left), where only one triangle of A is read."""
    require_matrices("linalg.solve_triangular", A, square=True)
    require_matrices("linalg.solve_triangular", B, what="B")
    same_dtypes("linalg.solve_triangular", A, B)
    _check_solvable("linalg.solve_triangular", A, B, False, left)
    return record(SOLVE_TRIANGULAR, (A, B), (upper, left, unitriangular))


TRIANGULAR_RESULT = return_type("triangular_solve", "solution", "cloned_coefficient")


@public(method=True, out=True)
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """(X, copy of A) with A X = input (Aᵀ X = input if `transpose`)."""
    left = A.mT if transpose else A  # type: ignore[attr-defined]
    solution = solve_triangular(left, input, upper=upper != transpose, unitriangular=unitriangular)
    lead = solution._shape[:-2]
    return TRIANGULAR_RESULT(solution, A.expand(*lead, *A._shape[-2:]).clone())  # type: ignore[attr-defined]


# Determinants -------------------------------------------------------------------------------------

DET = Operation("linalg_det", f.det)
SLOGDET = Operation("linalg_slogdet", f.slogdet, multiple=True)
SLOGDET_RESULT = return_type("slogdet", "sign", "logabsdet")
LINALG_SLOGDET_RESULT = return_type("linalg_slogdet", "sign", "logabsdet")


@public(namespace="linalg", out=True)
def det(A: Tensor) -> Tensor:
    """The determinant of square matrices."""
    require_matrices("linalg.det", A, square=True)
    return record(DET, (A,))


public(method=True)(det)


@public(namespace="linalg", out=True)
def slogdet(A: Tensor) -> Any:
    """(sign, log of the magnitude) of the determinant."""
    require_matrices("linalg.slogdet", A, square=True)
    return LINALG_SLOGDET_RESULT(*record(SLOGDET, (A,)))


def _slogdet(input: Tensor) -> Any:
    """(sign, log of the magnitude) of the determinant."""
    require_matrices("linalg.slogdet", input, square=True)
    return SLOGDET_RESULT(*record(SLOGDET, (input,)))


_slogdet.__name__ = "slogdet"
public(method=True, out=True)(_slogdet)


@public(method=True)
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; NaN where it is negative."""
    require_matrices("logdet", input, square=True)
    sign, size = record(SLOGDET, (input,))
    return log(sign) + size  # type: ignore[operator]


# Cholesky -----------------------------------------------------------------------------------------


def _factor(a: Node, is_upper: bool) -> tuple[Node, Node]:
    found, info = f.cholesky(a, is_upper)
    return (f.adjoint(found) if is_upper else found), info


CHOLESKY = Operation("linalg_cholesky_ex", _factor, multiple=True)
CHOLESKY_EX_RESULT = return_type("linalg_cholesky_ex", "L", "info")
_NOT_POSITIVE = (
    "linalg.cholesky: {batch}The factorization could not be completed because the input is not "
    "positive-definite (the leading minor of order {place} is not positive-definite)."
)


@public(namespace="linalg", out=True)
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """(factor, info) with A = L Lᴴ (Uᴴ U if `upper`); info is not 0 where there is none."""
    require_matrices("linalg.cholesky", A, square=True)
    found = CHOLESKY_EX_RESULT(*record(CHOLESKY, (A,), (upper,)))
    if check_errors:
        raise_where(found.info, _NOT_POSITIVE)
    return found


@public(namespace="linalg", out=True)
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The factor L with A = L Lᴴ; LinAlgError where A is not positive-definite."""
    return cholesky_ex(A, upper=upper, check_errors=True).L


def _cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The factor L with input = L Lᴴ; LinAlgError where it is not positive-definite."""
    return cholesky_ex(input, upper=upper, check_errors=True).L


_cholesky.__name__ = "cholesky"
public(method=True, out=True)(_cholesky)


def _cholesky_solve(b: Node, factor: Node, is_upper: bool) -> Node:
    low = f.adjoint(factor) if is_upper else factor
    lead = check_broadcast("cholesky_solve", [low.shape[:-2], b.shape[:-2]])
    low, b = g.expand(low, (*lead, *low.shape[-2:])), g.expand(b, (*lead, *b.shape[-2:]))
    half = f.solve_triangular(low, b, False)
    return f.solve_triangular(f.adjoint(low), half, True)


def _factor_flow(common: Node, factor: Node, is_upper: bool) -> Node:
    """The factor's cotangent; the triangle that is not read takes part, as in PyTorch."""
    both = g.negative(g.add(common, f.adjoint(common)))
    flow = f.mm(factor, both) if is_upper else f.mm(both, factor)
    return g.sum_to(flow, factor.shape)


def _cholesky_solve_vjp(saved: Saved, ct: Node) -> Grads:
    b, factor = saved.inputs
    to_b = _cholesky_solve(ct, factor, saved.attributes[0])
    common = f.mm(to_b, f.adjoint(saved.output))
    return g.sum_to(to_b, b.shape), _factor_flow(common, factor, saved.attributes[0])


CHOLESKY_SOLVE = Operation("cholesky_solve", _cholesky_solve, vjp=_cholesky_solve_vjp)


@public(method=True, out=True)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with (L Lᴴ) X = input."""
    require_matrices("cholesky_solve", L, square=True)
    require_matrices("cholesky_solve", input, what="b")
    return record(CHOLESKY_SOLVE, (input, L), (upper,))


def _cholesky_inverse(factor: Node, is_upper: bool) -> Node:
    unit = f.identity(factor.shape[-1], factor.dtype)
    return _cholesky_solve(unit, factor, is_upper)


def _cholesky_inverse_vjp(saved: Saved, ct: Node) -> Grads:
    found = saved.output
    common = f.mm(f.mm(found, ct), found)
    return (_factor_flow(common, saved.inputs[0], saved.attributes[0]),)


CHOLESKY_INVERSE = Operation("cholesky_inverse", _cholesky_inverse, vjp=_cholesky_inverse_vjp)


@public(method=True, out=True)
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of L Lᴴ."""
    require_matrices("cholesky_inverse", L, square=True)
    return record(CHOLESKY_INVERSE, (L,), (upper,))
