"""The χ² distribution: the sum of squares of `df` standard normal numbers."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.gamma import Gamma
from lampas.engine.tensor import Tensor

__all__ = ["Chi2"]


class Chi2(Gamma):
    """Gamma(df/2, 1/2), with batch shape that of df.

    Raises ValueError unless df > 0.

    >>> Chi2(3.0).mean
    tensor(3.)
    """

    arg_constraints = parameters(df=constraints.positive)
    _also_expanded = ("concentration", "rate")

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return self.concentration * 2
