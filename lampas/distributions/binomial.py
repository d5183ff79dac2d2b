"""The binomial distribution: successes in a number of trials."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.binary import BinaryParameters
from lampas.distributions.distribution import parameters
from lampas.distributions.utils import broadcast_all, enumerated, one_of_probs_and_logits
from lampas.engine.tensor import Tensor, arange, binomial, lgamma, no_grad
from lampas.nn.functional.activation import logsigmoid

__all__ = ["Binomial"]


class Binomial(BinaryParameters):
    """P(X = k) ∝ p^k (1 - p)^(n - k) for k = 0, ..., n, with n = total_count, p = probs.

    Batch shape is that of `total_count` and `probs`, or `logits`. Raises ValueError unless exactly
    one of these two is given, and for counts and probabilities out of range; NotImplementedError
    for entropy and enumeration over different counts.

    >>> import lampas
    >>> Binomial(4, lampas.tensor(0.5)).mean
    tensor(2.)
    """

    arg_constraints = parameters(
        total_count=constraints.nonnegative_integer,
        probs=constraints.unit_interval,
        logits=constraints.real,
    )
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name = one_of_probs_and_logits(probs, logits)
        self.total_count, given = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = self.total_count.type_as(given)
        self._set_parameter(name, given)
        super().__init__(given.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        count, logits = self.total_count, self.logits
        log_factorials = lgamma(count + 1) - lgamma(value + 1) - lgamma(count - value + 1)
        # n · log(1 + exp(logits)), which neither sign overflows.
        of_all = -count * logsigmoid(-logits)
        return value * logits + log_factorials - of_all

    def _one_count(self, use: str) -> int:
        count = int(self.total_count.max())
        if not self.total_count.min() == count:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{use}`.")
        return count

    def entropy(self) -> Tensor:
        self._one_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        count = self._one_count("enumerate_support")
        values = arange(1 + count, dtype=self._param.dtype, device=self._param.device)
        return enumerated(values, self._batch_shape, expand)
