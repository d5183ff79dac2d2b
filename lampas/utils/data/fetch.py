"""Fetchers: from the sampler's indices to a batch, in the loader's process or in a worker.

A batch of a plain `TensorDataset` (also through plain `Subset`s) under the default collation is cut
out of its tensors in one gather each. The answer is the one that stacking single rows would give.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import lampas
from lampas.utils.data.collate import collate_tensor_fn, default_collate, default_collate_fn_map
from lampas.utils.data.dataset import IterableDataset, Subset, TensorDataset
from lampas.utils.data.memory import is_plain, settle, take_rows


class MapFetcher:
    """Fetches from a map-style dataset: `fetch(indices)` gives the collated batch."""

    def __init__(
        self, dataset: Any, auto_collation: bool, collate_fn: Callable[..., Any], drop_last: bool
    ) -> None:
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.rows = _RowTable.of(dataset) if auto_collation else None

    def fetch(self, index: Any) -> Any:
        """The batch at `index`: a list of indices, or one where batching is off."""
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self.rows is not None and self.collate_fn is default_collate:
            batch = self.rows.take(index)
            if batch is not None:
                return batch
        many = getattr(self.dataset, "__getitems__", None)
        if many:
            return self.collate_fn(many(index))
        return self.collate_fn([settle(self.dataset[place]) for place in index])


class IterableFetcher:
    """Fetches from an iterable dataset; `fetch` raises StopIteration at its end."""

    def __init__(
        self, dataset: Any, auto_collation: bool, collate_fn: Callable[..., Any], drop_last: bool
    ) -> None:
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.samples = iter(dataset)
        self.ended = False

    def _next(self, index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return next(self.samples)
        batch = [settle(sample) for sample in itertools.islice(self.samples, len(index))]
        self.ended = len(batch) < len(index)
        if not batch or (self.ended and self.drop_last):
            raise StopIteration
        return batch

    def fetch(self, index: Any) -> Any:
        """The next `len(index)` samples, collated (the next one where batching is off)."""
        return self.collate_fn(self._next(index))

    def skip(self, index: Any) -> None:
        """Passes over what `fetch(index)` would give, without collating it."""
        self._next(index)


def make_fetcher(
    dataset: Any, auto_collation: bool, collate_fn: Callable[..., Any], drop_last: bool
) -> MapFetcher | IterableFetcher:
    """The fetcher that suits the dataset's kind."""
    kind = IterableFetcher if isinstance(dataset, IterableDataset) else MapFetcher
    return kind(dataset, auto_collation, collate_fn, drop_last)


class _RowTable:
    """The tensors behind a dataset whose samples are their rows."""

    def __init__(self, tensors: tuple[Any, ...], places: np.ndarray | None) -> None:
        self.tensors = tensors
        self.places = places

    @staticmethod
    def of(dataset: Any) -> _RowTable | None:
        """The row table of `dataset`, or None where it is not made of plain tensors only.

        Subclasses may override `__getitem__`: only the exact types qualify.
        """
        places: np.ndarray | None = None
        while type(dataset) is Subset:
            try:
                indices = np.asarray(dataset.indices, dtype=np.int64)
            except (TypeError, ValueError):
                return None
            if indices.ndim != 1:
                return None
            places = indices if places is None else indices[places]
            dataset = dataset.dataset
        if type(dataset) is not TensorDataset or not all(map(is_plain, dataset.tensors)):
            return None
        return _RowTable(dataset.tensors, places)

    def take(self, index: Any) -> list[Any] | None:
        """Rows `index` of every tensor; None where an index needs the long way (and its errors)."""
        if default_collate_fn_map.get(lampas.Tensor) is not collate_tensor_fn:
            return None
        try:
            rows = np.asarray(index, dtype=np.int64)
            if rows.ndim != 1 or not len(rows):
                return None
            if self.places is not None:
                rows = self.places[rows]
            return [take_rows(tensor, rows) for tensor in self.tensors]
        except (IndexError, TypeError, ValueError):
            return None
