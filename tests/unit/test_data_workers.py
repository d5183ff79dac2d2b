"""Worker processes: errors, deaths, endings, shared memory, resuming."""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import lampas
from lampas.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info
from lampas.utils.data.channel import Channel


class Numbers(Dataset):
    """Samples are their indices; `act` may do something else at an index."""

    def __init__(self, count, act=None):
        self.count = count
        self.act = act

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if self.act is not None:
            self.act(index)
        return index


class Odd(Exception):
    """Takes two arguments: it cannot be made again from a message."""

    def __init__(self, a, b):
        super().__init__(a, b)


def fail_at(place, error):
    def act(index):
        if index == place:
            raise error

    return act


def values(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError("bad sample"), ValueError), (KeyError("k"), KeyError), (Odd(1, 2), RuntimeError)],
)
def test_an_error_comes_home_with_traceback_and_index(error, kind):
    loader = DataLoader(Numbers(8, fail_at(5, error)), batch_size=2, num_workers=2)
    with pytest.raises(kind) as raised:
        values(loader)
    text = str(raised.value)
    assert "in DataLoader worker process 0" in text
    assert "at index [4, 5]" in text
    assert "Traceback (most recent call last)" in text
    assert "in act" in text


def test_a_killed_worker_is_named_at_once():
    def act(index):
        if index == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    loader = DataLoader(Numbers(40, act), batch_size=2, num_workers=2)
    with pytest.raises(RuntimeError, match=r"killed by signal: SIGKILL"):
        values(loader)


def test_a_worker_that_exits_is_reported():
    def act(index):
        if index == 4:
            os._exit(3)

    loader = DataLoader(Numbers(40, act), batch_size=2, num_workers=2)
    with pytest.raises(RuntimeError, match="exited unexpectedly with exit code 3"):
        values(loader)


def test_timeout():
    loader = DataLoader(Numbers(4, lambda index: time.sleep(5)), num_workers=1, timeout=0.05)
    iterator = iter(loader)
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0.05 seconds"):
        next(iterator)
    for process in iterator._pool.processes:
        process.kill()


def test_breaking_off_leaves_no_process():
    before = set(multiprocessing.active_children())
    for _ in DataLoader(Numbers(100), batch_size=2, num_workers=2):
        break
    assert set(multiprocessing.active_children()) <= before


def test_order_is_kept_and_may_be_given_up():
    def act(index):
        time.sleep(0.02 if index == 0 else 0)

    loader = DataLoader(Numbers(12, act), batch_size=2, num_workers=2)
    assert values(loader) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    loose = DataLoader(Numbers(12), batch_size=2, num_workers=2, in_order=False)
    assert sorted(values(loose)) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]


def test_persistent_workers_stay_the_same_processes():
    class Pids(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return os.getpid()

    loader = DataLoader(Pids(), num_workers=2, persistent_workers=True)
    first = {pid for batch in loader for pid in batch.tolist()}
    assert first == {pid for batch in loader for pid in batch.tolist()}
    assert os.getpid() not in first


def test_worker_init_fn_and_worker_info():
    seen = []

    def begin(worker):
        info = get_worker_info()
        seen.append((worker, info.id, info.num_workers, info.seed))

    class Info(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return seen[0]

    loader = DataLoader(Info(), None, num_workers=2, worker_init_fn=begin)
    first, second = list(loader)[:2]
    assert first[:3] == [0, 0, 2]
    assert second[:3] == [1, 1, 2]
    assert second[3] == first[3] + 1
    assert seen == []
    assert get_worker_info() is None


def test_error_in_worker_init_fn_is_shown():
    def begin(worker):
        raise OSError("no disk")

    with pytest.raises(OSError, match="while starting"):
        values(DataLoader(Numbers(4), num_workers=1, worker_init_fn=begin))


def test_large_and_small_and_odd_tensors_travel():
    class Batches(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {
                "large": lampas.full((200, 300), float(index)),
                "half": lampas.full((40, 500), 1.5, dtype=lampas.bfloat16),
                "empty": lampas.zeros(0, 3),
                "none": lampas.tensor(True),
                "array": np.full(30000, index),
                "text": "x",
            }

    for index, batch in enumerate(DataLoader(Batches(), batch_size=None, num_workers=2)):
        assert batch["large"].shape == (200, 300)
        assert float(batch["large"].sum()) == 60000.0 * index
        assert batch["half"].dtype is lampas.bfloat16
        assert float(batch["half"].float().sum()) == 30000.0
        assert tuple(batch["empty"].shape) == (0, 3)
        assert batch["none"].item() is True
        assert batch["array"].sum() == 30000 * index
        batch["large"].add_(1)  # The memory is the receiver's own.
        assert float(batch["large"][0, 0]) == index + 1


def test_many_kept_batches_do_not_exhaust_descriptors():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    ours, theirs = Channel.pair()
    kept = []
    for number in range(400):
        ours.send(np.full(9000, number))
        kept.append(theirs.receive())
    assert [int(array[0]) for array in kept] == list(range(400))
    if before:
        assert len(os.listdir("/proc/self/fd")) - before < 200
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive()
    theirs.close()


class Squares(Dataset):
    """Can be pickled."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index * index


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_other_ways_to_start(method):
    if method == "spawn" and sys.platform != "linux":
        pytest.skip("one spawn is enough")
    loader = DataLoader(Squares(), num_workers=1, multiprocessing_context=method)
    assert values(loader) == [[0], [1], [4], [9]]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(10))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dataset", ["rows", "stream"])
def test_a_resumed_loader_goes_on(workers, dataset):
    data = TensorDataset(lampas.arange(23)) if dataset == "rows" else Stream()
    shuffle = dataset == "rows"

    def loader():
        return DataLoader(data, batch_size=3, shuffle=shuffle or None, num_workers=workers)

    def flat(batches):
        return [batch[0].tolist() if shuffle else batch.tolist() for batch in batches]

    lampas.manual_seed(4)
    whole = flat(loader())
    lampas.manual_seed(4)
    first = loader()
    iterator = iter(first)
    begun = flat(next(iterator) for _ in range(3))
    state = first.state_dict()
    del iterator
    lampas.manual_seed(99)
    expected_stream = lampas.rand(1).item()
    lampas.manual_seed(99)
    second = loader()
    second.load_state_dict(state)
    rest = flat(second)
    assert begun + rest == whole
    if shuffle:
        assert lampas.rand(1).item() == expected_stream
    assert second.state_dict() == {}


def test_iterable_dataset_that_lies_about_its_length_warns():
    class Short(Stream):
        def __len__(self):
            return 2

    loader = DataLoader(Short(), batch_size=None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="was reported to be 2"):
        list(loader)


def _children(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int(entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_program(number):
    program = textwrap.dedent(
        """
        import time
        from lampas.utils.data import DataLoader
        class Slow:
            def __len__(self): return 1000
            def __getitem__(self, index):
                time.sleep(0.01)
                return index
        for batch in DataLoader(Slow(), num_workers=2):
            print("batch", flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()
    workers = _children(process.pid)
    assert len(workers) == 2
    process.send_signal(number)
    process.wait(20)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while any(os.path.isdir(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its program"
        time.sleep(0.01)
