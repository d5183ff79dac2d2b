"""`grid_sample`: the values of an image at real-valued positions."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable

from lampas.engine.tensor import Tensor, where, zeros_like
from lampas.nn.functional.precision import rounded_once

__all__ = ["grid_sample"]

MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")
CUBIC_A = -0.75


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    if mode not in MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.size(0) != grid.size(0):
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with "
            f"sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.size(-1) != input.dim() - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {input.dim() - 2} in last dimension, but "
            f"got grid with sizes {list(grid.shape)}"
        )
    if input.dtype != grid.dtype:
        raise RuntimeError(
            "grid_sampler(): expected input and grid to have same dtype, but input has "
            f"{input.dtype} and grid has {grid.dtype}"
        )
    if any(size == 0 for size in input.shape[2:]):
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    if mode == "bicubic" and input.dim() != 4:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


@rounded_once
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """input (N, C, H, W) at grid (N, h, w, 2), whose coordinates (x, y) run from −1 to 1.

    Also (N, C, D, H, W) at (N, d, h, w, 3). Raises ValueError for an unknown mode, RuntimeError
    for shapes that do not fit.
    """
    _check(input, grid, mode, padding_mode)
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since "
            "1.3.0. Please specify align_corners=True if the old behavior is desired. See the "
            "documentation of grid_sample for details.",
            stacklevel=2,
        )
        align_corners = False
    rank = input.dim() - 2
    sizes = tuple(input.shape[2:])
    # Coordinates come x first; dimensions come with the slowest first.
    places = [
        _to_pixels(grid[..., rank - 1 - place], sizes[place], align_corners)
        for place in range(rank)
    ]
    if mode == "bicubic":
        return _bicubic(input, places, padding_mode, align_corners)
    places = [_held(place, size, padding_mode, align_corners) for place, size in zip(places, sizes)]
    if mode == "nearest":
        return _read(input, [place.detach().round() for place in places])
    return _multilinear(input, places)


def _to_pixels(coordinate: Tensor, size: int, align_corners: bool) -> Tensor:
    if align_corners:
        return (coordinate + 1) * ((size - 1) / 2)
    return ((coordinate + 1) * size - 1) / 2


def _held(place: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Positions outside brought to the border, or reflected; left alone for zeros."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        if align_corners:
            place = _reflected(place, 0, 2 * (size - 1))
        else:
            place = _reflected(place, -1, 2 * size - 1)
    low = where(place <= 0, zeros_like(place), place)
    top = zeros_like(place) + (size - 1)
    clipped = where(low >= size - 1, top, low)
    return where(clipped.isnan(), zeros_like(clipped), clipped)


def _reflected(place: Tensor, twice_low: int, twice_high: int) -> Tensor:
    if twice_low == twice_high:
        return place * 0
    low = twice_low / 2
    span = (twice_high - twice_low) / 2
    distance = (place - low).abs()
    flips = (distance.detach() / span).floor()
    extra = distance - flips * span
    even = flips.remainder(2) == 0
    return where(even, extra + low, span - extra + low)


def _read(input: Tensor, places: list[Tensor]) -> Tensor:
    """input (N, C, …) at whole positions (N, …), zero outside -> (N, C, …)."""
    sizes = tuple(input.shape[2:])
    inside: Tensor | None = None
    flat: Tensor | None = None
    for number, (place, size) in enumerate(zip(places, sizes)):
        good = (place >= 0) & (place <= size - 1)
        index = where(good, place, zeros_like(place)).long() * math.prod(sizes[number + 1 :])
        inside = good if inside is None else inside & good
        flat = index if flat is None else flat + index
    assert inside is not None
    assert flat is not None
    batch, channels = input.shape[:2]
    index = flat.reshape(batch, 1, -1).expand(batch, channels, -1)
    values = input.reshape(batch, channels, -1).gather(2, index)
    values = values.reshape(batch, channels, *flat.shape[1:])
    return where(inside.unsqueeze(1), values, zeros_like(values))


def _multilinear(input: Tensor, places: list[Tensor]) -> Tensor:
    lows = [place.detach().floor() for place in places]
    parts = [place - low for place, low in zip(places, lows)]
    total: Tensor | None = None
    for corner in itertools.product((0, 1), repeat=len(places)):
        weight: Tensor | None = None
        for part, side in zip(parts, corner):
            factor = part if side else 1 - part
            weight = factor if weight is None else weight * factor
        assert weight is not None
        at = [low + side if side else low for low, side in zip(lows, corner)]
        term = _read(input, at) * weight.unsqueeze(1)
        total = term if total is None else total + term
    assert total is not None
    return total


def _cubic_weights(part: Tensor) -> list[Tensor]:
    """Keys' kernel at distances 1 + t, t, 1 − t, 2 − t."""

    def near(x: Tensor) -> Tensor:
        return ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((CUBIC_A * x - 5 * CUBIC_A) * x + 8 * CUBIC_A) * x - 4 * CUBIC_A

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _bicubic(input: Tensor, places: list[Tensor], padding_mode: str, align_corners: bool) -> Tensor:
    sizes = tuple(input.shape[2:])
    lows = [place.detach().floor() for place in places]
    weights = [_cubic_weights(place - low) for place, low in zip(places, lows)]
    hold: Callable[[Tensor, int], Tensor] = lambda place, size: (  # noqa: E731
        _held(place, size, padding_mode, align_corners)
    )
    total: Tensor | None = None
    for row, column in itertools.product(range(4), repeat=2):
        at = [hold(lows[0] + (row - 1), sizes[0]), hold(lows[1] + (column - 1), sizes[1])]
        weight = weights[0][row] * weights[1][column]
        term = _read(input, at) * weight.unsqueeze(1)
        total = term if total is None else total + term
    assert total is not None
    return total
