"""The Weibull distribution: a power of an exponential number."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.exponential import Exponential
from lampas.distributions.transform_elements import AffineTransform, PowerTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.distributions.utils import broadcast_all, euler_constant
from lampas.engine.tensor import Tensor, lgamma, ones_like

__all__ = ["Weibull"]


class Weibull(TransformedDistribution):
    """scale · E^(1/concentration) for E ~ Exponential(1), with batch shape that of both.

    Raises ValueError unless both are positive.

    >>> Weibull(2.0, 1.0).mean
    tensor(2.)
    """

    arg_constraints = parameters(scale=constraints.positive, concentration=constraints.positive)
    support: Any = constraints.positive
    _also_expanded = ("concentration_reciprocal",)

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(ones_like(self.scale), validate_args=validate_args)
        power = PowerTransform(exponent=self.concentration_reciprocal)
        transforms = [power, AffineTransform(loc=0, scale=self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    def _moment(self, order: int) -> Tensor:
        """The mean of a power of E^(1/concentration)."""
        return lgamma(1 + order * self.concentration_reciprocal).exp()

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        share = (self.concentration - 1) / self.concentration
        return self.scale * share**self.concentration_reciprocal

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (self._moment(2) - self._moment(1).pow(2))

    def entropy(self) -> Tensor:
        of_power = euler_constant * (1 - self.concentration_reciprocal)
        return of_power + (self.scale * self.concentration_reciprocal).log() + 1
