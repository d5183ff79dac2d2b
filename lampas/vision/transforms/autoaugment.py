"""Learned and random augmentation: AutoAugment, RandAugment, TrivialAugment, AugMix.

Each picks steps from a space of named changes with their strengths; the draws come from the random
stream in torchvision's order. Tensor images have to be uint8.
"""

import math
from collections.abc import Callable
from enum import Enum
from typing import Any

import lampas
from lampas import Tensor, nn
from lampas.vision.transforms import functional as F
from lampas.vision.transforms.autoaugment_policies import POLICIES
from lampas.vision.transforms.interpolation import InterpolationMode
from lampas.vision.transforms.random_geometry import filling

__all__ = ["AugMix", "AutoAugment", "AutoAugmentPolicy", "RandAugment", "TrivialAugmentWide"]

Space = dict[str, tuple[Tensor | None, bool]]  # strengths (None: there is but one), may be negative


class AutoAugmentPolicy(Enum):
    """The sets of images on which policies were searched."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


def _warp(**named: Any) -> Callable[..., Any]:
    def change(img: Any, strength: float, mode: InterpolationMode, fill: Any) -> Any:
        angle = math.degrees(math.atan(strength))
        values: dict[str, Any] = {"translate": [0, 0], "shear": [0.0, 0.0], "center": None}
        values.update({name: make(angle, strength) for name, make in named.items()})
        return F.affine(img, 0.0, scale=1.0, interpolation=mode, fill=fill, **values)

    return change


def _plain(function: Callable[..., Any], *, plus: float | None = None) -> Callable[..., Any]:
    """A change without interpolation, of one argument (shifted by `plus`) or of none."""

    def change(img: Any, strength: float, mode: InterpolationMode, fill: Any) -> Any:
        return function(img) if plus is None else function(img, strength + plus)

    return change


CHANGES: dict[str, Callable[..., Any]] = {
    "Identity": lambda img, strength, mode, fill: img,
    "ShearX": _warp(shear=lambda angle, _: [angle, 0.0], center=lambda *_: [0, 0]),
    "ShearY": _warp(shear=lambda angle, _: [0.0, angle], center=lambda *_: [0, 0]),
    "TranslateX": _warp(translate=lambda _, strength: [int(strength), 0]),
    "TranslateY": _warp(translate=lambda _, strength: [0, int(strength)]),
    "Rotate": lambda img, strength, mode, fill: F.rotate(img, strength, mode, fill=fill),
    "Brightness": _plain(F.adjust_brightness, plus=1.0),
    "Color": _plain(F.adjust_saturation, plus=1.0),
    "Contrast": _plain(F.adjust_contrast, plus=1.0),
    "Sharpness": _plain(F.adjust_sharpness, plus=1.0),
    "Posterize": lambda img, strength, mode, fill: F.posterize(img, int(strength)),
    "Solarize": _plain(F.solarize, plus=0.0),
    "AutoContrast": _plain(F.autocontrast),
    "Equalize": _plain(F.equalize),
    "Invert": _plain(F.invert),
}


def _space(
    bins: int, shear: float, shift: tuple[float, float], turn: float, colour: float, bits: int
) -> Space:
    """The changes with `bins` strengths from nothing to the most given."""

    def line(end: float) -> tuple[Tensor, bool]:
        return lampas.linspace(0.0, end, bins), True

    posterized = 8 - (lampas.arange(bins) / ((bins - 1) / bits)).round().int()
    space: Space = {
        "ShearX": line(shear),
        "ShearY": line(shear),
        "TranslateX": line(shift[0]),
        "TranslateY": line(shift[1]),
        "Rotate": line(turn),
    }
    space |= {name: line(colour) for name in ("Brightness", "Color", "Contrast", "Sharpness")}
    space["Posterize"] = (posterized, False)
    space["Solarize"] = (lampas.linspace(255.0, 0.0, bins), False)
    return space | {"AutoContrast": (None, False), "Equalize": (None, False)}


class _Augmentation(nn.Module):
    def __init__(self, interpolation: InterpolationMode, fill: Any) -> None:
        super().__init__()
        self.interpolation, self.fill = interpolation, fill

    def _changed(self, img: Any, name: str, strength: float, negative: bool) -> Any:
        fill = None if self.fill is None else filling(self.fill, img)
        return CHANGES[name](img, -strength if negative else strength, self.interpolation, fill)

    def _drawn(self, space: Space) -> tuple[str, Tensor | None, bool]:
        names = list(space)
        name = names[int(lampas.randint(len(names), (1,)).item())]
        return name, *space[name]


class AutoAugment(_Augmentation):
    """A random one of the 25 learned policies."""

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.policy = policy
        self.policies = POLICIES[AutoAugmentPolicy(policy).value]

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, Tensor, Tensor]:
        """(which policy, the chance and the sign drawn for each of its steps)."""
        chosen = int(lampas.randint(transform_num, (1,)).item())
        chances = lampas.rand((2,))
        return chosen, chances, lampas.randint(2, (2,))

    def forward(self, img: Any) -> Any:
        _, height, width = F.get_dimensions(img)
        chosen, chances, signs = self.get_params(len(self.policies))
        reach = (150.0 / 331.0 * width, 150.0 / 331.0 * height)
        space = _space(10, 0.3, reach, 30.0, 0.9, 4) | {"Invert": (None, False)}
        steps = zip(self.policies[chosen], chances.tolist(), signs.tolist())
        for (name, p, place), drawn, sign in steps:
            if drawn <= p:
                strengths, signed = space[name]
                strength = 0.0
                if strengths is not None and place is not None:
                    strength = float(strengths[place].item())
                img = self._changed(img, name, strength, signed and sign == 0)
        return img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(policy={self.policy}, fill={self.fill})"


class RandAugment(_Augmentation):
    """`num_ops` random changes of one strength (arXiv:1909.13719)."""

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_ops, self.magnitude = num_ops, magnitude
        self.num_magnitude_bins = num_magnitude_bins

    def forward(self, img: Any) -> Any:
        _, height, width = F.get_dimensions(img)
        reach = (150.0 / 331.0 * width, 150.0 / 331.0 * height)
        space = {"Identity": (None, False)} | _space(
            self.num_magnitude_bins, 0.3, reach, 30.0, 0.9, 4
        )
        for _ in range(self.num_ops):
            name, strengths, signed = self._drawn(space)
            strength = 0.0 if strengths is None else float(strengths[self.magnitude].item())
            negative = signed and bool(lampas.randint(2, (1,)).item())
            img = self._changed(img, name, strength, negative)
        return img

    def __repr__(self) -> str:
        names = ("num_ops", "magnitude", "num_magnitude_bins", "interpolation", "fill")
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)}' for n in names)})"


class TrivialAugmentWide(_Augmentation):
    """One random change of random strength (arXiv:2103.10158)."""

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def forward(self, img: Any) -> Any:
        space = {"Identity": (None, False)} | _space(
            self.num_magnitude_bins, 0.99, (32.0, 32.0), 135.0, 0.99, 6
        )
        name, strengths, signed = self._drawn(space)
        strength = 0.0
        if strengths is not None:
            strength = float(strengths[int(lampas.randint(len(strengths), (1,)).item())].item())
        negative = signed and bool(lampas.randint(2, (1,)).item())
        return self._changed(img, name, strength, negative)

    def __repr__(self) -> str:
        names = ("num_magnitude_bins", "interpolation", "fill")
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)}' for n in names)})"


class AugMix(_Augmentation):
    """A random mixture of the image and of chains of changes of it (arXiv:1912.02781)."""

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity, self.mixture_width, self.chain_depth = severity, mixture_width, chain_depth
        self.alpha, self.all_ops = alpha, all_ops

    def _changes(self, height: int, width: int) -> Space:
        space = _space(10, 0.3, (width / 3.0, height / 3.0), 30.0, 0.9, 4)
        colours = ("Brightness", "Color", "Contrast", "Sharpness")
        plain: Space = {key: value for key, value in space.items() if key not in colours}
        return plain | ({key: space[key] for key in colours} if self.all_ops else {})

    def forward(self, orig_img: Any) -> Any:
        _, height, width = F.get_dimensions(orig_img)
        img = orig_img if isinstance(orig_img, Tensor) else F.pil_to_tensor(orig_img)
        space = self._changes(height, width)
        batch = img.reshape((1,) * max(4 - img.dim(), 0) + tuple(img.shape))
        ones = (batch.shape[0],) + (1,) * (batch.dim() - 1)
        parts = self._proportions(2, batch.shape[0])
        weights = self._proportions(self.mixture_width, batch.shape[0]) * parts[:, 1:]
        mixed = parts[:, 0].reshape(ones) * batch
        for chain in range(self.mixture_width):
            changed = self._chain(batch, space)
            mixed = mixed + weights[:, chain].reshape(ones) * changed
        mixed = mixed.reshape(img.shape).to(img.dtype)
        return mixed if isinstance(orig_img, Tensor) else F.to_pil_image(mixed)

    def _proportions(self, count: int, rows: int) -> Tensor:
        return lampas._sample_dirichlet(lampas.full((rows, count), float(self.alpha)))

    def _chain(self, batch: Tensor, space: Space) -> Tensor:
        depth = self.chain_depth
        if depth <= 0:
            depth = int(lampas.randint(1, 4, (1,)).item())
        for _ in range(depth):
            name, strengths, signed = self._drawn(space)
            strength = 0.0
            if strengths is not None:
                strength = float(strengths[int(lampas.randint(self.severity, (1,)).item())].item())
            negative = signed and bool(lampas.randint(2, (1,)).item())
            batch = self._changed(batch, name, strength, negative)
        return batch

    def __repr__(self) -> str:
        names = "severity mixture_width chain_depth alpha all_ops interpolation fill".split()
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)}' for n in names)})"
