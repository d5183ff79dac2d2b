"""Pictures of tensors: grids, files, and boxes, masks and key points drawn into images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

import lampas
from lampas import Tensor

__all__ = [
    "draw_bounding_boxes",
    "draw_keypoints",
    "draw_segmentation_masks",
    "make_grid",
    "save_image",
]

Colour = str | tuple[int, int, int]
Colours = Colour | Sequence[Colour] | None


@lampas.no_grad()
def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images (N, C, H, W), `nrow` in a row, with margins between: one image (3, H', W').

    `normalize` brings the values to [0, 1], by `value_range` or the least and most of all (of each
    with `scale_each`). Raises TypeError for what is no tensor.

    >>> make_grid(lampas.zeros(5, 1, 4, 4), nrow=3).shape
    torch.Size([3, 14, 20])
    """
    if not isinstance(tensor, Tensor):
        if not isinstance(tensor, list) or not all(isinstance(t, Tensor) for t in tensor):
            raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
        images = _batch(lampas.stack(tensor, dim=0))
    else:
        images = _batch(tensor)
    if normalize:
        images = images.clone()
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError(
                "value_range has to be a tuple (min, max) if specified. min and max are numbers"
            )
        parts = [_scaled(part, value_range) for part in images] if scale_each else None
        images = lampas.stack(parts) if parts else _scaled(images, value_range)
    if images.shape[0] == 1:
        return images.squeeze(0)
    count, channels, rows, columns = images.shape
    across = min(nrow, count)
    down = math.ceil(count / across)
    rows, columns = rows + padding, columns + padding
    size = (channels, rows * down + padding, columns * across + padding)
    grid = np.full(size, pad_value, dtype=images.dtype.numpy)
    for index, image in enumerate(images.numpy()):
        top = (index // across) * rows + padding
        left = (index % across) * columns + padding
        grid[:, top : top + rows - padding, left : left + columns - padding] = image
    return lampas.from_numpy(grid)


def _batch(tensor: Tensor) -> Tensor:
    """(N, 3, H, W) of a single image, a batch, with or without channels."""
    if tensor.dim() == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.dim() == 3:
        tensor = tensor.unsqueeze(0)
    return lampas.cat((tensor,) * 3, 1) if tensor.shape[1] == 1 else tensor


def _scaled(image: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    low, high = value_range or (float(image.min()), float(image.max()))
    return image.clamp(min=low, max=high).sub(low).div(max(high - low, 1e-5))


@lampas.no_grad()
def save_image(
    tensor: Tensor | list[Tensor],
    fp: str | Path | BinaryIO,
    format: str | None = None,
    **kwargs: Any,
) -> None:
    """Write images with values in [0, 1] as one image file; `kwargs` go to `make_grid`."""
    grid = make_grid(tensor, **kwargs)
    pixels = grid.mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0).to(lampas.uint8).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(fp, format=format)


# Drawing ------------------------------------------------------------------------------------------


def _require_image(image: Any, kinds: str = "uint8 or float") -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"Tensor expected, got {type(image)}")
    if not (image.dtype == lampas.uint8 or image.is_floating_point()):
        raise ValueError(f"The image dtype must be {kinds}, got {image.dtype}")
    if image.dim() != 3:
        raise ValueError("Pass individual images, not batches")
    if image.shape[0] not in (1, 3):
        raise ValueError("Only grayscale and RGB images are supported")


def _pixels(image: Tensor) -> np.ndarray:
    """(H, W, 3) of uint8."""
    array = image.detach().numpy()
    if image.is_floating_point():
        array = (array * (256 - 1e-3)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (3, *array.shape[1:])).transpose(1, 2, 0))


def _like(pixels: np.ndarray, image: Tensor) -> Tensor:
    drawn = lampas.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    return drawn.to(image.dtype) / 255 if image.is_floating_point() else drawn


def _palette(count: int) -> list[tuple[int, int, int]]:
    """Colours far from each other: multiples of (2^25 − 1, 2^15 − 1, 2^21 − 1) modulo 255."""
    steps = (2**25 - 1, 2**15 - 1, 2**21 - 1)
    return [tuple(index * step % 255 for step in steps) for index in range(count)]  # pyright: ignore


def _colours(colors: Colours, count: int) -> list[tuple[int, ...]]:
    """One colour for each object. Raises ValueError if too few are given."""
    if colors is None:
        return list(_palette(count))
    chosen: Any = colors
    if not isinstance(colors, list):
        chosen = [colors] * count
    if len(chosen) < count:
        raise ValueError(
            f"Number of colors must be equal or larger than the number of objects, but got {len(chosen)} < {count}."
        )
    return [ImageColor.getrgb(c) if isinstance(c, str) else tuple(c) for c in chosen]


