"""Inception v3 (arXiv:1512.00567), and what GoogLeNet shares with it. Made for 299×299 images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import lampas
from lampas import Tensor, cat, flatten, nn
from lampas.nn import functional as F
from lampas.vision.models._api import overwrite_named_param, register_model, weights_enum

__all__ = [
    "Inception3",
    "InceptionOutputs",
    "Inception_V3_Weights",
    "inception_v3",
]

Layer = Callable[..., nn.Module]


class InceptionOutputs(NamedTuple):
    """What training returns: the classes' scores, and those of the side branch."""

    logits: Tensor
    aux_logits: Tensor | None


class BasicConv2d(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def initialize(model: nn.Module) -> None:
    """Truncated normal weights (deviation 0.1, or a module's own `stddev`), unit norms."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            default = 0.1 if isinstance(model, Inception3) else 0.01
            deviation = float(getattr(module, "stddev", default))
            nn.init.trunc_normal_(module.weight, mean=0.0, std=deviation, a=-2, b=2)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1)
            nn.init.constant_(module.bias, 0)


def to_inception_range(x: Tensor) -> Tensor:
    """From ImageNet's normalisation (mean, deviation of each channel) to (x − 0.5) / 0.5."""
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    planes = [
        lampas.unsqueeze(x[:, channel], 1) * (deviation / 0.5) + (mean - 0.5) / 0.5
        for channel, (mean, deviation) in enumerate(zip(means, deviations))
    ]
    return cat(planes, 1)


def _pooled(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


class InceptionA(nn.Module):
    """35×35: 1×1; 5×5; twice 3×3; pool."""

    def __init__(
        self, in_channels: int, pool_features: int, conv_block: Layer | None = None
    ) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1x1 = conv(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = conv(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = conv(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, padding=1)
        self.branch_pool = conv(in_channels, pool_features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        wide = self.branch5x5_2(self.branch5x5_1(x))
        return cat([self.branch1x1(x), wide, double, self.branch_pool(_pooled(x))], 1)


class InceptionB(nn.Module):
    """35×35 to 17×17."""

    def __init__(self, in_channels: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3 = conv(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pooled = F.max_pool2d(x, kernel_size=3, stride=2)
        return cat([self.branch3x3(x), double, pooled], 1)


class InceptionC(nn.Module):
    """17×17: 1×1; 7×7 as 1×7 and 7×1; the same twice; pool."""

    def __init__(
        self, in_channels: int, channels_7x7: int, conv_block: Layer | None = None
    ) -> None:
        super().__init__()
        conv, inner = conv_block or BasicConv2d, channels_7x7
        row = {"kernel_size": (1, 7), "padding": (0, 3)}
        column = {"kernel_size": (7, 1), "padding": (3, 0)}
        self.branch1x1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = conv(in_channels, inner, kernel_size=1)
        self.branch7x7_2 = conv(inner, inner, **row)
        self.branch7x7_3 = conv(inner, 192, **column)
        self.branch7x7dbl_1 = conv(in_channels, inner, kernel_size=1)
        self.branch7x7dbl_2 = conv(inner, inner, **column)
        self.branch7x7dbl_3 = conv(inner, inner, **row)
        self.branch7x7dbl_4 = conv(inner, inner, **column)
        self.branch7x7dbl_5 = conv(inner, 192, **row)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return cat([self.branch1x1(x), single, double, self.branch_pool(_pooled(x))], 1)


class InceptionD(nn.Module):
    """17×17 to 8×8."""

    def __init__(self, in_channels: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = conv(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = conv(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = conv(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = conv(192, 192, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        long = self.branch7x7x3_2(self.branch7x7x3_1(x))
        long = self.branch7x7x3_4(self.branch7x7x3_3(long))
        pooled = F.max_pool2d(x, kernel_size=3, stride=2)
        return cat([self.branch3x3_2(self.branch3x3_1(x)), long, pooled], 1)


class InceptionE(nn.Module):
    """8×8: branches that end in 1×3 and 3×1 side by side."""

    def __init__(self, in_channels: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        row = {"kernel_size": (1, 3), "padding": (0, 1)}
        column = {"kernel_size": (3, 1), "padding": (1, 0)}
        self.branch1x1 = conv(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = conv(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = conv(384, 384, **row)
        self.branch3x3_2b = conv(384, 384, **column)
        self.branch3x3dbl_1 = conv(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = conv(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = conv(384, 384, **row)
        self.branch3x3dbl_3b = conv(384, 384, **column)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        single = cat([self.branch3x3_2a(single), self.branch3x3_2b(single)], 1)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        double = cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1)
        return cat([self.branch1x1(x), single, double, self.branch_pool(_pooled(x))], 1)


class InceptionAux(nn.Module):
    """A side classifier on the 17×17 features."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1: Any = conv(128, 768, kernel_size=5)
        self.conv1.stddev = 0.01
        self.fc: Any = nn.Linear(768, num_classes)
        self.fc.stddev = 0.001

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(F.avg_pool2d(x, kernel_size=5, stride=3)))
        return self.fc(flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


BLOCKS: tuple[Layer, ...] = (
    BasicConv2d,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionAux,
)
MIXED_5 = ("Mixed_5b", "Mixed_5c", "Mixed_5d")
MIXED_6 = ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e")
MIXED_7 = ("Mixed_7a", "Mixed_7b", "Mixed_7c")


class Inception3(nn.Module):
    """(N, 3, 299, 299) to (N, num_classes); in training with `aux_logits` to `InceptionOutputs`."""

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Sequence[Layer] | None = None,
        init_weights: bool | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        conv, *blocks = inception_blocks or BLOCKS
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self._add_blocks(blocks, num_classes)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights or init_weights is None:
            initialize(self)

    def _add_blocks(self, blocks: Sequence[Layer], num_classes: int) -> None:
        a, b, c, d, e, side = blocks
        for name, width, features in zip(MIXED_5, (192, 256, 288), (32, 64, 64)):
            self.add_module(name, a(width, pool_features=features))
        self.Mixed_6a = b(288)
        for name, inner in zip(MIXED_6[1:], (128, 160, 160, 192)):
            self.add_module(name, c(768, channels_7x7=inner))
        self.AuxLogits = side(768, num_classes) if self.aux_logits else None
        self.Mixed_7a = d(768)
        self.Mixed_7b = e(1280)
        self.Mixed_7c = e(2048)

    def forward(self, x: Tensor) -> InceptionOutputs | Tensor:
        if self.transform_input:
            x = to_inception_range(x)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.maxpool2(x)
        for name in MIXED_5 + MIXED_6:
            x = getattr(self, name)(x)
        sides = self.training and self.aux_logits
        side = self.AuxLogits(x) if sides and self.AuxLogits is not None else None
        for name in MIXED_7:
            x = getattr(self, name)(x)
        x = self.fc(flatten(self.dropout(self.avgpool(x)), 1))
        return InceptionOutputs(x, side) if sides else x


Inception_V3_Weights = weights_enum("Inception_V3_Weights", __name__)


@register_model(Inception_V3_Weights)
def inception_v3(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> Inception3:
    """Inception v3; `kwargs` go to `Inception3`."""
    if weights is None:
        return Inception3(**kwargs)
    wanted = kwargs.get("aux_logits", True)
    kwargs.setdefault("transform_input", True)
    overwrite_named_param(kwargs, "init_weights", False)
    overwrite_named_param(kwargs, "num_classes", 1000)
    model = Inception3(**{**kwargs, "aux_logits": True})
    model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    if not wanted:
        model.aux_logits, model.AuxLogits = False, None
    return model
