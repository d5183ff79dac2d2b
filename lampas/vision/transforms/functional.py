"""The transforms as functions: of Pillow images and of tensors (..., C, H, W).

Every function hands the work to the module of the image's kind, `pil_images` or `tensor_color` and
`tensor_geometry`, after it has read its arguments.
"""

import numbers
from collections.abc import Sequence
from typing import Any

from PIL import Image

from lampas import Tensor
from lampas.vision.transforms import pil_images, tensor_color, tensor_geometry
from lampas.vision.transforms.conversion import convert_image_dtype as convert_image_dtype
from lampas.vision.transforms.conversion import pil_to_tensor as pil_to_tensor
from lampas.vision.transforms.conversion import to_pil_image as to_pil_image
from lampas.vision.transforms.conversion import to_tensor as to_tensor
from lampas.vision.transforms.interpolation import InterpolationMode, as_mode
from lampas.vision.transforms.maps import (
    inverse_affine_matrix,
    perspective_coefficients,
    shears_of,
)

Picture = Any  # PIL.Image.Image or Tensor: what goes in comes out
PAD_MODES = ("constant", "edge", "reflect", "symmetric")


def _geometry(image: Picture) -> Any:
    return pil_images if _kind(image) == "pil" else tensor_geometry


def _color(image: Picture) -> Any:
    return pil_images if _kind(image) == "pil" else tensor_color


def _kind(image: Picture) -> str:
    if isinstance(image, Tensor):
        if image.dim() < 2:
            raise TypeError("Tensor is not a torch image.")
        return "tensor"
    if pil_images.is_pil(image):
        return "pil"
    raise TypeError(f"img should be PIL Image or Tensor. Got {type(image)}")


def get_dimensions(img: Picture) -> list[int]:
    """[channels, height, width]."""
    return list(_geometry(img).size(img))


def get_image_size(img: Picture) -> list[int]:
    """[width, height]."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img: Picture) -> int:
    """The number of channels."""
    return get_dimensions(img)[0]


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """(tensor − mean) / std for each channel. Raises TypeError unless `tensor` is a tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    means, deviations = (
        values.tolist() if isinstance(values, Tensor) else list(values) for values in (mean, std)
    )
    return tensor_color.normalize(tensor, means, deviations, inplace)


# Geometry -----------------------------------------------------------------------------------------


def hflip(img: Picture) -> Picture:
    """Mirror left and right."""
    return _geometry(img).hflip(img)


def vflip(img: Picture) -> Picture:
    """Mirror top and bottom."""
    return _geometry(img).vflip(img)


def _resized(
    image_size: tuple[int, int], size: Sequence[int], max_size: int | None, exact: bool = True
) -> tuple[int, int]:
    """(height, width) for a wanted size: both, or the shorter side with the ratio kept."""
    height, width = image_size
    if len(size) == 2:
        return int(size[0]), int(size[1])
    short, long = min(height, width), max(height, width)
    new_short, new_long = int(size[0]), int(size[0] * long / short)
    if max_size is not None:
        if max_size <= size[0]:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the "
                f"smaller edge size = {size}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(
    img: Picture,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Picture:
    """To a size (height, width); a single number is the shorter side's."""
    mode, wanted = as_mode(interpolation), [size] if isinstance(size, int) else list(size)
    if len(wanted) not in (1, 2):
        raise ValueError(
            f"Size must be an int or a 1 or 2 element tuple/list, not a {len(wanted)} element tuple/list"
        )
    if max_size is not None and len(wanted) != 1:
        raise ValueError(
            "max_size should only be passed if size specifies the length of the smaller edge, i.e. size should be an int or a sequence of length 1."
        )
    _, height, width = get_dimensions(img)
    output = _resized((height, width), wanted, max_size)
    if output == (height, width):
        return img
    return _geometry(img).resize(img, output, mode, bool(antialias))


def pad(
    img: Picture,
    padding: int | Sequence[int],
    fill: Any = 0,
    padding_mode: str = "constant",
) -> Picture:
    """Margins: one number, (left and right, top and bottom), or (left, top, right, bottom)."""
    if padding_mode not in PAD_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    return _geometry(img).pad(img, sides_of(padding), fill, padding_mode)


