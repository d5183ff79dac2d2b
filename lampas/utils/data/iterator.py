"""The iterators behind a DataLoader: in this process, and over worker processes.

Order of random draws (PyTorch's): an iterator first draws its 64-bit base seed from the loader's
generator; the sampler draws its own when its first index is taken.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import lampas
from lampas.engine.watch import WATCHERS, watched
from lampas.utils.data.dataset import IterableDataset
from lampas.utils.data.fetch import IterableFetcher, make_fetcher
from lampas.utils.data.pool import WorkerDied, WorkerPool, choose_context
from lampas.utils.data.sampler import draw_seed
from lampas.utils.data.worker import Fetch, Resume, StreamEnd, WorkerError, WorkerSetup


@dataclass(slots=True)
class Progress:
    """Where a walk stands, and what another process needs to walk the same way."""

    batches: int
    base_seed: int
    drew_seed: bool
    generator_state: Any


class LoaderIterator:
    """What both iterators share: seeds, indices, counting, the point to resume from."""

    _shown_as = ""  # in profiles: the name of PyTorch's class

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._iterable = isinstance(loader.dataset, IterableDataset)
        if loader.pin_memory:
            _warn_unpinned(loader.pin_memory_device)
        self._base_seed = 0
        self._begin(draws_seed=True)

    def _begin(self, draws_seed: bool) -> None:
        """Starts a walk; one that `load_state_dict` announced starts where it stopped."""
        loader = self._loader
        self._reported_length = loader._reported_length
        resumed = loader._take_resume_point()
        generator = loader.generator or lampas.default_generator
        present = generator.get_state()
        if resumed is not None:
            generator.set_state(resumed.generator_state)
            draws_seed = resumed.drew_seed
        start_state = generator.get_state()
        indices = iter(loader._index_sampler)
        if draws_seed:
            self._base_seed = draw_seed(loader.generator)
        elif resumed is not None:
            self._base_seed = resumed.base_seed
        batches = resumed.batches if resumed is not None else 0
        self._skipped = list(itertools.islice(indices, batches))
        if resumed is not None and loader.generator is None:
            # The walk's own draws are made again; the program's stream is the program's to restore.
            indices = itertools.chain(list(itertools.islice(indices, 1)), indices)
            generator.set_state(present)
        self._indices = indices
        self._progress = Progress(batches, self._base_seed, draws_seed, start_state)
        loader._progress = self._progress

    def __iter__(self) -> LoaderIterator:
        return self

    def __len__(self) -> int:
        return len(self._loader._index_sampler)

    def __next__(self) -> Any:
        try:
            if WATCHERS:
                name = f"enumerate(DataLoader)#{self._shown_as}.__next__"
                batch = watched("data", name, self._next_batch)
            else:
                batch = self._next_batch()
        except StopIteration:
            if self._loader._progress is self._progress:
                self._loader._progress = None
            raise
        self._progress.batches += 1
        reported = self._reported_length
        if self._iterable and reported is not None and self._progress.batches > reported:
            self._warn_longer(reported)
        return batch

    def _next_batch(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no _next_batch")

    def _warn_longer(self, reported: int) -> None:
        message = (
            f"Length of IterableDataset {self._loader.dataset} was reported to be {reported} "
            f"(when accessing len(dataloader)), but {self._progress.batches} samples have been fetched. "
        )
        if self._loader.num_workers:
            message += (
                "With worker processes, each one reads the whole dataset: "
                "let its __iter__ take a share according to get_worker_info()."
            )
        warnings.warn(message, stacklevel=3)

    def __getstate__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")


class SingleProcessIterator(LoaderIterator):
    """Loads in this process, when asked."""

    _shown_as = "_SingleProcessDataLoaderIter"

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self._fetcher = make_fetcher(
            loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last
        )
        if isinstance(self._fetcher, IterableFetcher):
            for index in self._skipped:
                self._fetcher.skip(index)

    def _next_batch(self) -> Any:
        return self._fetcher.fetch(next(self._indices))


class WorkerIterator(LoaderIterator):
    """Loads in worker processes, `prefetch_factor` batches ahead for each of them.

    Tasks are numbered in the sampler's order and dealt out in turn; answers that come early wait
    in `_answers` (with `in_order=False` they are given at once).
    """

    _shown_as = "_MultiProcessingDataLoaderIter"

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        setup = WorkerSetup(
            loader.dataset,
            loader._auto_collation,
            loader.collate_fn,
            loader.drop_last,
            self._base_seed,
            loader.worker_init_fn,
            loader.num_workers,
        )
        context = loader.multiprocessing_context or choose_context(setup)
        self._pool = WorkerPool(setup, context)
        self._deal(first=True)

    def restart(self) -> None:
        """Starts a new walk with the same workers."""
        self._drain()
        self._begin(draws_seed=False)
        self._deal(first=False)

    def _deal(self, first: bool) -> None:
        """Forgets the last walk and gives every worker its first tasks."""
        workers = self._loader.num_workers
        self._sent = 0
        self._wanted = 0
        self._owner: dict[int, int] = {}
        self._answers: dict[int, Any] = {}
        self._active = [True] * workers
        self._turn = itertools.cycle(range(workers))
        skips = self._skips_by_worker()
        if not first or any(skips):
            for worker, share in enumerate(skips):
                self._pool.send(worker, Resume(share))
        for _ in range(workers * self._loader.prefetch_factor):
            self._send_next()

    def _skips_by_worker(self) -> list[list[Any]]:
        """Which indices each worker's stream has passed: only iterable datasets have streams."""
        workers = self._loader.num_workers
        if not self._iterable:
            return [[] for _ in range(workers)]
        for _ in range(len(self._skipped) % workers):
            next(self._turn)
        return [self._skipped[worker::workers] for worker in range(workers)]

    def _next_worker(self) -> int | None:
        """Whose turn it is; without order, only a worker with room for a task."""
        workers = self._loader.num_workers
        for _ in range(workers):
            worker = next(self._turn)
            if not self._active[worker]:
                continue
            if self._loader.in_order or self._load(worker) < self._loader.prefetch_factor:
                return worker
        return None

    def _load(self, worker: int) -> int:
        return sum(owner == worker for owner in self._owner.values())

    def _send_next(self) -> None:
        worker = self._next_worker()
        if worker is None:
            return
        try:
            index = next(self._indices)
        except StopIteration:
            return
        self._owner[self._sent] = worker
        self._pool.send(worker, Fetch(self._sent, index))
        self._sent += 1

    def _next_batch(self) -> Any:
        try:
            while True:
                task = self._due()
                if task not in self._answers:
                    self._receive()
                    continue
                answer = self._answers.pop(task)
                worker = self._owner.pop(task)
                if isinstance(answer, StreamEnd):
                    self._active[worker] = False
                    self._send_next()
                    continue
                self._send_next()
                if isinstance(answer, WorkerError):
                    answer.reraise()
                return answer
        except StopIteration:
            if not self._loader.persistent_workers:
                self._pool.shutdown()
            raise
        except (WorkerDied, KeyboardInterrupt):
            self._pool.shutdown()
            self._loader._forget(self)
            raise

    def _due(self) -> int:
        """The task to give next. Raises StopIteration when there is none."""
        if not self._owner:
            raise StopIteration
        if not self._loader.in_order:
            return next(iter(self._answers), min(self._owner))
        return min(self._owner)

    def _receive(self) -> None:
        """Takes in what the workers have sent, waiting at most the loader's timeout."""
        timeout = self._loader.timeout or None
        answers = self._pool.receive(timeout)
        if not answers:
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
        for task, answer in answers:
            self._answers[task] = answer

    def _drain(self) -> None:
        """Waits until no worker owes an answer: a new walk must not meet the old one's."""
        while any(task not in self._answers for task in self._owner):
            self._receive()


def _warn_unpinned(device: str) -> None:
    if device:
        warnings.warn(
            "pin_memory_device is deprecated, the current accelerator will be used as the device, "
            f"ignore pin_memory_device='{device}'.",
            stacklevel=5,
        )
    warnings.warn(
        "'pin_memory' argument is set as true but no accelerator is found, "
        "then device pinned memory won't be used.",
        stacklevel=5,
    )
