"""`grid_sample`, the values of an image at real-valued positions, as one operation; and `affine_grid`, such positions.

Every dimension gives taps: whole places, whether they lie inside, and weights (one tap for the nearest
place, two for linear, four for cubic interpolation with Keys' kernel, a = −0.75).  The result is the sum
over all combinations of taps, each of which is one gather.  Derivatives follow from the primitives.
"""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.derive.pullback import pull_back
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.tensor.contraction import stacked_product
from lampas.engine.tensor.door import record

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node
    from lampas.engine.tensor.core import Tensor

CUBIC_A = -0.75


class Tap(NamedTuple):
    """A whole place along one dimension for every position; no weight means 1."""

    place: Node
    inside: Node
    weight: Node | None


def _plus(x: Node, number: float) -> Node:
    return g.add(x, g.like(x, number))


def _times(x: Node, number: float) -> Node:
    return g.multiply(x, g.like(x, number))


def _pixels(coordinate: Node, size: int, aligned: bool) -> Node:
    """−1 … 1 as places: of the corners' centres, or of the corners."""
    moved = _plus(coordinate, 1)
    if aligned:
        return _times(moved, (size - 1) / 2)
    return _times(_plus(_times(moved, size), -1), 0.5)


# Positions outside --------------------------------------------------------------------------------


def _held(place: Node, size: int, padding: str, aligned: bool) -> Node:
    """Positions outside brought to the border, or reflected; left alone for zeros."""
    if padding == "zeros":
        return place
    if padding == "reflection":
        low, high = (0, 2 * (size - 1)) if aligned else (-1, 2 * size - 1)
        place = _reflected(place, low / 2, (high - low) / 2)
    zero, top = g.like(place, 0), g.like(place, size - 1)
    low_held = g.where(g.less_equal(place, zero), _zeros(place), place)
    held = g.where(g.greater_equal(low_held, top), g.expand(top, place.shape), low_held)
    return g.where(g.isnan(held), _zeros(held), held)


def _zeros(x: Node) -> Node:
    """Zeros of x's shape."""
    return g.full(x.shape, 0, x.dtype)


def _reflected(place: Node, low: float, span: float) -> Node:
    if span == 0:
        return _times(place, 0)
    distance = g.absolute(_plus(place, -low))
    flips = g.floor(g.divide(distance, g.like(distance, span)))
    extra = g.subtract(distance, _times(flips, span))
    even = g.equal(g.remainder(flips, g.like(flips, 2)), g.like(flips, 0))
    back = g.subtract(g.like(extra, span + low), extra)
    return g.where(even, _plus(extra, low), back)


# Taps ---------------------------------------------------------------------------------------------


def _tap(place: Node, size: int, weight: Node | None) -> Tap:
    after, before = g.like(place, size - 1), g.like(place, 0)
    inside = g.bitwise_and(g.greater_equal(place, before), g.less_equal(place, after))
    return Tap(g.cast(g.where(inside, place, _zeros(place)), int64), inside, weight)


def _cubic_weights(part: Node) -> list[Node]:
    """Keys' kernel at distances 1 + t, t, 1 − t, 2 − t."""
    a = CUBIC_A

    def near(x: Node) -> Node:
        inner = g.multiply(_plus(_times(x, a + 2), -(a + 3)), g.multiply(x, x))
        return _plus(inner, 1)

    def far(x: Node) -> Node:
        inner = _plus(g.multiply(_plus(_times(x, a), -5 * a), x), 8 * a)
        return _plus(g.multiply(inner, x), -4 * a)

    other = g.subtract(g.like(part, 1), part)
    return [far(_plus(part, 1)), near(part), near(other), far(_plus(other, 1))]


def _taps(coordinate: Node, size: int, mode: str, padding: str, aligned: bool) -> list[Tap]:
    place = _pixels(coordinate, size, aligned)
    if mode == "bicubic":
        low = g.floor(place)
        weights = _cubic_weights(g.subtract(place, low))
        held = [_held(_plus(low, side - 1), size, padding, aligned) for side in range(4)]
        return [_tap(at, size, weight) for at, weight in zip(held, weights, strict=True)]
    place = _held(place, size, padding, aligned)
    if mode == "nearest":
        return [_tap(g.round_half_even(place), size, None)]
    low = g.floor(place)
    part = g.subtract(place, low)
    return [
        _tap(low, size, g.subtract(g.like(part, 1), part)),
        _tap(_plus(low, 1), size, part),
    ]


