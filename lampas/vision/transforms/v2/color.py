"""v2's transforms of colour, noise, kind and dtype."""

from collections.abc import Callable, Sequence
from typing import Any

import lampas
from lampas import Tensor
from lampas.vision import tv_tensors
from lampas.vision.transforms import autoaugment, containers, random_color, random_geometry
from lampas.vision.transforms import functional as v1
from lampas.vision.transforms.drawing import uniform, whole
from lampas.vision.transforms.pil_images import is_pil
from lampas.vision.transforms.v2 import functional as F
from lampas.vision.transforms.v2.transform import (
    IMAGES,
    RandomTransform,
    Transform,
    is_plain,
    query_chw,
)

__all__ = [
    "JPEG",
    "RGB",
    "AugMix",
    "AutoAugment",
    "ClampBoundingBoxes",
    "ColorJitter",
    "ConvertBoundingBoxFormat",
    "ConvertImageDtype",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "Identity",
    "Lambda",
    "LinearTransformation",
    "Normalize",
    "PILToTensor",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomChannelPermutation",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPhotometricDistort",
    "RandomPosterize",
    "RandomSolarize",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToPureTensor",
    "ToTensor",
    "TrivialAugmentWide",
]


class _OfImages(Transform):
    """Changes images and videos only."""

    def wants(self, leaf: Any) -> bool:
        return isinstance(leaf, IMAGES) or is_pil(leaf) or is_plain(leaf)


class _RandomOfImages(RandomTransform, _OfImages):
    pass


