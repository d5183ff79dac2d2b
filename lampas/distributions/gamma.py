"""The gamma distribution. Its samples' gradient is implicit: that of PyTorch's `_standard_gamma`."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.exp_family import ExponentialFamily
from lampas.distributions.utils import batch_shape_of, broadcast_all, limits
from lampas.engine.tensor import (
    Tensor,
    _standard_gamma,
    as_tensor,
    digamma,
    igamma,
    lgamma,
    xlogy,
)

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """p(x) = rate^α x^(α - 1) exp(-rate x)/Γ(α) for x > 0, where α is the concentration.

    Batch shape is that of both parameters. Raises ValueError unless both are positive.

    >>> import lampas
    >>> Gamma(1.0, 2.0).log_prob(lampas.tensor(1.0))
    tensor(-1.3069)
    """

    arg_constraints = parameters(concentration=constraints.positive, rate=constraints.positive)
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        batch_shape = batch_shape_of(self.rate, concentration, rate)
        super().__init__(batch_shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        value = _standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        # Zero has no logarithm; the gradient passes as if nothing had been moved.
        value.detach().clamp_(min=limits(value).tiny)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        value = as_tensor(value, dtype=self.rate.dtype, device=self.rate.device)
        self._check_value(value)
        return (
            xlogy(self.concentration, self.rate)
            + xlogy(self.concentration - 1, value)
            - self.rate * value
            - lgamma(self.concentration)
        )

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return igamma(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        alpha = self.concentration
        return alpha - self.rate.log() + lgamma(alpha) + (1.0 - alpha) * digamma(alpha)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        shape, negative_rate = natural_params
        return lgamma(shape + 1) + (shape + 1) * (-negative_rate.reciprocal()).log()
