"""The Fisher-Snedecor (F) distribution: the ratio of two χ² numbers by their degrees of freedom."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.gamma import Gamma
from lampas.distributions.utils import batch_shape_of, broadcast_all, limits
from lampas.engine.tensor import Tensor, lgamma, where

__all__ = ["FisherSnedecor"]


class FisherSnedecor(Distribution):
    """The distribution of (X₁/df1)/(X₂/df2), where Xᵢ ~ Chi2(dfᵢ); batch shape that of both.

    The mean is NaN for df2 ≤ 2, the variance for df2 ≤ 4. Raises ValueError unless both are positive.

    >>> FisherSnedecor(3.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = parameters(df1=constraints.positive, df2=constraints.positive)
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        self._gamma1 = Gamma(self.df1 * 0.5, self.df1)
        self._gamma2 = Gamma(self.df2 * 0.5, self.df2)
        super().__init__(batch_shape_of(self.df1, df1, df2), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Tensor:
        value = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 > 2, value, math.nan)

    @property
    def variance(self) -> Tensor:
        first, second = self.df1, self.df2
        value = 2 * second.pow(2) * (first + second - 2)
        value = value / (first * (second - 2).pow(2) * (second - 4))
        return where(second > 4, value, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        above = self._gamma1.rsample(sample_shape).view(shape)
        below = self._gamma2.rsample(sample_shape).view(shape)
        tiny = limits(below).tiny
        below.detach().clamp_(min=tiny)
        ratio = above / below
        ratio.detach().clamp_(min=tiny)
        return ratio

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        first, second, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        total = first + second
        constant = lgamma(total) - lgamma(first) - lgamma(second)
        powers = first * ratio.log() + (first - 1) * value.log()
        return constant + powers - total * (ratio * value).log1p()
