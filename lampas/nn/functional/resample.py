"""Source places and weights of one-dimensional resampling.

Half-pixel centres: output place i looks at (i + 1/2)·scale − 1/2, or at i·(size − 1)/(output − 1)
with aligned corners. `scale` is 1/scale_factor where the caller gave one, else size/output. The
cubic kernel is Keys' with a = −0.75. Positions are computed in `kind`, the precision of the data; with antialiasing the kernels are widened by the scale and
a = −0.5, as in Pillow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["cubic_taps", "dense_taps", "linear_taps", "nearest_places"]

Taps = list[tuple[list[int], list[float]]]


def _scale(size: int, output: int, factor: float | None, align_corners: bool, kind: Any) -> Any:
    if align_corners:
        return kind((size - 1) / (output - 1)) if output > 1 else kind(0)
    if factor is not None and factor > 0:
        return kind(1.0 / factor)
    return kind(size / output)


def _sources(
    size: int, output: int, factor: float | None, align_corners: bool, kind: Any
) -> np.ndarray:
    scale = _scale(size, output, factor, align_corners, kind)
    places = np.arange(output, dtype=kind)
    if align_corners:
        return places * scale
    return scale * (places + kind(0.5)) - kind(0.5)


def nearest_places(size: int, output: int, factor: float | None, exact: bool) -> list[int]:
    """⌊i·scale⌋, or with `exact` the place whose centre is nearest."""
    scale = _scale(size, output, factor, False, np.float32)
    places = np.arange(output, dtype=np.float32)
    if exact:
        places = places + np.float32(0.5)
    found = np.floor(places * scale).astype(np.int64)
    return np.minimum(found, size - 1).tolist()


def linear_taps(
    size: int, output: int, factor: float | None, align_corners: bool, kind: Any
) -> Taps:
    """Two neighbours with weights 1 − t and t."""
    sources = np.maximum(_sources(size, output, factor, align_corners, kind), 0)
    low = np.minimum(sources.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = np.clip(sources - low.astype(kind), 0, 1)
    return [(low.tolist(), (1 - part).tolist()), (high.tolist(), part.tolist())]


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def cubic_taps(
    size: int, output: int, factor: float | None, align_corners: bool, kind: Any
) -> Taps:
    """Four neighbours, held at the edges."""
    sources = _sources(size, output, factor, align_corners, kind)
    base = np.floor(sources)
    part = (sources - base).astype(np.float64)
    taps: Taps = []
    for offset in range(-1, 3):
        places = np.clip(base.astype(np.int64) + offset, 0, size - 1)
        taps.append((places.tolist(), _cubic(part - offset, -0.75).tolist()))
    return taps


def dense_taps(
    size: int, output: int, factor: float | None, align_corners: bool, cubic: bool
) -> list[list[float]]:
    """(size, output) weights of antialiased resampling; every column sums to one."""
    scale = float(_scale(size, output, factor, align_corners, np.float64))
    half = 2.0 if cubic else 1.0
    support = half * scale if scale >= 1 else half
    shrink = 1.0 / scale if scale >= 1 else 1.0
    table = np.zeros((size, output))
    for place in range(output):
        centre = scale * (place + 0.5)
        start = max(math.floor(centre - support + 0.5), 0)
        end = min(math.floor(centre + support + 0.5), size)
        distance = (np.arange(start, end) - centre + 0.5) * shrink
        weights = _cubic(distance, -0.5) if cubic else np.maximum(1 - np.abs(distance), 0)
        total = weights.sum()
        table[start:end, place] = weights / total if total else weights
    return table.tolist()
