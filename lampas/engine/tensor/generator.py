"""`Generator`: a source of random numbers that a program can seed, save and restore."""

from __future__ import annotations

import os
from typing import Any, final

import numpy as np

from lampas.engine.dtype import uint8
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor, wrap
from lampas.engine.tensor.device import CPU, device, resolve_device
from lampas.engine.tensor.mt19937 import MersenneTwister
from lampas.engine.tensor.storage import storage_of_array


@final
class Generator:
    """A Mersenne Twister with PyTorch's seeding, numbers and state of 5056 bytes.

    >>> Generator().manual_seed(3).initial_seed()
    3
    """

    __slots__ = ("__weakref__", "device", "engine")

    device: device
    engine: MersenneTwister

    def __init__(self, device: Any = None) -> None:
        self.device = resolve_device("cpu" if device is None else device)
        self.engine = MersenneTwister()

    def manual_seed(self, seed: int) -> Generator:
        """Start the numbers of a seed in [-2**63, 2**64); negative seeds wrap. Returns self."""
        if isinstance(seed, (bool, Tensor)) or not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self.engine.reseed(wrapped_seed(seed.__index__()))
        return self

    def seed(self) -> int:
        """Seed from the operating system's randomness; returns the seed."""
        found = int.from_bytes(os.urandom(8), "little")
        self.engine.reseed(found)
        return found

    def initial_seed(self) -> int:
        """The seed that was last set."""
        return self.engine.seed

    def get_state(self) -> Tensor:
        """The state as a uint8 tensor of 5056 elements."""
        array = np.frombuffer(self.engine.state_bytes(), np.uint8).copy()
        return wrap(storage_of_array(array, uint8, CPU).node, CPU)

    def set_state(self, new_state: Tensor) -> None:
        """Continue from a state that `get_state` gave, here or in PyTorch.

        TypeError unless it is a uint8 tensor, RuntimeError if it is no state.
        """
        if not isinstance(new_state, Tensor) or new_state.dtype is not uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        self.engine.load_state_bytes(np.ascontiguousarray(array_of(new_state)).tobytes())

    def clone_state(self) -> Generator:
        """A new generator in the same state."""
        return _restore(str(self.device), self.engine.state_bytes())

    def get_offset(self) -> int:
        """Counter-based generators only: always RuntimeError."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> Generator:
        """Counter-based generators only: always RuntimeError."""
        raise RuntimeError("CPU Generator does not use offset")

    def graphsafe_get_state(self) -> Generator:
        """For captured device graphs only: always NotImplementedError."""
        raise NotImplementedError("graphsafe_get_state is not supported in this Generator")

    def graphsafe_set_state(self, state: Generator) -> Generator:
        """For captured device graphs only: always NotImplementedError."""
        raise NotImplementedError("graphsafe_set_state is not supported in this Generator")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (str(self.device), self.engine.state_bytes())


def _restore(place: str, state: bytes) -> Generator:
    made = Generator(place)
    made.engine.load_state_bytes(state)
    return made


def wrapped_seed(seed: int) -> int:
    """A seed as an unsigned 64-bit number; ValueError outside [-2**63, 2**64)."""
    if not -(2**63) <= seed < 2**64:
        raise ValueError("Overflow when unpacking long long")
    return seed % 2**64


def engine_of(generator: Generator | None) -> MersenneTwister:
    """The engine of a `generator=` argument; None means the default generator."""
    if generator is None:
        return default_generator.engine
    if not isinstance(generator, Generator):
        raise TypeError(
            f"argument 'generator' must be torch.Generator, not {type(generator).__name__}"
        )
    return generator.engine


default_generator = Generator()
default_generator.seed()
