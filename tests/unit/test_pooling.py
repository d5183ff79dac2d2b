"""Maximum pooling as a kernel against the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest

import lampas
from lampas.engine.dtype import dtype, float32, float64
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.node import buffer_node
from lampas.engine.settings import settings
from lampas.nn import functional as F
from tests.unit.schedules import check, leaf, records

Sizes = tuple[int, ...]


def random_case(seed: int) -> tuple[Sizes, tuple[Sizes, ...], np.ndarray]:
    """Shape, attributes and values (many equal ones, some NaN and infinite)."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))

    def numbers(low: int, high: int) -> Sizes:
        return tuple(int(n) for n in rng.integers(low, high, rank))

    kernel, stride, dilation = numbers(1, 4), numbers(1, 4), numbers(1, 3)
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    room = numbers(0, (70, 40, 6)[rank - 1])
    spatial = tuple(
        max(d * (k - 1) + 1 - q, 1) + more
        for d, k, q, more in zip(dilation, kernel, padding, room, strict=True)
    )
    sizes = tuple(
        (n + 2 * q - d * (k - 1) - 1) // s + 1
        for n, q, d, k, s in zip(spatial, padding, dilation, kernel, stride, strict=True)
    )
    shape = (2, int(rng.integers(1, 4)), *spatial)
    values = rng.integers(-3, 4, shape).astype(np.float64)
    values[rng.random(shape) < 0.05] = np.nan
    values[rng.random(shape) < 0.2] = -np.inf
    return shape, (kernel, stride, padding, dilation, sizes), values


@pytest.mark.parametrize("kind", [float32, float64], ids=lambda kind: kind.name)
@pytest.mark.parametrize("seed", range(16))
def test_places(seed: int, kind: dtype) -> None:
    shape, attributes, values = random_case(seed)
    x = buffer_node(np.ascontiguousarray(values.astype(kind.numpy)), shape, kind)
    program = check(g.make(p.MAX_POOL_INDEX, (x,), attributes))
    assert [name.split("_")[0] for name in records(program)] == ["max"]


def test_a_window_without_values_yields_its_first_place_inside() -> None:
    x = buffer_node(np.full((1, 5, 5), -np.inf, np.float32), (1, 5, 5), float32)
    attributes = ((3, 3), (2, 2), (1, 1), (1, 1), (3, 3))
    check(g.make(p.MAX_POOL_INDEX, (x,), attributes))


def test_a_source_that_does_not_lie_row_major() -> None:
    x = g.permute(leaf(9, 2, 7), (1, 0, 2))
    check(g.make(p.MAX_POOL_INDEX, (x,), ((2, 2), (2, 2), (0, 0), (1, 1), (4, 3))))


def pooled(values: np.ndarray, window: tuple[int, int], stride: tuple[int, int], tier: str) -> list:
    """Values, places and gradient; the last sees more than one sum."""
    with settings.override(tier=tier, verify=True):
        x = lampas.tensor(values, requires_grad=True)
        rank = values.ndim - 2
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
        sizes = [((1, *each))[3 - rank :] for each in (window, stride)]
        found, places = pool(lampas.relu(x), *sizes, return_indices=True)
        flow = lampas.arange(found.numel()).reshape(found.shape).to(found.dtype)
        found.backward(flow)
        return [found.detach().numpy(), places.numpy(), x.grad.numpy()]


@pytest.mark.parametrize("channels", [8, 21, 70])
@pytest.mark.parametrize(
    ("window", "stride", "size"),
    [
        ((2, 2), (2, 2), (8, 12)),
        ((2, 2), (2, 2), (7, 9)),
        ((2, 3), (3, 4), (11, 14)),
        ((3, 3), (2, 2), (9, 9)),  # they overlap
        ((1, 3), (1, 3), (3, 10)),
    ],
    ids=str,
)
def test_small_windows_inside(
    channels: int, window: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]
) -> None:
    """Equal values, NaN, places of no window; images of two dimensions, of one and of three."""
    rng = np.random.default_rng(3)
    values = rng.integers(-2, 4, (3, channels, *size)).astype(np.float32)
    values[rng.random(values.shape) < 0.03] = np.nan
    for given in (values, values[:, :, 0], np.stack([values, values[::-1]], axis=2)):
        compiled, reference = (pooled(given, window, stride, t) for t in ("compiled", "reference"))
        for got, wanted in zip(compiled, reference, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_values_and_places_come_from_one_kernel() -> None:
    x = g.add(leaf(2, 16, 8, 8), leaf(16, 1, 1))
    attributes = ((2, 2), (2, 2), (0, 0), (1, 1), (4, 4))
    places = g.make(p.MAX_POOL_INDEX, (x,), attributes)
    flat, picked = g.reshape(x, (2, 16, 64)), g.reshape(places, (2, 16, 16))
    program = check(g.make(p.GATHER, (flat, picked), (2,)), places)
    assert [name for name in records(program) if "pool" in name] == ["window_pool_both_float"]


def test_two_poolings_of_one_image() -> None:
    """Equal ones whose values and places are all wanted, and one of other windows."""
    with settings.override(tier="compiled", verify=True):
        x = lampas.relu(lampas.rand(2, 16, 8, 8) - 0.5)
        made = [F.max_pool2d(x, size, return_indices=True) for size in (2, 2, 4)]
        again = F.max_pool2d(x, 2)
        values, places = made[0]
        flat = x.flatten(2).gather(2, places.flatten(2)).reshape(values.shape)
        for each in (flat, made[1][0], again):
            np.testing.assert_array_equal(each.numpy(), values.numpy())
        np.testing.assert_array_equal(made[1][1].numpy(), places.numpy())
        np.testing.assert_array_equal(made[2][0].numpy(), F.max_pool2d(values, 2).numpy())
