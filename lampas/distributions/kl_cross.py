"""KL divergences between distributions of different families.

KL(p ‖ q) = -H(p) - E[log q(x)], and the families of q need few things of p for the second term: its
mean and variance, E[log x] or E[exp(-x/s)]. So there is one function for each q, and tables say
which p have what it needs. Where p gives weight to values that q cannot have, KL is infinite.
"""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions.bernoulli import Bernoulli
from lampas.distributions.beta import Beta
from lampas.distributions.binomial import Binomial
from lampas.distributions.continuous_bernoulli import ContinuousBernoulli
from lampas.distributions.exponential import Exponential
from lampas.distributions.gamma import Gamma
from lampas.distributions.gumbel import Gumbel
from lampas.distributions.kl_registry import register_kl
from lampas.distributions.laplace import Laplace
from lampas.distributions.normal import Normal
from lampas.distributions.pareto import Pareto
from lampas.distributions.poisson import Poisson
from lampas.distributions.uniform import Uniform
from lampas.distributions.utils import euler_constant
from lampas.engine.tensor import Tensor, digamma, full_like, lgamma, where, xlogy

# Pairs for which q cannot have some values of p, whatever the parameters.
INFINITE = (
    (Beta, (Pareto,)),
    (ContinuousBernoulli, (Pareto,)),
    (Exponential, (Beta, ContinuousBernoulli, Pareto, Uniform)),
    (Gamma, (Beta, ContinuousBernoulli, Pareto, Uniform)),
    (Gumbel, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Laplace, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Normal, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Pareto, (Beta, ContinuousBernoulli, Uniform)),
    (Poisson, (Bernoulli, Binomial)),
)


def _infinite(p: Any, q: Any) -> Tensor:
    return full_like(p.mean, math.inf)


for _p, _kinds in INFINITE:
    for _q in _kinds:
        register_kl(_p, _q)(_infinite)


# What q asks of p ---------------------------------------------------------------------------------


def _mean_of_log(p: Any) -> Tensor:
    """E[log x]."""
    if isinstance(p, Beta):
        return digamma(p.concentration1) - digamma(p.concentration1 + p.concentration0)
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return _mean_of_log_between(p.low, p.high)


def _mean_of_log_between(low: Tensor, high: Tensor) -> Tensor:
    """E[log x] of uniform numbers; at zero, x log x is zero."""
    return (xlogy(high, high) - xlogy(low, low)) / (high - low) - 1


def _mean_of_decay(p: Any, loc: Tensor, scale: Tensor) -> Tensor:
    """E[exp(-(x - loc)/scale)]."""
    if isinstance(p, Exponential):
        return (loc / scale).exp() * p.rate * scale / (p.rate * scale + 1)
    if isinstance(p, Gamma):
        return (loc / scale).exp() * (1 + (p.rate * scale).reciprocal()).pow(-p.concentration)
    if isinstance(p, Normal):
        return ((loc - p.loc) / scale + 0.5 * (p.scale / scale).pow(2)).exp()
    ends = ((loc - p.low) / scale).exp() - ((loc - p.high) / scale).exp()
    return scale * ends / (p.high - p.low)


def _infinite_outside(p: Any, result: Tensor, low: Any, high: Any = math.inf) -> Tensor:
    """`result`; infinite for uniform numbers that leave [low, high]."""
    if isinstance(p, Uniform):
        return where((p.low < low) | (p.high > high), math.inf, result)
    return result


# One function for each q --------------------------------------------------------------------------


@register_kl(Bernoulli, Poisson)
def _to_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
@register_kl(Uniform, ContinuousBernoulli)
def _to_continuous_bernoulli(p: Any, q: ContinuousBernoulli) -> Tensor:
    of_mean = p.mean * q.logits + (-q.probs).log1p()
    return _infinite_outside(p, -p.entropy() - of_mean - q._log_norm(), 0, 1)


@register_kl(Beta, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
@register_kl(Gamma, Exponential)
@register_kl(Pareto, Exponential)
@register_kl(Uniform, Exponential)
def _to_exponential(p: Any, q: Exponential) -> Tensor:
    return _infinite_outside(p, q.rate * p.mean - q.rate.log() - p.entropy(), 0)


@register_kl(Beta, Gamma)
@register_kl(Exponential, Gamma)
@register_kl(Pareto, Gamma)
@register_kl(Uniform, Gamma)
def _to_gamma(p: Any, q: Gamma) -> Tensor:
    constant = lgamma(q.concentration) - q.concentration * q.rate.log()
    of_value = q.rate * p.mean - (q.concentration - 1) * _mean_of_log(p)
    return _infinite_outside(p, constant + of_value - p.entropy(), 0)


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Pareto, Normal)
@register_kl(Uniform, Normal)
def _to_normal(p: Any, q: Normal) -> Tensor:
    constant = 0.5 * math.log(2 * math.pi) + q.scale.log()
    squares = p.variance + (p.mean - q.loc).pow(2)
    return constant + squares / (2 * q.scale.pow(2)) - p.entropy()


@register_kl(Exponential, Gumbel)
@register_kl(Gamma, Gumbel)
@register_kl(Normal, Gumbel)
@register_kl(Uniform, Gumbel)
def _to_gumbel(p: Any, q: Gumbel) -> Tensor:
    of_value = (p.mean - q.loc) / q.scale + _mean_of_decay(p, q.loc, q.scale)
    return q.scale.log() + of_value - p.entropy()


@register_kl(Normal, Laplace)
def _to_laplace(p: Normal, q: Laplace) -> Tensor:
    difference = p.loc - q.loc
    ratio = difference / p.scale
    tails = math.sqrt(2 / math.pi) * p.scale * (-0.5 * ratio.pow(2)).exp()
    distance = tails + difference * (math.sqrt(0.5) * ratio).erf()
    return (2 * q.scale).log() + distance / q.scale - p.entropy()


@register_kl(Beta, Uniform)
def _beta_to_uniform(p: Beta, q: Uniform) -> Tensor:
    result = (q.high - q.low).log() - p.entropy()
    return where((q.low > 0) | (q.high < 1), math.inf, result)


@register_kl(ContinuousBernoulli, Uniform)
def _continuous_bernoulli_to_uniform(p: ContinuousBernoulli, q: Uniform) -> Tensor:
    # PyTorch takes intervals that share an end with [0, 1], that one itself too, for infinite.
    result = (q.high - q.low).log() - p.entropy()
    return where((q.low >= 0) | (q.high <= 1), math.inf, result)


@register_kl(Uniform, Beta)
def _uniform_to_beta(p: Uniform, q: Beta) -> Tensor:
    first, second = q.concentration1, q.concentration0
    of_log = (first - 1) * _mean_of_log_between(p.low, p.high)
    of_rest = (second - 1) * _mean_of_log_between(1 - p.high, 1 - p.low)
    constant = lgamma(first) + lgamma(second) - lgamma(first + second)
    return _infinite_outside(p, constant - of_log - of_rest - p.entropy(), 0, 1)


@register_kl(Uniform, Pareto)
def _uniform_to_pareto(p: Uniform, q: Pareto) -> Tensor:
    constant = -(q.alpha * q.scale.pow(q.alpha)).log()
    result = constant + (q.alpha + 1) * _mean_of_log(p) - p.entropy()
    return _infinite_outside(p, result, q.scale)
