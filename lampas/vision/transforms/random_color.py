"""Random changes of colour, and random choices among transforms, drawn as torchvision draws them."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import lampas
from lampas import nn
from lampas.vision.transforms import functional as F
from lampas.vision.transforms.drawing import chance, uniform

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "RandomAdjustSharpness",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomOrder",
    "RandomPosterize",
    "RandomSolarize",
]

Range = tuple[float, float] | None


class ColorJitter(nn.Module):
    """Brightness, contrast, saturation and hue by random factors, in random order.

    A number v means factors in [max(0, 1 − v), 1 + v], for hue in [−v, v].
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        super().__init__()
        self.brightness = _range(brightness, "brightness")
        self.contrast = _range(contrast, "contrast")
        self.saturation = _range(saturation, "saturation")
        self.hue = _range(hue, "hue", centre=0.0, bound=(-0.5, 0.5), cut=False)

    @staticmethod
    def get_params(
        brightness: Range, contrast: Range, saturation: Range, hue: Range
    ) -> tuple[lampas.Tensor, float | None, float | None, float | None, float | None]:
        """(order, the four factors); None where nothing changes."""
        order = lampas.randperm(4)
        ranges = (brightness, contrast, saturation, hue)
        b, c, s, h = (None if ends is None else uniform(ends[0], ends[1]) for ends in ranges)
        return order, b, c, s, h

    def forward(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        functions = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for index in order.tolist():
            factor = factors[index]
            if factor is not None:
                img = functions[index](img, factor)
        return img

    def __repr__(self) -> str:
        names = ("brightness", "contrast", "saturation", "hue")
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)}' for n in names)})"


def _range(
    value: Any,
    name: str,
    centre: float = 1.0,
    bound: tuple[float, float] = (0, float("inf")),
    cut: bool = True,
) -> Range:
    """The two ends of a factor's range; None if the factor never changes anything."""
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low = centre - float(value)
        ends = (max(low, 0.0) if cut else low, centre + float(value))
    elif isinstance(value, tuple | list) and len(value) == 2:
        ends = (float(value[0]), float(value[1]))
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bound[0] <= ends[0] <= ends[1] <= bound[1]:
        raise ValueError(f"{name} values should be between {bound}, but got {list(ends)}.")
    return None if ends[0] == ends[1] == centre else ends


class RandomGrayscale(nn.Module):
    """Luma in as many channels, with probability `p`."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        channels = F.get_image_num_channels(img)
        return F.rgb_to_grayscale(img, channels) if chance(self.p) else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class GaussianBlur(nn.Module):
    """Smooth by a Gaussian of random deviation."""

    def __init__(
        self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)
    ) -> None:
        super().__init__()
        sizes = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(sizes) != 2:
            raise ValueError("Kernel size should be a tuple/list of two integers")
        if any(length <= 0 or length % 2 == 0 for length in sizes):
            raise ValueError("Kernel size value should be an odd and positive number.")
        ends = (sigma, sigma) if isinstance(sigma, int | float) else tuple(sigma)
        if len(ends) != 2 or not 0.0 < ends[0] <= ends[1]:
            raise ValueError(
                f"sigma values should be positive and of the form (min, max). Got {ends}"
            )
        self.kernel_size, self.sigma = sizes, ends

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """The deviation."""
        return uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(self.sigma[0], self.sigma[1])
        return F.gaussian_blur(img, list(self.kernel_size), [sigma, sigma])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"


class _Sometimes(nn.Module):
    """A change of the image that is made with probability `p`."""

    shown: tuple[str, ...] = ()

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def change(self, img: Any) -> Any:
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        return self.change(img) if chance(self.p) else img

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={getattr(self, name)}" for name in (*self.shown, "p"))
        return f"{type(self).__name__}({fields})"


class RandomInvert(_Sometimes):
    """Invert the colours."""

    def change(self, img: Any) -> Any:
        return F.invert(img)


class RandomPosterize(_Sometimes):
    """Keep the first `bits` bits."""

    shown = ("bits",)

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def change(self, img: Any) -> Any:
        return F.posterize(img, self.bits)


class RandomSolarize(_Sometimes):
    """Invert what is at least `threshold`."""

    shown = ("threshold",)

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def change(self, img: Any) -> Any:
        return F.solarize(img, self.threshold)


class RandomAdjustSharpness(_Sometimes):
    """Sharpen or smooth."""

    shown = ("sharpness_factor",)

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def change(self, img: Any) -> Any:
        return F.adjust_sharpness(img, self.sharpness_factor)


class RandomAutocontrast(_Sometimes):
    """Stretch every channel to the whole range."""

    def change(self, img: Any) -> Any:
        return F.autocontrast(img)


class RandomEqualize(_Sometimes):
    """Spread every channel's histogram evenly."""

    def change(self, img: Any) -> Any:
        return F.equalize(img)


# Among transforms ---------------------------------------------------------------------------------


class _Several:
    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


class RandomApply(nn.Module):
    """All of the transforms with probability `p`, else none."""

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        super().__init__()
        self.transforms, self.p = transforms, p

    def forward(self, img: Any) -> Any:
        if self.p < lampas.rand(1).item():
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}(\n    p={self.p}{lines}\n)"


class RandomOrder(_Several):
    """All transforms in a random order (Python's random numbers)."""

    def __call__(self, img: Any) -> Any:
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for index in order:
            img = self.transforms[index](img)
        return img


class RandomChoice(_Several):
    """One of the transforms (Python's random numbers), weighted by `p` if given."""

    def __init__(
        self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None
    ) -> None:
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p = p

    def __call__(self, *args: Any) -> Any:
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"
