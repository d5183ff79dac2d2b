"""Source places and weights of one-dimensional resampling.

Half-pixel centres: output place i looks at (i + 1/2)·scale − 1/2, or at i·(size − 1)/(output − 1)
with aligned corners. `scale` is 1/scale_factor where the caller gave one, else size/output. The
cubic kernel is Keys' with a = −0.75. Positions are computed in `kind`, the precision of the data; with antialiasing the kernels are widened by the scale and
a = −0.5, as in Pillow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["antialiased_taps", "cubic_taps", "linear_taps", "nearest_places"]

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


def nearest_places(size: int, output: int, factor: float | None, exact: bool) -> np.ndarray:
    """⌊i·scale⌋, or with `exact` the place whose centre is nearest."""
    scale = _scale(size, output, factor, False, np.float32)
    places = np.arange(output, dtype=np.float32)
    if exact:
        places = places + np.float32(0.5)
    found = np.floor(places * scale).astype(np.int64)
    return np.minimum(found, size - 1)


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


def antialiased_taps(
    size: int, output: int, factor: float | None, align_corners: bool, cubic: bool
) -> Taps:
    """All sources under the widened kernel; a result's weights sum to one.

    Results with fewer sources than others read their last one again, with weight 0.
    """
    scale = float(_scale(size, output, factor, align_corners, np.float64))
    half = 2.0 if cubic else 1.0
    support = half * scale if scale >= 1 else half
    shrink = 1.0 / scale if scale >= 1 else 1.0
    centres = scale * (np.arange(output) + 0.5)
    starts = np.maximum(np.floor(centres - support + 0.5), 0).astype(np.int64)
    ends = np.minimum(np.floor(centres + support + 0.5), size).astype(np.int64)
    places = starts + np.arange(max(int((ends - starts).max()), 1))[:, None]
    distance = (places - centres + 0.5) * shrink
    weights = _cubic(distance, -0.5) if cubic else np.maximum(1 - np.abs(distance), 0)
    weights = np.where(places < ends, weights, 0)
    totals = weights.sum(0)
    weights = weights / np.where(totals == 0, 1, totals)
    places = np.clip(places, 0, np.maximum(ends - 1, 0))
    return [(row.tolist(), factors.tolist()) for row, factors in zip(places, weights)]
