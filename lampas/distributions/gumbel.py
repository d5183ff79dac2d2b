"""The Gumbel distribution of the largest of many numbers."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.transform_elements import AffineTransform, ExpTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.distributions.uniform import Uniform
from lampas.distributions.utils import broadcast_all, euler_constant, is_number, limits
from lampas.engine.tensor import Tensor, full_like, ones_like

__all__ = ["Gumbel"]


class Gumbel(TransformedDistribution):
    """loc - scale · log(-log U) for a uniform U, with batch shape that of loc and scale.

    Raises ValueError unless scale > 0.

    >>> Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    arg_constraints = parameters(loc=constraints.real, scale=constraints.positive)
    support: Any = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        limit = limits(self.loc)
        low, high = limit.tiny, 1 - limit.eps
        if not is_number(loc, scale):
            low, high = full_like(self.loc, low), full_like(self.loc, high)
        negative_log = [ExpTransform().inv, AffineTransform(loc=0, scale=-ones_like(self.scale))]
        turned = AffineTransform(loc=self.loc, scale=-self.scale)
        base = Uniform(low, high, validate_args=validate_args)
        transforms = [*negative_log, ExpTransform().inv, turned]
        super().__init__(base, transforms, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * euler_constant

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev.pow(2)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        distance = (self.loc - value) / self.scale
        return (distance - distance.exp()) - self.scale.log()

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + euler_constant)
