"""v2's transforms of shape. The numbers are drawn as v1's are, once for a whole sample."""

from collections.abc import Sequence
from typing import Any

import lampas
from lampas import Tensor
from lampas.vision.transforms import functional as v1
from lampas.vision.transforms import random_geometry as drawn
from lampas.vision.transforms.containers import two_sides
from lampas.vision.transforms.drawing import whole
from lampas.vision.transforms.interpolation import InterpolationMode, as_mode
from lampas.vision.transforms.v2 import functional as F
from lampas.vision.transforms.v2.transform import RandomTransform, Transform, query_size

__all__ = [
    "CenterCrop",
    "ElasticTransform",
    "FiveCrop",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomShortestSize",
    "RandomVerticalFlip",
    "RandomZoomOut",
    "Resize",
    "ScaleJitter",
    "TenCrop",
]

BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST
SIZE_MESSAGE = "Please provide only two dimensions (h, w) for size."


def _blank(leaves: list[Any]) -> Tensor:
    """Something of the sample's size, for v1's functions that ask for no more."""
    return lampas.empty((1, *query_size(leaves)), device="meta")


class RandomHorizontalFlip(RandomTransform):
    """Mirror left and right with probability `p`."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.horizontal_flip(inpt)


class RandomVerticalFlip(RandomTransform):
    """Mirror top and bottom with probability `p`."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.vertical_flip(inpt)