def _combined(taps: tuple[Tap, ...], sizes: tuple[int, ...]) -> Tap:
    """One combination of taps as a tap among all pixels, laid out as (N, 1, positions)."""
    index, inside, weight = taps[0]
    for tap, size in zip(taps[1:], sizes[1:], strict=True):
        index = g.add(_times(index, size), tap.place)
        inside = g.bitwise_and(inside, tap.inside)
        if weight is not None and tap.weight is not None:
            weight = g.multiply(weight, tap.weight)
    batch = index.shape[0]
    line = (batch, 1, index.numel // max(batch, 1))
    parts = [None if x is None else g.reshape(x, line) for x in (index, inside, weight)]
    return Tap(*parts)  # type: ignore[arg-type]


def _combinations(
    grid: Node, sizes: tuple[int, ...], mode: str, padding: str, aligned: bool
) -> list[Tap]:
    """The taps of every position."""
    rank = len(sizes)
    along = []
    for place, size in enumerate(sizes):
        # Coordinates come x first; dimensions come with the slowest first.
        part = g.narrow(grid, len(grid.shape) - 1, rank - 1 - place, 1)
        coordinate = g.reshape(part, grid.shape[:-1])
        along.append(_taps(coordinate, size, mode, padding, aligned))
    return [_combined(taps, sizes) for taps in itertools.product(*along)]


def _sample(x: Node, grid: Node, mode: str, padding: str, aligned: bool) -> Node:
    flat = g.reshape(x, (*x.shape[:2], prod(x.shape[2:])))
    total: Node | None = None
    for index, inside, weight in _combinations(grid, x.shape[2:], mode, padding, aligned):
        whole = (*x.shape[:2], index.shape[2])
        values = g.gather(flat, 2, g.expand(index, whole))
        values = g.where(inside, values, g.full(whole, 0, x.dtype))
        # After the zeros: a position that is not a number has no value, as in PyTorch.
        term = values if weight is None else g.multiply(values, weight)
        total = term if total is None else g.add(total, term)
    assert total is not None
    return g.reshape(total, (*x.shape[:2], *grid.shape[1:-1]))


def _to_pixels(x: Node, grid: Node, ct: Node, mode: str, padding: str, aligned: bool) -> Node:
    """What the samples' cotangents bring to the pixels, added up tap after tap in one place."""
    flow = g.reshape(ct, (*x.shape[:2], prod(grid.shape[1:-1])))
    total = g.full((*x.shape[:2], prod(x.shape[2:])), 0, x.dtype)
    for index, inside, weight in _combinations(grid, x.shape[2:], mode, padding, aligned):
        share = flow if weight is None else g.multiply(flow, weight)
        share = g.where(inside, share, _zeros(flow))
        total = g.scatter(total, 2, g.expand(index, flow.shape), share, "add")
    return g.reshape(total, x.shape)


def _sample_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    """The grid's by the primitives; the nearest place does not move with the grid, whose gradient is then zero."""
    x, grid = saved.inputs
    pixels = positions = None
    if saved.needed[0]:
        pixels = _to_pixels(x, grid, ct, *saved.attributes)
    if saved.needed[1]:
        made = _sample(x, grid, *saved.attributes)
        positions = pull_back((made,), (ct,), saved.inputs, (False, True))[1]
        positions = _zeros(grid) if positions is None else positions
    return pixels, positions


SAMPLES = {
    rank: Operation(f"grid_sampler_{rank}d", _sample, vjp=_sample_vjp, saves="inputs")
    for rank in (2, 3)
}


def grid_sample(x: Tensor, grid: Tensor, mode: str, padding: str, aligned: bool) -> Tensor:
    """x (N, C, …) at grid (N, …, rank): modes and paddings of `nn.functional.grid_sample`."""
    return record(SAMPLES[len(x._shape) - 2], (x, grid), (mode, padding, aligned))


# Positions of affine maps -------------------------------------------------------------------------


def _affine(theta: Node, base: Node, spatial: tuple[int, ...]) -> Node:
    batch, rank, _ = theta.shape
    turned = g.transpose(g.cast(theta, base.dtype))
    whole = g.expand(g.reshape(base, (1, *base.shape)), (batch, *base.shape))
    made = stacked_product(whole, turned)
    return g.cast(g.reshape(made, (batch, *spatial, rank)), theta.dtype)


AFFINE = Operation("affine_grid_generator", _affine, saves="inputs")


def affine_positions(theta: Tensor, base: Node, spatial: tuple[int, ...]) -> Tensor:
    """(N, *spatial, rank): every row of base (places, rank + 1) by every theta (N, rank, rank + 1)."""
    return record(AFFINE, (theta, base), (spatial,))
