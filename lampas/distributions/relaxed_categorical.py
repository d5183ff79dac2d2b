"""Relaxed one-hot vectors, on the simplex and differentiable in their parameters.

C. J. Maddison, A. Mnih and Y. W. Teh, The Concrete distribution (ICLR 2017); E. Jang, S. Gu and
B. Poole, Categorical reparameterization with Gumbel-Softmax (ICLR 2017).
"""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.categorical import PROBABILITIES, Categorical
from lampas.distributions.distribution import Distribution
from lampas.distributions.relaxation import Relaxation
from lampas.distributions.transform_elements import ExpTransform
from lampas.distributions.utils import broadcast_all, clamp_probs
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, full_like, lgamma, rand

__all__ = ["ExpRelaxedCategorical", "RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(Distribution):
    """The logarithm of `RelaxedOneHotCategorical`: Gumbel noise on logits, divided and normalised.

    Takes `probs` or `logits` as `Categorical` does, and raises the same errors.

    >>> import lampas
    >>> ExpRelaxedCategorical(lampas.tensor(1.0), lampas.tensor([0.5, 0.5])).event_shape
    torch.Size([2])
    """

    arg_constraints = PROBABILITIES
    support: Any = constraints.real_vector  # the vectors whose exp sums to one form no constraint
    has_rsample: Any = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Tensor:
        """The log probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities, which sum to one."""
        return self._categorical.probs

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        logits = self.logits
        drawn = clamp_probs(rand(shape, dtype=logits.dtype, device=logits.device))
        gumbels = -((-(drawn.log())).log())
        scores = (logits + gumbels) / self.temperature
        return scores - scores.logsumexp(dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        size = self._categorical._num_events
        logits, value = broadcast_all(self.logits, value)
        temperature = full_like(self.temperature, float(size))
        log_scale = lgamma(temperature) - self.temperature.log().mul(-(size - 1))
        scores = logits - value.mul(self.temperature)
        return (scores - scores.logsumexp(dim=-1, keepdim=True)).sum(-1) + log_scale


class RelaxedOneHotCategorical(Relaxation):
    """Shares that become one-hot vectors as the temperature, a tensor, goes to zero: events (K,).

    Takes `probs` or `logits` as `Categorical` does, and raises the same errors.

    >>> import lampas
    >>> RelaxedOneHotCategorical(lampas.tensor(1.0), lampas.tensor([0.5, 0.5])).probs
    tensor([0.5000, 0.5000])
    """

    arg_constraints = PROBABILITIES
    support: Any = constraints.simplex

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)
