"""The logistic normal distribution on the simplex: stick breaking of normal numbers."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.normal import Normal
from lampas.distributions.transform_vectors import StickBreakingTransform
from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.engine.tensor import Tensor

__all__ = ["LogisticNormal"]


class LogisticNormal(TransformedDistribution):
    """Shares (*batch, K + 1) made by `StickBreakingTransform` of Normal(loc, scale) of (*batch, K).

    Raises ValueError unless scale > 0.

    >>> import lampas
    >>> LogisticNormal(lampas.zeros(2), lampas.ones(2)).event_shape
    torch.Size([3])
    """

    arg_constraints = parameters(loc=constraints.real, scale=constraints.positive)
    support: Any = constraints.simplex
    has_rsample: Any = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """The normal numbers' means."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The normal numbers' standard deviations."""
        return self.base_dist.base_dist.scale
