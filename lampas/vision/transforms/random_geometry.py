"""Random flips, crops and warps. Each draws its numbers in the order that torchvision's does."""

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import lampas
from lampas import Tensor, nn
from lampas.vision.transforms import functional as F
from lampas.vision.transforms.containers import two_sides
from lampas.vision.transforms.drawing import chance, log_uniform, uniform, whole
from lampas.vision.transforms.interpolation import InterpolationMode, as_mode

__all__ = [
    "ElasticTransform",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
]

ATTEMPTS = 10


class _Flip(nn.Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_Flip):
    """Mirror left and right with probability `p`."""

    def forward(self, img: Any) -> Any:
        return F.hflip(img) if chance(self.p) else img


class RandomVerticalFlip(_Flip):
    """Mirror top and bottom with probability `p`."""

    def forward(self, img: Any) -> Any:
        return F.vflip(img) if chance(self.p) else img


class RandomCrop(nn.Module):
    """A window at a random place, after padding if wanted."""

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size = two_sides(size, "Please provide only two dimensions (h, w) for size.")
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: Sequence[int]) -> tuple[int, int, int, int]:
        """(top, left, height, width). Raises ValueError if the image is smaller than the window."""
        _, rows, columns = F.get_dimensions(img)
        height, width = output_size
        if rows < height or columns < width:
            raise ValueError(
                f"Required crop size {(height, width)} is larger than input image size "
                f"{(rows, columns)}"
            )
        if (rows, columns) == (height, width):
            return 0, 0, rows, columns
        top = whole(0, rows - height + 1)
        return top, whole(0, columns - width + 1), height, width

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, rows, columns = F.get_dimensions(img)
        if self.pad_if_needed and columns < self.size[1]:
            img = F.pad(img, [self.size[1] - columns, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and rows < self.size[0]:
            img = F.pad(img, [0, self.size[0] - rows], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class RandomResizedCrop(nn.Module):
    """A window of random area (part of the image's) and shape, brought to a size."""

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = two_sides(size, "Please provide only two dimensions (h, w) for size.")
        if not isinstance(scale, Sequence):
            raise TypeError("Scale should be a sequence")
        if not isinstance(ratio, Sequence):
            raise TypeError("Ratio should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        self.interpolation, self.antialias = as_mode(interpolation), antialias
        self.scale, self.ratio = scale, ratio

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """(top, left, height, width): the first of ten windows that fits, else the middle."""
        _, rows, columns = F.get_dimensions(img)
        for _ in range(ATTEMPTS):
            area = rows * columns * uniform(scale[0], scale[1])
            aspect = log_uniform(ratio)
            width = round(math.sqrt(area * aspect))
            height = round(math.sqrt(area / aspect))
            if 0 < width <= columns and 0 < height <= rows:
                top = whole(0, rows - height + 1)
                return top, whole(0, columns - width + 1), height, width
        width, height = columns, rows
        if columns / rows < min(ratio):
            height = round(width / min(ratio))
        elif columns / rows > max(ratio):
            width = round(height * max(ratio))
        return (rows - height) // 2, (columns - width) // 2, height, width

    def forward(self, img: Any) -> Any:
        window = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *window, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(end, 4) for end in ends) for ends in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


def symmetric_range(value: Any, name: str) -> list[float]:
    """(−value, value) of one number, or the two given; raises ValueError or TypeError."""
    if isinstance(value, numbers.Number):
        if value < 0:  # pyright: ignore[reportOperatorIssue]
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(value), float(value)]  # pyright: ignore[reportArgumentType]
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence.")
    if len(value) not in (2, 4) or (len(value) == 4 and name != "shear"):
        raise ValueError(f"{name} should be a sequence of length 2.")
    return [float(end) for end in value]


class RandomRotation(nn.Module):
    """Turn by a random angle in degrees."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = symmetric_range(degrees, "degrees")
        self.interpolation = as_mode(interpolation)
        self.expand, self.center, self.fill = expand, center, fill or 0

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """The angle."""
        return uniform(float(degrees[0]), float(degrees[1]))

    def forward(self, img: Any) -> Any:
        angle = self.get_params(self.degrees)
        fill = filling(self.fill, img)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, fill)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(degrees={self.degrees}, "
            f"interpolation={self.interpolation.value}, expand={self.expand}, fill={self.fill})"
        )


def filling(fill: Any, img: Any) -> Any:
    """For a tensor one float for each channel; for a Pillow image as given."""
    if not isinstance(img, Tensor):
        return fill
    if isinstance(fill, int | float):
        return [float(fill)] * F.get_dimensions(img)[0]
    return [float(value) for value in fill]


class RandomAffine(nn.Module):
    """Turn, move, scale and shear at random."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.degrees = symmetric_range(degrees, "degrees")
        if translate is not None and not all(0.0 <= part <= 1.0 for part in translate):
            raise ValueError("translation values should be between 0 and 1")
        if scale is not None and any(factor <= 0 for factor in scale):
            raise ValueError("scale values should be positive")
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else symmetric_range(shear, "shear")
        self.interpolation = as_mode(interpolation)
        self.fill, self.center = fill or 0, center

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """(angle, (right, down) in pixels, scale, (shear x, shear y))."""
        angle = uniform(float(degrees[0]), float(degrees[1]))
        moved = (0, 0)
        if translate is not None:
            most = [float(part * side) for part, side in zip(translate, img_size)]
            right = round(uniform(-most[0], most[0]))
            moved = (right, round(uniform(-most[1], most[1])))
        scale = 1.0 if scale_ranges is None else uniform(scale_ranges[0], scale_ranges[1])
        shear_x = shear_y = 0.0
        if shears is not None:
            shear_x = uniform(shears[0], shears[1])
            if len(shears) == 4:
                shear_y = uniform(shears[2], shears[3])
        return angle, moved, scale, (shear_x, shear_y)

    def forward(self, img: Any) -> Any:
        size = F.get_image_size(img)
        angle, moved, scale, shear = self.get_params(
            self.degrees, self.translate, self.scale, self.shear, size
        )
        return F.affine(
            img,
            angle,
            moved,
            scale,
            shear,
            interpolation=self.interpolation,
            fill=filling(self.fill, img),
            center=self.center,
        )

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}"]
        given = ((name, getattr(self, name)) for name in ("translate", "scale", "shear"))
        parts += [f"{name}={value}" for name, value in given if value is not None]
        return f"{type(self).__name__}({', '.join(parts)})"


class RandomPerspective(nn.Module):
    """Move the corners inwards at random, with probability `p`."""

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.p, self.distortion_scale = p, distortion_scale
        self.interpolation, self.fill = as_mode(interpolation), fill or 0

    @staticmethod
    def get_params(
        width: int, height: int, distortion_scale: float
    ) -> tuple[list[list[int]], list[list[int]]]:
        """The corners before and after: top left, top right, bottom right, bottom left."""
        across = int(distortion_scale * (width // 2))
        down = int(distortion_scale * (height // 2))
        left, right = (0, across + 1), (width - across - 1, width)
        top, bottom = (0, down + 1), (height - down - 1, height)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        after = [[whole(*x), whole(*y)] for x, y in corners]
        far = (width - 1, height - 1)
        before = [[0, 0], [far[0], 0], [far[0], far[1]], [0, far[1]]]
        return before, after

    def forward(self, img: Any) -> Any:
        if not chance(self.p):
            return img
        _, height, width = F.get_dimensions(img)
        before, after = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, before, after, self.interpolation, filling(self.fill, img))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class ElasticTransform(nn.Module):
    """Move every pixel by smoothed noise of strength `alpha` and smoothness `sigma`."""

    def __init__(
        self,
        alpha: float | Sequence[float] = 50.0,
        sigma: float | Sequence[float] = 5.0,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.alpha = [float(alpha)] * 2 if isinstance(alpha, int | float) else list(alpha)
        self.sigma = [float(sigma)] * 2 if isinstance(sigma, int | float) else list(sigma)
        self.interpolation, self.fill = as_mode(interpolation), fill

    @staticmethod
    def get_params(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Tensor:
        """The displacement (1, H, W, 2) in units of half the image."""
        fields = []
        for axis in (0, 1):
            noise = lampas.rand([1, 1, *size]) * 2 - 1
            if sigma[axis] > 0.0:
                length = int(8 * sigma[axis] + 1)
                length += 1 - length % 2
                noise = F.gaussian_blur(noise, [length, length], list(sigma))
            fields.append(noise * alpha[axis] / size[1 - axis])
        return lampas.concat(fields, 1).permute([0, 2, 3, 1])

    def forward(self, tensor: Any) -> Any:
        _, height, width = F.get_dimensions(tensor)
        displacement = self.get_params(self.alpha, self.sigma, [height, width])
        return F.elastic_transform(tensor, displacement, self.interpolation, self.fill)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


class RandomErasing(nn.Module):
    """Overwrite a random window of a tensor, with probability `p` (arXiv:1708.04896)."""

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio = p, scale, ratio
        self.value, self.inplace = value, inplace

    @staticmethod
    def get_params(
        img: Tensor,
        scale: Sequence[float],
        ratio: Sequence[float],
        value: Sequence[float] | None = None,
    ) -> tuple[int, int, int, int, Tensor]:
        """(row, column, height, width, value); the whole image as it is if no window fits."""
        channels, rows, columns = img.shape[-3:]
        for _ in range(ATTEMPTS):
            area = rows * columns * uniform(scale[0], scale[1])
            aspect = log_uniform(ratio)
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height >= rows or width >= columns:
                continue
            if value is None:
                colours = lampas.empty([channels, height, width]).normal_()
            else:
                colours = lampas.tensor(value)[:, None, None]
            row = whole(0, rows - height + 1)
            return row, whole(0, columns - width + 1), height, width, colours
        return 0, 0, rows, columns, img

    def forward(self, img: Tensor) -> Tensor:
        if not chance(self.p):
            return img
        value = self.value
        if isinstance(value, int | float):
            value = [float(value)]
        elif isinstance(value, str):
            value = None
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{img.shape[-3]} (number of input channels)"
            )
        return F.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, "
            f"value={self.value}, inplace={self.inplace})"
        )
