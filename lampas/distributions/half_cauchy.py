"""The half-Cauchy distribution: the absolute value of a centred Cauchy number."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.cauchy import Cauchy
from lampas.distributions.distribution import parameters
from lampas.distributions.transform_elements import AbsTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.engine.tensor import Tensor, as_tensor, full, where, zeros_like

__all__ = ["HalfCauchy"]


class HalfCauchy(TransformedDistribution):
    """|X| for X ~ Cauchy(0, scale), with batch shape that of scale; its mean is infinite.

    Raises ValueError unless scale > 0.

    >>> import lampas
    >>> HalfCauchy(1.0).cdf(lampas.tensor(1.0))
    tensor(0.5000)
    """

    arg_constraints = parameters(scale=constraints.positive)
    support: Any = constraints.nonnegative
    has_rsample: Any = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = Cauchy(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """The median."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        scale = self.scale
        return full(self._extended_shape(), math.inf, dtype=scale.dtype, device=scale.device)

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        scale = self.scale
        value = as_tensor(value, dtype=scale.dtype, device=scale.device)
        return where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, prob: Tensor) -> Tensor:
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)
