"""Resampling of images: interpolation, affine grids, sampling at a grid, pixel and channel shuffles.

Interpolation is separable: every dimension is resampled by itself from a table of source places
and weights (`resample.py`).
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lampas.engine.graph.node import Node
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.neural_grid_sample import affine_positions
from lampas.engine.tensor.neural_resample import (
    MOST_TAPS,
    Table,
    nearest,
    resample,
    resample_densely,
    table_of,
)
from lampas.engine.tensor.values import node_of
from lampas.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from lampas.nn.functional.precision import rounded_once
from lampas.nn.functional.resample import (
    antialiased_taps,
    cubic_taps,
    linear_taps,
    nearest_places,
)

__all__ = [
    "affine_grid", "channel_shuffle", "interpolate", "native_channel_shuffle", "pixel_shuffle",
    "pixel_unshuffle", "upsample", "upsample_bilinear", "upsample_nearest",
]  # fmt: skip

LINEAR_RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
NEAREST = ("nearest", "nearest-exact", "area")
ADAPTIVE = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def _check_interpolation(
    input: Tensor, size: Any, scale_factor: Any, mode: str, align_corners: bool | None
) -> None:
    if mode in NEAREST and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    rank = input.dim() - 2
    for label, value in (("output shape", size), ("scale_factor", scale_factor)):
        if isinstance(value, Sequence) and len(value) != rank:
            what = (
                "spatial dimensions of input" if label == "output shape" else "spatial dimensions"
            )
            raise ValueError(
                f"Input and {label} must have the same number of spatial dimensions, but got input "
                f"with {what} of {list(input.shape[2:])} and {label} of {list(value)}. Please "
                "provide input tensor in (N, C, d1, d2, ...,dK) format and output size in "
                "(o1, o2, ...,oK) format."
            )
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if mode not in NEAREST and mode not in LINEAR_RANKS:
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported "
            f"(got {input.dim()}D) for the modes: nearest | linear | bilinear | bicubic | "
            f"trilinear | area | nearest-exact (got {mode})"
        )
    if rank not in (1, 2, 3):
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported "
            f"(got {input.dim()}D) for the modes: nearest | linear | bilinear | bicubic | "
            f"trilinear | area | nearest-exact (got {mode})"
        )
    if mode in LINEAR_RANKS and LINEAR_RANKS[mode] != rank:
        raise NotImplementedError(
            f"Got {input.dim()}D input, but {mode} mode needs {LINEAR_RANKS[mode] + 2}D input"
        )


@rounded_once
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dimensions of (N, C, …) to `size` or by `scale_factor`.

    Modes: nearest, nearest-exact, area (3-D to 5-D), linear (3-D), bilinear and bicubic (4-D),
    trilinear (5-D).
    """
    _check_interpolation(input, size, scale_factor, mode, align_corners)
    if antialias and not (mode in ("bilinear", "bicubic") and input.dim() == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D "
            "tensor as input"
        )
    sizes = tuple(input.shape[2:])
    rank = len(sizes)
    outputs, factors = _targets(sizes, size, scale_factor, recompute_scale_factor)
    if any(n <= 0 for n in outputs) or any(n <= 0 for n in sizes):
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input (spatial: "
            f"{list(sizes)}) output (spatial: {list(outputs)})"
        )
    if mode == "area":
        return ADAPTIVE[rank](input, outputs)
    if mode in ("nearest", "nearest-exact"):
        return _nearest(input, outputs, factors, mode == "nearest-exact")
    # Bytes are rounded after each dimension, the last one first.
    rounds = not input.is_floating_point()
    made = input.float() if rounds else input
    aligned = bool(align_corners)
    for place in reversed(range(rank)) if rounds else _order(sizes, outputs):
        made = _resized(made, 2 + place, outputs[place], factors[place], mode, aligned, antialias)
        made = (made + 0.5).floor().clamp(0, 255) if rounds else made
    return made.to(input.dtype)


