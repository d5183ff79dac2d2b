"""The Poisson distribution: counts of events of a constant rate."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.exp_family import ExponentialFamily
from lampas.distributions.utils import batch_shape_of, broadcast_all
from lampas.engine.tensor import Tensor, lgamma, no_grad, poisson, xlogy

__all__ = ["Poisson"]


class Poisson(ExponentialFamily):
    """P(X = k) = rate^k exp(-rate)/k!, with batch shape that of rate.

    Raises ValueError for a negative rate.

    >>> import lampas
    >>> Poisson(2.0).log_prob(lampas.tensor(0.0))
    tensor(-2.)
    """

    arg_constraints = parameters(rate=constraints.nonnegative)
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(batch_shape_of(self.rate, rate), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return poisson(self.rate.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        rate, value = broadcast_all(self.rate, value)
        return xlogy(value, rate) - rate - lgamma(value + 1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.rate.log(),)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return natural_params[0].exp()
