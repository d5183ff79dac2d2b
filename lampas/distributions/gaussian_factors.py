"""Linear algebra that multivariate normal and Wishart distributions share, on batches of factors."""

from __future__ import annotations

from typing import Any

from lampas.distributions.utils import lazy_property
from lampas.engine.tensor import Tensor, cholesky, cholesky_inverse, eye
from lampas.engine.tensor.linear_algebra import solve_triangular

FEW_DIMENSIONS = "must be at least two-dimensional, with optional leading batch dimensions"


def times_vectors(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Matrices (..., n, m) times vectors (..., m)."""
    return (matrices @ vectors.unsqueeze(-1)).squeeze(-1)


def log_diagonal(factors: Tensor) -> Tensor:
    """The sum of the logarithms of the diagonal: half the log determinant of L Lᵀ."""
    return factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def lengths_before(factors: Tensor, vectors: Tensor) -> Tensor:
    """|L⁻¹ x|² for triangular L (*batch, n, n) and x (*samples, *batch, n): (*samples, *batch).

    The samples become columns, so that each factor is solved with once.
    """
    samples = vectors.shape[: max(0, vectors.dim() - factors.dim() + 1)]
    rest = vectors.shape[len(samples) :]
    columns = vectors.reshape((-1, *rest)).movedim(0, -1)
    solved = solve_triangular(factors, columns, upper=False)
    lengths = solved.square().sum(-2).movedim(-1, 0)
    return lengths.reshape(samples + lengths.shape[1:])


def factor_of_precision(precision: Tensor) -> Tensor:
    """The lower Cholesky factor of P⁻¹: with P = Uᵀ U reversed, it is a triangular inverse."""
    reversed_factor = cholesky(precision.flip((-2, -1)))
    upper = reversed_factor.flip((-2, -1)).mT
    identity = eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return solve_triangular(upper, identity, upper=False)


def only_matrix(**matrices: Any) -> tuple[str, Tensor] | None:
    """The name and value of the one matrix that was given; None unless it is exactly one."""
    given = [(name, value) for name, value in matrices.items() if value is not None]
    return given[0] if len(given) == 1 else None


def factor_of(name: str, matrix: Tensor) -> Tensor:
    """The lower Cholesky factor of a covariance that is given by this parameter."""
    if name == "scale_tril":
        return matrix
    return cholesky(matrix) if name == "covariance_matrix" else factor_of_precision(matrix)


class FactoredCovariance:
    """The forms of a covariance that is kept as its lower Cholesky factor."""

    _unbroadcasted_scale_tril: Tensor

    def _square(self, matrix: Tensor) -> Tensor:
        """A matrix for each distribution of the batch."""
        raise NotImplementedError

    @lazy_property
    def scale_tril(self) -> Any:
        """The lower Cholesky factor of the covariance."""
        return self._square(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        factor = self._unbroadcasted_scale_tril
        return self._square(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        return self._square(cholesky_inverse(self._unbroadcasted_scale_tril))
