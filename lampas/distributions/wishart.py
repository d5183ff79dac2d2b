"""The Wishart distribution of sums of outer products of normal vectors.

Samples by the decomposition of M. S. Bartlett (1933): a triangular matrix of normal numbers with
roots of χ² numbers on its diagonal.
"""

from __future__ import annotations

import math
import warnings
from numbers import Number
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.chi2 import Chi2
from lampas.distributions.distribution import parameters
from lampas.distributions.exp_family import ExponentialFamily
from lampas.distributions.gaussian_factors import (
    FEW_DIMENSIONS,
    FactoredCovariance,
    factor_of,
    log_diagonal,
    only_matrix,
)
from lampas.engine.shape import Size, broadcast_shapes
from lampas.engine.tensor import (
    Tensor,
    arange,
    cholesky_solve,
    digamma,
    mvlgamma,
    randn,
    slogdet,
    tensor,
    tril_indices,
    where,
)

__all__ = ["Wishart"]

TRIES = 10  # how often a singular sample is drawn again


class Wishart(FactoredCovariance, ExponentialFamily):
    """p(X) ∝ det(X)^((df - p - 1)/2) exp(-tr(V⁻¹ X)/2): events (p, p), positive definite matrices.

    V (*batch, p, p) is given by one of `covariance_matrix`, `precision_matrix` and `scale_tril`, as
    in `MultivariateNormal`; df is (*batch). Raises ValueError unless df > p - 1, and AssertionError
    unless exactly one matrix is given. Warns where df < p, which often gives singular samples.

    >>> import lampas
    >>> Wishart(lampas.tensor(3.0), lampas.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = only_matrix(
            scale_tril=scale_tril,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
        )
        if given is None:
            raise AssertionError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        name, matrix = given
        if matrix.dim() < 2:
            raise ValueError(f"scale_tril {FEW_DIMENSIONS}")
        df = tensor(df, dtype=matrix.dtype) if isinstance(df, Number) else df
        batch_shape = Size(broadcast_shapes(matrix.shape[:-2], df.shape))
        self.df = df.expand(batch_shape)
        size = matrix.shape[-1]
        self._check_freedom(size)
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)
        freedom = self.df.unsqueeze(-1) - arange(size, dtype=self.df.dtype, device=self.df.device)
        self._dist_chi2 = Chi2(freedom)

    def _check_freedom(self, size: int) -> None:
        if (self.df <= size - 1).any():
            raise ValueError(
                f"Value of df={self.df} expected to be greater than ndim - 1 = {size - 1}."
            )
        if (self.df < size).any():
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for "
                "ndim - 1 < df < ndim.",
                stacklevel=3,
            )

    def _expanded(self, name: str, value: Any, batch_shape: Size) -> Any:
        if name == "_dist_chi2":
            return value.expand(batch_shape + self._event_shape[-1:])
        return super()._expanded(name, value, batch_shape)

    @property
    def arg_constraints(self) -> dict[str, Any]:
        return parameters(
            covariance_matrix=constraints.positive_definite,
            precision_matrix=constraints.positive_definite,
            scale_tril=constraints.lower_cholesky,
            df=constraints.greater_than(self._event_shape[-1] - 1),
        )

    def _square(self, matrix: Tensor) -> Tensor:
        """A matrix for each distribution of the batch."""
        return matrix.expand(self._batch_shape + self._event_shape)

    @property
    def mean(self) -> Tensor:
        return self.df.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = where(factor > 0, factor, math.nan)
        return factor.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.view(self._batch_shape + (1, 1)) * (covariance.pow(2) + outer)

    def _bartlett_sampling(self, sample_shape: Any = ()) -> Tensor:
        size = self._event_shape[-1]
        noise = self._dist_chi2.rsample(sample_shape).sqrt().diag_embed()
        rows, columns = tril_indices(size, size, offset=-1)
        shape = Size(sample_shape) + self._batch_shape + (size * (size - 1) // 2,)
        noise[..., rows, columns] = randn(shape, dtype=noise.dtype, device=noise.device)
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def _any_of_batch(self, matters: Tensor) -> Tensor:
        """Whether any matrix of the batch is marked, for each sample."""
        batch_dims = tuple(range(-len(self._batch_shape), 0))
        return matters.any(batch_dims) if batch_dims else matters

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Tensor:
        """Samples, of which singular ones are drawn again, up to `max_try_correction` times.

        Warns if some are singular after that.
        """
        shape = self._extended_shape(sample_shape)
        sample = self._bartlett_sampling(sample_shape)
        sample = sample.reshape((-1,) + self._batch_shape + self._event_shape)
        # In its first turn PyTorch draws the regular samples anew, not the singular ones. Its
        # numbers depend on that, so this does the same.
        is_due = self._any_of_batch(self.support.check(sample))
        for _ in range(TRIES if max_try_correction is None else max_try_correction):
            if not is_due.any():
                break
            again = self._bartlett_sampling(is_due[is_due].shape)
            sample[is_due] = again
            rest = is_due.clone()  # the derivative of the assignment needs is_due as it was
            rest[is_due] = self._any_of_batch(~self.support.check(again))
            is_due = rest
        if is_due.any():
            warnings.warn("Singular sample detected.", stacklevel=2)
        return sample.reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        size, factor = self._event_shape[-1], self._unbroadcasted_scale_tril
        trace = cholesky_solve(value, factor).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        return (
            -self.df * (size * math.log(2) / 2 + log_diagonal(factor))
            - mvlgamma(self.df / 2, p=size)
            + (self.df - size - 1) / 2 * slogdet(value).logabsdet
            - trace / 2
        )

    def entropy(self) -> Tensor:
        size, half = self._event_shape[-1], self.df / 2
        places = arange(size, dtype=half.dtype, device=half.device) / 2
        of_log = digamma(half.unsqueeze(-1) - places).sum(-1)
        volume = size * math.log(2) / 2 + log_diagonal(self._unbroadcasted_scale_tril)
        return (
            (size + 1) * volume
            + mvlgamma(half, p=size)
            - (self.df - size - 1) / 2 * of_log
            + self.df * size / 2
        )

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        first, second = natural_params
        size = self._event_shape[-1]
        half = second + (size + 1) / 2
        volume = -slogdet(-2 * first).logabsdet + size * math.log(2)
        return half * volume + mvlgamma(half, p=size)
