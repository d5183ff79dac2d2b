"""GoogLeNet (arXiv:1409.4842) with batch normalisation.

The published weights were trained with 3×3 kernels in the third branch, where the paper has 5×5.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from lampas import Tensor, cat, flatten, nn
from lampas.nn import functional as F
from lampas.vision.models._api import overwrite_named_param, register_model, weights_enum
from lampas.vision.models.inception import BasicConv2d, initialize, to_inception_range

__all__ = [
    "GoogLeNet",
    "GoogLeNetOutputs",
    "GoogLeNet_Weights",
    "googlenet",
]

Layer = Callable[..., nn.Module]


class GoogLeNetOutputs(NamedTuple):
    """What training returns: the classes' scores, and those of the two side branches."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


# Widths: input, branch 1, branch 2 (narrow, wide), branch 3 (narrow, wide), branch 4.
WIDTHS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class Inception(nn.Module):
    """Four branches side by side, joined over channels."""

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        conv_block: Layer | None = None,
    ) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(in_channels, ch3x3red, kernel_size=1),
            conv(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            conv(in_channels, ch5x5red, kernel_size=1),
            conv(ch5x5red, ch5x5, kernel_size=3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            conv(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return cat([branch(x) for branch in branches], 1)


class InceptionAux(nn.Module):
    """A side classifier that gives the early layers a gradient of their own."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        conv_block: Layer | None = None,
        dropout: float = 0.7,
    ) -> None:
        super().__init__()
        self.conv = (conv_block or BasicConv2d)(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = flatten(self.conv(F.adaptive_avg_pool2d(x, (4, 4))), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x), inplace=True)))


class GoogLeNet(nn.Module):
    """(N, 3, H, W) to (N, num_classes); in training with `aux_logits` to `GoogLeNetOutputs`."""

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: list[Layer] | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        conv, inception, side = blocks or [BasicConv2d, Inception, InceptionAux]
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for place, widths in WIDTHS.items():
            self.add_module(f"inception{place}", inception(*widths))
            if place == "3b":
                self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            elif place == "4e":
                self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.aux1 = side(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = side(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights or init_weights is None:
            initialize(self)

    def forward(self, x: Tensor) -> GoogLeNetOutputs | Tensor:
        if self.transform_input:
            x = to_inception_range(x)
        x = self.conv3(self.conv2(self.maxpool1(self.conv1(x))))
        x = self.inception3b(self.inception3a(self.maxpool2(x)))
        x = self.inception4a(self.maxpool3(x))
        sides = self.training and self.aux_logits
        first = self.aux1(x) if sides and self.aux1 is not None else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        second = self.aux2(x) if sides and self.aux2 is not None else None
        x = self.maxpool4(self.inception4e(x))
        x = self.avgpool(self.inception5b(self.inception5a(x)))
        x = self.fc(self.dropout(flatten(x, 1)))
        return GoogLeNetOutputs(x, second, first) if sides else x


GoogLeNet_Weights = weights_enum("GoogLeNet_Weights", __name__)


@register_model(GoogLeNet_Weights)
def googlenet(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> GoogLeNet:
    """GoogLeNet; `kwargs` go to `GoogLeNet`. The published weights' side branches are untrained."""
    if weights is None:
        return GoogLeNet(**kwargs)
    wanted = kwargs.get("aux_logits", False)
    kwargs.setdefault("transform_input", True)
    overwrite_named_param(kwargs, "init_weights", False)
    overwrite_named_param(kwargs, "num_classes", 1000)
    model = GoogLeNet(**{**kwargs, "aux_logits": True})
    model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    if wanted:
        warnings.warn(
            "auxiliary heads in the pretrained googlenet model are NOT pretrained: they start at "
            "random values and have to be trained",
            stacklevel=2,
        )
    else:
        model.aux_logits, model.aux1, model.aux2 = False, None, None
    return model
