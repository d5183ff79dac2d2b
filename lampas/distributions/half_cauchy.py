"""The half-Cauchy distribution: the absolute value of a Cauchy number around zero."""

from __future__ import annotations

import math

from lampas.distributions.cauchy import Cauchy
from lampas.distributions.folded import Folded
from lampas.engine.tensor import Tensor, as_tensor, full

__all__ = ["HalfCauchy"]


class HalfCauchy(Folded):
    """|X| for X ~ Cauchy(0, scale), with batch shape that of scale; its mean is infinite.

    Raises ValueError unless scale > 0.

    >>> import lampas
    >>> HalfCauchy(1.0).cdf(lampas.tensor(1.0))
    tensor(0.5000)
    """

    symmetric = Cauchy

    @property
    def mean(self) -> Tensor:
        scale = self.scale
        return full(self._extended_shape(), math.inf, dtype=scale.dtype, device=scale.device)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        scale = self.scale
        return super().log_prob(as_tensor(value, dtype=scale.dtype, device=scale.device))
