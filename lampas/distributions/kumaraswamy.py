"""The Kumaraswamy distribution on [0, 1], whose cumulative probability is a plain power expression."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.transform_elements import AffineTransform, PowerTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.distributions.uniform import Uniform
from lampas.distributions.utils import broadcast_all, euler_constant
from lampas.engine.tensor import Tensor, digamma, full_like, lgamma, where

__all__ = ["Kumaraswamy"]


class Kumaraswamy(TransformedDistribution):
    """P(X ≤ x) = 1 - (1 - x^a)^b for x in [0, 1]; a = concentration1, b = concentration0.

    Batch shape is that of both. Raises ValueError unless both are positive.

    >>> Kumaraswamy(1.0, 1.0).mean
    tensor(0.5000)
    """

    arg_constraints = parameters(
        concentration1=constraints.positive, concentration0=constraints.positive
    )
    support: Any = constraints.unit_interval
    has_rsample: Any = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        low, high = full_like(self.concentration0, 0), full_like(self.concentration0, 1)
        transforms = [
            PowerTransform(exponent=self.concentration0.reciprocal()),
            AffineTransform(loc=1.0, scale=-1.0),
            PowerTransform(exponent=self.concentration1.reciprocal()),
        ]
        base = Uniform(low, high, validate_args=validate_args)
        super().__init__(base, transforms, validate_args=validate_args)

    def _moment(self, order: int) -> Tensor:
        """The mean of a power: b · B(1 + order/a, b)."""
        place, b = 1 + order / self.concentration1, self.concentration0
        return b * (lgamma(place) + lgamma(b) - lgamma(place + b)).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        # PyTorch's expression takes logarithms of negative numbers wherever there is a mode: NaN
        # is its answer for all parameters, and this one.
        first, second = self.concentration0, self.concentration1
        log_mode = first.reciprocal() * (-first).log1p() - (-first * second).log1p()
        return where((first < 1) | (second < 1), math.nan, log_mode).exp()

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self.mean.pow(2)

    def entropy(self) -> Tensor:
        of_one = 1 - self.concentration1.reciprocal()
        of_zero = 1 - self.concentration0.reciprocal()
        harmonic = digamma(self.concentration0 + 1) + euler_constant
        sizes = self.concentration1.log() + self.concentration0.log()
        return of_zero + of_one * harmonic - sizes
