"""The continuous Bernoulli distribution (G. Loaiza-Ganem and J. P. Cunningham, NeurIPS 2019).

Its normalizer divides by 1 - 2p, so that near p = 1/2 (between the two `lims`) Taylor expansions
around that point stand for the formulas.
"""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.binary import PROBABILITY, BinaryParameters
from lampas.distributions.exp_family import ExponentialFamily
from lampas.distributions.utils import (
    batch_shape_of,
    broadcast_all,
    clamp_probs,
    one_of_probs_and_logits,
)
from lampas.engine.tensor import Tensor, rand, where
from lampas.nn.functional.loss import binary_cross_entropy_with_logits

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(BinaryParameters, ExponentialFamily):
    """p(x) ∝ p^x (1 - p)^(1 - x) for x in [0, 1], where p = probs = sigmoid(logits).

    `lims` bound the region around 1/2 in which expansions are used. Raises ValueError unless exactly
    one of `probs` and `logits` is given, and for probabilities outside [0, 1].

    >>> import lampas
    >>> ContinuousBernoulli(0.5).mean
    tensor(0.5000)
    """

    arg_constraints = PROBABILITY
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        name = one_of_probs_and_logits(probs, logits)
        given = logits if probs is None else probs
        (value,) = broadcast_all(given)
        if name == "probs":
            # Clamped next, so that the check of the base class would let everything pass.
            if validate_args and not PROBABILITY["probs"].check(value).all():
                raise ValueError("The parameter probs has invalid values")
            value = clamp_probs(value)
        self._set_parameter(name, value)
        self._lims = lims
        super().__init__(batch_shape_of(value, given), validate_args=validate_args)

    def _is_stable(self) -> Tensor:
        """Where the formulas hold: outside of `lims`."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _stable_probs(self) -> Tensor:
        """`probs`, and a number that the formulas can take where they do not hold."""
        return where(self._is_stable(), self.probs, self._lims[0])

    def _log_norm(self) -> Tensor:
        """The logarithm of the normalizer."""
        probs = self._stable_probs()
        low = where(probs <= 0.5, probs, 0.0)
        high = where(probs >= 0.5, probs, 1.0)
        size = ((-probs).log1p() - probs.log()).abs().log()
        exact = size - where(probs <= 0.5, (-2.0 * low).log1p(), (2.0 * high - 1.0).log())
        square = (self.probs - 0.5).pow(2)
        near = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * square) * square
        return where(self._is_stable(), exact, near)

    @property
    def mean(self) -> Tensor:
        probs = self._stable_probs()
        exact = probs / (2.0 * probs - 1.0) + 1.0 / ((-probs).log1p() - probs.log())
        offset = self.probs - 0.5
        near = 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * offset.pow(2)) * offset
        return where(self._is_stable(), exact, near)

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    @property
    def variance(self) -> Tensor:
        probs = self._stable_probs()
        exact = probs * (probs - 1.0) / (1.0 - 2.0 * probs).pow(2)
        exact = exact + 1.0 / ((-probs).log1p() - probs.log()).pow(2)
        square = (self.probs - 0.5).pow(2)
        near = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * square) * square
        return where(self._is_stable(), exact, near)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        logits, value = broadcast_all(self.logits, value)
        of_value = -binary_cross_entropy_with_logits(logits, value, reduction="none")
        return of_value + self._log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        probs = self._stable_probs()
        power = probs.pow(value) * (1.0 - probs).pow(1.0 - value)
        inside = where(
            self._is_stable(), (power + probs - 1.0) / (2.0 * probs - 1.0), value.to(probs.dtype)
        )
        return where(value <= 0.0, 0.0, where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        probs = self._stable_probs()
        log_miss = (-probs).log1p()
        rise = (-probs + value * (2.0 * probs - 1.0)).log1p() - log_miss
        return where(self._is_stable(), rise / (probs.log() - log_miss), value)

    def entropy(self) -> Tensor:
        log_miss, log_hit = (-self.probs).log1p(), self.probs.log()
        return self.mean * (log_miss - log_hit) - self._log_norm() - log_miss

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        x = natural_params[0]
        is_stable = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        safe = where(is_stable, x, self._lims[0] - 0.5)
        exact = (safe.exp() - 1).abs().log() - safe.abs().log()
        return where(is_stable, exact, 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0)
