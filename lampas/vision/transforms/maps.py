"""The numbers of affine and perspective maps."""

import math
import numbers
from collections.abc import Sequence

import numpy as np


def inverse_affine_matrix(
    center: Sequence[float],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
    inverted: bool = True,
) -> list[float]:
    """Six numbers of the (inverse of the) map T·C·R·S·Shear·C⁻¹; angles in degrees.

    R·S·Shear = scale · [[cos(r−sy)/cos(sy), −cos(r−sy)·tan(sx)/cos(sy) − sin(r)], [sin(r−sy)/cos(sy),
    −sin(r−sy)·tan(sx)/cos(sy) + cos(r)]].
    """
    turn, sx, sy = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    a = math.cos(turn - sy) / math.cos(sy)
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    c = math.sin(turn - sy) / math.cos(sy)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    (cx, cy), (tx, ty) = center, translate
    if not inverted:
        rows = ((a * scale, b * scale), (c * scale, d * scale))
        shift = (cx + tx, cy + ty)
        return [
            number
            for (left, right), moved in zip(rows, shift)
            for number in (left, right, moved - left * cx - right * cy)
        ]
    rows = ((d / scale, -b / scale), (-c / scale, a / scale))
    return [
        number
        for (left, right), middle in zip(rows, (cx, cy))
        for number in (left, right, middle - left * (cx + tx) - right * (cy + ty))
    ]


def shears_of(shear: float | Sequence[float]) -> tuple[float, float]:
    """Both shears; a single one is along x."""
    if isinstance(shear, numbers.Number):
        return float(shear), 0.0  # pyright: ignore
    if not isinstance(shear, list | tuple):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    values = [float(value) for value in shear]
    if len(values) not in (1, 2):
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    return values[0], values[-1]


def perspective_coefficients(
    startpoints: Sequence[Sequence[int]], endpoints: Sequence[Sequence[int]]
) -> list[float]:
    """The eight numbers of the map that takes each end point to its start point."""
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            "Please provide exactly four corners, got "
            f"{len(startpoints)} startpoints and {len(endpoints)} endpoints."
        )
    rows = []
    for (x, y), (u, v) in zip(endpoints, startpoints):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    targets = np.array(startpoints, dtype=np.float64).reshape(8)
    solution = np.linalg.lstsq(np.array(rows, dtype=np.float64), targets, rcond=None)[0]
    return solution.astype(np.float32).tolist()
