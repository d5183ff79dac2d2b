"""What the distributions of |X| have in common, for X symmetric around zero."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.transform_elements import AbsTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.engine.tensor import Tensor, where, zeros_like


class Folded(TransformedDistribution):
    """|X| for X of the family `symmetric` with location 0 and the given scale.

    Raises ValueError unless scale > 0.
    """

    symmetric: Any
    arg_constraints = parameters(scale=constraints.positive)
    support: Any = constraints.nonnegative
    has_rsample: Any = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = self.symmetric(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """The scale of the number whose absolute value it is."""
        return self.base_dist.scale

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, prob: Tensor) -> Tensor:
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)
