"""EfficientNet B0 to B7 (arXiv:1905.11946) and V2 (arXiv:2104.00298)."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lampas import Tensor, flatten, nn
from lampas.vision.models._api import build, register_model, weights_enum
from lampas.vision.models._utils import _make_divisible
from lampas.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation
from lampas.vision.ops.stochastic_depth import StochasticDepth

__all__ = [
    "EfficientNet",
    "EfficientNet_B0_Weights",
    "EfficientNet_B1_Weights",
    "EfficientNet_B2_Weights",
    "EfficientNet_B3_Weights",
    "EfficientNet_B4_Weights",
    "EfficientNet_B5_Weights",
    "EfficientNet_B6_Weights",
    "EfficientNet_B7_Weights",
    "EfficientNet_V2_S_Weights",
    "EfficientNet_V2_M_Weights",
    "EfficientNet_V2_L_Weights",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_s",
    "efficientnet_v2_m",
    "efficientnet_v2_l",
]

Layer = Callable[..., nn.Module]

# Rows: expansion, kernel, stride, width before, width after, number of blocks.
BASE = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
# Stages of V2: fused ones, then others.
V2_STAGES = {
    "s": (
        ((1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4)),
        ((4, 3, 2, 64, 128, 6), (6, 3, 1, 128, 160, 9), (6, 3, 2, 160, 256, 15)),
    ),
    "m": (
        ((1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5)),
        (
            (4, 3, 2, 80, 160, 7),
            (6, 3, 1, 160, 176, 14),
            (6, 3, 2, 176, 304, 18),
            (6, 3, 1, 304, 512, 5),
        ),
    ),
    "l": (
        ((1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7)),
        (
            (4, 3, 2, 96, 192, 10),
            (6, 3, 1, 192, 224, 19),
            (6, 3, 2, 224, 384, 25),
            (6, 3, 1, 384, 640, 7),
        ),
    ),
}


@dataclass
class _MBConvConfig:
    """Sizes of one stage."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Callable[..., nn.Module]

    @staticmethod
    def adjust_channels(channels: int, width_mult: float, min_value: int | None = None) -> int:
        """The scaled width, a multiple of 8."""
        return _make_divisible(channels * width_mult, 8, min_value)


class MBConvConfig(_MBConvConfig):
    """A stage of EfficientNet; `width_mult` and `depth_mult` scale it."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        block: Layer | None = None,
    ) -> None:
        widths = (
            self.adjust_channels(input_channels, width_mult),
            self.adjust_channels(out_channels, width_mult),
        )
        depth = self.adjust_depth(num_layers, depth_mult)
        super().__init__(expand_ratio, kernel, stride, *widths, depth, block or MBConv)

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        """The scaled number of blocks, rounded up."""
        return math.ceil(num_layers * depth_mult)


class FusedMBConvConfig(_MBConvConfig):
    """A stage of V2 whose widening and filtering are one convolution."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        block: Layer | None = None,
    ) -> None:
        sizes = (kernel, stride, input_channels, out_channels, num_layers)
        super().__init__(expand_ratio, *sizes, block or FusedMBConv)


class _Residual(nn.Module):
    """A branch that is dropped at random, and a shortcut where the shapes agree."""

    def __init__(
        self, cnf: _MBConvConfig, layers: Sequence[nn.Module], stochastic_depth_prob: float
    ) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Tensor) -> Tensor:
        result = self.block(input)
        if self.use_res_connect:
            result = self.stochastic_depth(result)
            result += input
        return result


