"""The transforms as functions: of Pillow images and of tensors (..., C, H, W).

Every function hands the work to the module of the image's kind, `pil_images` or `tensor_color` and
`tensor_geometry`, after it has read its arguments.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

import lampas
from lampas import Tensor
from lampas.vision.transforms import pil_images, tensor_color, tensor_geometry
from lampas.vision.transforms.interpolation import InterpolationMode, as_mode

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


# Between kinds ------------------------------------------------------------------------------------


def to_tensor(pic: Any) -> Tensor:
    """A Pillow image or an array (H, W[, C]) as a tensor (C, H, W); uint8 becomes floats in [0, 1].

    Raises TypeError for anything else, ValueError for an array that is no image.

    >>> to_tensor(np.full((2, 2, 3), 255, np.uint8)).shape
    torch.Size([3, 2, 2])
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic if pic.ndim == 3 else pic[:, :, None]
        return _scaled(array)
    if not pil_images.is_pil(pic):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    return _scaled(_array(pic))


def _array(image: Image.Image) -> np.ndarray:
    """The image's numbers (H, W, C)."""
    array = np.asarray(image)
    if image.mode == "1":
        array = array.astype(np.uint8) * 255
    elif image.mode.startswith("I;16"):
        array = array.astype(np.int16)
    return array if array.ndim == 3 else array[:, :, None]


def _scaled(array: np.ndarray) -> Tensor:
    planes = array.transpose(2, 0, 1)
    if array.dtype != np.uint8:
        return lampas.from_numpy(np.ascontiguousarray(planes))
    kind = lampas.get_default_dtype()
    floats = np.ascontiguousarray(planes, dtype=kind.numpy)
    floats /= 255
    return lampas.from_numpy(floats)


def pil_to_tensor(pic: Image.Image) -> Tensor:
    """A Pillow image as a tensor (C, H, W) of its own dtype. Raises TypeError for anything else."""
    if not pil_images.is_pil(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic, copy=True)
    planes = array if array.ndim == 3 else array[:, :, None]
    return lampas.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))


def convert_image_dtype(image: Tensor, dtype: lampas.dtype = lampas.float32) -> Tensor:
    """To another dtype with white staying white. Raises TypeError unless `image` is a tensor."""
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    return tensor_color.convert_dtype(image, dtype)


def to_pil_image(pic: Any, mode: str | None = None) -> Image.Image:
    """A tensor (C, H, W) or an array (H, W[, C]) as a Pillow image; floats are scaled by 255.

    Raises ValueError for more than four channels or too many dimensions, TypeError for dtypes
    that Pillow has no mode for.
    """
    if isinstance(pic, Tensor):
        if pic.dim() not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.dim()} dimensions.")
        planes = pic.detach().numpy()
        array = planes.transpose(1, 2, 0) if planes.ndim == 3 else planes[:, :, None]
        if np.issubdtype(array.dtype, np.floating) and mode != "F":
            array = (array * 255).astype(np.uint8)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic if pic.ndim == 3 else pic[:, :, None]
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if array.shape[2] > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {array.shape[2]} channels.")
    return _from_array(array, mode)


# Pillow's modes: of single channels by dtype, of several by their number; the first is the default.
SINGLE_MODES = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}
MODES = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}


def _from_array(array: np.ndarray, mode: str | None) -> Image.Image:
    channels, kind = array.shape[2], array.dtype.name
    if channels == 1:
        expected = SINGLE_MODES.get(kind)
        if expected is None:
            raise TypeError(f"Input type {array.dtype} is not supported")
        if mode not in (None, expected):
            raise ValueError(
                f"Incorrect mode ({mode}) supplied for input type {array.dtype}. Should be {expected}"
            )
        array = array[:, :, 0]
        if kind == "int16":
            array = array.astype(np.uint16)
        return Image.fromarray(np.ascontiguousarray(array))
    if mode is not None and mode not in MODES[channels]:
        raise ValueError(
            f"Only modes {MODES[channels]} are supported for {channels} channel inputs"
        )
    if kind != "uint8":
        raise TypeError(f"Input type {array.dtype} is not supported")
    chosen, (height, width) = mode or MODES[channels][0], array.shape[:2]
    return Image.frombytes(chosen, (width, height), np.ascontiguousarray(array).tobytes())


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """(tensor − mean) / std for each channel. Raises TypeError unless `tensor` is a tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    return tensor_color.normalize(tensor, list(mean), list(std), inplace)


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