class Resize(Transform):
    """To a size (height, width); one number is the shorter side's."""

    def __init__(
        self,
        size: int | Sequence[int] | None,
        interpolation: Any = BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = [size] if isinstance(size, int) else size
        self.interpolation, self.max_size = as_mode(interpolation), max_size
        self.antialias = antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.resize(inpt, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """The middle."""

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = two_sides(size, SIZE_MESSAGE)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.center_crop(inpt, self.size)


class FiveCrop(Transform):
    """The four corners and the middle, as a tuple."""

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = two_sides(size, SIZE_MESSAGE)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.five_crop(inpt, self.size)


class TenCrop(Transform):
    """`FiveCrop` of the image and of its mirror image."""

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = two_sides(size, SIZE_MESSAGE), vertical_flip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.ten_crop(inpt, self.size, self.vertical_flip)


class Pad(Transform):
    """Margins."""

    def __init__(
        self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"
    ) -> None:
        super().__init__()
        v1.sides_of(padding)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pad(inpt, self.padding, self.fill, self.padding_mode)


class RandomCrop(Transform):
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
        self.size = two_sides(size, SIZE_MESSAGE)
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        rows, columns = query_size(flat_inputs)
        left = top = right = bottom = 0
        if self.padding is not None:
            left, top, right, bottom = v1.sides_of(self.padding)
        height, width = self.size
        if self.pad_if_needed:
            missing = max(height - (rows + top + bottom), 0)
            top, bottom = top + missing, bottom + missing
            missing = max(width - (columns + left + right), 0)
            left, right = left + missing, right + missing
        rows, columns = rows + top + bottom, columns + left + right
        if rows < height or columns < width:
            raise ValueError(
                f"Required crop size {(height, width)} is larger than padded input image size "
                f"{(rows, columns)}."
            )
        window = (
            whole(0, rows - height + 1) if rows > height else 0,
            whole(0, columns - width + 1) if columns > width else 0,
        )
        return {"margins": [left, top, right, bottom], "window": (*window, height, width)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if any(params["margins"]):
            inpt = F.pad(inpt, params["margins"], self.fill, self.padding_mode)
        return F.crop(inpt, *params["window"])


class RandomResizedCrop(Transform):
    """A window of random area and shape, brought to a size."""

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = two_sides(size, SIZE_MESSAGE)
        self.scale, self.ratio = scale, ratio
        self.interpolation, self.antialias = as_mode(interpolation), antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        blank = _blank(flat_inputs)
        return {"window": drawn.RandomResizedCrop.get_params(blank, self.scale, self.ratio)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.resized_crop(
            inpt,
            *params["window"],
            size=self.size,
            interpolation=self.interpolation,
            antialias=self.antialias,
        )


class RandomRotation(Transform):
    """Turn by a random angle in degrees."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = drawn.symmetric_range(degrees, "degrees")
        self.interpolation = as_mode(interpolation)
        self.expand, self.center, self.fill = expand, center, fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"angle": drawn.RandomRotation.get_params(self.degrees)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        options = (self.interpolation, self.expand, self.center, self.fill)
        return F.rotate(inpt, params["angle"], *options)


class RandomAffine(Transform):
    """Turn, move, scale and shear at random."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Any = NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        checked = drawn.RandomAffine(degrees, translate, scale, shear)
        self.degrees, self.translate = checked.degrees, translate
        self.scale, self.shear = scale, checked.shear
        self.interpolation, self.fill, self.center = as_mode(interpolation), fill, center

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        ranges = (self.degrees, self.translate, self.scale, self.shear)
        angle, moved, scale, shear = drawn.RandomAffine.get_params(*ranges, (width, height))
        return {"angle": angle, "translate": moved, "scale": scale, "shear": shear}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.affine(
            inpt,
            **params,
            interpolation=self.interpolation,
            fill=self.fill,
            center=self.center,
        )


class RandomPerspective(RandomTransform):
    """Move the corners inwards at random, with probability `p`."""

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__(p)
        self.distortion_scale, self.fill = distortion_scale, fill
        self.interpolation = as_mode(interpolation)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        points = drawn.RandomPerspective.get_params(width, height, self.distortion_scale)
        return {"points": points}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        before, after = params["points"]
        return F.perspective(inpt, before, after, self.interpolation, self.fill)


class ElasticTransform(Transform):
    """Move every pixel by smoothed noise."""

    def __init__(
        self,
        alpha: float | Sequence[float] = 50.0,
        sigma: float | Sequence[float] = 5.0,
        interpolation: Any = BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        checked = drawn.ElasticTransform(alpha, sigma, interpolation, fill)
        self.alpha, self.sigma = checked.alpha, checked.sigma
        self.interpolation, self.fill = as_mode(interpolation), fill

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size = list(query_size(flat_inputs))
        made = drawn.ElasticTransform.get_params(self.alpha, self.sigma, size)
        return {"displacement": made}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.elastic(inpt, params["displacement"], self.interpolation, self.fill)


class RandomZoomOut(RandomTransform):
    """Put the image at a random place of a larger canvas."""

    def __init__(
        self, fill: Any = 0, side_range: Sequence[float] = (1.0, 4.0), p: float = 0.5
    ) -> None:
        super().__init__(p)
        if side_range[0] < 1.0 or side_range[0] > side_range[1]:
            raise ValueError(f"Invalid side range provided {side_range}.")
        self.fill, self.side_range = fill, side_range

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        low, high = self.side_range
        factor = low + float(lampas.rand(1).item()) * (high - low)
        rows, columns = int(height * factor), int(width * factor)
        across, down = lampas.rand(2).tolist()
        left, top = int((columns - width) * across), int((rows - height) * down)
        return {"margins": [left, top, columns - (left + width), rows - (top + height)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pad(inpt, params["margins"], self.fill)


class _RandomSize(Transform):
    def __init__(self, interpolation: Any = BILINEAR, antialias: bool | None = True) -> None:
        super().__init__()
        self.interpolation, self.antialias = as_mode(interpolation), antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        size = params["size"]
        return F.resize(inpt, size, self.interpolation, antialias=self.antialias)


class RandomResize(_RandomSize):
    """The shorter side to a random length."""

    def __init__(
        self,
        min_size: int,
        max_size: int,
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size, self.max_size = min_size, max_size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"size": [whole(self.min_size, self.max_size)]}


class ScaleJitter(_RandomSize):
    """To a random multiple of what fits into `target_size`."""

    def __init__(
        self,
        target_size: tuple[int, int],
        scale_range: tuple[float, float] = (0.1, 2.0),
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.target_size, self.scale_range = target_size, scale_range

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        low, high = self.scale_range
        scale = low + float(lampas.rand(1).item()) * (high - low)
        factor = min(self.target_size[0] / height, self.target_size[1] / width) * scale
        return {"size": (int(height * factor), int(width * factor))}


class RandomShortestSize(_RandomSize):
    """The shorter side to one of some lengths, the longer at most `max_size`."""

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int | None = None,
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        self.max_size = max_size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        factor = self.min_size[whole(0, len(self.min_size))] / min(height, width)
        if self.max_size is not None:
            factor = min(factor, self.max_size / max(height, width))
        return {"size": (int(height * factor), int(width * factor))}
