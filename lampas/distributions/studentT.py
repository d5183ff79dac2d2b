"""Student's t distribution: a normal number over the root of a χ² number by its degrees of freedom."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.chi2 import Chi2
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.utils import broadcast_all, standard_normal
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, digamma, full_like, lgamma, where

__all__ = ["StudentT"]


class StudentT(Distribution):
    """p(x) ∝ (1 + ((x - loc)/scale)²/df)^(-(df + 1)/2), with batch shape that of the parameters.

    The mean is NaN for df ≤ 1; the variance is infinite for 1 < df ≤ 2 and NaN below. Raises
    ValueError unless df > 0 and scale > 0.

    >>> import lampas
    >>> StudentT(1.0).log_prob(lampas.tensor(0.0))
    tensor(-1.1447)
    """

    arg_constraints = parameters(
        df=constraints.positive, loc=constraints.real, scale=constraints.positive
    )
    support = constraints.real
    has_rsample = True

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(Size(self.df.size()), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        finite = self.scale.pow(2) * self.df / (self.df - 2)
        return where(
            self.df > 2, finite, where(self.df <= 1, math.nan, full_like(finite, math.inf))
        )

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        drawn = standard_normal(shape, self.df.dtype, self.df.device)
        squares = self._chi2.rsample(sample_shape)
        return self.loc + self.scale * (drawn * (squares / self.df).rsqrt())

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        distance = (value - self.loc) / self.scale
        normalizer = (
            self.scale.log()
            + 0.5 * self.df.log()
            + 0.5 * math.log(math.pi)
            + lgamma(0.5 * self.df)
            - lgamma(0.5 * (self.df + 1.0))
        )
        return -0.5 * (self.df + 1.0) * (distance**2.0 / self.df).log1p() - normalizer

    def entropy(self) -> Tensor:
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = lgamma(half) + math.lgamma(0.5) - lgamma(more)
        slope = digamma(more) - digamma(half)
        return self.scale.log() + more * slope + 0.5 * self.df.log() + log_beta
