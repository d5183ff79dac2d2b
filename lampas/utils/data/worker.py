"""The worker's side of a loader with processes: seeds, fetching, and errors sent home whole."""

from __future__ import annotations

import contextlib
import pickle
import random
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import lampas
from lampas.utils.data.channel import Channel, close_inherited_ends
from lampas.utils.data.fetch import IterableFetcher, MapFetcher, make_fetcher


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker knows of itself: `id` of `num_workers`, its `seed` and its `dataset` copy."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """This worker's `WorkerInfo`; None in any other process."""
    return _worker_info


@dataclass(slots=True)
class WorkerSetup:
    """All that a worker needs to start."""

    dataset: Any
    auto_collation: bool
    collate_fn: Callable[..., Any]
    drop_last: bool
    base_seed: int
    worker_init_fn: Callable[[int], None] | None
    num_workers: int


@dataclass(slots=True)
class Fetch:
    """Asks for the batch at `index`; the answer carries `task`."""

    task: int
    index: Any


@dataclass(slots=True)
class Resume:
    """Asks for a new walk over the dataset, after passing over some batches of `indices`."""

    skips: list[Any]


class StreamEnd:
    """The answer to `Fetch` where the worker's iterable dataset has ended."""


class _TracedKeyError(str):
    """A KeyError shows the repr of its message: this one keeps the traceback's line breaks."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(slots=True)
class WorkerError:
    """An exception on its way home: its type (or None), its traceback, and what was being done."""

    kind: type[BaseException] | None
    name: str
    text: str
    doing: str

    @staticmethod
    def of(error: BaseException, doing: str) -> WorkerError:
        """Describes the exception that is being handled."""
        kind: type[BaseException] | None = type(error)
        try:
            pickle.loads(pickle.dumps(kind))
        except Exception:
            kind = None  # A class local to a function cannot travel.
        text = "".join(traceback.format_exception(error))
        return WorkerError(kind, type(error).__name__, text, doing)

    def reraise(self) -> None:
        """Raises the same type here, or RuntimeError where it takes other arguments."""
        message = f"Caught {self.name} {self.doing}.\nOriginal {self.text}"
        if self.kind is KeyError:
            raise KeyError(_TracedKeyError(message))
        try:
            error = (self.kind or RuntimeError)(message)
        except Exception:
            raise RuntimeError(message) from None
        raise error


def numpy_seed(base_seed: int, worker_id: int) -> np.ndarray:
    """The four words that seed `numpy.random` in a worker, as PyTorch derives them.

    They are NumPy's own SeedSequence (O'Neill's seed_seq) over worker, low and high seed words.
    """
    words = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(words).generate_state(4)


def _seed_everything(base_seed: int, worker_id: int) -> int:
    seed = base_seed + worker_id
    random.seed(seed)
    lampas.manual_seed(seed)
    np.random.seed(numpy_seed(base_seed, worker_id))
    return seed


class _Worker:
    """Serves one channel until it closes."""

    def __init__(self, worker_id: int, channel: Channel, setup: WorkerSetup) -> None:
        self.worker_id = worker_id
        self.channel = channel
        self.setup = setup
        self.fetcher: MapFetcher | IterableFetcher | None = None
        self.start_error: WorkerError | None = None
        self.skips: list[Any] = []

    def start(self) -> None:
        """Seeds the generators and runs the user's init function."""
        global _worker_info
        setup = self.setup
        lampas.set_num_threads(1)
        seed = _seed_everything(setup.base_seed, self.worker_id)
        _worker_info = WorkerInfo(self.worker_id, setup.num_workers, seed, setup.dataset)
        try:
            if setup.worker_init_fn is not None:
                setup.worker_init_fn(self.worker_id)
            self._open()
        except Exception as error:
            self.start_error = WorkerError.of(error, self._doing("while starting"))

    def _doing(self, what: str) -> str:
        return f"in DataLoader worker process {self.worker_id} {what}"

    def _open(self) -> None:
        """Begins a walk over the dataset, past the batches that a resumed loader has had."""
        setup = self.setup
        self.fetcher = make_fetcher(
            setup.dataset, setup.auto_collation, setup.collate_fn, setup.drop_last
        )
        if isinstance(self.fetcher, IterableFetcher):
            with contextlib.suppress(StopIteration):
                for index in self.skips:
                    self.fetcher.skip(index)

    def _answer(self, request: Fetch) -> Any:
        if self.start_error is not None:
            return self.start_error
        assert self.fetcher is not None
        try:
            return self.fetcher.fetch(request.index)
        except Exception as error:
            if isinstance(error, StopIteration) and isinstance(self.fetcher, IterableFetcher):
                return StreamEnd()
            return WorkerError.of(error, self._doing(_place(request.index)))

    def _reopen(self, request: Resume) -> None:
        self.skips = request.skips
        if self.start_error is not None:
            return
        try:
            self._open()
        except Exception as error:
            self.start_error = WorkerError.of(error, self._doing("while starting an epoch"))

    def serve(self) -> None:
        """Answers requests until the loader closes its end."""
        while True:
            try:
                request = self.channel.receive()
            except (EOFError, ConnectionError):
                return
            if isinstance(request, Resume):
                self._reopen(request)
                continue
            answer = self._answer(request)
            try:
                self.channel.send((request.task, answer))
            except ConnectionError:
                return
            except Exception as error:
                place = f"while sending the batch {_place(request.index)}"
                self.channel.send((request.task, WorkerError.of(error, self._doing(place))))


def _place(index: Any) -> str:
    """Names the samples being fetched."""
    if index is None or (isinstance(index, list) and index and index[0] is None):
        return "while reading the iterable dataset"
    shown = repr(index)
    return f"at index {shown if len(shown) <= 400 else shown[:400] + '…'}"


def serve(worker_id: int, channel: Channel, setup: WorkerSetup) -> None:
    """The main function of a worker process."""
    # The loader handles Ctrl-C and then closes the channel; a worker must not print over it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    close_inherited_ends()
    worker = _Worker(worker_id, channel, setup)
    worker.start()
    worker.serve()
    channel.close()
