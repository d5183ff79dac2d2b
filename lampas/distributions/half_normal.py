"""The half-normal distribution: the absolute value of a normal number with mean zero."""

from __future__ import annotations

import math

from lampas.distributions.folded import Folded
from lampas.distributions.normal import Normal
from lampas.engine.tensor import Tensor

__all__ = ["HalfNormal"]


class HalfNormal(Folded):
    """|X| for X ~ Normal(0, scale), with batch shape that of scale.

    Raises ValueError unless scale > 0.

    >>> HalfNormal(1.0).mean
    tensor(0.7979)
    """

    symmetric = Normal

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (1 - 2 / math.pi)