def sides_of(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the three ways to write margins."""
    if isinstance(padding, numbers.Number):
        return (int(padding),) * 4  # pyright: ignore
    if not isinstance(padding, tuple | list):
        raise TypeError("Got inappropriate padding arg")
    if len(padding) not in (1, 2, 4):
        raise ValueError(
            f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple"
        )
    left, top, right, bottom = tuple(padding) * (4 // len(padding))
    return left, top, right, bottom


def crop(img: Picture, top: int, left: int, height: int, width: int) -> Picture:
    """A window; what lies outside the image is black."""
    return _geometry(img).crop(img, top, left, height, width)


def center_crop(img: Picture, output_size: int | Sequence[int]) -> Picture:
    """The middle; an image that is too small is padded with black first."""
    height, width = _pair(output_size)
    _, rows, columns = get_dimensions(img)
    if width > columns or height > rows:
        across, down = max(width - columns, 0), max(height - rows, 0)
        img = pad(img, [across // 2, down // 2, (across + 1) // 2, (down + 1) // 2], fill=0)
        _, rows, columns = get_dimensions(img)
        if (width, height) == (columns, rows):
            return img
    top, left = round((rows - height) / 2.0), round((columns - width) / 2.0)
    return crop(img, top, left, height, width)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(size, numbers.Number):
        return int(size), int(size)  # pyright: ignore
    values = tuple(size)  # pyright: ignore
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def resized_crop(
    img: Picture,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Picture:
    """A window, brought to a size."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def five_crop(img: Picture, size: int | Sequence[int]) -> tuple[Picture, ...]:
    """The four corners (top left, top right, bottom left, bottom right) and the middle.

    Raises ValueError if the image is smaller than `size`.
    """
    height, width = _pair(size)
    _, rows, columns = get_dimensions(img)
    if width > columns or height > rows:
        raise ValueError(
            f"Requested crop size {(height, width)} is bigger than input size {(rows, columns)}"
        )
    corners = [
        crop(img, top, left, height, width)
        for top in (0, rows - height)
        for left in (0, columns - width)
    ]
    return (*corners, center_crop(img, [height, width]))


def ten_crop(
    img: Picture, size: int | Sequence[int], vertical_flip: bool = False
) -> tuple[Picture, ...]:
    """`five_crop` of the image and of its mirror image."""
    mirrored = vflip(img) if vertical_flip else hflip(img)
    return five_crop(img, size) + five_crop(mirrored, size)


def rotate(
    img: Picture,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Picture:
    """Turn counter-clockwise by degrees about `center` (x, y), the middle if None."""
    mode = as_mode(interpolation)
    if not isinstance(angle, int | float):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, list | tuple):
        raise TypeError("Argument center should be a sequence")
    if _kind(img) == "pil":
        return pil_images.rotate(img, angle, mode, expand, center, fill)
    _, rows, columns = get_dimensions(img)
    middle = [0.0, 0.0]
    if center is not None:
        middle = [place - side * 0.5 for place, side in zip(center, (columns, rows))]
    matrix = inverse_affine_matrix(middle, -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    return tensor_geometry.rotate(img, matrix, mode, expand, fill)


def affine(
    img: Picture,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Picture:
    """Turn clockwise, move, scale and shear, about `center` (the middle if None)."""
    if not isinstance(angle, int | float):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, list | tuple):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    mode, shears = as_mode(interpolation), shears_of(shear)
    _, rows, columns = get_dimensions(img)
    if _kind(img) == "pil":
        middle = center or (columns * 0.5, rows * 0.5)
        matrix = inverse_affine_matrix(middle, angle, translate, scale, shears)
        return pil_images.affine(img, matrix, mode, fill)
    middle = (0.0, 0.0)
    if center is not None:
        middle = (center[0] - columns * 0.5, center[1] - rows * 0.5)
    matrix = inverse_affine_matrix(middle, angle, translate, scale, shears)
    return tensor_geometry.affine(img, matrix, mode, fill)


def perspective(
    img: Picture,
    startpoints: Sequence[Sequence[int]],
    endpoints: Sequence[Sequence[int]],
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Picture:
    """Move four corners [top left, top right, bottom right, bottom left], each (x, y)."""
    coefficients = perspective_coefficients(startpoints, endpoints)
    return _geometry(img).perspective(img, coefficients, as_mode(interpolation), fill)


def elastic_transform(
    img: Picture,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Picture:
    """Move every pixel by `displacement` (1, H, W, 2), in units of half the image."""
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    tensor = img if isinstance(img, Tensor) else pil_to_tensor(img)
    expected = (1, *tensor.shape[-2:], 2)
    if tuple(displacement.shape) != expected:
        raise ValueError(
            f"Argument displacement shape should be {expected}, but given {displacement.shape}"
        )
    moved = tensor_geometry.displace(tensor, displacement, as_mode(interpolation), fill)
    return moved if isinstance(img, Tensor) else to_pil_image(moved, mode=img.mode)


def gaussian_blur(
    img: Picture, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None
) -> Picture:
    """Smooth by a Gaussian; `sigma` None means 0.3·((size − 1)/2 − 1) + 0.8."""
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(length % 2 == 0 or length < 0 for length in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")
    if sigma is None:
        sigma = [length * 0.15 + 0.35 for length in sizes]
    deviations = [float(sigma)] * 2 if isinstance(sigma, int | float) else [float(s) for s in sigma]
    deviations = deviations * 2 if len(deviations) == 1 else deviations
    if len(deviations) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(deviations)}")
    if any(value <= 0 for value in deviations):
        raise ValueError(f"sigma should have positive values. Got {deviations}")
    tensor = img if isinstance(img, Tensor) else pil_to_tensor(img)
    smooth = tensor_geometry.gaussian_blur(tensor, sizes, deviations)
    return smooth if isinstance(img, Tensor) else to_pil_image(smooth, mode=img.mode)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """Put `v` in the window at row i and column j. Raises TypeError unless `img` is a tensor."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    if inplace:
        img[..., i : i + h, j : j + w] = v
        return img
    return tensor_geometry.erase(img, i, j, h, w, v)


# Colours ------------------------------------------------------------------------------------------


def adjust_brightness(img: Picture, brightness_factor: float) -> Picture:
    """0 gives black, 1 the image, 2 twice as bright."""
    return _color(img).adjust_brightness(img, brightness_factor)


def adjust_contrast(img: Picture, contrast_factor: float) -> Picture:
    """0 gives plain grey, 1 the image, 2 twice the contrast."""
    return _color(img).adjust_contrast(img, contrast_factor)


def adjust_saturation(img: Picture, saturation_factor: float) -> Picture:
    """0 gives shades of grey, 1 the image, 2 twice the colour."""
    return _color(img).adjust_saturation(img, saturation_factor)


def adjust_hue(img: Picture, hue_factor: float) -> Picture:
    """Turn the colours by a part of the whole wheel, in [−0.5, 0.5]."""
    return _color(img).adjust_hue(img, hue_factor)


def adjust_gamma(img: Picture, gamma: float, gain: float = 1) -> Picture:
    """gain · image^gamma on the scale 0…1."""
    return _color(img).adjust_gamma(img, gamma, gain)


def adjust_sharpness(img: Picture, sharpness_factor: float) -> Picture:
    """0 gives a smoothed image, 1 the image, 2 twice as sharp."""
    return _color(img).adjust_sharpness(img, sharpness_factor)


def to_grayscale(img: Image.Image, num_output_channels: int = 1) -> Image.Image:
    """Luma of a Pillow image."""
    if not pil_images.is_pil(img):
        raise TypeError("Input should be PIL Image")
    return pil_images.rgb_to_grayscale(img, num_output_channels)


def rgb_to_grayscale(img: Picture, num_output_channels: int = 1) -> Picture:
    """Luma in one channel, or repeated in three."""
    return _color(img).rgb_to_grayscale(img, num_output_channels)


def invert(img: Picture) -> Picture:
    """White minus the image."""
    return _color(img).invert(img)


def posterize(img: Picture, bits: int) -> Picture:
    """Keep the first `bits` bits, 0 to 8."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    return _color(img).posterize(img, bits)


def solarize(img: Picture, threshold: float) -> Picture:
    """Invert what is at least `threshold`."""
    return _color(img).solarize(img, threshold)


def autocontrast(img: Picture) -> Picture:
    """Stretch every channel to the whole range."""
    return _color(img).autocontrast(img)


def equalize(img: Picture) -> Picture:
    """Spread every channel's histogram evenly."""
    return _color(img).equalize(img)
