"""The Dirichlet distribution of shares that sum to one.

The gradient of samples is implicit (M. Jankowiak and F. Obermeyer, Pathwise derivatives beyond the
reparameterization trick, ICML 2018).
"""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import parameters
from lampas.distributions.exp_family import ExponentialFamily
from lampas.engine.tensor import (
    Tensor,
    _dirichlet_grad,
    _sample_dirichlet,
    digamma,
    lgamma,
    where,
    xlogy,
)
from lampas.engine.tensor.custom_function import Function
from lampas.nn.functional.linear import one_hot

__all__ = ["Dirichlet"]


class _Shares(Function):
    """Dirichlet numbers as a function of their concentration."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor) -> Tensor:
        shares = _sample_dirichlet(concentration)
        ctx.save_for_backward(shares, concentration)
        return shares

    @staticmethod
    def backward(ctx: Any, flow: Tensor) -> Tensor:
        shares, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        slope = _dirichlet_grad(shares, concentration, total)
        return slope * (flow - (shares * flow).sum(-1, True))


class Dirichlet(ExponentialFamily):
    """p(x) = Γ(Σα) ∏ xᵢ^(αᵢ - 1)/Γ(αᵢ) on the simplex; α = concentration, (*batch, shares).

    Raises ValueError for a concentration of no dimension, or one that is not positive.

    >>> import lampas
    >>> Dirichlet(lampas.tensor([1.0, 3.0])).mean
    tensor([0.2500, 0.7500])
    """

    arg_constraints = parameters(concentration=constraints.independent(constraints.positive, 1))
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        above_one = (self.concentration - 1).clamp(min=0.0)
        inside = above_one / above_one.sum(-1, True)
        corner = one_hot(inside.argmax(dim=-1), inside.shape[-1]).to(inside.dtype)
        return where((self.concentration < 1).all(dim=-1, keepdim=True), corner, inside)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        spread = self.concentration * (total - self.concentration)
        return spread / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return _Shares.apply(self.concentration.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        alpha = self.concentration
        return xlogy(alpha - 1.0, value).sum(-1) - _log_beta(alpha)

    def entropy(self) -> Tensor:
        alpha = self.concentration
        total = alpha.sum(-1)
        size = alpha.size(-1)
        of_total = (size - total) * digamma(total)
        return _log_beta(alpha) - of_total - ((alpha - 1.0) * digamma(alpha)).sum(-1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return _log_beta(natural_params[0])


def _log_beta(concentration: Tensor) -> Tensor:
    """log of the multivariate Beta function."""
    return lgamma(concentration).sum(-1) - lgamma(concentration.sum(-1))
