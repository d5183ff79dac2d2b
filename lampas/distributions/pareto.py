"""The Pareto distribution: a power law above a scale."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.exponential import Exponential
from lampas.distributions.transform_elements import AffineTransform, ExpTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.distributions.utils import broadcast_all
from lampas.engine.tensor import Tensor

__all__ = ["Pareto"]


class Pareto(TransformedDistribution):
    """p(x) = alpha · scale^alpha/x^(alpha + 1) for x ≥ scale, with batch shape that of both.

    The mean is infinite for alpha ≤ 1, the variance for alpha ≤ 2. Raises ValueError unless both are
    positive.

    >>> Pareto(1.0, 3.0).mean
    tensor(1.5000)
    """

    arg_constraints = parameters(alpha=constraints.positive, scale=constraints.positive)

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        transforms = [ExpTransform(), AffineTransform(loc=0, scale=self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        alpha = self.alpha.clamp(min=1)  # infinite at one, and below
        return alpha * self.scale / (alpha - 1)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        alpha = self.alpha.clamp(min=2)
        return self.scale.pow(2) * alpha / ((alpha - 1).pow(2) * (alpha - 2))

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())
