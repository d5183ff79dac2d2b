"""The negative binomial distribution: successes before a number of failures."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.binary import BinaryParameters
from lampas.distributions.distribution import parameters
from lampas.distributions.gamma import Gamma
from lampas.distributions.utils import broadcast_all, lazy_property, one_of_probs_and_logits
from lampas.engine.tensor import Tensor, lgamma, no_grad, poisson, where
from lampas.nn.functional.activation import logsigmoid

__all__ = ["NegativeBinomial"]


class NegativeBinomial(BinaryParameters):
    """P(X = k) ∝ p^k (1 - p)^r for k = 0, 1, ..., where r = total_count and p = probs.

    Batch shape is that of `total_count` and `probs`, or `logits`. Raises ValueError unless exactly
    one of these two is given, and for parameters out of range.

    >>> import lampas
    >>> NegativeBinomial(3.0, lampas.tensor(0.5)).mean
    tensor(3.)
    """

    arg_constraints = parameters(
        total_count=constraints.greater_than_eq(0),
        probs=constraints.half_open_interval(0.0, 1.0),
        logits=constraints.real,
    )
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name = one_of_probs_and_logits(probs, logits)
        self.total_count, given = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = self.total_count.type_as(given)
        self._set_parameter(name, given)
        super().__init__(given.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    @lazy_property
    def _gamma(self) -> Gamma:
        """The rates of the Poisson numbers that samples are."""
        return Gamma(self.total_count, (-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        count = self.total_count
        chances = count * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        ways = lgamma(count + value) - lgamma(1.0 + value) - lgamma(count)
        # Zero failures leave only zero successes, where lgamma would be infinite twice.
        return chances + where(count + value == 0.0, 0.0, ways)