class MBConv(_Residual):
    """Widen by 1×1, filter each channel, gate, narrow by 1×1."""

    def __init__(
        self,
        cnf: _MBConvConfig,
        stochastic_depth_prob: float,
        norm_layer: Layer,
        se_layer: Layer = SqueezeExcitation,
    ) -> None:
        block = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        narrow = cnf.input_channels
        width = cnf.adjust_channels(narrow, cnf.expand_ratio)
        layers: list[nn.Module] = []
        if width != narrow:
            layers.append(block(narrow, width, kernel_size=1))
        filters = block(width, width, kernel_size=cnf.kernel, stride=cnf.stride, groups=width)
        gate = se_layer(width, max(1, narrow // 4), activation=partial(nn.SiLU, inplace=True))
        narrowing = block(width, cnf.out_channels, kernel_size=1, activation_layer=None)
        super().__init__(cnf, [*layers, filters, gate, narrowing], stochastic_depth_prob)


class FusedMBConv(_Residual):
    """Widen and filter by one convolution, then narrow by 1×1."""

    def __init__(self, cnf: _MBConvConfig, stochastic_depth_prob: float, norm_layer: Layer) -> None:
        block = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        sizes = {"kernel_size": cnf.kernel, "stride": cnf.stride}
        width = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        if width == cnf.input_channels:
            layers = [block(cnf.input_channels, cnf.out_channels, **sizes)]
        else:
            layers = [
                block(cnf.input_channels, width, **sizes),
                block(width, cnf.out_channels, kernel_size=1, activation_layer=None),
            ]
        super().__init__(cnf, layers, stochastic_depth_prob)


class EfficientNet(nn.Module):
    """(N, 3, H, W) to (N, num_classes). The chance of dropping a branch grows with its depth."""

    def __init__(
        self,
        inverted_residual_setting: Sequence[_MBConvConfig],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not all(isinstance(row, _MBConvConfig) for row in inverted_residual_setting):
            raise TypeError("The inverted_residual_setting should be List[MBConvConfig]")
        norm_layer = norm_layer or nn.BatchNorm2d
        ends = {"norm_layer": norm_layer, "activation_layer": nn.SiLU}
        first = inverted_residual_setting[0].input_channels
        features: list[nn.Module] = [Conv2dNormActivation(3, first, stride=2, **ends)]
        total = sum(row.num_layers for row in inverted_residual_setting)
        before = 0
        for row in inverted_residual_setting:
            chances = [stochastic_depth_prob * (before + i) / total for i in range(row.num_layers)]
            features.append(_stage(row, chances, norm_layer))
            before += row.num_layers
        width = inverted_residual_setting[-1].out_channels
        last = last_channel if last_channel is not None else 4 * width
        features.append(Conv2dNormActivation(width, last, kernel_size=1, **ends))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout, inplace=True), nn.Linear(last, num_classes)
        )
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
                nn.init.ones_(module.weight)
            elif isinstance(module, nn.Linear):
                bound = 1.0 / math.sqrt(module.out_features)
                nn.init.uniform_(module.weight, -bound, bound)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


def _stage(row: _MBConvConfig, chances: Sequence[float], norm_layer: Layer) -> nn.Sequential:
    """The blocks of a stage: only the first strides and changes the width."""
    blocks: list[nn.Module] = []
    for chance in chances:
        sizes = copy.copy(row)
        if blocks:
            sizes.input_channels, sizes.stride = row.out_channels, 1
        blocks.append(row.block(sizes, chance, norm_layer))
    return nn.Sequential(*blocks)


def _efficientnet(
    scales: tuple[float, float],
    dropout: float,
    weights: Any,
    progress: bool,
    norm_layer: Layer | None = None,
    **kwargs: Any,
) -> EfficientNet:
    width, depth = scales
    rows = [MBConvConfig(*row, width_mult=width, depth_mult=depth) for row in BASE]
    dropout = kwargs.pop("dropout", dropout)
    kwargs = {"norm_layer": norm_layer, **kwargs}
    return build(EfficientNet, weights, progress, rows, dropout, **kwargs)


def _efficientnet_v2(
    size: str, dropout: float, weights: Any, progress: bool, **kwargs: Any
) -> EfficientNet:
    fused, plain = V2_STAGES[size]
    rows = [*(FusedMBConvConfig(*row) for row in fused), *(MBConvConfig(*row) for row in plain)]
    kwargs = {"norm_layer": partial(nn.BatchNorm2d, eps=0.001), "last_channel": 1280, **kwargs}
    dropout = kwargs.pop("dropout", dropout)
    return build(EfficientNet, weights, progress, rows, dropout, **kwargs)


WIDE_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)

