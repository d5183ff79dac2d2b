"""Tensors: storages and views, writes and versions, sharing with NumPy, laziness that does not show."""

import gc

import numpy as np
import pytest

import lampas
from lampas.engine.settings import settings


def numbers(*shape: int) -> np.ndarray:
    return np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape)


VIEWS = {
    "t": lambda x: x.t() if isinstance(x, lampas.Tensor) else x.T,
    "row": lambda x: x[1],
    "column": lambda x: x[:, 2],
    "block": lambda x: x[1:, 1:3],
    "steps": lambda x: x[::2, ::3],
    "flat": lambda x: x.reshape(-1),
    "new axis": lambda x: x[:, None],
    "row of t": lambda x: (x.t() if isinstance(x, lampas.Tensor) else x.T)[1:, 0],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("tier", ["reference", "compiled"])
def test_writes_show_in_base_and_views(name: str, tier: str) -> None:
    with settings.override(tier=tier):
        array = numbers(3, 4)
        tensor = lampas.tensor(array)
        part, other = VIEWS[name](array), VIEWS[name](tensor)
        other.mul_(10)
        part *= 10
        assert np.array_equal(tensor.numpy(), array)
        tensor.add_(1)
        array += 1
        assert np.array_equal(other.numpy(), part)
        assert other._version == 2


def test_lazy_values_are_those_of_the_moment() -> None:
    x = lampas.ones(3)
    before = x + 0
    x.add_(5)
    after = x + 0
    assert before.tolist() == [1, 1, 1]
    assert after.tolist() == [6, 6, 6]


def test_numpy_shares_memory_both_ways_and_pending_work_is_not_disturbed() -> None:
    array = numbers(4)
    tensor = lampas.from_numpy(array)
    pending = tensor * 2
    array[0] = 100
    assert pending.tolist() == [0, 2, 4, 6]
    assert tensor.tolist() == [100, 1, 2, 3]
    tensor[1] = 7
    assert array[1] == 7
    out = (tensor + 1).numpy()
    out[:] = 0
    assert tensor[0].item() == 100


def test_clone_does_not_share_with_an_exported_array() -> None:
    x = lampas.ones(3)
    y = x.clone()
    array = x.numpy()
    array[:] = 5
    assert y.tolist() == [1, 1, 1]
    assert x.tolist() == [5, 5, 5]


def test_memory_can_be_recycled_after_the_array_is_gone() -> None:
    x = lampas.ones(3)
    array = x.numpy()
    del array
    gc.collect()
    x.add_(1)
    assert not x._storage.shared
    assert x.tolist() == [2, 2, 2]


def test_a_loop_that_never_looks_stays_flat() -> None:
    """`total = total + loss` for 10,000 rounds keeps neither nodes nor memory."""
    from lampas.engine.device.buffer import statistics
    from lampas.engine.graph.node import Node

    total = lampas.zeros(16)
    loss = lampas.ones(16)
    loss.tolist()
    with settings.override(pending=500):
        for _ in range(1000):
            total = total + loss
        live = sum(type(each) is Node for each in gc.get_objects())
        memory = statistics.live_bytes
        for _ in range(9000):
            total = total + loss
        assert sum(type(each) is Node for each in gc.get_objects()) <= live + 1500
        assert statistics.live_bytes <= memory + 4096
    assert total[0].item() == 10_000


def test_failing_work_does_not_poison_the_rest() -> None:
    from lampas.engine.graph import build as g
    from lampas.engine.tensor.core import wrap

    good = lampas.ones(3) * 2
    outside = g.index_select(good._node, 0, lampas.tensor([7])._node)
    bad = wrap(outside, good.device)
    with pytest.raises(IndexError):
        bad.tolist()
    assert good.tolist() == [2, 2, 2]


def test_views_of_other_dtypes_share_bytes() -> None:
    x = lampas.zeros(4, dtype=lampas.float32)
    bits = x.view(lampas.int32)
    bits[1] = 0x3F800000
    assert x.tolist() == [0, 1, 0, 0]
    assert x.view(lampas.uint8).shape == (16,)


def test_meta_tensors_have_shapes_and_no_values() -> None:
    x = lampas.empty(3, 4, device="meta")
    y = x @ x.t() + 1
    assert y.shape == (3, 3)
    assert y.device.type == "meta"
    with pytest.raises(NotImplementedError, match="no data"):
        y.tolist()
    with pytest.raises(RuntimeError, match="same device"):
        x + lampas.ones(3, 4)


@pytest.mark.parametrize("eager", [False, True])
def test_eager_and_lazy_agree(eager: bool) -> None:
    with settings.override(eager=eager):
        x = lampas.tensor(numbers(3, 4), requires_grad=True)
        y = (x.sin() * x).sum(1)
        y[1:].prod().backward()
        assert x.grad is not None
        found = x.grad.numpy()
    wide = numbers(3, 4).astype(np.float64)
    rows = (np.sin(wide) * wide).sum(1)
    slope = np.cos(wide) * wide + np.sin(wide)
    expected = slope * np.array([0, rows[2], rows[1]])[:, None]
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_saved_values_outlive_their_tensors() -> None:
    x = lampas.tensor([0.5, 1.0], requires_grad=True)
    y = x.exp().log().exp()
    y.sum().item()
    y.sum().backward()
    assert np.allclose(x.grad.numpy(), np.exp([0.5, 1.0]), rtol=1e-6)


def test_threads_record_at_the_same_time() -> None:
    import threading

    results: list[float] = []

    def work(seed: int) -> None:
        x = lampas.full((50,), float(seed))
        for _ in range(50):
            x = x * 1.0 + 1.0
        results.append(x.sum().item())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [50 * (n + 50) for n in range(4)]


def test_arrays_of_parts_do_not_copy_the_whole() -> None:
    from lampas.engine.device.buffer import statistics

    x = lampas.ones(1000, 100) * 2
    x.sum().item()
    before = statistics.live_bytes
    rows = [x[place].numpy() for place in range(50)]
    rows[3][:] = 9
    assert x[3].sum().item() == 900
    assert statistics.live_bytes - before < 100_000


def test_equal_results_do_not_share_memory_with_arrays() -> None:
    x = lampas.arange(3.0)
    one, two = x * 2, x * 2
    array = one.numpy()
    array[:] = 7
    assert two.tolist() == [0, 2, 4]
    part = x[1:].clone()
    x.numpy()[:] = 5
    assert part.tolist() == [1, 2]


def test_one_value_under_a_mask_computes_nothing_yet() -> None:
    x = lampas.arange(12.0).reshape(3, 4) + 0
    mask = x > 5
    x[mask] = -1.0
    assert x._storage.node.buffer is None
    x[lampas.tensor([True, False, False])] = lampas.tensor(7, dtype=lampas.int64)
    assert x.tolist() == [[7.0] * 4, [4.0, 5.0, -1.0, -1.0], [-1.0] * 4]


def test_gradients_pass_where_the_mask_is_false() -> None:
    w = lampas.ones(2, 3, requires_grad=True)
    value = lampas.tensor(3.0, requires_grad=True)
    y = w * 2
    y[lampas.tensor([[True, False, True], [False, True, False]])] = value
    assert y.grad_fn.name() == "IndexPutBackward0"
    y.sum().backward()
    assert w.grad.tolist() == [[0.0, 2.0, 0.0], [2.0, 0.0, 2.0]]
    assert value.grad.item() == 3.0
