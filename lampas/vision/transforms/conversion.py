"""Images between their kinds: Pillow's, arrays (H, W[, C]), tensors (C, H, W)."""

from typing import Any

import numpy as np
from PIL import Image

import lampas
from lampas import Tensor
from lampas.vision.transforms import pil_images, tensor_color


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
