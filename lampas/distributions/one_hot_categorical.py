"""The categorical distribution on one-hot vectors, also with a straight-through gradient.

The straight-through estimator is that of Y. Bengio, N. Léonard and A. Courville (2013).
"""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.categorical import PROBABILITIES, Categorical
from lampas.distributions.distribution import Distribution
from lampas.distributions.utils import enumerated
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, eye
from lampas.nn.functional.linear import one_hot

__all__ = ["OneHotCategorical", "OneHotCategoricalStraightThrough"]


class OneHotCategorical(Distribution):
    """One-hot vectors, of which index k is one with probability probs[..., k]: events of shape (K,).

    Takes `probs` or `logits` as `Categorical` does, and raises the same errors.

    >>> import lampas
    >>> OneHotCategorical(lampas.tensor([0.25, 0.75])).mode
    tensor([0., 1.])
    """

    arg_constraints = PROBABILITIES
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def probs(self) -> Tensor:
        """The probabilities, which sum to one."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The log probabilities."""
        return self._categorical.logits

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        likely = self.probs.argmax(dim=-1)
        return one_hot(likely, num_classes=self.probs.shape[-1]).to(self.probs)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._categorical.param_shape

    def sample(self, sample_shape: Any = ()) -> Tensor:
        drawn = self._categorical.sample(sample_shape)
        return one_hot(drawn, self._event_shape[0]).to(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = eye(self._event_shape[0], dtype=self._param.dtype, device=self._param.device)
        return enumerated(values, self._batch_shape, expand)


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot samples through which gradients go as if they were the probabilities.

    >>> import lampas
    >>> OneHotCategoricalStraightThrough(lampas.tensor([0.0, 1.0])).rsample()
    tensor([0., 1.])
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = self.sample(sample_shape)
        return drawn + (self.probs - self.probs.detach())
