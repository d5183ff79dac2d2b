"""Buffers: alignment, recycling, views that outlive their buffer."""

from __future__ import annotations

import gc

import numpy
import pytest

from lampas.engine.device import buffer
from lampas.engine.device.buffer import (
    MOST_LENT,
    Buffer,
    address_of,
    empty_cache,
    first_field,
    fresh_block,
    lent_blocks,
    set_cache_cap,
    size_class,
    stated_address,
    statistics,
)


@pytest.fixture(autouse=True)
def clean_cache():
    empty_cache()
    before = buffer.cap_bytes
    yield
    set_cache_cap(before)
    empty_cache()


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 4096, 100_001, 3 << 20])
def test_alignment_and_size(nbytes: int) -> None:
    made = Buffer.allocate(nbytes)
    assert made.pointer % 64 == 0
    assert made.nbytes == nbytes
    view = made.array(numpy.uint8, (nbytes,))
    view[:] = 7
    assert view.sum() == 7 * nbytes


def test_size_classes_grow_and_waste_little() -> None:
    classes = [size_class(n) for n in range(1, 5000)]
    assert classes == sorted(classes)
    assert all(
        n <= c and (c <= 64 or c < 1.26 * n) for n, c in zip(range(1, 5000), classes, strict=True)
    )


def test_a_dead_buffer_is_recycled() -> None:
    first = Buffer.allocate(1000)
    pointer = first.pointer
    del first
    count = statistics.fresh
    second = Buffer.allocate(900 + 60)
    assert second.pointer == pointer
    assert statistics.fresh == count


def test_a_view_keeps_the_memory() -> None:
    made = Buffer.allocate(4000)
    view = made.array(numpy.float32, (10, 100))
    view[:] = 3
    del made
    others = [Buffer.allocate(4000) for _ in range(3)]
    for other in others:
        other.array(numpy.float32, (1000,))[:] = 0
    assert (view == 3).all()


def test_a_view_of_a_view_keeps_the_memory() -> None:
    made = Buffer.allocate(4000)
    part = made.array(numpy.float32, (10, 100))[3:5, ::2].T
    part[...] = 3
    del made
    Buffer.allocate(4000).array(numpy.float32, (1000,))[:] = 0
    assert (part == 3).all()


def test_memory_whose_views_are_gone_is_recycled() -> None:
    made = Buffer.allocate(4000)
    pointer = made.pointer
    made.array(numpy.float32, (1000,))[:] = 1
    del made
    assert Buffer.allocate(4000).pointer == pointer


def test_memory_that_was_lent_serves_again_when_the_views_are_gone() -> None:
    made = Buffer.allocate(12_345)
    pointer = made.pointer
    view = made.array(numpy.uint8, (12_345,))[5:]
    del made
    assert Buffer.allocate(12_345).pointer != pointer
    del view
    others = [Buffer.allocate(12_345) for _ in range(3)]
    assert pointer in [other.pointer for other in others]


def test_few_lent_blocks_are_remembered() -> None:
    views = [Buffer.allocate(23_456).array(numpy.uint8, (4,)) for _ in range(5 * MOST_LENT)]
    assert len(lent_blocks[size_class(23_456)]) <= MOST_LENT
    assert len({view.ctypes.data for view in views}) == len(views)


def test_offset_views_share_memory() -> None:
    made = Buffer.allocate(64)
    made.array(numpy.int32, (16,))[:] = numpy.arange(16)
    assert made.array(numpy.int32, (2, 2), 16).tolist() == [[4, 5], [6, 7]]


def test_views_beyond_the_end_are_refused() -> None:
    with pytest.raises(TypeError, match="too small"):
        Buffer.allocate(64).array(numpy.float64, (1000,))


def test_from_array_shares_and_keeps_it() -> None:
    source = numpy.arange(6, dtype=numpy.int16).reshape(2, 3)
    made = Buffer.from_array(source)
    assert made.pointer == source.__array_interface__["data"][0]
    source[0, 0] = 9
    expected = source.copy()
    del source
    gc.collect()
    assert made.array(numpy.int16, (3, 2)).tolist() == expected.reshape(3, 2).tolist()


def test_from_array_needs_contiguous_memory() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        Buffer.from_array(numpy.zeros((4, 4))[:, 1])


def test_zero_dimensional_and_empty_arrays() -> None:
    made = Buffer.from_array(numpy.array(2.5))
    assert made.array(numpy.float64, ()).item() == 2.5
    assert Buffer.from_array(numpy.zeros((0, 3))).array(numpy.float64, (3, 0)).shape == (3, 0)


def test_statistics_count_live_bytes() -> None:
    live = statistics.live_bytes
    made = Buffer.allocate(1 << 20)
    assert statistics.live_bytes == live + (1 << 20)
    assert statistics.peak_bytes >= live + (1 << 20)
    del made
    assert statistics.live_bytes == live


def test_the_cache_has_a_cap() -> None:
    set_cache_cap(1 << 20)
    buffers = [Buffer.allocate(1 << 19) for _ in range(4)]
    del buffers
    assert statistics.cached_bytes <= 1 << 20
    set_cache_cap(0)
    assert statistics.cached_bytes == 0


def test_no_memory_is_told_as_pytorch_does() -> None:
    with pytest.raises(
        RuntimeError, match=r"can't allocate memory: you tried to allocate \d+ bytes"
    ):
        Buffer.allocate(1 << 60)


def test_the_cache_is_given_up_before_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request fails, the cache is emptied, the second request succeeds."""
    kept = Buffer.allocate(5000)
    del kept
    real, answers = numpy.empty, [MemoryError()]

    def scarce(*arguments):
        if answers:
            raise answers.pop()
        return real(*arguments)

    monkeypatch.setattr(buffer.numpy, "empty", scarce)
    assert statistics.cached_bytes > 0
    fresh_block(1 << 10, 1 << 10)
    assert statistics.cached_bytes == 0


@pytest.mark.parametrize(
    "array", [numpy.zeros(5)[2:], numpy.zeros((0, 3)), numpy.array(1), numpy.zeros(3, numpy.int8)]
)
def test_addresses_are_numpys(array: numpy.ndarray) -> None:
    assert address_of is first_field  # on every interpreter that the tests run on
    assert address_of(array) == stated_address(array)


def test_arrays_of_nothing_may_be_asked_for_anywhere() -> None:
    made = Buffer.allocate(0).array(numpy.float32, (0, 5), 40, (20, 4))
    assert made.shape == (0, 5)


def test_a_large_block_of_the_class_above_serves_too() -> None:
    owned = statistics.owned_bytes
    whole = Buffer.allocate(size_class(9 << 20))
    taken, pointer = whole.capacity, whole.pointer
    del whole
    smaller = size_class(taken // 2)
    while size_class(smaller + 1) < taken:
        smaller = size_class(smaller + 1)
    again = Buffer.allocate(smaller)
    assert (again.pointer, again.capacity, again.nbytes) == (pointer, taken, smaller)
    assert statistics.owned_bytes == owned + taken
    del again
    assert Buffer.allocate(taken).pointer == pointer