@lampas.no_grad()
def draw_bounding_boxes(
    image: Tensor,
    boxes: Tensor,
    labels: list[str | None] | None = None,
    colors: Colours = None,
    fill: bool | None = False,
    width: int = 1,
    font: str | None = None,
    font_size: int | None = None,
    label_colors: Colours = None,
) -> Tensor:
    """The image (C, H, W) with boxes (N, 4) of corners drawn in, and labels beside them.

    Raises ValueError for boxes whose corners are in the wrong order.
    """
    _require_image(image)
    corners = boxes.detach().tolist()
    if any(x1 > x2 or y1 > y2 for x1, y1, x2, y2 in corners):
        raise ValueError(
            "Boxes need to be in (xmin, ymin, xmax, ymax) format. Use torchvision.ops.box_convert to convert them"
        )
    if not corners:
        return image
    names = labels if labels is not None else [None] * len(corners)
    if len(names) != len(corners):
        raise ValueError(
            f"Number of boxes ({len(corners)}) and labels ({len(names)}) mismatch. Please specify labels for each box."
        )
    drawing = Image.fromarray(_pixels(image))
    pen = ImageDraw.Draw(drawing, "RGBA" if fill else None)
    writing = (
        ImageFont.load_default() if font is None else ImageFont.truetype(font, font_size or 10)
    )
    chosen = _colours(colors, len(corners))
    inks = _colours(label_colors, len(corners)) if label_colors else chosen
    for box, name, colour, ink in zip(corners, names, chosen, inks):
        inside = (*colour, 100) if fill else None
        pen.rectangle(box, width=width, outline=colour, fill=inside)
        if name is not None:
            margin = width + 1
            pen.text((box[0] + margin, box[1] + margin), name, fill=ink, font=writing)
    return _like(np.array(drawing), image)


@lampas.no_grad()
def draw_segmentation_masks(
    image: Tensor, masks: Tensor, alpha: float = 0.8, colors: Colours = None
) -> Tensor:
    """The image (C, H, W) with masks (N, H, W) or (H, W) of bool laid over it.

    Raises ValueError for masks of another dtype or size.
    """
    _require_image(image)
    if masks.dim() == 2:
        masks = masks[None]
    if masks.dim() != 3:
        raise ValueError("masks must be of shape (H, W) or (batch_size, H, W)")
    if masks.dtype != lampas.bool:
        raise ValueError(f"The masks must be of dtype bool. Got {masks.dtype}")
    if masks.shape[-2:] != image.shape[-2:]:
        raise ValueError("The image and the masks must have the same height and width")
    if masks.shape[0] == 0:
        return image
    pixels = np.broadcast_to(image.detach().numpy(), (3, *image.shape[-2:])).astype(np.float32)
    scale = 255.0 if image.is_floating_point() else 1.0
    covered = pixels.copy()
    flags = masks.numpy()
    for mask, colour in zip(flags, _colours(colors, len(flags))):
        covered[:, mask] = np.array(colour, dtype=np.float32)[:, None] / scale
    covered[:, flags.sum(axis=0) > 1] = 0  # where masks overlap
    mixed = pixels * np.float32(1 - alpha) + covered * np.float32(alpha)
    return lampas.from_numpy(mixed).to(image.dtype)


@lampas.no_grad()
def draw_keypoints(
    image: Tensor,
    keypoints: Tensor,
    connectivity: list[tuple[int, int]] | None = None,
    colors: Colours = None,
    radius: int = 2,
    width: int = 3,
    visibility: Tensor | None = None,
) -> Tensor:
    """The image (3, H, W) with points (instances, K, 2) drawn in, and lines between them."""
    _require_image(image)
    if keypoints.dim() != 3:
        raise ValueError("keypoints must be of shape (num_instances, K, 2)")
    drawing = Image.fromarray(_pixels(image))
    pen = ImageDraw.Draw(drawing)
    colour: Any = ImageColor.getrgb(colors) if isinstance(colors, str) else colors
    shown = (
        lampas.ones(keypoints.shape[:2])
        if visibility is None
        else visibility.reshape(keypoints.shape[:2])
    )
    for points, seen in zip(keypoints.tolist(), shown.tolist()):
        for (x, y), visible in zip(points, seen):
            if visible:
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        for start, end in connectivity or ():
            if seen[start] and seen[end]:
                pen.line([*points[start], *points[end]], width=width, fill=colour)
    return _like(np.array(drawing), image)
