"""The Bernoulli distribution: one with a probability, else zero."""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.binary import PROBABILITY, BinaryParameters
from lampas.distributions.exp_family import ExponentialFamily
from lampas.distributions.utils import (
    batch_shape_of,
    broadcast_all,
    enumerated,
    one_of_probs_and_logits,
)
from lampas.engine.tensor import Tensor, arange, bernoulli, no_grad, where
from lampas.nn.functional.loss import binary_cross_entropy_with_logits

__all__ = ["Bernoulli"]


class Bernoulli(BinaryParameters, ExponentialFamily):
    """P(X = 1) = probs = sigmoid(logits), with batch shape that of the parameter.

    The mode is NaN where both values are equally likely. Raises ValueError unless exactly one of
    `probs` and `logits` is given, and for probabilities outside [0, 1].

    >>> import lampas
    >>> Bernoulli(0.25).log_prob(lampas.tensor([0.0, 1.0]))
    tensor([-0.2877, -1.3863])
    """

    arg_constraints = PROBABILITY
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = one_of_probs_and_logits(probs, logits)
        given = logits if probs is None else probs
        self._set_parameter(name, *broadcast_all(given))
        super().__init__(batch_shape_of(self._param, given), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        likely = (self.probs >= 0.5).to(self.probs.dtype)
        return where(self.probs == 0.5, math.nan, likely)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return bernoulli(self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = arange(2, dtype=self._param.dtype, device=self._param.device)
        return enumerated(values, self._batch_shape, expand)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return natural_params[0].exp().log1p()
