"""Samplers: in which order the samples are visited.

The random ones draw exactly as PyTorch's do (a 64-bit seed from the default generator, then a
permutation from a generator of their own), so the same seed visits the same samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import lampas

Index = TypeVar("Index", covariant=True)

# How many indices one draw with replacement yields: the block size is part of the random order.
_DRAW_BLOCK = 32


class Sampler(Generic[Index]):
    """Base of samplers: a subclass gives `__iter__`, and `__len__` where it is known."""

    def __init__(self) -> None:
        pass

    def __iter__(self) -> Iterator[Index]:
        raise NotImplementedError(f"{type(self).__name__} should implement __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, … in order."""

    data_source: Sized

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def draw_seed(generator: Any = None) -> int:
    """A 64-bit seed from `generator` (default generator where None): one `random_()` draw."""
    return int(lampas.empty((), dtype=lampas.int64).random_(generator=generator).item())


class RandomSampler(Sampler[int]):
    """A random order of the samples, with or without replacement.

    Without `generator`, each walk draws a seed from the default generator. Raises TypeError where
    `replacement` is no bool, ValueError where `num_samples` is no positive int.
    """

    data_source: Sized
    replacement: bool

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        count = self.num_samples
        if not isinstance(count, int) or count <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={count}"
            )

    @property
    def num_samples(self) -> int:
        """How many indices a walk yields; follows the data's length unless it was given."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = self.generator
        if generator is None:
            seed = draw_seed()
            generator = lampas.Generator()
            generator.manual_seed(seed)
        if self.replacement:
            yield from self._draws(generator)
        else:
            yield from self._permutations(generator)

    def _draws(self, generator: Any) -> Iterator[int]:
        population = len(self.data_source)
        whole, rest = divmod(self.num_samples, _DRAW_BLOCK)
        for count in itertools.chain(itertools.repeat(_DRAW_BLOCK, whole), (rest,)):
            yield from lampas.randint(
                high=population, size=(count,), dtype=lampas.int64, generator=generator
            ).tolist()

    def _permutations(self, generator: Any) -> Iterator[int]:
        population = len(self.data_source)
        whole, rest = divmod(self.num_samples, population)
        # The last, partial permutation is drawn even when nothing of it is used: PyTorch does,
        # and a shared generator must end in the same state.
        for count in itertools.chain(itertools.repeat(population, whole), (rest,)):
            yield from lampas.randperm(population, generator=generator).tolist()[:count]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order, without replacement."""

    indices: Sequence[int]

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for place in lampas.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[place]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with probability proportional to `weights` (any positive scale).

    Raises ValueError for weights that are not one-dimensional, a `num_samples` that is no positive
    int or a `replacement` that is no bool.
    """

    num_samples: int
    replacement: bool

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        _check_positive("num_samples", num_samples)
        _check_bool("replacement", replacement)
        self.weights = lampas.as_tensor(weights, dtype=lampas.float64)
        if self.weights.dim() != 1:
            raise ValueError(
                "weights should be a 1d sequence but given "
                f"weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = lampas.multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups another sampler's indices into lists of `batch_size`.

    >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_positive("batch_size", batch_size)
        _check_bool("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class InfiniteSampler(Sampler[None]):
    """Yields None for ever: the indices of an iterable dataset, which ends by itself."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


def _check_positive(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


def _check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be a boolean value, but got {name}={value}")
