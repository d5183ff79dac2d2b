"""Pooling of regions of feature maps: RoIAlign (arXiv:1703.06870) and RoI pooling (1504.08083).

Regions are (K, 5): the image's number in the batch and the corners, or one (L, 4) tensor for each
image. Both are gathers of the input with weights, so that gradients reach the input.
"""

import math
from collections.abc import Sequence

import lampas
from lampas import Tensor, nn

Boxes = Tensor | Sequence[Tensor]


def _rows(boxes: Boxes) -> list[list[float]]:
    """[image, x1, y1, x2, y2] of every region. Raises ValueError for a wrong shape."""
    if isinstance(boxes, Tensor):
        if boxes.dim() != 2 or boxes.shape[1] != 5:
            raise ValueError("The boxes tensor shape is not correct as Tensor[K, 5]")
        return boxes.detach().tolist()
    for part in boxes:
        if part.dim() != 2 or part.shape[1] != 4:
            raise ValueError(
                "The shape of the tensor in the boxes list is not correct as List[Tensor[L, 4]]"
            )
    return [[index, *row] for index, part in enumerate(boxes) for row in part.detach().tolist()]


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _line(start: float, step: float, bins: int, samples: int, length: int) -> Tensor:
    """(bins, length) weights: the mean of `samples` linear readings in each bin of a line."""
    weights = [[0.0] * length for _ in range(bins)]
    for index in range(bins):
        for sample in range(samples):
            place = start + (index + (sample + 0.5) / samples) * step
            if not -1.0 <= place <= length:
                continue
            place = max(place, 0.0)
            low = min(int(place), length - 1)
            high = min(low + 1, length - 1)
            part = 0.0 if low == length - 1 else place - low
            weights[index][low] += (1 - part) / samples
            weights[index][high] += part / samples
    return lampas.tensor(weights)


def roi_align(
    input: Tensor,
    boxes: Boxes,
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """(K, C, h, w): every region of (N, C, H, W) read by bilinear samples, averaged in bins.

    `sampling_ratio` samples a bin and direction, or as many as its size if not positive; `aligned`
    moves the boxes by half a pixel.
    """
    rows, columns = _pair(output_size)
    _, channels, height, width = input.shape
    offset = 0.5 if aligned else 0.0
    regions = []
    for image, *corners in _rows(boxes):
        x1, y1, x2, y2 = (corner * spatial_scale - offset for corner in corners)
        across, down = x2 - x1, y2 - y1
        if not aligned:
            across, down = max(across, 1.0), max(down, 1.0)
        by_row = sampling_ratio if sampling_ratio > 0 else max(math.ceil(down / rows), 1)
        by_column = sampling_ratio if sampling_ratio > 0 else max(math.ceil(across / columns), 1)
        vertical = _line(y1, down / rows, rows, by_row, height).to(input.dtype)
        horizontal = _line(x1, across / columns, columns, by_column, width).to(input.dtype)
        regions.append(vertical @ input[int(image)] @ horizontal.t())
    if not regions:
        return input.new_zeros((0, channels, rows, columns))
    return lampas.stack(regions)


def roi_pool(
    input: Tensor, boxes: Boxes, output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """(K, C, h, w): the largest value in each bin of each region of (N, C, H, W)."""
    rows, columns = _pair(output_size)
    _, channels, height, width = input.shape
    regions = []
    for image, *corners in _rows(boxes):
        x1, y1, x2, y2 = (math.floor(corner * spatial_scale + 0.5) for corner in corners)
        down, across = max(y2 - y1 + 1, 1) / rows, max(x2 - x1 + 1, 1) / columns
        bins = [
            _largest(
                input[int(image)],
                _bounds(row, down, y1, height),
                _bounds(column, across, x1, width),
            )
            for row in range(rows)
            for column in range(columns)
        ]
        regions.append(lampas.stack(bins, dim=-1).reshape(channels, rows, columns))
    if not regions:
        return input.new_zeros((0, channels, rows, columns))
    return lampas.stack(regions)


def _bounds(index: int, step: float, start: int, length: int) -> slice:
    low = min(max(math.floor(index * step) + start, 0), length)
    return slice(low, min(max(math.ceil((index + 1) * step) + start, 0), length))


def _largest(features: Tensor, rows: slice, columns: slice) -> Tensor:
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return features.new_zeros((features.shape[0],))
    return features[:, rows, columns].amax(dim=(1, 2))


class RoIAlign(nn.Module):
    """See `roi_align`."""

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Tensor, rois: Boxes) -> Tensor:
        options = (self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)
        return roi_align(input, rois, *options)

    def __repr__(self) -> str:
        names = ("output_size", "spatial_scale", "sampling_ratio", "aligned")
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)}' for n in names)})"


class RoIPool(nn.Module):
    """See `roi_pool`."""

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, rois: Boxes) -> Tensor:
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(output_size={self.output_size}, "
            f"spatial_scale={self.spatial_scale})"
        )
