"""MobileNetV3, large and small (arXiv:1905.02244)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lampas import Tensor, flatten, nn
from lampas.vision.models._api import build, register_model, weights_enum
from lampas.vision.models._utils import _make_divisible
from lampas.vision.models.mobilenetv2 import initialize
from lampas.vision.ops.misc import Conv2dNormActivation
from lampas.vision.ops.misc import SqueezeExcitation as GateBlock

__all__ = [
    "MobileNetV3",
    "MobileNet_V3_Large_Weights",
    "MobileNet_V3_Small_Weights",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
]

Layer = Callable[..., nn.Module]

# Rows: kernel, expanded width, width, gate, activation (HS: hard swish), stride.
LARGE = (
    (3, 16, 16, False, "RE", 1),
    (3, 64, 24, False, "RE", 2),
    (3, 72, 24, False, "RE", 1),
    (5, 72, 40, True, "RE", 2),
    (5, 120, 40, True, "RE", 1),
    (5, 120, 40, True, "RE", 1),
    (3, 240, 80, False, "HS", 2),
    (3, 200, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 480, 112, True, "HS", 1),
    (3, 672, 112, True, "HS", 1),
    (5, 672, 160, True, "HS", 2),
    (5, 960, 160, True, "HS", 1),
    (5, 960, 160, True, "HS", 1),
)
SMALL = (
    (3, 16, 16, True, "RE", 2),
    (3, 72, 24, False, "RE", 2),
    (3, 88, 24, False, "RE", 1),
    (5, 96, 40, True, "HS", 2),
    (5, 240, 40, True, "HS", 1),
    (5, 240, 40, True, "HS", 1),
    (5, 120, 48, True, "HS", 1),
    (5, 144, 48, True, "HS", 1),
    (5, 288, 96, True, "HS", 2),
    (5, 576, 96, True, "HS", 1),
    (5, 576, 96, True, "HS", 1),
)
TAIL = 3  # blocks at the end whose width a reduced tail halves and which may dilate

HARD_GATE = partial(GateBlock, scale_activation=nn.Hardsigmoid)


class InvertedResidualConfig:
    """Sizes of one block; widths are scaled by `width_mult` and rounded to multiples of 8."""

    def __init__(
        self,
        input_channels: int,
        kernel: int,
        expanded_channels: int,
        out_channels: int,
        use_se: bool,
        activation: str,
        stride: int,
        dilation: int,
        width_mult: float,
    ) -> None:
        self.input_channels = self.adjust_channels(input_channels, width_mult)
        self.kernel = kernel
        self.expanded_channels = self.adjust_channels(expanded_channels, width_mult)
        self.out_channels = self.adjust_channels(out_channels, width_mult)
        self.use_se = use_se
        self.use_hs = activation == "HS"
        self.stride = stride
        self.dilation = dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """The scaled width."""
        return _make_divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """Widen, filter each channel, gate, narrow; a shortcut where the shapes agree."""

    def __init__(
        self,
        cnf: InvertedResidualConfig,
        norm_layer: Layer,
        se_layer: Layer = HARD_GATE,
    ) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        activation = nn.Hardswish if cnf.use_hs else nn.ReLU
        block = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation)
        width = cnf.expanded_channels
        layers: list[nn.Module] = []
        if width != cnf.input_channels:
            layers.append(block(cnf.input_channels, width, kernel_size=1))
        layers.append(
            block(
                width,
                width,
                kernel_size=cnf.kernel,
                stride=1 if cnf.dilation > 1 else cnf.stride,
                dilation=cnf.dilation,
                groups=width,
            )
        )
        if cnf.use_se:
            layers.append(se_layer(width, _make_divisible(width // 4, 8)))
        layers.append(block(width, cnf.out_channels, kernel_size=1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = cnf.out_channels
        self._is_cn = cnf.stride > 1

    def forward(self, input: Tensor) -> Tensor:
        result = self.block(input)
        return result + input if self.use_res_connect else result


class MobileNetV3(nn.Module):
    """(N, 3, H, W) to (N, num_classes)."""

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
        **_unused: Any,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not all(isinstance(row, InvertedResidualConfig) for row in inverted_residual_setting):
            raise TypeError("The inverted_residual_setting should be List[InvertedResidualConfig]")
        block = block or InvertedResidual
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        ends = {"norm_layer": norm_layer, "activation_layer": nn.Hardswish}
        first = inverted_residual_setting[0].input_channels
        features: list[nn.Module] = [Conv2dNormActivation(3, first, stride=2, **ends)]
        features += [block(row, norm_layer) for row in inverted_residual_setting]
        width = inverted_residual_setting[-1].out_channels
        features.append(Conv2dNormActivation(width, 6 * width, kernel_size=1, **ends))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * width, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(p=dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


def _settings(
    rows: Sequence[tuple[Any, ...]],
    last_channel: int,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    **_unused: Any,
) -> tuple[list[InvertedResidualConfig], int]:
    """The blocks' sizes and the width before the last layer.

    A reduced tail halves the widths of the tail; a dilated one dilates where it strode.
    """
    divider, tail = 2 if reduced_tail else 1, len(rows) - TAIL
    settings, channels = [], 16
    for index, (kernel, expanded, width, gate, activation, stride) in enumerate(rows):
        shrink = divider if index >= tail else 1
        widen = divider if index > tail else 1
        dilation = 2 if dilated and index >= tail else 1
        sizes = (channels, kernel, expanded // widen, width // shrink)
        settings.append(
            InvertedResidualConfig(*sizes, gate, activation, stride, dilation, width_mult)
        )
        channels = width // shrink
    last = InvertedResidualConfig.adjust_channels(last_channel // divider, width_mult)
    return settings, last


def _mobilenet_v3(
    rows: Sequence[tuple[Any, ...]],
    last_channel: int,
    weights: Any,
    progress: bool,
    **kwargs: Any,
) -> MobileNetV3:
    shaping = ("width_mult", "reduced_tail", "dilated")
    own = {key: kwargs.pop(key) for key in shaping if key in kwargs}
    return build(MobileNetV3, weights, progress, *_settings(rows, last_channel, **own), **kwargs)


MobileNet_V3_Large_Weights = weights_enum("MobileNet_V3_Large_Weights", __name__)
MobileNet_V3_Small_Weights = weights_enum("MobileNet_V3_Small_Weights", __name__)


@register_model(MobileNet_V3_Large_Weights)
def mobilenet_v3_large(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV3:
    """MobileNetV3-Large; `width_mult`, `reduced_tail` and `dilated` shape it."""
    return _mobilenet_v3(LARGE, 1280, weights, progress, **kwargs)


@register_model(MobileNet_V3_Small_Weights)
def mobilenet_v3_small(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV3:
    """MobileNetV3-Small; `width_mult`, `reduced_tail` and `dilated` shape it."""
    return _mobilenet_v3(SMALL, 1024, weights, progress, **kwargs)
