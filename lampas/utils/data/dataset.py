"""Datasets: where samples come from.

A map-style dataset answers `dataset[index]`; an iterable one is walked. The classes here wrap, join
and cut datasets, and never load a sample before it is asked for.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import lampas

Sample = TypeVar("Sample", covariant=True)


class Dataset(Generic[Sample]):
    """Base of map-style datasets: a subclass gives `__getitem__`, and mostly `__len__`.

    A subclass may also give `__getitems__(indices) -> list`, which the loader prefers because it
    answers a whole batch in one call.
    """

    def __getitem__(self, index: Any) -> Sample:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[Sample], Iterable[Sample]):
    """Base of datasets that are streams: a subclass gives `__iter__`."""

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Samples are rows: sample `i` is `(tensors[0][i], tensors[1][i], …)`.

    Raises AssertionError where the tensors' first sizes differ.

    >>> import lampas
    >>> rows = TensorDataset(lampas.arange(6).reshape(3, 2), lampas.tensor([7, 8, 9]))
    >>> len(rows)
    3
    """

    tensors: tuple[Any, ...]

    def __init__(self, *tensors: Any) -> None:
        if any(tensor.size(0) != tensors[0].size(0) for tensor in tensors):
            sizes = [tensor.size(0) for tensor in tensors]
            raise AssertionError(f"Size mismatch between tensors: first dimensions are {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)


def _fetch_many(dataset: Any, indices: list[Any]) -> list[Any]:
    """The samples at `indices`, in one call where the dataset offers one."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples = dataset.__getitems__(indices)
        if len(samples) != len(indices):
            raise ValueError(
                "Nested dataset's output size mismatch. "
                f"Expected {len(indices)}, got {len(samples)}"
            )
        return samples
    return [dataset[index] for index in indices]


class StackDataset(Dataset[Any]):
    """Joins datasets side by side: a sample is a tuple (or a dict) of the members' samples.

    Raises ValueError for no members or for both kinds of arguments, where lengths differ too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or"
                "``dict``- (via ``kwargs``) like input/output, but both types are given."
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets: tuple[Any, ...] | dict[str, Any] = args or kwargs
        self._length = len(self._members()[0])
        if any(len(member) != self._length for member in self._members()):
            raise ValueError("Size mismatch between datasets")

    def _members(self) -> list[Any]:
        datasets = self.datasets
        return list(datasets.values() if isinstance(datasets, dict) else datasets)

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        columns = [_fetch_many(member, indices) for member in self._members()]
        rows = list(zip(*columns, strict=True))
        if isinstance(self.datasets, dict):
            return [dict(zip(self.datasets, row, strict=True)) for row in rows]
        return rows

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[Sample]):
    """Joins map-style datasets end to end; no sample is copied.

    Raises AssertionError for an empty list or an iterable-style member, ValueError for an index
    below minus the length.
    """

    datasets: list[Dataset[Sample]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """Running totals of the members' lengths."""
        return list(itertools.accumulate(len(member) for member in sequence))

    def _locate(self, index: int) -> tuple[int, int]:
        """The member that holds sample `index`, and the sample's place in it."""
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        member = bisect.bisect_right(self.cumulative_sizes, index)
        return member, index - (self.cumulative_sizes[member - 1] if member else 0)

    def __getitem__(self, index: int) -> Sample:
        member, place = self._locate(index)
        return self.datasets[member][place]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    @property
    def cummulative_sizes(self) -> list[int]:
        """The old, misspelt name of `cumulative_sizes`."""
        warnings.warn(
            "cummulative_sizes attribute is renamed to cumulative_sizes",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.cumulative_sizes


class ChainDataset(IterableDataset[Any]):
    """Joins iterable datasets end to end. Raises AssertionError on meeting a map-style one."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        super().__init__()
        self.datasets = datasets

    def _checked(self) -> Iterator[IterableDataset[Any]]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        for dataset in self._checked():
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self._checked())  # type: ignore[arg-type]


class Subset(Dataset[Sample]):
    """The samples of `dataset` at `indices`, in that order.

    A subclass that overrides `__getitem__` must override `__getitems__` too, else the loader
    would pass it by: NotImplementedError says so when the object is made.
    """

    dataset: Dataset[Sample]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[Any], indices: Sequence[int]) -> None:
        kind = type(self)
        one_overridden = kind.__getitem__ is not Subset.__getitem__
        if one_overridden and kind.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{kind.__name__} overrides __getitem__ but not __getitems__. The DataLoader "
                "asks for whole batches: define __getitems__(self, indices) as well, for example "
                "by returning [self[index] for index in indices]."
            )
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Sample:
        if isinstance(index, list):
            return self.dataset[[self.indices[place] for place in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        chosen = [self.indices[place] for place in indices]
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__(chosen)  # type: ignore[attr-defined]
        return [self.dataset[index] for index in chosen]

    def __len__(self) -> int:
        return len(self.indices)


def _lengths_of_fractions(fractions: Sequence[float], total: int) -> list[int]:
    """Whole lengths for `fractions` of `total`: rounded down, the rest dealt out from the left."""
    for place, fraction in enumerate(fractions):
        if fraction < 0 or fraction > 1:
            raise ValueError(f"Fraction at index {place} is not between 0 and 1")
    lengths = [math.floor(total * fraction) for fraction in fractions]
    for turn in range(total - sum(lengths)):
        lengths[turn % len(lengths)] += 1
    for place, length in enumerate(lengths):
        if length == 0:
            warnings.warn(
                f"Length of split at index {place} is 0. This might result in an empty dataset.",
                stacklevel=3,
            )
    return lengths


def random_split(
    dataset: Dataset[Any], lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[Any]]:
    """Cuts `dataset` at random into non-overlapping subsets of the given lengths.

    `lengths` are counts that sum to `len(dataset)`, or fractions that sum to 1. The order is
    `randperm(len(dataset))` of `generator` (the default generator where None).
    Raises ValueError where the lengths do not fit.

    >>> [len(part) for part in random_split(range(10), [0.7, 0.3])]
    [7, 3]
    """
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        lengths = _lengths_of_fractions(lengths, len(dataset))  # type: ignore[arg-type]
    total = sum(lengths)
    if total != len(dataset):  # type: ignore[arg-type]
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset! "
            f"(sum of {list(lengths)} is {total}, the dataset has "
            f"{len(dataset)} samples)"  # type: ignore[arg-type]
        )
    order = lampas.randperm(total, generator=generator).tolist()
    ends = itertools.accumulate(lengths)
    return [
        Subset(dataset, order[int(end) - int(length) : int(end)])
        for end, length in zip(ends, lengths, strict=True)
    ]
