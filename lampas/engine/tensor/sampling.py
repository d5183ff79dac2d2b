"""Samples of which each has its own parameters: trials, choices, counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from lampas.engine.dtype import int64
from lampas.engine.tensor import choices, distributions, rejection
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor, share, should_record
from lampas.engine.tensor.creation import empty
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.device import META
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
    return leaf(rejection.binomial(engine_of(generator), trials, chances), count.dtype)


@public()
def _standard_gamma(self: Tensor, generator: Generator | None = None) -> Tensor:
    """Gamma numbers of scale 1 whose shape parameters are the elements."""
    _require_sampled("gamma_cpu", self)
    _require_constant("_standard_gamma", self)
    return leaf(rejection.standard_gamma(engine_of(generator), array_of(self)), self.dtype)


@public()
def _sample_dirichlet(self: Tensor, generator: Generator | None = None) -> Tensor:
    """Rows that sum to one, with these concentrations along the last dimension."""
    _require_sampled("dirichlet", self)
    _require_constant("_sample_dirichlet", self)
    return leaf(rejection.dirichlet(engine_of(generator), array_of(self)), self.dtype)


def _require_sampled(kernel: str, tensor: Tensor) -> None:
    if not tensor.dtype.is_floating_point:
        raise distributions.not_implemented(kernel, tensor.dtype)


def _require_constant(name: str, tensor: Tensor) -> None:
    if should_record(tensor):
        raise NotImplementedError(
            f"{name}: the derivative of the samples by their parameters is not available; "
            "detach() the parameters"
        )
