"""The multivariate normal distribution, by its covariance, its inverse or its Cholesky factor."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.gaussian_factors import (
    FEW_DIMENSIONS,
    FactoredCovariance,
    factor_of,
    lengths_before,
    log_diagonal,
    only_matrix,
    times_vectors,
)
from lampas.distributions.utils import standard_normal
from lampas.engine.shape import broadcast_shapes
from lampas.engine.tensor import Tensor

__all__ = ["MultivariateNormal"]


class MultivariateNormal(FactoredCovariance, Distribution):
    """p(x) = exp(-(x - loc)ᵀ Σ⁻¹ (x - loc)/2)/√det(2πΣ): events (n,), loc (*batch, n), Σ (*batch, n, n).

    Σ is `covariance_matrix`, the inverse of `precision_matrix`, or `scale_tril` times its transpose;
    the others are computed when they are read. Raises ValueError unless exactly one is given, and
    for matrices that are not positive definite.

    >>> import lampas
    >>> normal = MultivariateNormal(lampas.zeros(2), lampas.eye(2))
    >>> normal.log_prob(lampas.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = parameters(
        loc=constraints.real_vector,
        covariance_matrix=constraints.positive_definite,
        precision_matrix=constraints.positive_definite,
        scale_tril=constraints.lower_cholesky,
    )
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = only_matrix(
            scale_tril=scale_tril,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
        )
        if given is None:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        name, matrix = given
        if matrix.dim() < 2:
            raise ValueError(f"{name} {FEW_DIMENSIONS}")
        batch_shape = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))
        self.loc = loc.expand((*batch_shape, -1))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)

    def _square(self, matrix: Tensor) -> Tensor:
        """A matrix for each distribution of the batch."""
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        variance = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return variance.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = standard_normal(self._extended_shape(sample_shape), self.loc.dtype, self.loc.device)
        return self.loc + times_vectors(self._unbroadcasted_scale_tril, drawn)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        factor = self._unbroadcasted_scale_tril
        distance = lengths_before(factor, value - self.loc)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + distance) - log_diagonal(factor)

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
        entropy = constant + log_diagonal(self._unbroadcasted_scale_tril)
        return entropy.expand(self._batch_shape)
