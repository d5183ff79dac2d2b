"""Shapes of tensor images: flips, crops, padding, resizing and warps of (..., C, H, W).

Resizing and warping compute in floats; a uint8 image is rounded back. Warps look up, for every
output pixel, the input place given by the inverse map, with the origin in the image's centre.
"""

import math
from collections.abc import Sequence
from typing import Any

import lampas
from lampas import Tensor
from lampas.nn import functional as F
from lampas.vision.transforms.interpolation import InterpolationMode

SMOOTH = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)


def hflip(image: Tensor) -> Tensor:
    """Mirror left and right."""
    return image.flip(-1)


def vflip(image: Tensor) -> Tensor:
    """Mirror top and bottom."""
    return image.flip(-2)


def size(image: Tensor) -> tuple[int, int, int]:
    """(channels, height, width)."""
    channels = 1 if image.dim() == 2 else image.shape[-3]
    return channels, image.shape[-2], image.shape[-1]


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A window; what lies outside the image is zero."""
    rows, columns = image.shape[-2:]
    right, bottom = left + width, top + height
    inside = image[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if left >= 0 and top >= 0 and right <= columns and bottom <= rows:
        return inside
    margins = [
        max(min(right, 0) - left, 0),
        max(right - max(columns, left), 0),
        max(min(bottom, 0) - top, 0),
        max(bottom - max(rows, top), 0),
    ]
    return F.pad(inside, margins)


def pad(image: Tensor, padding: Sequence[int], fill: Any = 0, mode: str = "constant") -> Tensor:
    """Margins (left, top, right, bottom), filled or continued."""
    left, top, right, bottom = padding
    if mode == "constant":
        if isinstance(fill, int | float | None):
            return F.pad(image, [left, right, top, bottom], value=float(fill or 0))
        rows, columns = image.shape[-2:]
        shape = (*image.shape[:-2], rows + top + bottom, columns + left + right)
        colours = lampas.as_tensor(list(fill), dtype=image.dtype).view(-1, 1, 1)
        framed = colours.expand(shape).clone()
        framed[..., top : top + rows, left : left + columns] = image
        return framed
    rows = _places(image.shape[-2], top, bottom, mode)
    columns = _places(image.shape[-1], left, right, mode)
    return image.index_select(-2, rows).index_select(-1, columns)


def _places(length: int, before: int, after: int, mode: str) -> Tensor:
    """Where each place of the padded line reads from."""
    if mode == "reflect" and max(before, after) >= length:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) of a dimension of size {length}"
        )
    found = []
    for place in range(-before, length + after):
        if mode == "edge":
            place = min(max(place, 0), length - 1)
        elif mode == "reflect":
            place = (length - 1) - abs((length - 1) - abs(place))
        else:
            place %= 2 * length
            place = min(place, 2 * length - 1 - place)
        found.append(place)
    return lampas.tensor(found)


def resize(
    image: Tensor, size: Sequence[int], mode: InterpolationMode, antialias: bool = True
) -> Tensor:
    """To (height, width) by nearest, linear or cubic weights."""
    if mode not in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT, *SMOOTH):
        raise ValueError(
            "This interpolation mode is unsupported with Tensor input: "
            f"{mode.value}; nearest, nearest-exact, bilinear and bicubic are there"
        )
    smooth = mode in SMOOTH
    batch = image.reshape(-1, *_three(image).shape[-3:])
    work = batch if image.is_floating_point() else batch.to(lampas.float32)
    options: dict[str, Any] = {"align_corners": False, "antialias": antialias} if smooth else {}
    work = F.interpolate(work, size=list(size), mode=mode.value, **options)
    if mode is InterpolationMode.BICUBIC and image.dtype == lampas.uint8:
        work = work.clamp(0, 255)
    return _restore(work, image)


def _three(image: Tensor) -> Tensor:
    return image if image.dim() > 2 else image.unsqueeze(0)


def _restore(work: Tensor, image: Tensor) -> Tensor:
    """The batch `work` with the leading dimensions and the dtype of `image`."""
    if not image.is_floating_point():
        work = work.round().to(image.dtype)
    return work.reshape(image.shape[:-2] + tuple(work.shape[-2:]))


def _sample(image: Tensor, grid: Tensor, mode: InterpolationMode, fill: Any) -> Tensor:
    """Read `image` at the places of `grid` (1, height, width, 2); `fill` shows outside."""
    if mode not in (InterpolationMode.NEAREST, *SMOOTH):
        raise ValueError(f"Resampling mode '{mode.value}' is unsupported with Tensor input")
    batch = image.reshape(-1, *_three(image).shape[-3:])
    work = batch if image.is_floating_point() else batch.to(lampas.float32)
    count, channels, rows, columns = work.shape
    grid = grid.to(work.dtype).expand(count, -1, -1, -1)
    if fill is not None:
        work = lampas.cat([work, lampas.ones(count, 1, rows, columns, dtype=work.dtype)], dim=1)
    work = F.grid_sample(work, grid, mode=mode.value, padding_mode="zeros", align_corners=False)
    if fill is not None:
        mask = work[:, -1:].expand(count, channels, *work.shape[-2:])
        work = work[:, :-1]
        values = list(fill) if isinstance(fill, tuple | list) else [float(fill)]
        colours = lampas.tensor(values, dtype=work.dtype).view(1, -1, 1, 1).expand_as(work)
        if mode is InterpolationMode.NEAREST:
            work = lampas.where(mask < 0.5, colours, work)
        else:
            work = work * mask + (1.0 - mask) * colours
    return _restore(work, image)


def _affine_grid(
    matrix: Sequence[float], columns: int, rows: int, out_columns: int, out_rows: int
) -> Tensor:
    """Places that the inverse map gives to the centres of the output's pixels."""
    theta = lampas.tensor(list(matrix)).reshape(1, 2, 3)
    x = lampas.linspace(-out_columns * 0.5 + 0.5, out_columns * 0.5 + 0.5 - 1, out_columns)
    y = lampas.linspace(-out_rows * 0.5 + 0.5, out_rows * 0.5 + 0.5 - 1, out_rows)
    base = lampas.stack(
        [
            x.expand(out_rows, out_columns),
            y.unsqueeze(-1).expand(out_rows, out_columns),
            lampas.ones(out_rows, out_columns),
        ],
        dim=-1,
    )
    scale = lampas.tensor([0.5 * columns, 0.5 * rows])
    grid = base.view(1, out_rows * out_columns, 3).bmm(theta.transpose(1, 2) / scale)
    return grid.view(1, out_rows, out_columns, 2)


