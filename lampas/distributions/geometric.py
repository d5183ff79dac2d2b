"""The geometric distribution: the number of failures before the first success."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.binary import PROBABILITY, BinaryParameters
from lampas.distributions.utils import (
    batch_shape_of,
    broadcast_all,
    limits,
    one_of_probs_and_logits,
)
from lampas.engine.tensor import Tensor, no_grad, where, zeros_like
from lampas.nn.functional.loss import binary_cross_entropy_with_logits

__all__ = ["Geometric"]


class Geometric(BinaryParameters):
    """P(X = k) = (1 - p)^k p for k = 0, 1, ..., where p = probs = sigmoid(logits).

    Raises ValueError unless exactly one of `probs` and `logits` is given, and for probabilities
    outside (0, 1].

    >>> import lampas
    >>> Geometric(0.5).log_prob(lampas.tensor(1.0))
    tensor(-1.3863)
    """

    arg_constraints = PROBABILITY
    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = one_of_probs_and_logits(probs, logits)
        given = logits if probs is None else probs
        self._set_parameter(name, *broadcast_all(given))
        super().__init__(batch_shape_of(self._param, given), validate_args=validate_args)
        if self._validate_args and probs is not None:
            self._check_positive(self._param)

    def _check_positive(self, probs: Tensor) -> None:
        valid = probs > 0
        if not valid.all():
            raise ValueError(
                f"Expected parameter probs ({type(probs).__name__} of shape "
                f"{tuple(probs.shape)}) of distribution {self!r} to be positive but found "
                f"invalid values:\n{probs.reshape(-1)[~valid.reshape(-1)]}"
            )

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            drawn = self.probs.new_empty(shape).uniform_(limits(self.probs).tiny, 1)
            return (drawn.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        value, probs = broadcast_all(value, self.probs)
        # log(1 - 1) is only reached where zero failures leave no factor of it.
        probs = where((probs == 1) & (value == 0), 0.0, probs)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        of_one = binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return of_one / self.probs
