"""The default generator's seed and state (``torch.random``)."""

from lampas.engine.tensor.generator import Generator, default_generator
from lampas.engine.tensor.random import (
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]
