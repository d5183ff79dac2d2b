"""The preprocessing that published weights expect."""

from collections.abc import Sequence
from typing import Any

import lampas
from lampas import Tensor, nn
from lampas.vision.transforms import functional as F
from lampas.vision.transforms.interpolation import InterpolationMode

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageClassification(nn.Module):
    """Resize the shorter side, crop the middle, scale to [0, 1], normalise.

    A Pillow image or a tensor (..., C, H, W) in, floats (..., C, crop_size, crop_size) out.
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation, self.antialias = interpolation, antialias

    def forward(self, img: Any) -> Tensor:
        img = F.resize(
            img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias
        )
        img = F.center_crop(img, self.crop_size)
        image = img if isinstance(img, Tensor) else F.pil_to_tensor(img)
        image = F.convert_image_dtype(image, lampas.float32)
        return F.normalize(image, mean=self.mean, std=self.std)

    def __repr__(self) -> str:
        fields = ("crop_size", "resize_size", "mean", "std", "interpolation")
        lines = "".join(f"\n    {name}={getattr(self, name)}" for name in fields)
        return f"{type(self).__name__}({lines}\n)"
