"""The generalized Pareto distribution of excesses over a threshold (J. Pickands, 1975)."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.utils import batch_shape_of, broadcast_all
from lampas.engine.tensor import Tensor, isclose, rand, where, zeros_like

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """P(X > x) = (1 + ξz)^(-1/ξ) with z = (x - loc)/scale; exp(-z) where the concentration ξ is 0.

    Samples lie in [loc, inf), or up to loc - scale/ξ for ξ < 0. The mean is NaN for ξ ≥ 1, the
    variance for ξ ≥ 1/2. Raises ValueError unless scale > 0.

    >>> import lampas
    >>> GeneralizedPareto(0.0, 1.0, 1.0).cdf(lampas.tensor(1.0))
    tensor(0.5000)
    """

    arg_constraints = parameters(
        loc=constraints.real, scale=constraints.positive, concentration=constraints.real
    )
    has_rsample = True

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        batch_shape = batch_shape_of(self.loc, loc, scale, concentration)
        super().__init__(batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, where(self.concentration < 0, end, math.inf))

    def _is_exponential(self) -> Tensor:
        return isclose(self.concentration, zeros_like(self.concentration))

    def _divisor(self, is_exponential: Tensor) -> Tensor:
        """The concentration, where one divides by it; elsewhere one, so that gradients stay finite."""
        return where(is_exponential, 1.0, self.concentration)

    @property
    def mean(self) -> Tensor:
        is_finite = self.concentration < 1
        below = where(is_finite, 1 - self.concentration, 0.5)
        return where(is_finite, self.loc + self.scale / below, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        is_finite = self.concentration < 0.5
        safe = where(is_finite, self.concentration, 0.25)
        value = self.scale**2 / ((1 - safe) ** 2 * (1 - 2 * safe))
        return where(is_finite, value, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        distance = (value - self.loc) / self.scale
        is_exponential = self._is_exponential()
        divisor = self._divisor(is_exponential)
        heavy = -(1 / divisor + 1) * (divisor * distance).log1p()
        return where(is_exponential, -distance, heavy) - self.scale.log()

    def log_survival_function(self, value: Tensor) -> Tensor:
        """log P(X > value)."""
        self._check_value(value)
        distance = (value - self.loc) / self.scale
        is_exponential = self._is_exponential()
        divisor = self._divisor(is_exponential)
        return where(is_exponential, -distance, -(divisor * distance).log1p() / divisor)

    def log_cdf(self, value: Tensor) -> Tensor:
        """log P(X ≤ value)."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return -self.log_survival_function(value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        log_rest = (-value).log1p()
        is_exponential = self._is_exponential()
        divisor = self._divisor(is_exponential)
        heavy = self.loc + self.scale * (-divisor * log_rest).expm1() / divisor
        return where(is_exponential, self.loc - self.scale * log_rest, heavy)

    def entropy(self) -> Tensor:
        return (self.scale.log() + self.concentration + 1).expand(self._batch_shape)