def _targets(
    sizes: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The sizes to make, and the factors that positions are computed from (None: the sizes)."""
    rank = len(sizes)
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        outputs = (size,) * rank if isinstance(size, int) else tuple(int(n) for n in size)
        return outputs, (None,) * rank
    single = isinstance(scale_factor, int | float)
    factors = (float(scale_factor),) * rank if single else tuple(map(float, scale_factor))
    outputs = tuple(math.floor(n * factor) for n, factor in zip(sizes, factors))
    return outputs, ((None,) * rank if recompute else factors)


def _order(sizes: tuple[int, ...], outputs: tuple[int, ...]) -> list[int]:
    """The dimensions, so that little is gathered: rows drop out first, and become more last."""
    places = range(len(sizes))
    fewer = [place for place in places if outputs[place] < sizes[place]]
    return fewer + [place for place in reversed(places) if place not in fewer]


def _nearest(
    input: Tensor, outputs: tuple[int, ...], factors: tuple[float | None, ...], exact: bool
) -> Tensor:
    """The value of the nearest place in every dimension."""
    wide = input.dtype.itemsize == 8
    sizes = tuple(input.shape[2:])
    found: list[tuple[int, Table]] = []
    for place in _order(sizes, outputs):
        table = _nearest_table(sizes[place], outputs[place], factors[place], exact, wide)
        if table is not None:
            found.append((2 + place, table))
    if not found:
        return input
    return nearest(input, tuple(dim for dim, _ in found), tuple(table for _, table in found))


@functools.lru_cache(maxsize=64)
def _nearest_table(
    size: int, output: int, factor: float | None, exact: bool, wide: bool
) -> Table | None:
    """Places, each with weight 1; None where every place is its own nearest."""
    places = nearest_places(size, output, factor, exact)
    if np.array_equal(places, np.arange(size)):
        return None
    return table_of(places[None], np.ones((1, output), np.float64 if wide else np.float32), size)


def _resized(
    input: Tensor,
    dim: int,
    output: int,
    factor: float | None,
    mode: str,
    align_corners: bool,
    antialias: bool,
) -> Tensor:
    size = input.size(dim)
    if size == output and (factor is None or align_corners or factor == 1.0):
        return input
    wide = input.dtype.itemsize == 8
    key = (size, output, factor, align_corners, mode == "bicubic", antialias, wide)
    found = _weights(*key)
    if isinstance(found, Table):
        return resample(input, dim, found)
    return resample_densely(input, dim, found)


@functools.lru_cache(maxsize=64)
def _weights(
    size: int,
    output: int,
    factor: float | None,
    align_corners: bool,
    cubic: bool,
    antialias: bool,
    wide: bool,
) -> Table | Node:
    """Places and weights of a resampling; the matrix of weights where results have many sources."""
    kind: Any = np.float64 if wide else np.float32
    if antialias:
        taps = antialiased_taps(size, output, factor, align_corners, cubic)
    else:
        taps = (cubic_taps if cubic else linear_taps)(size, output, factor, align_corners, kind)
    places = np.array([tap[0] for tap in taps], np.int64)
    weights = np.array([tap[1] for tap in taps], kind)
    if len(taps) <= MOST_TAPS:
        return table_of(places, weights, size)
    matrix = np.zeros((size, output), kind)
    np.add.at(matrix, (places, np.arange(output)), weights)
    return node_of(matrix)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The former name of `interpolate`."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "bilinear" and aligned corners."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


@functools.lru_cache(maxsize=8)
def _grid_base(spatial: tuple[int, ...], align_corners: bool, wide: bool) -> Node:
    """(places, rank + 1): coordinates from −1 to 1 of corners' or pixels' centres, x first, and 1."""
    rank = len(spatial)
    base = np.ones((*spatial, rank + 1), np.float64 if wide else np.float32)
    for place, count in enumerate(spatial):
        steps = np.arange(count) * (2.0 / max(count - 1, 1)) - (1 if count > 1 else 0)
        line = steps if align_corners else steps * ((count - 1) / count)
        base[..., rank - 1 - place] = line.reshape([-1 if d == place else 1 for d in range(rank)])
    return node_of(base.reshape(-1, rank + 1))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Sampling positions of affine maps: theta (N, 2, 3) or (N, 3, 4) -> (N, H, W, 2) or (N, D, H, W, 3)."""
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False "
            "since 1.3.0. Please specify align_corners=True if the old behavior is desired. See "
            "the documentation of grid_sample for details.",
            stacklevel=2,
        )
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    rank = len(size) - 2
    if rank not in (1, 2, 3) or len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {list(size)}."
        )
    if theta.dim() != 3 or theta.size(-2) != rank or theta.size(-1) != rank + 1:
        raise ValueError(
            f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size "
            f"{list(size)}. Got {list(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {list(size)}")
    spatial = tuple(size[2:])
    base = _grid_base(spatial, align_corners, theta.dtype.itemsize == 8)
    return affine_positions(theta, base, spatial)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C·r², H, W) -> (*, C, H·r, W·r) (Shi et al., 2016)."""
    _need_planes("pixel_shuffle", input)
    factor = upscale_factor
    if factor <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {factor}")
    *lead, channels, height, width = input.shape
    if channels % (factor * factor):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={channels} is not divisible by "
            f"{factor * factor}"
        )
    kept = channels // (factor * factor)
    parts = input.reshape(*lead, kept, factor, factor, height, width)
    first = len(lead)
    order = (*range(first), first, first + 3, first + 1, first + 4, first + 2)
    return parts.permute(order).reshape(*lead, kept, height * factor, width * factor)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H·r, W·r) -> (*, C·r², H, W): the inverse of `pixel_shuffle`."""
    _need_planes("pixel_unshuffle", input)
    factor = downscale_factor
    if factor <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {factor}")
    *lead, channels, height, width = input.shape
    for label, size in (("height", height), ("width", width)):
        if size % factor:
            raise RuntimeError(
                f"pixel_unshuffle expects {label} to be divisible by downscale_factor, but "
                f"input.size({-2 if label == 'height' else -1})={size} is not divisible by {factor}"
            )
    parts = input.reshape(*lead, channels, height // factor, factor, width // factor, factor)
    first = len(lead)
    order = (*range(first), first, first + 2, first + 4, first + 1, first + 3)
    shape = (*lead, channels * factor * factor, height // factor, width // factor)
    return parts.permute(order).reshape(shape)


def _need_planes(name: str, input: Tensor) -> None:
    if input.dim() < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with "
            f"{input.dim()} dimension(s)"
        )


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups` groups of (N, C, …) (Zhang et al., 2018)."""
    if input.dim() <= 2:
        raise RuntimeError(
            "channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    channels = input.size(1)
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and "
            f"{groups} groups."
        )
    parts = input.reshape(input.size(0), groups, channels // groups, *input.shape[2:])
    return parts.transpose(1, 2).reshape(input.shape)


native_channel_shuffle = channel_shuffle
