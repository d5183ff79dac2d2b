"""The transforms of Pillow images."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from lampas.vision.transforms.interpolation import PIL_NUMBERS, InterpolationMode

PAD_MODES = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


def is_pil(image: Any) -> bool:
    """Whether `image` is Pillow's."""
    return isinstance(image, Image.Image)


def size(image: Image.Image) -> tuple[int, int, int]:
    """(channels, height, width)."""
    return len(image.getbands()), image.height, image.width


def hflip(image: Image.Image) -> Image.Image:
    """Mirror left and right."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def vflip(image: Image.Image) -> Image.Image:
    """Mirror top and bottom."""
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def crop(image: Image.Image, top: int, left: int, height: int, width: int) -> Image.Image:
    """A window; what lies outside the image is black."""
    return image.crop((left, top, left + width, top + height))


def resize(
    image: Image.Image, size: Sequence[int], mode: InterpolationMode, antialias: Any = True
) -> Image.Image:
    """To (height, width); Pillow always smooths when it shrinks."""
    return image.resize((size[1], size[0]), Image.Resampling(PIL_NUMBERS[mode]))


def colour(fill: Any, image: Image.Image) -> Any:
    """`fill` as Pillow wants it for the image's mode: a number, or one for each band."""
    bands = len(image.getbands())
    if fill is None:
        fill = 0
    if isinstance(fill, numbers.Number):
        return (fill,) * bands if bands > 1 else fill
    values = tuple(fill)
    if len(values) == 1:
        values *= bands
    if len(values) != bands:
        raise ValueError(
            "The number of elements in 'fill' does not match the number of channels of the image "
            f"({len(values)} != {bands})"
        )
    if image.mode not in ("F", "I"):
        values = tuple(int(value) for value in values)
    return values if bands > 1 else values[0]


def pad(
    image: Image.Image, padding: Sequence[int], fill: Any = 0, mode: str = "constant"
) -> Image.Image:
    """Margins (left, top, right, bottom), filled or continued."""
    left, top, right, bottom = padding
    if mode == "constant":
        return ImageOps.expand(image, border=tuple(padding), fill=colour(fill, image))
    cut = [-min(side, 0) for side in padding]
    if any(cut):
        image = image.crop((cut[0], cut[1], image.width - cut[2], image.height - cut[3]))
        left, top, right, bottom = (max(side, 0) for side in padding)
    array = np.asarray(image)
    margins = ((top, bottom), (left, right)) + ((0, 0),) * (array.ndim - 2)
    padded = Image.fromarray(np.pad(array, margins, mode=PAD_MODES[mode]))  # pyright: ignore
    if image.mode == "P":
        palette = image.getpalette()
        if palette:
            padded.putpalette(palette)
    return padded


def affine(
    image: Image.Image, matrix: Sequence[float], mode: InterpolationMode, fill: Any = None
) -> Image.Image:
    """Warp by the inverse map `matrix` (six numbers, row by row)."""
    method = Image.Resampling(PIL_NUMBERS[mode])
    return image.transform(
        image.size, Image.Transform.AFFINE, tuple(matrix), method, fillcolor=colour(fill, image)
    )


def rotate(
    image: Image.Image,
    angle: float,
    mode: InterpolationMode,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Image.Image:
    """Turn counter-clockwise by degrees."""
    method = Image.Resampling(PIL_NUMBERS[mode])
    middle = None if center is None else (center[0], center[1])
    return image.rotate(angle, method, expand, middle, fillcolor=colour(fill, image))


def perspective(
    image: Image.Image, coefficients: Sequence[float], mode: InterpolationMode, fill: Any = None
) -> Image.Image:
    """Warp by the eight numbers of a perspective map."""
    method = Image.Resampling(PIL_NUMBERS[mode])
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        tuple(coefficients),
        method,
        fillcolor=colour(fill, image),
    )


def rgb_to_grayscale(image: Image.Image, num_output_channels: int = 1) -> Image.Image:
    """Luma in one channel or repeated in three."""
    grey = image.convert("L")
    if num_output_channels == 1:
        return grey
    if num_output_channels == 3:
        return Image.merge("RGB", (grey, grey, grey))
    raise ValueError("num_output_channels should be either 1 or 3")


def adjust_brightness(image: Image.Image, factor: float) -> Image.Image:
    """Blend with black."""
    return ImageEnhance.Brightness(image).enhance(factor)


def adjust_contrast(image: Image.Image, factor: float) -> Image.Image:
    """Blend with the mean grey."""
    return ImageEnhance.Contrast(image).enhance(factor)


def adjust_saturation(image: Image.Image, factor: float) -> Image.Image:
    """Blend with the image's own grey."""
    return ImageEnhance.Color(image).enhance(factor)


def adjust_sharpness(image: Image.Image, factor: float) -> Image.Image:
    """Blend with a smoothed image."""
    return ImageEnhance.Sharpness(image).enhance(factor)


def adjust_hue(image: Image.Image, factor: float) -> Image.Image:
    """Turn the colour wheel by `factor` of a whole turn, in [−0.5, 0.5]."""
    if not -0.5 <= factor <= 0.5:
        raise ValueError(f"hue_factor ({factor}) is not in [-0.5, 0.5].")
    if image.mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    turn = int(factor * 255)
    turned = hue.point([(level + turn) % 256 for level in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert(image.mode)


def adjust_gamma(image: Image.Image, gamma: float, gain: float = 1) -> Image.Image:
    """gain · image^gamma on the scale 0…1."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    table = [int((255 + 1 - 1e-3) * gain * pow(level / 255.0, gamma)) for level in range(256)] * 3
    bright = image.convert("RGB").point(table)
    return bright.convert(image.mode)


def invert(image: Image.Image) -> Image.Image:
    """White minus the image."""
    return ImageOps.invert(image)


def posterize(image: Image.Image, bits: int) -> Image.Image:
    """Keep the first `bits` bits."""
    return ImageOps.posterize(image, bits)


def solarize(image: Image.Image, threshold: float) -> Image.Image:
    """Invert what is at least `threshold`."""
    return ImageOps.solarize(image, int(threshold) if threshold == int(threshold) else threshold)  # pyright: ignore


def autocontrast(image: Image.Image) -> Image.Image:
    """Stretch every channel to the whole range."""
    return ImageOps.autocontrast(image)


def equalize(image: Image.Image) -> Image.Image:
    """Spread every channel's histogram evenly."""
    return ImageOps.equalize(image)
