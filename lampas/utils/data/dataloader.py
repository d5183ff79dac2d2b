"""DataLoader: batches from a dataset, in a sampler's order, with or without worker processes."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from lampas.utils.data.collate import default_collate, default_convert
from lampas.utils.data.dataset import Dataset, IterableDataset
from lampas.utils.data.iterator import (
    LoaderIterator,
    Progress,
    SingleProcessIterator,
    WorkerIterator,
)
from lampas.utils.data.sampler import (
    BatchSampler,
    InfiniteSampler,
    RandomSampler,
    SequentialSampler,
)

Sample = TypeVar("Sample", covariant=True)

_FROZEN = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class _DatasetKind:
    """PyTorch's two kinds of dataset, by number."""

    Map = 0
    Iterable = 1


class DataLoader(Generic[Sample]):
    """Walks over `dataset` in batches.

    `batch_size=None` turns batching off: samples come one by one through `collate_fn`. With
    `num_workers` > 0, that many processes load ahead, `prefetch_factor` batches each, and answers
    keep the sampler's order unless `in_order=False`. The same seed gives PyTorch's order.
    Raises ValueError for options that exclude each other.

    `state_dict()` says where the walk stands and `load_state_dict()` makes the next walk go on from
    there, without loading what was passed. Random numbers that a dataset draws are not replayed.

    >>> import lampas
    >>> [batch.tolist() for batch in DataLoader(range(5), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    _frozen = False

    def __init__(
        self,
        dataset: Dataset[Sample],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        _check_sampling(dataset, batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = (prefetch_factor or 2) if num_workers else None
        if num_workers and prefetch_factor is not None:
            self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.generator = generator
        self.persistent_workers = persistent_workers
        self._dataset_kind = int(isinstance(dataset, IterableDataset))
        self.sampler = sampler if sampler is not None else self._default_sampler(bool(shuffle))
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.batch_sampler = batch_sampler
        self.collate_fn = collate_fn or (
            default_collate if self._auto_collation else default_convert
        )
        self._reported_length: int | None = None
        self._iterator: LoaderIterator | None = None
        self._progress: Progress | None = None
        self._resume_point: Progress | None = None
        self._frozen = True
        self.check_worker_number_rationality()

    def _default_sampler(self, shuffle: bool) -> Iterable[Any]:
        if self._dataset_kind == _DatasetKind.Iterable:
            return InfiniteSampler()
        if shuffle:
            return RandomSampler(self.dataset, generator=self.generator)  # type: ignore[arg-type]
        return SequentialSampler(self.dataset)  # type: ignore[arg-type]

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started: a context, or None where the loader chooses."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None and not self.num_workers:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading "
                f"(num_workers > 0), but got num_workers={self.num_workers}"
            )
        if isinstance(context, str):
            methods = multiprocessing.get_all_start_methods()
            if context not in methods:
                raise ValueError(
                    "multiprocessing_context option should specify a valid start method in "
                    f"{methods!r}, but got multiprocessing_context={context!r}"
                )
            context = multiprocessing.get_context(context)
        if context is not None and not isinstance(context, BaseContext):
            raise TypeError(
                "multiprocessing_context option should be a valid context object or a string "
                f"specifying the start method, but got multiprocessing_context={context}"
            )
        self._context = context

    def __setattr__(self, name: str, value: Any) -> None:
        if self._frozen and name in _FROZEN:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    def __iter__(self) -> LoaderIterator:
        if isinstance(self._iterator, WorkerIterator):
            self._iterator.restart()
            return self._iterator
        if not self.num_workers:
            return SingleProcessIterator(self)
        self.check_worker_number_rationality()
        iterator = WorkerIterator(self)
        if self.persistent_workers:
            self._iterator = iterator
        return iterator

    def _forget(self, iterator: LoaderIterator) -> None:
        """Lets go of an iterator whose workers are gone."""
        if self._iterator is iterator:
            self._iterator = None

    def _take_resume_point(self) -> Progress | None:
        point, self._resume_point = self._resume_point, None
        return point

    def state_dict(self) -> dict[str, Any]:
        """Where the latest walk stands: `load_state_dict` of another loader goes on from there.

        After a walk's end, or before the first one, it says that nothing has begun.
        """
        point = self._progress or self._resume_point
        return {} if point is None else asdict(point)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the next walk go on from `state_dict`. Raises KeyError where a field is missing."""
        self._progress = None
        if not state_dict:
            self._resume_point = None
            return
        fields = ("batches", "base_seed", "drew_seed", "generator_state")
        self._resume_point = Progress(*(state_dict[name] for name in fields))

    def __len__(self) -> int:
        if self._dataset_kind == _DatasetKind.Map:
            return len(self._index_sampler)
        length = self._reported_length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warns where more workers are asked for than there are processors to run them."""
        if not self.num_workers:
            return
        affinity = getattr(os, "sched_getaffinity", None)
        available = len(affinity(0)) if affinity else os.cpu_count()
        if available is not None and self.num_workers <= available:
            return
        warnings.warn(
            f"This DataLoader will create {self.num_workers} worker processes in total. "
            f"Our suggested max number of worker in current system is {available}, "
            "which is smaller than what this DataLoader is going to create. More workers than "
            "processors make loading slower, and may exhaust memory.",
            stacklevel=3,
        )


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; "
            f"use num_workers=0 to disable multiprocessing, got {num_workers}."
        )
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, got {timeout}")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError(f"prefetch_factor option should be non-negative, got {prefetch_factor}")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_sampling(
    dataset: Any,
    batch_size: int | None,
    shuffle: bool | None,
    sampler: Any,
    batch_sampler: Any,
    drop_last: bool,
) -> None:
    """Raises ValueError for options of one walk that exclude each other."""
    if isinstance(dataset, IterableDataset):
        for name, value in (
            ("shuffle", shuffle or None),
            ("sampler", sampler),
            ("batch_sampler", batch_sampler),
        ):
            if value is not None:
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified {name} option, "
                    f"but got {name}={value}"
                )
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (
        batch_size != 1 or shuffle or sampler is not None or drop_last
    ):
        raise ValueError(
            "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
            "and drop_last"
        )
    if batch_sampler is None and batch_size is None and drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )
