"""The inverse gamma distribution: the reciprocal of a gamma number."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.gamma import Gamma
from lampas.distributions.transform_elements import PowerTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.engine.tensor import Tensor, digamma, lgamma, where

__all__ = ["InverseGamma"]


class InverseGamma(TransformedDistribution):
    """1/X for X ~ Gamma(concentration, rate), with batch shape that of both.

    The mean is infinite for concentrations up to 1, the variance up to 2. Raises ValueError unless
    both are positive.

    >>> InverseGamma(3.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = parameters(concentration=constraints.positive, rate=constraints.positive)
    support: Any = constraints.positive
    has_rsample: Any = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        reciprocal = PowerTransform(-base.rate.new_ones(()))
        super().__init__(base, reciprocal, validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        """The gamma number's concentration."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Tensor:
        """The gamma number's rate."""
        return self.base_dist.rate

    @property
    def mean(self) -> Tensor:
        above = self.concentration - 1
        return where(above > 0, self.rate / above, math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        above = self.concentration - 1
        return where(above > 1, self.rate.square() / (above.square() * (above - 1)), math.inf)

    def entropy(self) -> Tensor:
        alpha = self.concentration
        return alpha + self.rate.log() + lgamma(alpha) - (1 + alpha) * digamma(alpha)
