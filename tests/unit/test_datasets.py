"""Datasets, samplers and collation, without an oracle."""

import collections
import pickle

import numpy as np
import pytest

import lampas
from lampas.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)
from lampas.utils.data._utils.collate import default_collate_fn_map


class Squares(Dataset):
    def __getitem__(self, index):
        if index >= 5:
            raise IndexError(index)
        return index * index

    def __len__(self):
        return 5


class Counting(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return iter(range(self.count))


def test_joining_datasets():
    joined = Squares() + Squares()
    assert [joined[place] for place in (0, 4, 5, 9, -1)] == [0, 16, 0, 16, 16]
    assert len(ConcatDataset([joined, Squares()])) == 15
    assert list(Counting(2) + Counting(3)) == [0, 1, 0, 1, 2]
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ChainDataset([Squares()]))
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Counting(2)])


def test_stacking_datasets():
    pairs = StackDataset(Squares(), range(5))
    assert pairs[3] == (9, 3)
    named = StackDataset(square=Squares(), number=range(5))
    assert named.__getitems__([1, 2]) == [
        {"square": 1, "number": 1},
        {"square": 4, "number": 2},
    ]
    with pytest.raises(ValueError, match="Size mismatch"):
        StackDataset(Squares(), range(4))


def test_subsets_of_subsets():
    inner = Subset(Squares(), [4, 3, 2])
    assert [Subset(inner, [2, 0])[place] for place in (0, 1)] == [4, 16]

    class Half(Subset):
        def __getitem__(self, index):
            return 0

    with pytest.raises(NotImplementedError, match="__getitems__"):
        Half(Squares(), [0])


def test_random_split_is_the_known_permutation():
    lampas.manual_seed(0)
    first, second = random_split(range(10), [7, 3])
    assert first.indices + second.indices == [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]
    assert [len(part) for part in random_split(range(10), [0.5, 0.26, 0.24])] == [6, 2, 2]
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(range(2), [0.9, 0.1])


def test_shuffled_order_follows_the_seed():
    orders = []
    for _ in range(2):
        lampas.manual_seed(3)
        loader = DataLoader(range(6), batch_size=2, shuffle=True)
        orders.append([batch.tolist() for batch in loader])
    assert orders[0] == orders[1]
    assert sorted(place for batch in orders[0] for place in batch) == list(range(6))
    again = [batch.tolist() for batch in loader]
    assert again != orders[0]


def test_batches():
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(SequentialSampler(range(5)), 2, False)) == 3
    assert len(list(RandomSampler(range(4), replacement=True, num_samples=70))) == 70


@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: Subset(Subset(d, range(9, -1, -1)), range(8))]
)
def test_rows_are_cut_as_single_samples_are_stacked(wrap):
    tensors = (
        lampas.arange(20).reshape(10, 2).float(),
        lampas.arange(10),
        lampas.arange(20).reshape(10, 2).t().contiguous().t(),
        lampas.ones(10, 3, dtype=lampas.bfloat16),
    )
    data = wrap(TensorDataset(*tensors))
    for indices in DataLoader(range(len(data)), 3):
        chosen = indices.tolist()
        expected = default_collate([data[place] for place in chosen])
        loader = DataLoader(data, batch_sampler=[chosen])
        batch = next(iter(loader))
        assert isinstance(batch, list)
        for ours, theirs in zip(batch, expected, strict=True):
            assert ours.dtype is theirs.dtype
            assert ours.tolist() == theirs.tolist()


def test_batches_own_their_memory():
    source = lampas.zeros(4, 2)
    for (batch,) in DataLoader(TensorDataset(source), 2):
        batch.add_(1)
    assert source.sum().item() == 0.0
    for batch in DataLoader(source, 2):
        batch.add_(1)
    assert source.sum().item() == 0.0


def test_gradients_flow_through_batches_of_differentiable_tensors():
    source = lampas.arange(4).float().requires_grad_()
    for (batch,) in DataLoader(TensorDataset(source), 4):
        (batch * batch).sum().backward()
    assert source.grad.tolist() == [0.0, 2.0, 4.0, 6.0]


def test_rows_that_are_not_there():
    with pytest.raises(IndexError):
        next(iter(DataLoader(TensorDataset(lampas.zeros(3)), batch_sampler=[[0, 3]])))
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(lampas.zeros(3), lampas.zeros(2))


def test_a_table_changed_by_the_program_is_used():
    before = default_collate_fn_map[lampas.Tensor]
    try:
        default_collate_fn_map[lampas.Tensor] = lambda batch, *, collate_fn_map: len(batch)
        assert next(iter(DataLoader(TensorDataset(lampas.zeros(4)), 3))) == [3]
    finally:
        default_collate_fn_map[lampas.Tensor] = before


def test_collation_keeps_types():
    Point = collections.namedtuple("Point", "x y")
    batch = default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert type(batch) is Point
    assert batch.y.dtype is lampas.float64
    kept = default_collate([collections.OrderedDict(a="x"), collections.OrderedDict(a="y")])
    assert type(kept) is collections.OrderedDict
    assert default_collate([np.array([1, 2]), np.array([3, 4])]).tolist() == [[1, 2], [3, 4]]
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]
    with pytest.raises(TypeError, match="found object"):
        default_collate([np.array(["a"], dtype=object)])


def test_frozen_attributes():
    loader = DataLoader(range(3))
    with pytest.raises(ValueError, match="batch_size attribute should not be set"):
        loader.batch_size = 3
    loader.collate_fn = list
    assert list(loader) == [[0], [1], [2]]


def test_pinning_warns_without_an_accelerator():
    with pytest.warns(UserWarning, match="pin_memory"):
        list(DataLoader(range(3), pin_memory=True))


def test_too_many_workers_warn():
    with pytest.warns(UserWarning, match="suggested max number of worker"):
        DataLoader(range(3), num_workers=10_000)


def test_iterators_cannot_be_pickled():

    with pytest.raises(NotImplementedError, match="cannot be pickled"):
        pickle.dumps(iter(DataLoader(range(3))))