def affine(
    image: Tensor, matrix: Sequence[float], mode: InterpolationMode, fill: Any = None
) -> Tensor:
    """Warp by the inverse map `matrix` (six numbers, row by row)."""
    rows, columns = image.shape[-2:]
    return _sample(image, _affine_grid(matrix, columns, rows, columns, rows), mode, fill)


def rotate(
    image: Tensor,
    matrix: Sequence[float],
    mode: InterpolationMode,
    expand: bool = False,
    fill: Any = None,
) -> Tensor:
    """Like `affine`; `expand` makes the output large enough for all corners."""
    rows, columns = image.shape[-2:]
    width, height = expanded_size(matrix, columns, rows) if expand else (columns, rows)
    return _sample(image, _affine_grid(matrix, columns, rows, width, height), mode, fill)


def expanded_size(matrix: Sequence[float], width: int, height: int) -> tuple[int, int]:
    """The width and height that hold all corners of a turned image."""
    corners = [(x, y) for x in (-0.5 * width, 0.5 * width) for y in (-0.5 * height, 0.5 * height)]
    xs = [matrix[0] * x + matrix[1] * y + matrix[2] + width * 0.5 for x, y in corners]
    ys = [matrix[3] * x + matrix[4] * y + matrix[5] + height * 0.5 for x, y in corners]
    sides = []
    for values in (xs, ys):  # a corner within 1e-4 of a pixel's border lies on it
        most = math.ceil(math.trunc(max(values) / 1e-4) * 1e-4)
        least = math.floor(math.trunc(min(values) / 1e-4) * 1e-4)
        sides.append(int(most - least))
    return sides[0], sides[1]


def perspective(
    image: Tensor, coefficients: Sequence[float], mode: InterpolationMode, fill: Any = None
) -> Tensor:
    """Warp by x' = (a·x + b·y + c) / (g·x + h·y + 1), y' = (d·x + e·y + f) / (g·x + h·y + 1)."""
    rows, columns = image.shape[-2:]
    a, b, c, d, e, f, g, h = coefficients
    x = lampas.linspace(0.5, columns - 0.5, columns).expand(rows, columns)
    y = lampas.linspace(0.5, rows - 0.5, rows).unsqueeze(-1).expand(rows, columns)
    below = g * x + h * y + 1.0
    places = [
        (a * x + b * y + c) / (0.5 * columns) / below - 1.0,
        (d * x + e * y + f) / (0.5 * rows) / below - 1.0,
    ]
    return _sample(image, lampas.stack(places, dim=-1).unsqueeze(0), mode, fill)


def displace(image: Tensor, displacement: Tensor, mode: InterpolationMode, fill: Any) -> Tensor:
    """Read every pixel at its own place plus `displacement` (1, H, W, 2), in half image sizes."""
    rows, columns = image.shape[-2:]
    x = lampas.linspace((-columns + 1) / columns, (columns - 1) / columns, columns)
    y = lampas.linspace((-rows + 1) / rows, (rows - 1) / rows, rows).unsqueeze(-1)
    identity = lampas.stack([x.expand(rows, columns), y.expand(rows, columns)], dim=-1)
    return _sample(image, identity.unsqueeze(0) + displacement, mode, fill)


def gaussian_blur(image: Tensor, kernel_size: Sequence[int], sigma: Sequence[float]) -> Tensor:
    """Weigh each pixel's neighbours by a Gaussian (x size and deviation first), edges reflected."""
    kind = image.dtype if image.is_floating_point() else lampas.float32
    batch = image.reshape(-1, *_three(image).shape[-3:]).to(kind)
    across = _gaussian(kernel_size[0], sigma[0], kind)
    down = _gaussian(kernel_size[1], sigma[1], kind)
    channels = batch.shape[1]
    kernel = (down.unsqueeze(-1) * across).expand(channels, 1, -1, -1)
    margins = [kernel_size[0] // 2] * 2 + [kernel_size[1] // 2] * 2
    work = F.conv2d(F.pad(batch, margins, mode="reflect"), kernel, groups=channels)
    return _restore(work, image)


def _gaussian(length: int, sigma: float, kind: lampas.dtype) -> Tensor:
    half = (length - 1) * 0.5
    places = lampas.linspace(-half, half, steps=length, dtype=kind)
    weights = lampas.exp(-0.5 * (places / sigma).pow(2))
    return weights / weights.sum()


def erase(image: Tensor, top: int, left: int, height: int, width: int, value: Any) -> Tensor:
    """A copy whose window is `value`."""
    erased = image.clone()
    erased[..., top : top + height, left : left + width] = value
    return erased
