"""The multinomial distribution: how often each category came in a number of trials."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.binomial import Binomial
from lampas.distributions.categorical import PROBABILITIES, Categorical
from lampas.distributions.distribution import Distribution
from lampas.distributions.utils import broadcast_all
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, lgamma, no_grad, ones_like, tensor, where

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """Counts of K categories in `total_count` draws from `Categorical(probs, logits)`: events (K,).

    Raises NotImplementedError for a `total_count` that is no int, and the errors of `Categorical`.

    >>> import lampas
    >>> Multinomial(4, lampas.tensor([0.25, 0.75])).mean
    tensor([1., 3.])
    """

    arg_constraints = PROBABILITIES

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def _expanded(self, name: str, value: Any, batch_shape: Size) -> Any:
        # The binomial numbers of the single categories have the events' dimension in their batch.
        if name == "_binomial":
            return value.expand(batch_shape + self._event_shape)
        return super()._expanded(name, value, batch_shape)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)

    @property
    def probs(self) -> Tensor:
        """The probabilities, which sum to one."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The log probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        sample_shape = Size(sample_shape)
        with no_grad():
            # Trials lie along the first dimension, and are counted along the last.
            trials = self._categorical.sample(Size((self.total_count,)) + sample_shape)
            trials = trials.permute(*range(1, trials.dim()), 0)
            counts = self._new(self._extended_shape(sample_shape)).zero_()
            counts.scatter_add_(-1, trials, ones_like(trials, dtype=counts.dtype))
            return counts

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        logits, value = broadcast_all(self.logits, value)
        # An impossible category that did not come takes nothing away.
        logits = where((value == 0) & (logits == float("-inf")), 0.0, logits)
        ways = lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        count = tensor(self.total_count, dtype=self.probs.dtype)
        of_trials = count * self._categorical.entropy() - lgamma(count + 1)
        counts = self._binomial.enumerate_support(expand=False)[1:]
        chances = self._binomial.log_prob(counts).exp()
        return of_trials + (chances * lgamma(counts + 1)).sum([0, -1])
