"""Samples of which each has its own parameters: trials, choices, counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.tensor import choices, distributions, implicit, rejection
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor, share, should_record
from lampas.engine.tensor.creation import empty
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.device import META
from lampas.engine.tensor.door import record
from lampas.engine.tensor.generator import Generator, engine_of
from lampas.engine.tensor.random_fill import bernoulli_, connected, leaf


@public(method=True, out=True)
def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element of input gives (or `p`), else 0."""
    made = empty(input._shape, dtype=input.dtype, device=input.device)
    bernoulli_(made, share(input) if p is None else p, generator=generator)
    return connected("bernoulli", made, input)


@public(method=True, out=True)
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn in proportion to the weights of each row: (*rows, num_samples), int64."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {input.dtype.title}"
        )
    if input._storage.device is META:
        return empty((*input._shape[:-1], num_samples), dtype=int64, device=META)
    engine = engine_of(generator)
    chosen = choices.multinomial(engine, array_of(input), num_samples, replacement)
    return leaf(chosen, int64)


@public()
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of events, of which each element of input is the mean; in input's dtype."""
    _require_sampled("poisson_cpu", input)
    drawn = leaf(rejection.poisson(engine_of(generator), array_of(input)), input.dtype)
    return connected("poisson", drawn, input)


@public()
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of successes in `count` trials of probability `prob`; both floating-point."""
    for name, each in (("count", count), ("prob", prob)):
        if not each.dtype.is_floating_point:
            raise ValueError(
                f"binomial only supports floating-point dtypes for {name}, got: {each.dtype.title}"
            )
    _require_sampled("binomial_cpu", count)
    if count.dtype is not prob.dtype:
        raise RuntimeError(
            f"Found dtype {prob.dtype.title} but expected {count.dtype.title}: binomial() takes "
            "count and prob of one dtype"
        )
    trials, chances = np.broadcast_arrays(array_of(count), array_of(prob))
    drawn = leaf(rejection.binomial(engine_of(generator), trials, chances), count.dtype)
    return _without_derivative("binomial", drawn, count, prob)


@public()
def _standard_gamma(self: Tensor, generator: Generator | None = None) -> Tensor:
    """Gamma numbers of scale 1 whose shape parameters are the elements; differentiable."""
    _require_sampled("gamma_cpu", self)
    drawn = rejection.standard_gamma(engine_of(generator), array_of(self))
    made = leaf(drawn, self.dtype)
    if not should_record(self):
        return made
    slope = leaf(implicit.gamma_slope(array_of(self), drawn), self.dtype)
    return record(_STANDARD_GAMMA, (self, made, slope))


_STANDARD_GAMMA = Operation(
    "_standard_gamma",
    lambda shape, made, slope: made,
    vjp=lambda saved, flow: (g.multiply(flow, saved.inputs[2]), None, None),
    grad_name="StandardGammaBackward0",
    saves="inputs",
)


@public()
def _standard_gamma_grad(self: Tensor, output: Tensor) -> Tensor:
    """How gamma numbers move with their shape parameters `self`."""
    return leaf(implicit.gamma_slope(array_of(self), array_of(output)), self.dtype)


@public()
def _sample_dirichlet(self: Tensor, generator: Generator | None = None) -> Tensor:
    """Rows that sum to one, with these concentrations along the last dimension."""
    _require_sampled("dirichlet", self)
    drawn = leaf(rejection.dirichlet(engine_of(generator), array_of(self)), self.dtype)
    return _without_derivative("_sample_dirichlet", drawn, self)


@public()
def _dirichlet_grad(x: Tensor, alpha: Tensor, total: Tensor) -> Tensor:
    """How Dirichlet numbers x move with their concentrations, divided by 1 - x."""
    slope = implicit.dirichlet_slope(array_of(x), array_of(alpha), array_of(total))
    return leaf(slope, x.dtype)


def leaky_slopes(
    input: Tensor, lower: float, upper: float, generator: Generator | None = None
) -> Tensor:
    """For `rrelu`: 1 where input is positive, else a number of U(lower, upper) from 53 bits each."""
    if input._storage.device is META:
        return empty(input._shape, dtype=input.dtype, device=META)
    values = array_of(input)
    slopes = np.ones(values.size, values.dtype)
    # Positions are found and written without a jump for each element, which could not be foretold.
    places = np.flatnonzero(values <= 0)
    drawn = engine_of(generator).doubles(len(places))
    slopes[places] = drawn * (upper - lower) + lower  # two roundings here, unlike uniform_
    return leaf(slopes.reshape(values.shape), input.dtype)


def _require_sampled(kernel: str, tensor: Tensor) -> None:
    if not tensor.dtype.is_floating_point:
        raise distributions.not_implemented(kernel, tensor.dtype)


def _without_derivative(name: str, drawn: Tensor, *parameters: Tensor) -> Tensor:
    """`drawn`, such that going backward through it raises RuntimeError."""
    if not should_record(*parameters):
        return drawn

    def refuse(saved: Any, flow: Any) -> Any:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return record(Operation(name, lambda *nodes: nodes[-1], vjp=refuse), (*parameters, drawn))
