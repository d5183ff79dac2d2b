"""Tensors that say what they show: images, videos, masks, boxes, key points.

Operations on them give plain tensors; the functions of `transforms.v2` keep the kind.
"""

from enum import Enum
from typing import Any

import lampas
from lampas import Tensor
from lampas.vision.transforms.functional import pil_to_tensor
from lampas.vision.transforms.pil_images import is_pil

__all__ = [
    "BoundingBoxFormat",
    "BoundingBoxes",
    "Image",
    "KeyPoints",
    "Mask",
    "TVTensor",
    "Video",
    "wrap",
]


class BoundingBoxFormat(Enum):
    """Corners; corner and size; centre and size. Turned boxes are not there."""

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"


def _tensor(data: Any, dtype: Any, requires_grad: bool | None) -> Tensor:
    made = data if isinstance(data, Tensor) else lampas.as_tensor(data)
    made = made if dtype is None else made.to(dtype)
    if requires_grad is not None and requires_grad != made.requires_grad:
        made = made.detach().requires_grad_(requires_grad)
    return made


class TVTensor(Tensor):
    """The base of all kinds."""

    def __new__(
        cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = None
    ) -> Any:
        return _tensor(data, dtype, requires_grad).as_subclass(cls)

    def __init__(self, data: Any, **_options: Any) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return wrap(self.as_subclass(Tensor).detach().clone(), like=self)


class Image(TVTensor):
    """An image (..., C, H, W); a Pillow image is converted, (H, W) gets a channel."""

    def __new__(
        cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = None
    ) -> Any:
        made = _tensor(pil_to_tensor(data) if is_pil(data) else data, dtype, requires_grad)
        if made.dim() < 2:
            raise ValueError("Tensor must be 2D or 3D or higher")
        return (made.unsqueeze(0) if made.dim() == 2 else made).as_subclass(cls)


class Video(TVTensor):
    """Images (..., T, C, H, W)."""

    def __new__(
        cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = None
    ) -> Any:
        made = _tensor(data, dtype, requires_grad)
        if made.dim() < 4:
            raise ValueError("Tensor must be 4D or higher")
        return made.as_subclass(cls)


class Mask(TVTensor):
    """Classes of pixels (..., H, W); a Pillow image is converted."""

    def __new__(
        cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = None
    ) -> Any:
        return _tensor(
            pil_to_tensor(data) if is_pil(data) else data, dtype, requires_grad
        ).as_subclass(cls)


class BoundingBoxes(TVTensor):
    """Boxes (N, 4) of a format, in an image of `canvas_size` (height, width)."""

    format: BoundingBoxFormat
    canvas_size: tuple[int, int]

    def __new__(
        cls,
        data: Any,
        *,
        format: BoundingBoxFormat | str,
        canvas_size: tuple[int, int],
        dtype: Any = None,
        device: Any = None,
        requires_grad: Any = None,
    ) -> Any:
        made = _tensor(data, dtype, requires_grad)
        made = made.unsqueeze(0) if made.dim() == 1 else made
        if made.dim() != 2 or made.shape[-1] != 4:
            raise ValueError(
                f"Expected a 1D or 2D tensor of boxes of 4 numbers, got {tuple(made.shape)}"
            )
        boxes = made.as_subclass(cls)
        name = format.upper() if isinstance(format, str) else format.value
        boxes.format, boxes.canvas_size = BoundingBoxFormat[name], tuple(canvas_size)
        return boxes

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        shown = repr(self.as_subclass(Tensor)).replace("tensor(", "BoundingBoxes(", 1)
        return f"{shown[:-1]}, format={self.format}, canvas_size={self.canvas_size})"


class KeyPoints(TVTensor):
    """Points (..., 2) in an image of `canvas_size` (height, width)."""

    canvas_size: tuple[int, int]

    def __new__(
        cls,
        data: Any,
        *,
        canvas_size: tuple[int, int],
        dtype: Any = None,
        device: Any = None,
        requires_grad: Any = None,
    ) -> Any:
        made = _tensor(data, dtype, requires_grad)
        if made.shape[-1:] != (2,):
            raise ValueError(f"Expected a tensor of shape (..., 2), not {tuple(made.shape)}")
        points = made.as_subclass(cls)
        points.canvas_size = tuple(canvas_size)
        return points


def wrap(wrappee: Tensor, *, like: Any, **kwargs: Any) -> Any:
    """`wrappee` as the kind of `like`, with its facts unless given anew."""
    if isinstance(like, BoundingBoxes):
        facts = {"format": like.format, "canvas_size": like.canvas_size}
        return BoundingBoxes(wrappee, **{**facts, **kwargs})
    if isinstance(like, KeyPoints):
        return KeyPoints(wrappee, **{"canvas_size": like.canvas_size, **kwargs})
    return wrappee.as_subclass(type(like))
