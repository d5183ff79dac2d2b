"""The functions of v2: of Pillow images, tensors, and the kinds of `tv_tensors`.

Images, videos and plain tensors take the path of v1's functions; masks are read without
interpolation; boxes move with `box_geometry`. The kind of the input is kept.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image as PillowImage

import lampas
from lampas import Tensor
from lampas.vision import tv_tensors
from lampas.vision.io import image as image_io
from lampas.vision.ops.boxes import box_convert
from lampas.vision.transforms import functional as F
from lampas.vision.transforms import pil_images
from lampas.vision.transforms.interpolation import InterpolationMode, as_mode
from lampas.vision.transforms.v2 import box_geometry

BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST


def _plain(inpt: Any) -> Any:
    return inpt.as_subclass(Tensor) if isinstance(inpt, tv_tensors.TVTensor) else inpt


def _as(result: Any, inpt: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_as(part, inpt) for part in result)
    return tv_tensors.wrap(result, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else result


def _boxes(inpt: Any, move: Callable[..., tuple[Tensor, tuple[int, int]]], *args: Any) -> Any:
    """Apply a function of corners to boxes of any format."""
    name = inpt.format.value.lower()
    corners = box_convert(_plain(inpt), name, "xyxy")
    moved, canvas = move(corners, inpt.canvas_size, *args)
    boxes = box_convert(moved, "xyxy", name)
    return tv_tensors.wrap(boxes, like=inpt, canvas_size=canvas)


def _is_boxes(inpt: Any) -> bool:
    if isinstance(inpt, tv_tensors.KeyPoints):
        raise NotImplementedError("transforms.v2: geometric transforms of KeyPoints")
    return isinstance(inpt, tv_tensors.BoundingBoxes)


def _mode_for(inpt: Any, mode: Any) -> Any:
    return NEAREST if isinstance(inpt, tv_tensors.Mask) else as_mode(mode)


def _fill_for(inpt: Any, fill: Any) -> Any:
    """The fill for this kind of input; a dict maps kinds, "others" the rest."""
    if isinstance(fill, dict):
        return fill.get(type(inpt), fill.get("others"))
    return fill


def _with_batch(inpt: Any, function: Callable[[Any], Any]) -> Any:
    """Run a function of images on a mask, which may lack the dimension of channels."""
    plain = _plain(inpt)
    if isinstance(inpt, tv_tensors.Mask) and plain.dim() == 2:
        return _as(function(plain.unsqueeze(0)).squeeze(0), inpt)
    return _as(function(plain), inpt)


# Facts and conversions ----------------------------------------------------------------------------


def get_size(inpt: Any) -> list[int]:
    """[height, width] of an image, or of the canvas of boxes and points."""
    if isinstance(inpt, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):
        return list(inpt.canvas_size)
    return list(inpt.shape[-2:]) if isinstance(inpt, Tensor) else [inpt.height, inpt.width]


def get_dimensions(inpt: Any) -> list[int]:
    """[channels, height, width]."""
    return F.get_dimensions(_plain(inpt))


def get_num_channels(inpt: Any) -> int:
    """The number of channels."""
    return get_dimensions(inpt)[0]


get_image_num_channels = get_num_channels


def to_image(inpt: Any) -> Any:
    """A Pillow image, array (H, W[, C]) or tensor as a `tv_tensors.Image`."""
    if isinstance(inpt, np.ndarray):
        array = inpt if inpt.ndim > 2 else inpt[:, :, None]
        inpt = lampas.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    elif pil_images.is_pil(inpt):
        inpt = F.pil_to_tensor(inpt)
    elif not isinstance(inpt, Tensor):
        raise TypeError(
            f"Input can either be a pure Tensor, a numpy array, or a PIL image, but got {type(inpt)} instead."
        )
    return tv_tensors.Image(inpt)


pil_to_tensor = F.pil_to_tensor


def to_pil_image(inpt: Any, mode: str | None = None) -> Any:
    """A tensor or array as a Pillow image."""
    return F.to_pil_image(_plain(inpt), mode)


def to_dtype(inpt: Any, dtype: Any = lampas.float32, scale: bool = False) -> Any:
    """To another dtype; with `scale` white stays white. Only images and videos are scaled."""
    if not isinstance(inpt, Tensor) or (
        isinstance(inpt, tv_tensors.TVTensor)
        and not isinstance(inpt, tv_tensors.Image | tv_tensors.Video)
    ):
        return _as(_plain(inpt).to(dtype), inpt) if isinstance(inpt, Tensor) else inpt
    plain = _plain(inpt)
    if scale and plain.dtype == lampas.uint8 and dtype.is_floating_point:
        return _as(plain.to(dtype).mul(1.0 / 255), inpt)  # one step of rounding apart from v1
    return _as(F.convert_image_dtype(plain, dtype) if scale else plain.to(dtype), inpt)


def convert_image_dtype(image: Any, dtype: Any = lampas.float32) -> Any:
    """`to_dtype` with scaling."""
    return to_dtype(image, dtype, scale=True)


def convert_bounding_box_format(
    inpt: Any, old_format: Any = None, new_format: Any = None, inplace: bool = False
) -> Any:
    """Boxes in another format."""
    if new_format is None:
        raise TypeError("convert_bounding_box_format() missing 1 required argument: 'new_format'")
    new = (
        tv_tensors.BoundingBoxFormat[new_format.upper()]
        if isinstance(new_format, str)
        else new_format
    )
    old = inpt.format if isinstance(inpt, tv_tensors.BoundingBoxes) else old_format
    if old is None:
        raise ValueError("For pure tensor inputs, `old_format` has to be passed.")
    old = tv_tensors.BoundingBoxFormat[old.upper()] if isinstance(old, str) else old
    boxes = box_convert(_plain(inpt), old.value.lower(), new.value.lower())
    if isinstance(inpt, tv_tensors.BoundingBoxes):
        return tv_tensors.wrap(boxes, like=inpt, format=new)
    return boxes


def clamp_bounding_boxes(inpt: Any, *_args: Any, **_options: Any) -> Any:
    """Boxes cut off at their canvas."""
    return _boxes(inpt, lambda boxes, canvas: (box_geometry.clamp(boxes, canvas), canvas))


# Geometry -----------------------------------------------------------------------------------------


def horizontal_flip(inpt: Any) -> Any:
    """Mirror left and right."""
    return _boxes(inpt, box_geometry.hflip) if _is_boxes(inpt) else _as(F.hflip(_plain(inpt)), inpt)


def vertical_flip(inpt: Any) -> Any:
    """Mirror top and bottom."""
    return _boxes(inpt, box_geometry.vflip) if _is_boxes(inpt) else _as(F.vflip(_plain(inpt)), inpt)


hflip, vflip = horizontal_flip, vertical_flip


def resize(
    inpt: Any,
    size: int | Sequence[int] | None,
    interpolation: Any = BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """To a size (height, width); a single number is the shorter side's, None: the longer's limit."""
    if size is None:
        height, width = get_size(inpt)
        if max_size is None:
            raise ValueError("max_size must be an integer when size is None, but got None instead.")
        long = max(height, width)
        size = [int(max_size * height / long), int(max_size * width / long)]
        max_size = None
    wanted = [size] if isinstance(size, int) else list(size)
    if _is_boxes(inpt):
        output = F._resized(inpt.canvas_size, wanted, max_size)
        return _boxes(inpt, box_geometry.resize, output)
    mode = _mode_for(inpt, interpolation)
    return _with_batch(inpt, lambda image: F.resize(image, wanted, mode, max_size, antialias))


def crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    """A window; what lies outside the image is zero."""
    if _is_boxes(inpt):
        return _boxes(inpt, box_geometry.crop, top, left, height, width)
    return _as(F.crop(_plain(inpt), top, left, height, width), inpt)


def center_crop(inpt: Any, output_size: int | Sequence[int]) -> Any:
    """The middle."""
    if not _is_boxes(inpt):
        return _with_batch(inpt, lambda image: F.center_crop(image, output_size))
    height, width = F._pair(output_size)
    rows, columns = inpt.canvas_size
    top, left = round((rows - height) / 2.0), round((columns - width) / 2.0)
    return _boxes(inpt, box_geometry.crop, top, left, height, width)


def resized_crop(
    inpt: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Any = BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """A window, brought to a size."""
    return resize(crop(inpt, top, left, height, width), size, interpolation, antialias=antialias)


def pad(
    inpt: Any, padding: int | Sequence[int], fill: Any = None, padding_mode: str = "constant"
) -> Any:
    """Margins around an image and its boxes."""
    if _is_boxes(inpt):
        return _boxes(inpt, box_geometry.pad, F.sides_of(padding))
    filling = _fill_for(inpt, fill) or 0
    return _with_batch(inpt, lambda image: F.pad(image, padding, filling, padding_mode))


def _filled(inpt: Any, fill: Any) -> Any:
    """For a tensor a list of floats or None, for a Pillow image as given."""
    fill = _fill_for(inpt, fill)
    if fill is None or not isinstance(inpt, Tensor):
        return fill
    return [float(fill)] if isinstance(fill, int | float) else [float(value) for value in fill]


def rotate(
    inpt: Any,
    angle: float,
    interpolation: Any = NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Any:
    """Turn counter-clockwise by degrees."""
    if _is_boxes(inpt):
        return _boxes(inpt, box_geometry.rotate, angle, expand, center)
    mode, filling = _mode_for(inpt, interpolation), _filled(inpt, fill)
    return _with_batch(inpt, lambda image: F.rotate(image, angle, mode, expand, center, filling))


def affine(
    inpt: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
    interpolation: Any = NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Any:
    """Turn, move, scale and shear."""
    if _is_boxes(inpt):
        middle = center or (inpt.canvas_size[1] * 0.5, inpt.canvas_size[0] * 0.5)
        matrix = F.inverse_affine_matrix(
            middle, angle, translate, scale, F.shears_of(shear), inverted=False
        )
        return _boxes(inpt, box_geometry.affine, matrix)
    mode, filling = _mode_for(inpt, interpolation), _filled(inpt, fill)
    return _with_batch(
        inpt,
        lambda image: F.affine(image, angle, translate, scale, shear, mode, filling, center),
    )


def perspective(
    inpt: Any,
    startpoints: Any,
    endpoints: Any,
    interpolation: Any = BILINEAR,
    fill: Any = None,
) -> Any:
    """Move four corners."""
    if _is_boxes(inpt):
        return _boxes(inpt, box_geometry.perspective, startpoints, endpoints)
    mode, filling = _mode_for(inpt, interpolation), _filled(inpt, fill)
    return _with_batch(
        inpt, lambda image: F.perspective(image, startpoints, endpoints, mode, filling)
    )


def elastic(
    inpt: Any, displacement: Tensor, interpolation: Any = BILINEAR, fill: Any = None
) -> Any:
    """Move every pixel. Boxes are not moved: NotImplementedError."""
    if _is_boxes(inpt):
        raise NotImplementedError("transforms.v2: elastic displacement of BoundingBoxes")
    mode, filling = _mode_for(inpt, interpolation), _filled(inpt, fill)
    return _with_batch(inpt, lambda image: F.elastic_transform(image, displacement, mode, filling))


elastic_transform = elastic


def _image_only(name: str) -> Callable[..., Any]:
    """v1's function on images; boxes, masks and points pass unchanged."""
    function = getattr(F, name)

    def apply(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        kinds = (tv_tensors.BoundingBoxes, tv_tensors.Mask, tv_tensors.KeyPoints)
        if isinstance(inpt, kinds):
            return inpt
        return _as(function(_plain(inpt), *args, **kwargs), inpt)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = function.__doc__
    return apply


five_crop = _image_only("five_crop")
ten_crop = _image_only("ten_crop")
adjust_brightness = _image_only("adjust_brightness")
adjust_contrast = _image_only("adjust_contrast")
adjust_saturation = _image_only("adjust_saturation")
adjust_hue = _image_only("adjust_hue")
adjust_gamma = _image_only("adjust_gamma")
adjust_sharpness = _image_only("adjust_sharpness")
autocontrast = _image_only("autocontrast")
equalize = _image_only("equalize")
erase = _image_only("erase")
gaussian_blur = _image_only("gaussian_blur")
invert = _image_only("invert")
normalize = _image_only("normalize")
posterize = _image_only("posterize")
rgb_to_grayscale = _image_only("rgb_to_grayscale")
solarize = _image_only("solarize")
to_grayscale = rgb_to_grayscale


# Colours ------------------------------------------------------------------------------------------


def grayscale_to_rgb(inpt: Any) -> Any:
    """One channel repeated in three; three stay."""
    if pil_images.is_pil(inpt):
        return inpt.convert("RGB")
    plain = _plain(inpt)
    if plain.shape[-3] >= 3:
        return inpt
    return _as(plain.expand(*plain.shape[:-3], 3, -1, -1).contiguous(), inpt)


def permute_channels(inpt: Any, permutation: Sequence[int]) -> Any:
    """The channels in another order."""
    if pil_images.is_pil(inpt):
        return F.to_pil_image(permute_channels(F.pil_to_tensor(inpt), permutation))
    plain = _plain(inpt)
    if len(permutation) != plain.shape[-3]:
        raise ValueError(
            f"Length of permutation does not match number of channels: {len(permutation)} != "
            f"{plain.shape[-3]}"
        )
    return _as(plain[..., list(permutation), :, :], inpt)


def gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    """Add normal noise to floats, or on the scale of 255 to uint8, cut off if `clip`."""
    plain = _plain(inpt)
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    if plain.is_floating_point():
        noisy = plain + (mean + lampas.randn_like(plain) * sigma)
        return _as(noisy.clamp(0, 1) if clip else noisy, inpt)
    if plain.dtype != lampas.uint8:
        raise ValueError(
            f"Input tensor is expected to be in uint8 or float dtype, got dtype={plain.dtype}"
        )
    noise = (mean * 255 + lampas.randn_like(plain, dtype=lampas.float32) * sigma * 255).to(
        lampas.int16
    )
    noisy = plain.to(lampas.int16) + noise
    return _as((noisy.clamp(0, 255) if clip else noisy).to(lampas.uint8), inpt)


def jpeg(inpt: Any, quality: int) -> Any:
    """The image after packing as a JPEG of this quality."""
    if pil_images.is_pil(inpt):
        stream = io.BytesIO()
        inpt.save(stream, "JPEG", quality=quality)
        return PillowImage.open(stream).convert(inpt.mode)
    plain = _plain(inpt)
    images = plain.reshape(-1, *plain.shape[-3:])
    packed = [image_io.decode_jpeg(image_io.encode_jpeg(image, quality)) for image in images]
    return _as(lampas.stack(packed).reshape(plain.shape), inpt)


def uniform_temporal_subsample(inpt: Any, num_samples: int) -> Any:
    """`num_samples` frames at even distances of (..., T, C, H, W)."""
    plain = _plain(inpt)
    places = lampas.linspace(0, plain.shape[-4] - 1, num_samples).long()
    return _as(lampas.index_select(plain, -4, places), inpt)
