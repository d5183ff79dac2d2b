"""What the geometric transforms do to boxes: corners move, and the hull of the moved ones is taken.

All functions take and give corners (N, 4) and the canvas (height, width).
"""

from collections.abc import Sequence
from typing import Any

import lampas
from lampas import Tensor
from lampas.vision.transforms import functional as F
from lampas.vision.transforms import tensor_geometry

Canvas = tuple[int, int]


def hflip(boxes: Tensor, canvas: Canvas) -> tuple[Tensor, Canvas]:
    """Mirror left and right."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return lampas.stack((canvas[1] - x2, y1, canvas[1] - x1, y2), -1), canvas


def vflip(boxes: Tensor, canvas: Canvas) -> tuple[Tensor, Canvas]:
    """Mirror top and bottom."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return lampas.stack((x1, canvas[0] - y2, x2, canvas[0] - y1), -1), canvas


def shift(boxes: Tensor, right: float, down: float) -> Tensor:
    """Move."""
    return boxes + lampas.tensor([right, down, right, down], dtype=boxes.dtype)


def crop(
    boxes: Tensor, canvas: Canvas, top: int, left: int, height: int, width: int
) -> tuple[Tensor, Canvas]:
    """Into a window, cut off at its border."""
    return clamp(shift(boxes, -left, -top), (height, width)), (height, width)


def clamp(boxes: Tensor, canvas: Canvas) -> Tensor:
    """Cut off at the canvas."""
    x = boxes[..., 0::2].clamp(min=0, max=canvas[1])
    y = boxes[..., 1::2].clamp(min=0, max=canvas[0])
    return lampas.stack((x, y), dim=boxes.dim()).reshape(boxes.shape)


def resize(boxes: Tensor, canvas: Canvas, output: Canvas) -> tuple[Tensor, Canvas]:
    """Scale with the canvas."""
    across, down = output[1] / canvas[1], output[0] / canvas[0]
    factors = lampas.tensor([across, down, across, down])
    return boxes.mul(factors).to(boxes.dtype), output


def pad(boxes: Tensor, canvas: Canvas, sides: Sequence[int]) -> tuple[Tensor, Canvas]:
    """Margins (left, top, right, bottom) around the canvas."""
    left, top, right, bottom = sides
    larger = (canvas[0] + top + bottom, canvas[1] + left + right)
    return clamp(shift(boxes, left, top), larger), larger


def _corners(boxes: Tensor) -> Tensor:
    """(N, 4, 2) points of all corners."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def _hull(points: Tensor, kind: lampas.dtype) -> Tensor:
    hull = lampas.cat((points.amin(dim=1), points.amax(dim=1)), dim=1)
    return hull.to(kind) if kind.is_floating_point else hull.round().to(kind)


def affine(boxes: Tensor, canvas: Canvas, matrix: Sequence[float]) -> tuple[Tensor, Canvas]:
    """By the forward map `matrix` (six numbers) about the origin of the canvas."""
    points = _corners(boxes.to(lampas.float32) if not boxes.is_floating_point() else boxes)
    turn = lampas.tensor(list(matrix), dtype=points.dtype).reshape(2, 3)
    moved = points @ turn[:, :2].t() + turn[:, 2]
    return clamp(_hull(moved, boxes.dtype), canvas), canvas


def rotate(
    boxes: Tensor, canvas: Canvas, angle: float, expand: bool, center: Sequence[float] | None
) -> tuple[Tensor, Canvas]:
    """Counter-clockwise by degrees; `expand` makes the canvas large enough."""
    height, width = canvas
    middle = center if center is not None and not expand else (width * 0.5, height * 0.5)
    matrix = F.inverse_affine_matrix(middle, -angle, (0.0, 0.0), 1.0, (0.0, 0.0), inverted=False)
    if not expand:
        return affine(boxes, canvas, matrix)
    about = F.inverse_affine_matrix((0.0, 0.0), -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    columns, rows = tensor_geometry.expanded_size(about, width, height)
    points = _corners(boxes.to(lampas.float32))
    turn = lampas.tensor(matrix).reshape(2, 3)
    moved = points @ turn[:, :2].t() + turn[:, 2]
    moved = moved + lampas.tensor([(columns - width) * 0.5, (rows - height) * 0.5])
    return clamp(_hull(moved, boxes.dtype), (rows, columns)), (rows, columns)


def perspective(
    boxes: Tensor, canvas: Canvas, startpoints: Any, endpoints: Any
) -> tuple[Tensor, Canvas]:
    """By the map that takes each start point to its end point."""
    a, b, c, d, e, f, g, h = F.perspective_coefficients(endpoints, startpoints)
    x, y = _corners(boxes.to(lampas.float32)).unbind(-1)
    below = g * x + h * y + 1.0
    moved = lampas.stack(((a * x + b * y + c) / below, (d * x + e * y + f) / below), dim=-1)
    return clamp(_hull(moved, boxes.dtype), canvas), canvas
