"""The multivariate normal distribution whose covariance is of low rank but for its diagonal.

With Σ = W Wᵀ + D, inverse and determinant follow from the small capacitance C = I + Wᵀ D⁻¹ W
(Woodbury's identity and the matrix determinant lemma).
"""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.gaussian_factors import (
    FEW_DIMENSIONS,
    lengths_before,
    log_diagonal,
    times_vectors,
)
from lampas.distributions.utils import lazy_property, standard_normal
from lampas.engine.shape import Size, broadcast_shapes
from lampas.engine.tensor import Tensor, cholesky, eye
from lampas.engine.tensor.linear_algebra import solve_triangular

__all__ = ["LowRankMultivariateNormal"]


def capacitance_factor(cov_factor: Tensor, cov_diag: Tensor) -> Tensor:
    """The lower Cholesky factor of I + Wᵀ D⁻¹ W, for W = cov_factor and D = cov_diag."""
    scaled = cov_factor.mT / cov_diag.unsqueeze(-2)
    identity = eye(cov_factor.shape[-1], dtype=cov_factor.dtype, device=cov_factor.device)
    return cholesky(scaled @ cov_factor + identity)


def low_rank_log_determinant(cov_diag: Tensor, capacitance_tril: Tensor) -> Tensor:
    """log det(W Wᵀ + D)."""
    return 2 * log_diagonal(capacitance_tril) + cov_diag.log().sum(-1)


def low_rank_distance(
    cov_factor: Tensor, cov_diag: Tensor, difference: Tensor, capacitance_tril: Tensor
) -> Tensor:
    """xᵀ (W Wᵀ + D)⁻¹ x for x = difference."""
    scaled = cov_factor.mT / cov_diag.unsqueeze(-2)
    whole = (difference.pow(2) / cov_diag).sum(-1)
    return whole - lengths_before(capacitance_tril, times_vectors(scaled, difference))


class LowRankMultivariateNormal(Distribution):
    """Normal(loc, Σ) with Σ = cov_factor cov_factorᵀ + diag(cov_diag): events of shape (n,).

    loc is (*batch, n), cov_factor (*batch, n, rank), cov_diag (*batch, n). Raises ValueError for
    shapes that do not fit, and unless cov_diag is positive.

    >>> import lampas
    >>> normal = LowRankMultivariateNormal(lampas.zeros(2), lampas.ones(2, 1), lampas.ones(2))
    >>> normal.variance
    tensor([2., 2.])
    """

    arg_constraints = parameters(
        loc=constraints.real_vector,
        cov_factor=constraints.independent(constraints.real, 2),
        cov_diag=constraints.independent(constraints.positive, 1),
    )
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        batch_shape = self._check_shapes(loc, cov_factor, cov_diag)
        self.loc = loc.expand((*batch_shape, -1))
        self.cov_factor = cov_factor.expand((*batch_shape, -1, -1))
        self.cov_diag = cov_diag.expand((*batch_shape, -1))
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = capacitance_factor(cov_factor, cov_diag)
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)

    @staticmethod
    def _check_shapes(loc: Tensor, cov_factor: Tensor, cov_diag: Tensor) -> Size:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        size = loc.shape[-1]
        if cov_factor.dim() < 2:
            raise ValueError(f"cov_factor {FEW_DIMENSIONS}")
        if cov_factor.shape[-2] != size:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {size} x m")
        if cov_diag.shape[-1:] != (size,):
            raise ValueError(f"cov_diag must be a batch of vectors with shape {loc.shape[-1:]}")
        shapes = loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1]
        try:
            return Size(broadcast_shapes(*shapes))
        except RuntimeError as error:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, "
                f"cov_diag {cov_diag.shape}"
            ) from error

    def _square(self, matrix: Tensor) -> Tensor:
        """A matrix for each distribution of the batch."""
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Any:
        """The lower Cholesky factor of the covariance."""
        # √D (I + D^-½ W Wᵀ D^-½) √D is better conditioned than the sum itself.
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        identity = eye(self._event_shape[0], dtype=root.dtype, device=root.device)
        return self._square(root * cholesky(scaled @ scaled.mT + identity))

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        factor = self._unbroadcasted_cov_factor
        return self._square(factor @ factor.mT + self._unbroadcasted_cov_diag.diag_embed())

    @lazy_property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        scaled = self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)
        solved = solve_triangular(self._capacitance_tril, scaled, upper=False)
        inverse = self._unbroadcasted_cov_diag.reciprocal().diag_embed()
        return self._square(inverse - solved.mT @ solved)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Any:
        variance = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return variance.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        of_factor = standard_normal(
            shape[:-1] + self.cov_factor.shape[-1:], self.loc.dtype, self.loc.device
        )
        of_diagonal = standard_normal(shape, self.loc.dtype, self.loc.device)
        return (
            self.loc
            + times_vectors(self._unbroadcasted_cov_factor, of_factor)
            + self._unbroadcasted_cov_diag.sqrt() * of_diagonal
        )

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        factor, diagonal = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag
        distance = low_rank_distance(factor, diagonal, value - self.loc, self._capacitance_tril)
        log_determinant = low_rank_log_determinant(diagonal, self._capacitance_tril)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + log_determinant + distance)

    def entropy(self) -> Tensor:
        log_determinant = low_rank_log_determinant(
            self._unbroadcasted_cov_diag, self._capacitance_tril
        )
        constant = self._event_shape[0] * (1.0 + math.log(2 * math.pi))
        return (0.5 * (constant + log_determinant)).expand(self._batch_shape)