EfficientNet_B0_Weights = weights_enum("EfficientNet_B0_Weights", __name__)
EfficientNet_B1_Weights = weights_enum("EfficientNet_B1_Weights", __name__)
EfficientNet_B2_Weights = weights_enum("EfficientNet_B2_Weights", __name__)
EfficientNet_B3_Weights = weights_enum("EfficientNet_B3_Weights", __name__)
EfficientNet_B4_Weights = weights_enum("EfficientNet_B4_Weights", __name__)
EfficientNet_B5_Weights = weights_enum("EfficientNet_B5_Weights", __name__)
EfficientNet_B6_Weights = weights_enum("EfficientNet_B6_Weights", __name__)
EfficientNet_B7_Weights = weights_enum("EfficientNet_B7_Weights", __name__)
EfficientNet_V2_S_Weights = weights_enum("EfficientNet_V2_S_Weights", __name__)
EfficientNet_V2_M_Weights = weights_enum("EfficientNet_V2_M_Weights", __name__)
EfficientNet_V2_L_Weights = weights_enum("EfficientNet_V2_L_Weights", __name__)


@register_model(EfficientNet_B0_Weights)
def efficientnet_b0(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B0; `kwargs` go to `EfficientNet`."""
    return _efficientnet((1.0, 1.0), 0.2, weights, progress, **kwargs)


@register_model(EfficientNet_B1_Weights)
def efficientnet_b1(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B1; `kwargs` go to `EfficientNet`."""
    return _efficientnet((1.0, 1.1), 0.2, weights, progress, **kwargs)


@register_model(EfficientNet_B2_Weights)
def efficientnet_b2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B2; `kwargs` go to `EfficientNet`."""
    return _efficientnet((1.1, 1.2), 0.3, weights, progress, **kwargs)


@register_model(EfficientNet_B3_Weights)
def efficientnet_b3(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B3; `kwargs` go to `EfficientNet`."""
    return _efficientnet((1.2, 1.4), 0.3, weights, progress, **kwargs)


@register_model(EfficientNet_B4_Weights)
def efficientnet_b4(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B4; `kwargs` go to `EfficientNet`."""
    return _efficientnet((1.4, 1.8), 0.4, weights, progress, **kwargs)


@register_model(EfficientNet_B5_Weights)
def efficientnet_b5(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B5; `kwargs` go to `EfficientNet`."""
    kwargs = {"norm_layer": WIDE_NORM, **kwargs}
    return _efficientnet((1.6, 2.2), 0.4, weights, progress, **kwargs)


@register_model(EfficientNet_B6_Weights)
def efficientnet_b6(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B6; `kwargs` go to `EfficientNet`."""
    kwargs = {"norm_layer": WIDE_NORM, **kwargs}
    return _efficientnet((1.8, 2.6), 0.5, weights, progress, **kwargs)


@register_model(EfficientNet_B7_Weights)
def efficientnet_b7(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B7; `kwargs` go to `EfficientNet`."""
    kwargs = {"norm_layer": WIDE_NORM, **kwargs}
    return _efficientnet((2.0, 3.1), 0.5, weights, progress, **kwargs)


@register_model(EfficientNet_V2_S_Weights)
def efficientnet_v2_s(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-S; `kwargs` go to `EfficientNet`."""
    return _efficientnet_v2("s", 0.2, weights, progress, **kwargs)


@register_model(EfficientNet_V2_M_Weights)
def efficientnet_v2_m(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-M; `kwargs` go to `EfficientNet`."""
    return _efficientnet_v2("m", 0.3, weights, progress, **kwargs)


@register_model(EfficientNet_V2_L_Weights)
def efficientnet_v2_l(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-L; `kwargs` go to `EfficientNet`."""
    return _efficientnet_v2("l", 0.4, weights, progress, **kwargs)
