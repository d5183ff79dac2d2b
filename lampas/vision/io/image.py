"""Image files and tensors (C, H, W) of uint8, by Pillow."""

import io
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

import lampas
from lampas import Tensor

__all__ = [
    "ImageReadMode",
    "decode_gif",
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "decode_webp",
    "encode_jpeg",
    "encode_png",
    "read_file",
    "read_image",
    "write_file",
    "write_jpeg",
    "write_png",
]


class ImageReadMode(Enum):
    """Which channels a decoded image has."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


PIL_MODES = {
    ImageReadMode.GRAY: "L",
    ImageReadMode.GRAY_ALPHA: "LA",
    ImageReadMode.RGB: "RGB",
    ImageReadMode.RGB_ALPHA: "RGBA",
}


def read_file(path: str | Path) -> Tensor:
    """The bytes of a file, a uint8 tensor of one dimension."""
    return lampas.from_numpy(np.fromfile(str(path), dtype=np.uint8))


def write_file(filename: str | Path, data: Tensor) -> None:
    """Write a uint8 tensor of one dimension as a file."""
    _require_bytes(data)
    data.numpy().tofile(str(filename))


def _require_bytes(data: Tensor) -> None:
    if data.dtype != lampas.uint8 or data.dim() != 1:
        raise RuntimeError(
            f"Input tensor data type should be torch.uint8 of one dimension, got {data.dtype} of "
            f"{data.dim()}"
        )


def _mode(mode: Any) -> ImageReadMode:
    return ImageReadMode[mode.upper()] if isinstance(mode, str) else ImageReadMode(mode)


def _decode(
    input: Tensor, mode: Any, apply_exif_orientation: bool, formats: tuple[str, ...] | None
) -> Tensor:
    _require_bytes(input)
    try:
        image = Image.open(io.BytesIO(input.numpy().tobytes()), formats=formats)
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise RuntimeError(f"the data could not be decoded as an image: {error}") from error
    if apply_exif_orientation:
        image = ImageOps.exif_transpose(image)
    wanted = PIL_MODES.get(_mode(mode))
    if wanted is not None and image.mode != wanted:
        image = image.convert(wanted)
    elif image.mode in ("1", "P", "PA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    array = np.array(image)
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return lampas.from_numpy(np.ascontiguousarray(planes))


def decode_image(
    input: Tensor | str | Path,
    mode: Any = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """(C, H, W) of encoded bytes, or of the file at a path.

    Raises RuntimeError for what is no image.
    """
    data = read_file(input) if isinstance(input, str | Path) else input
    return _decode(data, mode, apply_exif_orientation, None)


def read_image(
    path: str | Path,
    mode: Any = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """(C, H, W) of the image file at a path. Raises RuntimeError for what is no image."""
    return decode_image(read_file(path), mode, apply_exif_orientation)


def decode_png(
    input: Tensor, mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """(C, H, W) of the bytes of a PNG."""
    return _decode(input, mode, apply_exif_orientation, ("PNG",))


def decode_jpeg(
    input: Tensor | list[Tensor],
    mode: Any = ImageReadMode.UNCHANGED,
    device: Any = "cpu",
    apply_exif_orientation: bool = False,
) -> Any:
    """(C, H, W) of the bytes of a JPEG; a list for a list."""
    if isinstance(input, list):
        return [_decode(data, mode, apply_exif_orientation, ("JPEG",)) for data in input]
    return _decode(input, mode, apply_exif_orientation, ("JPEG",))


def decode_webp(input: Tensor, mode: Any = ImageReadMode.UNCHANGED) -> Tensor:
    """(C, H, W) of the bytes of a WebP."""
    return _decode(input, mode, False, ("WEBP",))


def decode_gif(input: Tensor) -> Tensor:
    """(3, H, W) of a GIF with one frame, (frames, 3, H, W) of one with several."""
    _require_bytes(input)
    try:
        image: Any = Image.open(io.BytesIO(input.numpy().tobytes()), formats=("GIF",))
    except OSError as error:
        raise RuntimeError(f"the data could not be decoded as a GIF: {error}") from error
    frames = []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        frames.append(np.array(image.convert("RGB")).transpose(2, 0, 1))
    array = np.stack(frames)
    return lampas.from_numpy(array[0] if len(frames) == 1 else array)


def _encode(input: Tensor, kind: str, **options: Any) -> Tensor:
    if input.dtype != lampas.uint8:
        raise RuntimeError(f"Input tensor dtype should be uint8, got {input.dtype}")
    if input.dim() != 3 or input.shape[0] not in (1, 3):
        raise RuntimeError(
            "The number of channels should be 1 or 3 in a tensor (C, H, W), got: "
            f"{tuple(input.shape)}"
        )
    array = input.numpy()
    image = Image.fromarray(
        array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))
    )
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return lampas.from_numpy(np.frombuffer(stream.getvalue(), dtype=np.uint8).copy())


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """The bytes of a PNG of (C, H, W), C of 1 or 3; level 0 to 9."""
    if not 0 <= compression_level <= 9:
        raise RuntimeError("Compression level should be between 0 and 9")
    return _encode(input, "PNG", compress_level=compression_level)


def write_png(input: Tensor, filename: str | Path, compression_level: int = 6) -> None:
    """Write (C, H, W) as a PNG file."""
    write_file(filename, encode_png(input, compression_level))


def encode_jpeg(input: Any, quality: int = 75) -> Any:
    """The bytes of a JPEG of (C, H, W), C of 1 or 3; quality 1 to 100; a list for a list."""
    if not 1 <= quality <= 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    if isinstance(input, list):
        return [_encode(image, "JPEG", quality=quality) for image in input]
    return _encode(input, "JPEG", quality=quality)


def write_jpeg(input: Tensor, filename: str | Path, quality: int = 75) -> None:
    """Write (C, H, W) as a JPEG file."""
    write_file(filename, encode_jpeg(input, quality))
