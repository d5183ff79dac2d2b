"""Random numbers that PyTorch prints in public: manuals, notebooks, issues."""

import threading

import numpy as np
import pytest

from lampas.engine import dtype as dt
from lampas.engine.tensor import choices
from lampas.engine.tensor import distributions as ds
from lampas.engine.tensor.mt19937 import STATE_BYTES, MersenneTwister

# fmt: off
RANDN_16 = [-1.1258, -1.1524, -0.2506, -0.4339, 0.8487, 0.6920, -0.3160, -2.1152,
            0.3223, -1.2633, 0.3500, 0.3081, 0.1198, 1.2377, 1.1168, -0.2473]
# fmt: on


def test_rand():
    assert ds.uniform(MersenneTwister(0), 5).round(4).tolist() == pytest.approx(
        [0.4963, 0.7682, 0.0885, 0.1320, 0.3074]
    )


def test_rand_bits():
    bits = ds.uniform(MersenneTwister(0), 4).view(np.uint32).tolist()
    assert bits == [0x3EFE1558, 0x3F44AA2F, 0x3DB533A8, 0x3E073300]


def test_randn_below_a_block():
    assert ds.normal(MersenneTwister(0), 6).round(4).tolist() == pytest.approx(
        [1.5410, -0.2934, -2.1788, 0.5684, -1.0845, -1.3986]
    )


def test_randn_of_a_block():
    numbers = ds.normal(MersenneTwister(0), 16)
    assert numbers.round(4).tolist() == pytest.approx(RANDN_16)


def test_tail_of_a_block_is_drawn_anew():
    whole, longer = ds.normal(MersenneTwister(0), 32), ds.normal(MersenneTwister(0), 33)
    assert longer[:17].tolist() == whole[:17].tolist()
    assert not np.isin(longer[17:], whole).any()


@pytest.mark.parametrize(
    ("seed", "order"),
    [
        (0, [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]),
        (1, [5, 6, 1, 2, 0, 8, 9, 3, 7, 4]),
        ((1 << 32) + 1, [5, 6, 1, 2, 0, 8, 9, 3, 7, 4]),
        (42, [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]),
    ],
)
def test_randperm(seed, order):
    assert choices.permutation(MersenneTwister(seed), 10).tolist() == order


def test_randint():
    numbers = ds.random_integers(MersenneTwister(0), 10, dt.int64, 0, 17)
    assert numbers.tolist() == [7, 3, 12, 16, 2, 0, 16, 10, 6, 5]


def test_large_permutations_insert(monkeypatch):
    monkeypatch.setattr(choices, "SMALL_PERMUTATION", 10)
    order = choices.permutation(MersenneTwister(3), 1000)
    assert sorted(order) == list(range(1000))
    engine = MersenneTwister(3)
    by_hand = []
    for number, word in enumerate(engine.long_words(1000).tolist()):
        place = word % (number + 1)
        by_hand.append(number if place == number else by_hand[place])
        by_hand[place] = number
    assert order.tolist() == by_hand


def test_state_survives():
    engine, other = MersenneTwister(7), MersenneTwister(8)
    ds.normal(engine, 3)
    state = engine.state_bytes()
    assert len(state) == STATE_BYTES
    other.load_state_bytes(state)
    place = engine.snapshot()
    first = ds.normal(engine, 700), ds.normal(engine, 5)
    engine.rewind(place)
    for again in (engine, other):
        assert again.cached_normal is not None
        second = ds.normal(again, 700), ds.normal(again, 5)
        assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_threads_share_an_engine_without_repeating():
    engine, drawn = MersenneTwister(1), []
    threads = [
        threading.Thread(target=lambda: drawn.extend(engine.words(5000) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = np.sort(np.concatenate(drawn))
    assert np.array_equal(together, np.sort(MersenneTwister(1).words(4 * 20 * 5000)))


@pytest.mark.parametrize("damaged", [b"", bytes(STATE_BYTES), bytes(STATE_BYTES - 1)])
def test_bad_states_are_refused(damaged):
    with pytest.raises(RuntimeError, match="state"):
        MersenneTwister(0).load_state_bytes(damaged)
