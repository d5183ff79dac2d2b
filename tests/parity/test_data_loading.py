"""The same seed gives the same batches, and leaves the same random stream, as PyTorch."""

import random

import numpy as np
import pytest

import lampas
import lampas.utils.data as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")

SIDES = ((ours, lampas), (theirs, torch))


def plain(value):
    """Tensors as (dtype, list), through every container."""
    if isinstance(value, torch.Tensor | lampas.Tensor):
        return str(value.dtype).split(".")[-1], value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def assert_same(run):
    """`run(data, library)` gives equal values, and equal draws follow."""
    answers = []
    for data, library in SIDES:
        library.manual_seed(17)
        answers.append((plain(run(data, library)), library.rand(3).tolist()))
    assert answers[0] == answers[1]


def rows(data, library):
    return data.TensorDataset(library.arange(60).reshape(30, 2).float(), library.arange(30))


class Drawing:
    """Samples from all three generators that a worker seeds."""

    def __init__(self, library):
        self.library = library

    def __len__(self):
        return 7

    def __getitem__(self, index):
        drawn = [random.random(), float(np.random.rand())]
        return {"drawn": drawn, "row": self.library.rand(2), "wide": np.full(9000, index)}


def stream(data, library):
    class Stream(data.IterableDataset):
        def __iter__(self):
            info = data.get_worker_info()
            worker = 0 if info is None else info.id
            return iter([(place * 10 + worker, library.rand(2)) for place in range(7 + worker)])

    return Stream()


OPTIONS = [
    {"batch_size": 8, "shuffle": True},
    {"batch_size": 7, "drop_last": True},
    {"batch_size": None, "shuffle": True},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_two_epochs_in_one_process(options):
    assert_same(
        lambda data, library: [
            list(data.DataLoader(rows(data, library), **options)) for _ in range(2)
        ]
    )


def test_shuffled_split_with_own_generator():
    def run(data, library):
        part = data.random_split(rows(data, library), [0.3, 0.7])[1]
        generator = library.Generator().manual_seed(3)
        loader = data.DataLoader(part, batch_size=4, shuffle=True, generator=generator)
        return [list(loader), list(loader), library.rand(2, generator=generator)]

    assert_same(run)


def test_samplers():
    def run(data, library):
        return [
            list(data.RandomSampler(range(10), True, 70)),
            list(data.RandomSampler(range(10), num_samples=25)),
            list(data.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7], 6)),
            list(data.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7], 3, replacement=False)),
            list(data.SubsetRandomSampler([4, 2, 9])),
            *[list(data.DistributedSampler(range(11), 3, rank)) for rank in range(3)],
            list(data.DistributedSampler(range(11), 3, 1, shuffle=False, drop_last=True)),
            list(data.DistributedSampler(range(2), 7, 6, seed=4)),
        ]

    assert_same(run)


@pytest.mark.parametrize("options", OPTIONS[:2])
def test_two_workers(options):
    assert_same(
        lambda data, library: list(data.DataLoader(rows(data, library), num_workers=2, **options))
    )


def test_persistent_workers_over_epochs():
    def run(data, library):
        loader = data.DataLoader(
            Drawing(library), batch_size=3, shuffle=True, num_workers=2, persistent_workers=True
        )
        return [list(loader) for _ in range(3)]

    assert_same(run)


@pytest.mark.parametrize("workers", [0, 2])
def test_iterable_dataset(workers):
    assert_same(
        lambda data, library: list(
            data.DataLoader(stream(data, library), batch_size=3, num_workers=workers)
        )
    )


def test_collation_of_nested_samples():
    samples = [
        {"a": np.float32(1), "b": (1, 2.5), "c": ["x", True], "d": np.arange(3)},
        {"a": np.float32(2), "b": (3, 4.5), "c": ["y", False], "d": np.arange(3) + 1},
    ]
    assert plain(ours.default_collate(samples)) == plain(theirs.default_collate(samples))
    assert plain(ours.default_convert(samples)) == plain(theirs.default_convert(samples))


MISUSES = [
    lambda d, n: d.DataLoader(n, num_workers=-1),
    lambda d, n: d.DataLoader(n, timeout=-1),
    lambda d, n: d.DataLoader(n, prefetch_factor=2),
    lambda d, n: d.DataLoader(n, persistent_workers=True),
    lambda d, n: d.DataLoader(n, shuffle=True, sampler=d.SequentialSampler(n)),
    lambda d, n: d.DataLoader(n, batch_sampler=[[0]], batch_size=2),
    lambda d, n: d.DataLoader(n, batch_size=None, drop_last=True),
    lambda d, n: d.DataLoader(n, batch_size=0),
    lambda d, n: d.DataLoader(n, multiprocessing_context="fork"),
    lambda d, n: d.DataLoader(n, num_workers=1, multiprocessing_context="nonsense"),
    lambda d, n: d.DataLoader(n, num_workers=1, multiprocessing_context=3),
    lambda d, n: setattr(d.DataLoader(n), "batch_size", 3),
    lambda d, n: d.RandomSampler(n, replacement=1),
    lambda d, n: d.RandomSampler(n, num_samples=0),
    lambda d, n: d.WeightedRandomSampler([1.0], 0),
    lambda d, n: d.WeightedRandomSampler([[1.0]], 1),
    lambda d, n: d.BatchSampler(n, 2, 1),
    lambda d, n: d.random_split(n, [1, 1]),
    lambda d, n: d.random_split(n, [-0.5, 1.5]),
    lambda d, n: d.ConcatDataset([]),
    lambda d, n: d.ConcatDataset([n])[-9],
    lambda d, n: d.StackDataset(),
    lambda d, n: d.StackDataset(n, range(3)),
    lambda d, n: d.DistributedSampler(n, 2, 2),
    lambda d, n: d.default_collate([object()]),
    lambda d, n: d.default_collate([[1], [1, 2]]),
    lambda d, n: d.Dataset()[0],
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_raises_the_same_type(misuse):
    with pytest.raises(Exception) as theirs_raised:
        misuse(theirs, range(4))
    with pytest.raises(theirs_raised.type) as ours_raised:
        misuse(ours, range(4))
    assert ours_raised.type is theirs_raised.type
    phrase = str(theirs_raised.value).split(":")[0][:40]
    assert str(ours_raised.value).startswith(phrase[:15])
