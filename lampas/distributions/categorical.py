"""The categorical distribution: one of the indices 0, ..., K - 1."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.utils import (
    enumerated,
    lazy_property,
    limits,
    logits_to_probs,
    normalized_logits,
    one_of_probs_and_logits,
    probs_to_logits,
)
from lampas.engine.dtype import int64
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, arange, broadcast_tensors, full, multinomial, no_grad

__all__ = ["Categorical"]

PROBABILITIES = parameters(probs=constraints.simplex, logits=constraints.real_vector)


class Categorical(Distribution):
    """P(X = k) = probs[..., k], or softmax(logits)[..., k]; the parameter is (*batch, K).

    `probs` are divided by their sum, and logits made log probabilities. Samples are int64. Raises
    ValueError unless exactly one of the two is given, with a dimension, and for probabilities that
    are negative.

    >>> import lampas
    >>> Categorical(lampas.tensor([1.0, 3.0])).log_prob(lampas.tensor(1))
    tensor(-0.2877)
    """

    arg_constraints = PROBABILITIES
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._given = one_of_probs_and_logits(probs, logits)
        given = logits if probs is None else probs
        if given.dim() < 1:
            raise ValueError(f"`{self._given}` parameter must be at least one-dimensional.")
        normalized = (
            normalized_logits(given) if probs is None else given / given.sum(-1, keepdim=True)
        )
        setattr(self, self._given, normalized)
        self._num_events = given.size()[-1]
        super().__init__(self._param.size()[:-1], validate_args=validate_args)

    @property
    def _param(self) -> Tensor:
        """The parameter that was given."""
        return getattr(self, self._given)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new_empty(*args, **kwargs)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Any:
        """The log probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Any:
        """The probabilities, which sum to one."""
        return logits_to_probs(self.logits)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._param.size()

    def _undefined(self) -> Tensor:
        return full(
            self._extended_shape(), math.nan, dtype=self.probs.dtype, device=self.probs.device
        )

    @property
    def mean(self) -> Tensor:
        return self._undefined()  # indices have no order

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(dim=-1)

    @property
    def variance(self) -> Tensor:
        return self._undefined()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        sample_shape = Size(sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = multinomial(rows, sample_shape.numel(), True).T
            return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        value, log_probs = broadcast_tensors(value.to(int64).unsqueeze(-1), self.logits)
        return log_probs.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        # Categories of probability zero count as nothing, not as 0 · inf.
        finite = self.logits.clamp(min=limits(self.logits).min)
        return -(finite * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = arange(self._num_events, dtype=int64, device=self._param.device)
        return enumerated(values, self._batch_shape, expand)
