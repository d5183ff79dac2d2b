"""ConvNeXt (arXiv:2201.03545)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from lampas import Tensor, nn, ones
from lampas.nn import functional as F
from lampas.vision.models._api import build, register_model, weights_enum
from lampas.vision.ops.misc import Conv2dNormActivation, Permute
from lampas.vision.ops.stochastic_depth import StochasticDepth

__all__ = [
    "ConvNeXt",
    "ConvNeXt_Tiny_Weights",
    "ConvNeXt_Small_Weights",
    "ConvNeXt_Base_Weights",
    "ConvNeXt_Large_Weights",
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnext_large",
]

Layer = Callable[..., nn.Module]


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        last = input.permute(0, 2, 3, 1)
        last = F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps)
        return last.permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A 7×7 filter for each channel, then a perceptron over channels, scaled by `layer_scale`."""

    def __init__(
        self,
        dim: int,
        layer_scale: float,
        stochastic_depth_prob: float,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim, bias=True),
            Permute([0, 2, 3, 1]),
            norm_layer(dim),
            nn.Linear(dim, 4 * dim, bias=True),
            nn.GELU(),
            nn.Linear(4 * dim, dim, bias=True),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        result = self.stochastic_depth(self.layer_scale * self.block(input))
        result += input
        return result


class CNBlockConfig(NamedTuple):
    """Sizes of one stage; `out_channels=None` for the last, which no downsampling follows."""

    input_channels: int
    out_channels: int | None
    num_layers: int


class ConvNeXt(nn.Module):
    """(N, 3, H, W) to (N, num_classes)."""

    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
        **_unused: Any,
    ) -> None:
        super().__init__()
        if not block_setting:
            raise ValueError("The block_setting should not be empty")
        if not all(isinstance(row, CNBlockConfig) for row in block_setting):
            raise TypeError("The block_setting should be List[CNBlockConfig]")
        block = block or CNBlock
        norm_layer = norm_layer or partial(LayerNorm2d, eps=1e-6)
        width = block_setting[0].input_channels
        stem = {"kernel_size": 4, "stride": 4, "padding": 0, "bias": True}
        layers: list[nn.Module] = [
            Conv2dNormActivation(3, width, **stem, norm_layer=norm_layer, activation_layer=None)
        ]
        total, before = sum(row.num_layers for row in block_setting), 0
        for row in block_setting:
            stage = []
            for _ in range(row.num_layers):
                chance = stochastic_depth_prob * before / (total - 1.0)
                stage.append(block(row.input_channels, layer_scale, chance))
                before += 1
            layers.append(nn.Sequential(*stage))
            width = row.input_channels
            if row.out_channels is not None:
                halving = nn.Conv2d(row.input_channels, row.out_channels, 2, stride=2)
                layers.append(nn.Sequential(norm_layer(row.input_channels), halving))
                width = row.out_channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            norm_layer(width), nn.Flatten(1), nn.Linear(width, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(
    widths: Sequence[int],
    depths: Sequence[int],
    stochastic_depth_prob: float,
    weights: Any,
    progress: bool,
    **kwargs: Any,
) -> ConvNeXt:
    rows = [CNBlockConfig(*row) for row in zip(widths, (*widths[1:], None), depths)]
    chance = kwargs.pop("stochastic_depth_prob", stochastic_depth_prob)
    return build(ConvNeXt, weights, progress, rows, stochastic_depth_prob=chance, **kwargs)


ConvNeXt_Tiny_Weights = weights_enum("ConvNeXt_Tiny_Weights", __name__)
ConvNeXt_Small_Weights = weights_enum("ConvNeXt_Small_Weights", __name__)
ConvNeXt_Base_Weights = weights_enum("ConvNeXt_Base_Weights", __name__)
ConvNeXt_Large_Weights = weights_enum("ConvNeXt_Large_Weights", __name__)


@register_model(ConvNeXt_Tiny_Weights)
def convnext_tiny(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-Tiny; `kwargs` go to `ConvNeXt`."""
    return _convnext((96, 192, 384, 768), (3, 3, 9, 3), 0.1, weights, progress, **kwargs)


@register_model(ConvNeXt_Small_Weights)
def convnext_small(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-Small; `kwargs` go to `ConvNeXt`."""
    return _convnext((96, 192, 384, 768), (3, 3, 27, 3), 0.4, weights, progress, **kwargs)


@register_model(ConvNeXt_Base_Weights)
def convnext_base(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-Base; `kwargs` go to `ConvNeXt`."""
    return _convnext((128, 256, 512, 1024), (3, 3, 27, 3), 0.5, weights, progress, **kwargs)


@register_model(ConvNeXt_Large_Weights)
def convnext_large(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-Large; `kwargs` go to `ConvNeXt`."""
    return _convnext((192, 384, 768, 1536), (3, 3, 27, 3), 0.5, weights, progress, **kwargs)
