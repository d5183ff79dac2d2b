"""DistributedSampler: each of several processes visits its own share of the samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import lampas
from lampas.utils.data.sampler import Sampler


def _process_place(num_replicas: Any, rank: Any) -> tuple[int, int]:
    """Fills what is not given (None) from the running process group."""
    if num_replicas is None or rank is None:
        distributed = getattr(lampas, "distributed", None)
        if distributed is None or not distributed.is_available():
            raise RuntimeError("Requires distributed package to be available")
        num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
        rank = distributed.get_rank() if rank is None else rank
    if not 0 <= rank < num_replicas:
        raise ValueError(
            f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
        )
    return num_replicas, rank


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index from `rank` on, of an order that all processes share.

    The order is `randperm` of a generator seeded with `seed + epoch`: call `set_epoch` before each
    epoch, or every epoch has the same order. Shares have equal length: the first samples are
    repeated, or (`drop_last`) the last ones left out.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.num_replicas, self.rank = _process_place(num_replicas, rank)
        self.dataset = dataset
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        count = len(dataset)
        if drop_last and count % self.num_replicas:
            self.num_samples = math.ceil((count - self.num_replicas) / self.num_replicas)
        else:
            self.num_samples = math.ceil(count / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.dataset)))
        generator = lampas.Generator()
        generator.manual_seed(self.seed + self.epoch)
        return lampas.randperm(len(self.dataset), generator=generator).tolist()

    def __iter__(self) -> Iterator[int]:
        # Cycling repeats the first samples where the total is more than there are.
        whole = itertools.islice(itertools.cycle(self._order()), self.total_size)
        return itertools.islice(whole, self.rank, None, self.num_replicas)

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the next walk's order is drawn for."""
        self.epoch = epoch
