"""The von Mises distribution on the circle.

Samples by the rejection of D. J. Best and N. I. Fisher, Efficient simulation of the von Mises
distribution (1979), in double precision.
"""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.utils import broadcast_all
from lampas.engine.dtype import bool_, float64
from lampas.engine.shape import Size
from lampas.engine.tensor import PUBLIC, Tensor, empty, no_grad, rand, where, zeros

__all__ = ["VonMises"]

_i0e, _i1e = (PUBLIC[f"special.{name}"].function for name in ("i0e", "i1e"))
SMALL_CONCENTRATION = 1e-5  # below, the envelope's parameter is taken from its expansion at zero


class VonMises(Distribution):
    """p(x) = exp(κ cos(x - loc))/(2π I₀(κ)) for angles x, where κ is the concentration.

    `mean` and `variance` are circular: the latter is 1 - I₁(κ)/I₀(κ). Raises ValueError unless the
    concentration is positive.

    >>> import lampas
    >>> VonMises(lampas.tensor(0.0), lampas.tensor(1.0)).log_prob(lampas.tensor(0.0))
    tensor(-1.0738)
    """

    arg_constraints = parameters(loc=constraints.real, concentration=constraints.positive)
    support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(Size(self.loc.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 1 - _i1e(self.concentration) / _i0e(self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        log_bessel = _i0e(self.concentration).log() + self.concentration
        height = self.concentration * (value - self.loc).cos()
        return height - math.log(2 * math.pi) - log_bessel

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Angles in [-π, π), without gradient."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            concentration, loc = self.concentration.to(float64), self.loc.to(float64)
            angles = _centered(concentration.expand(shape), shape)
            return ((angles + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)


def _envelope(concentration: Tensor) -> Tensor:
    """The parameter r of the wrapped Cauchy envelope."""
    tau = 1 + (1 + 4 * concentration**2).sqrt()
    rho = (tau - (2 * tau).sqrt()) / (2 * concentration)
    near_zero = 1 / concentration + concentration
    is_small = concentration < SMALL_CONCENTRATION
    return where(is_small, near_zero, (1 + rho**2) / (2 * rho))


def _centered(concentration: Tensor, shape: Size) -> Tensor:
    """Angles around zero; all are drawn anew until each has been accepted once."""
    envelope = _envelope(concentration)
    angles = empty(shape, dtype=float64)
    is_done = zeros(shape, dtype=bool_)
    while not is_done.all():
        first, second, third = rand((3, *shape), dtype=float64).unbind()
        cosine = (math.pi * first).cos()
        found = (1 + envelope * cosine) / (envelope + cosine)
        chance = concentration * (envelope - found)
        is_good = (chance * (2 - chance) - second > 0) | ((chance / second).log() + 1 - chance >= 0)
        angles = where(is_good, (third - 0.5).sign() * found.acos(), angles)
        is_done = is_done | is_good
    return angles