class _Wrapped(_OfImages):
    """A transform of v1, applied to images of every kind."""

    inner: Callable[..., Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._inner = type(self).inner(*args, **kwargs)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        plain = inpt.as_subclass(Tensor) if isinstance(inpt, tv_tensors.TVTensor) else inpt
        result = self._inner(plain)
        if isinstance(inpt, tv_tensors.TVTensor):
            return tv_tensors.wrap(result, like=inpt)
        return result

    def __repr__(self) -> str:
        return repr(self._inner)


class Normalize(_Wrapped):
    """(tensor − mean) / std for each channel."""

    inner = containers.Normalize


class LinearTransformation(_Wrapped):
    """(x − mean_vector) · transformation_matrix of the flattened image."""

    inner = containers.LinearTransformation


class Grayscale(_Wrapped):
    """Luma in one channel or in three."""

    inner = containers.Grayscale


class AutoAugment(_Wrapped):
    """A random one of the learned policies."""

    inner = autoaugment.AutoAugment


class RandAugment(_Wrapped):
    """Some random changes of one strength."""

    inner = autoaugment.RandAugment


class TrivialAugmentWide(_Wrapped):
    """One random change of random strength."""

    inner = autoaugment.TrivialAugmentWide


class AugMix(_Wrapped):
    """A random mixture of the image and of chains of changes of it."""

    inner = autoaugment.AugMix


class RandomErasing(_Wrapped):
    """Overwrite a random window of a tensor."""

    inner = random_geometry.RandomErasing


class RandomGrayscale(_RandomOfImages):
    """Luma in as many channels, with probability `p`."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.rgb_to_grayscale(inpt, F.get_num_channels(inpt))


class RandomInvert(_RandomOfImages):
    """Invert the colours with probability `p`."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.invert(inpt)


class RandomEqualize(_RandomOfImages):
    """Spread every channel's histogram evenly, with probability `p`."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.equalize(inpt)


class RandomAutocontrast(_RandomOfImages):
    """Stretch every channel to the whole range, with probability `p`."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.autocontrast(inpt)


class RandomPosterize(_RandomOfImages):
    """Keep the first `bits` bits, with probability `p`."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.posterize(inpt, self.bits)


class RandomSolarize(_RandomOfImages):
    """Invert what is at least `threshold`, with probability `p`."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.solarize(inpt, self.threshold)


class RandomAdjustSharpness(_RandomOfImages):
    """Sharpen or smooth, with probability `p`."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.adjust_sharpness(inpt, self.sharpness_factor)


class ColorJitter(_OfImages):
    """Brightness, contrast, saturation and hue by random factors, in random order."""

    def __init__(
        self,
        brightness: float | Sequence[float] | None = None,
        contrast: float | Sequence[float] | None = None,
        saturation: float | Sequence[float] | None = None,
        hue: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        ranges = random_color.ColorJitter(brightness or 0, contrast or 0, saturation or 0, hue or 0)
        self.brightness, self.contrast = ranges.brightness, ranges.contrast
        self.saturation, self.hue = ranges.saturation, ranges.hue

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        order, *factors = random_color.ColorJitter.get_params(*ranges)
        return {"order": order.tolist(), "factors": factors}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        functions = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for place in params["order"]:
            factor = params["factors"][place]
            if factor is not None:
                inpt = functions[place](inpt, factor)
        return inpt


class RandomChannelPermutation(_OfImages):
    """The channels in a random order."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels, *_ = query_chw(flat_inputs)
        return {"permutation": lampas.randperm(channels).tolist()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.permute_channels(inpt, **params)


class RandomPhotometricDistort(_OfImages):
    """Each of the changes of colour with probability `p` (as in SSD, arXiv:1512.02325)."""

    def __init__(
        self,
        brightness: tuple[float, float] = (0.875, 1.125),
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: tuple[float, float] = (-0.05, 0.05),
        p: float = 0.5,
    ) -> None:
        super().__init__()
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue, self.p = hue, p

    def _happens(self) -> bool:
        return bool(lampas.rand(1).item() < self.p)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels, *_ = query_chw(flat_inputs)
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        factors = [uniform(*ends) if self._happens() else None for ends in ranges]
        first = bool(lampas.rand(()).item() < 0.5)
        order = lampas.randperm(channels).tolist() if self._happens() else None
        return {"factors": factors, "contrast_first": first, "order": order}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        brightness, contrast, saturation, hue = params["factors"]
        early, late = (contrast, None) if params["contrast_first"] else (None, contrast)
        steps = (
            (F.adjust_brightness, brightness),
            (F.adjust_contrast, early),
            (F.adjust_saturation, saturation),
            (F.adjust_hue, hue),
            (F.adjust_contrast, late),
            (F.permute_channels, params["order"]),
        )
        for function, value in steps:
            if value is not None:
                inpt = function(inpt, value)
        return inpt


class GaussianBlur(_OfImages):
    """Smooth by a Gaussian of random deviation."""

    def __init__(
        self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)
    ) -> None:
        super().__init__()
        checked = random_color.GaussianBlur(kernel_size, sigma)
        self.kernel_size, self.sigma = checked.kernel_size, checked.sigma

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        sigma = uniform(float(self.sigma[0]), float(self.sigma[1]))
        return {"sigma": [sigma, sigma]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.gaussian_blur(inpt, list(self.kernel_size), params["sigma"])


class GaussianNoise(_OfImages):
    """Add normal noise."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        super().__init__()
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.gaussian_noise(inpt, self.mean, self.sigma, self.clip)


class JPEG(_OfImages):
    """Pack as a JPEG of a quality, or of a random one between two."""

    def __init__(self, quality: int | Sequence[int]) -> None:
        super().__init__()
        self.quality = [quality, quality] if isinstance(quality, int) else list(quality)
        if not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError(f"quality must be an integer from 1 to 100, got {quality}")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"quality": whole(self.quality[0], self.quality[1] + 1)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.jpeg(inpt, **params)


class RGB(_OfImages):
    """One channel to three."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.grayscale_to_rgb(inpt)


# Kinds and dtypes ---------------------------------------------------------------------------------


class Identity(Transform):
    """Nothing."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class Lambda(Transform):
    """A function of every leaf of the given types."""

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        super().__init__()
        self.lambd, self.types = lambd, types or (object,)

    def wants(self, leaf: Any) -> bool:
        return isinstance(leaf, self.types)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self.lambd(inpt)


class ToDtype(Transform):
    """To another dtype, or by kind from a dict; with `scale` white stays white."""

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        dtype = self.dtype
        if isinstance(dtype, dict):
            dtype = dtype.get(type(inpt), dtype.get("others"))
        elif not (is_plain(inpt) or isinstance(inpt, IMAGES)):
            return inpt
        return inpt if dtype is None or is_pil(inpt) else F.to_dtype(inpt, dtype, self.scale)


class ConvertImageDtype(_OfImages):
    """Images to another dtype, white staying white."""

    def __init__(self, dtype: Any = lampas.float32) -> None:
        super().__init__()
        self.dtype = dtype

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_dtype(inpt, self.dtype, scale=True)


class ToImage(Transform):
    """Pillow images, arrays and the first plain tensor to `tv_tensors.Image`."""

    def wants(self, leaf: Any) -> bool:
        return is_plain(leaf) or is_pil(leaf) or type(leaf).__name__ == "ndarray"

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_image(inpt)


class PILToTensor(Transform):
    """Pillow images to tensors of their own numbers."""

    def wants(self, leaf: Any) -> bool:
        return is_pil(leaf)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pil_to_tensor(inpt)


class ToPILImage(Transform):
    """Tensors and arrays to Pillow images."""

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = mode

    def wants(self, leaf: Any) -> bool:
        return (
            is_plain(leaf) or isinstance(leaf, tv_tensors.Image) or type(leaf).__name__ == "ndarray"
        )

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_pil_image(inpt, self.mode)


class ToTensor(Transform):
    """v1's `ToTensor`: Pillow images and arrays to floats in [0, 1]."""

    def wants(self, leaf: Any) -> bool:
        return is_pil(leaf) or type(leaf).__name__ == "ndarray"

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return v1.to_tensor(inpt)


class ToPureTensor(Transform):
    """All kinds to plain tensors."""

    def wants(self, leaf: Any) -> bool:
        return isinstance(leaf, tv_tensors.TVTensor)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.as_subclass(Tensor)


class ConvertBoundingBoxFormat(Transform):
    """Boxes to another format."""

    def __init__(self, format: Any) -> None:
        super().__init__()
        self.format = format

    def wants(self, leaf: Any) -> bool:
        return isinstance(leaf, tv_tensors.BoundingBoxes)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.convert_bounding_box_format(inpt, new_format=self.format)


class ClampBoundingBoxes(Transform):
    """Boxes cut off at their canvas."""

    def wants(self, leaf: Any) -> bool:
        return isinstance(leaf, tv_tensors.BoundingBoxes)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.clamp_bounding_boxes(inpt)
