"""Relaxed Bernoulli numbers, between 0 and 1 and differentiable in their parameters.

C. J. Maddison, A. Mnih and Y. W. Teh, The Concrete distribution (ICLR 2017); E. Jang, S. Gu and
B. Poole, Categorical reparameterization with Gumbel-Softmax (ICLR 2017).
"""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.binary import PROBABILITY, BinaryParameters
from lampas.distributions.relaxation import Relaxation
from lampas.distributions.transform_elements import SigmoidTransform
from lampas.distributions.utils import (
    batch_shape_of,
    broadcast_all,
    clamp_probs,
    one_of_probs_and_logits,
)
from lampas.engine.tensor import Tensor, rand

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class LogitRelaxedBernoulli(BinaryParameters):
    """(logits + L)/temperature for a logistic L: the log odds of `RelaxedBernoulli`.

    Raises ValueError unless exactly one of `probs` and `logits` is given, and for probabilities
    outside [0, 1].

    >>> import lampas
    >>> LogitRelaxedBernoulli(lampas.tensor(1.0), 0.5).log_prob(lampas.tensor(0.0))
    tensor(-1.3863)
    """

    arg_constraints = PROBABILITY
    support: Any = constraints.real

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        name = one_of_probs_and_logits(probs, logits)
        given = logits if probs is None else probs
        self._set_parameter(name, *broadcast_all(given))
        super().__init__(batch_shape_of(self._param, given), validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        drawn = clamp_probs(rand(shape, dtype=probs.dtype, device=probs.device))
        noise = drawn.log() - (-drawn).log1p()
        return (noise + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        logits, value = broadcast_all(self.logits, value)
        distance = logits - value * self.temperature
        return self.temperature.log() + distance - 2 * distance.exp().log1p()


class RelaxedBernoulli(Relaxation):
    """Numbers in (0, 1) that become Bernoulli numbers as the temperature, a tensor, goes to zero.

    Raises the errors of `LogitRelaxedBernoulli`.

    >>> import lampas
    >>> RelaxedBernoulli(lampas.tensor(1.0), 0.5).log_prob(lampas.tensor(0.25))
    tensor(0.)
    """

    arg_constraints = PROBABILITY
    support: Any = constraints.unit_interval

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)
