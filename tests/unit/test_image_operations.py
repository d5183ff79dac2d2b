"""Padding runs, adaptive windows, resampling tables and blocks against plain loops, on both tiers."""

from __future__ import annotations

import numpy as np
import pytest

from lampas.engine.dtype import from_numpy_dtype
from lampas.engine.graph.node import Node, buffer_node
from lampas.engine.graph.reference import evaluate
from lampas.engine.tensor import neural_adaptive_pooling as adaptive
from lampas.engine.tensor import neural_blocks, padding
from lampas.engine.tensor import neural_resample as resampling
from lampas.nn.functional.resample import antialiased_taps
from tests.unit.schedules import check, graph_of, leaves_of


def leaf(array: np.ndarray) -> Node:
    return buffer_node(array, array.shape, from_numpy_dtype(array.dtype))


def value_of(node: Node) -> np.ndarray:
    """What the NumPy reference makes of it."""
    return evaluate(graph_of(node), leaves_of(node)[2])[0]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([2, 1, 0, 1, 2, 3, 2], [(2, 3, -1), (1, 3, 1), (2, 1, 1)]),
        ([0, 0, 0, 1, 2, 2], [(0, 3, 0), (1, 2, 1), (2, 1, 1)]),
        ([4, 0, 1, 2], [(4, 1, 1), (0, 3, 1)]),
        ([], []),
    ],
)
def test_runs(places: list[int], expected: list[tuple[int, int, int]]) -> None:
    found = padding.runs(places)
    assert found == expected
    assert [first + step * n for first, count, step in found for n in range(count)] == places


@pytest.mark.parametrize(("size", "count"), [(7, 3), (12, 4), (3, 8), (5, 5), (1, 4), (50, 7)])
def test_windows_share_a_dimension_out(size: int, count: int) -> None:
    ends = adaptive.spans(size, count)
    assert len(ends) == count
    assert {place for start, end in ends for place in range(start, end)} == set(range(size))


@pytest.mark.parametrize("mode", list(padding.PLACES))
def test_padding_on_both_tiers(mode: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6))
    node = padding.PADS[mode, 2].compute((leaf(x),), (mode, ((3, 2, 3), (2, 1, 4))))[0]
    check(node)
    rows, columns = padding.PLACES[mode](5, 1, 4), padding.PLACES[mode](6, 2, 3)
    np.testing.assert_array_equal(value_of(node), x[:, :, rows][:, :, :, columns])


def test_adaptive_maxima_on_both_tiers() -> None:
    x = np.random.default_rng(1).integers(-2, 3, (2, 3, 7, 5)).astype(np.float64)
    values, index = adaptive.MAXIMA[2].compute((leaf(x),), ((3, 2),))
    check(values, index)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
def test_blocks_on_both_tiers(stride: tuple[int, int]) -> None:
    blocks = neural_blocks.Blocks((7, 8), (3, 2), (1, 2), (1, 0), stride)
    x = np.random.default_rng(2).standard_normal((2, 3, 7, 8))
    columns = neural_blocks.UNFOLD.compute((leaf(x),), tuple(blocks))[0]
    check(columns)
    down, across = blocks.counts
    assert columns.shape == (2, 18, down * across)
    weights = np.random.default_rng(3).standard_normal(columns.shape)
    check(neural_blocks.FOLD.compute((leaf(weights),), tuple(blocks))[0])


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize(("size", "output"), [(9, 4), (4, 9), (40, 3), (5, 5), (7, 1)])
def test_antialiased_weights_sum_to_one(size: int, output: int, cubic: bool) -> None:
    taps = antialiased_taps(size, output, None, False, cubic)
    np.testing.assert_allclose(np.array([weights for _, weights in taps]).sum(0), 1)
    places = np.array([places for places, _ in taps])
    assert places.min() >= 0
    assert places.max() < size


@pytest.mark.parametrize("output", [3, 200])
def test_the_way_back_is_the_transpose(output: int) -> None:
    size = 6
    numbers = np.random.default_rng(4)
    places, weights = numbers.integers(0, size, (2, output)), numbers.standard_normal((2, output))
    arrays = (places, weights, *resampling.transposed_table(places, weights, size))
    table = resampling.Table(*[leaf(array) for array in arrays])
    # Many results a source take the scattered sum, few the transposed table.
    assert (table.back_places.shape[0] > resampling.MOST_TAPS) == (output == 200)
    ct = numbers.standard_normal((2, output, 3))
    found = resampling.mix_back(leaf(ct), table, 1, size)
    check(found)
    matrix = np.zeros((size, output))
    np.add.at(matrix, (places, np.arange(output)), weights)
    expected = np.einsum("so,boc->bsc", matrix, ct)
    np.testing.assert_allclose(value_of(found), expected, atol=1e-12)
