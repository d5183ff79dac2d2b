"""RegNet X and Y (arXiv:2003.13678): widths of stages on a line, rounded to a geometric grid."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lampas import Tensor, nn
from lampas.vision.models._api import build, register_model, weights_enum
from lampas.vision.models._utils import _make_divisible
from lampas.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

__all__ = [
    "RegNet",
    "RegNet_Y_400MF_Weights",
    "RegNet_Y_800MF_Weights",
    "RegNet_Y_1_6GF_Weights",
    "RegNet_Y_3_2GF_Weights",
    "RegNet_Y_8GF_Weights",
    "RegNet_Y_16GF_Weights",
    "RegNet_Y_32GF_Weights",
    "RegNet_Y_128GF_Weights",
    "RegNet_X_400MF_Weights",
    "RegNet_X_800MF_Weights",
    "RegNet_X_1_6GF_Weights",
    "RegNet_X_3_2GF_Weights",
    "RegNet_X_8GF_Weights",
    "RegNet_X_16GF_Weights",
    "RegNet_X_32GF_Weights",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "regnet_y_8gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_128gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_1_6gf",
    "regnet_x_3_2gf",
    "regnet_x_8gf",
    "regnet_x_16gf",
    "regnet_x_32gf",
]

Layer = Callable[..., nn.Module]
QUANTUM = 8

# depth, w_0, w_a, w_m, group width of the published models (table in the paper's appendix D)
X_SIZES = {
    "400mf": (22, 24, 24.48, 2.54, 16),
    "800mf": (16, 56, 35.73, 2.28, 16),
    "1_6gf": (18, 80, 34.01, 2.25, 24),
    "3_2gf": (25, 88, 26.31, 2.25, 48),
    "8gf": (23, 80, 49.56, 2.88, 120),
    "16gf": (22, 216, 55.59, 2.1, 128),
    "32gf": (23, 320, 69.86, 2.0, 168),
}
Y_SIZES = {
    "400mf": (16, 48, 27.89, 2.09, 8),
    "800mf": (14, 56, 38.84, 2.4, 16),
    "1_6gf": (27, 48, 20.71, 2.65, 24),
    "3_2gf": (21, 80, 42.63, 2.66, 24),
    "8gf": (17, 192, 76.82, 2.19, 56),
    "16gf": (18, 200, 106.23, 2.48, 112),
    "32gf": (20, 232, 115.89, 2.53, 232),
    "128gf": (27, 456, 160.83, 2.52, 264),
}


class SimpleStemIN(Conv2dNormActivation):
    """The first 3×3 convolution, at stride 2."""

    def __init__(
        self, width_in: int, width_out: int, norm_layer: Layer, activation_layer: Layer
    ) -> None:
        super().__init__(
            width_in,
            width_out,
            kernel_size=3,
            stride=2,
            norm_layer=norm_layer,
            activation_layer=activation_layer,
        )


class BottleneckTransform(nn.Sequential):
    """1×1, grouped 3×3, gate, 1×1; the gate only where `se_ratio` is given."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Layer,
        activation_layer: Layer,
        group_width: int,
        bottleneck_multiplier: float,
        se_ratio: float | None,
    ) -> None:
        inner = round(width_out * bottleneck_multiplier)
        block = partial(Conv2dNormActivation, norm_layer=norm_layer)
        layers = OrderedDict()
        layers["a"] = block(
            width_in, inner, kernel_size=1, stride=1, activation_layer=activation_layer
        )
        groups = inner // group_width
        layers["b"] = block(
            inner, inner, stride=stride, groups=groups, activation_layer=activation_layer
        )
        if se_ratio:
            squeezed = round(se_ratio * width_in)
            layers["se"] = SqueezeExcitation(inner, squeezed, activation=activation_layer)
        layers["c"] = block(inner, width_out, kernel_size=1, stride=1, activation_layer=None)
        super().__init__(layers)


class ResBottleneckBlock(nn.Module):
    """A bottleneck beside a shortcut, projected where the shapes differ."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Layer,
        activation_layer: Layer,
        group_width: int = 1,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
    ) -> None:
        super().__init__()
        ends = {"norm_layer": norm_layer, "activation_layer": activation_layer}
        self.proj = None
        if width_in != width_out or stride != 1:
            self.proj = Conv2dNormActivation(
                width_in,
                width_out,
                kernel_size=1,
                stride=stride,
                norm_layer=norm_layer,
                activation_layer=None,
            )
        self.f = BottleneckTransform(
            width_in,
            width_out,
            stride,
            **ends,
            group_width=group_width,
            bottleneck_multiplier=bottleneck_multiplier,
            se_ratio=se_ratio,
        )
        self.activation = activation_layer(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.proj is None else self.proj(x)
        return self.activation(shortcut + self.f(x))


class AnyStage(nn.Sequential):
    """Blocks of one width; the first one strides."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        depth: int,
        block_constructor: Layer,
        norm_layer: Layer,
        activation_layer: Layer,
        group_width: int,
        bottleneck_multiplier: float,
        se_ratio: float | None = None,
        stage_index: int = 0,
    ) -> None:
        super().__init__()
        shape = (group_width, bottleneck_multiplier, se_ratio)
        for index in range(depth):
            first = index == 0
            block = block_constructor(
                width_in if first else width_out,
                width_out,
                stride if first else 1,
                norm_layer,
                activation_layer,
                *shape,
            )
            self.add_module(f"block{stage_index}-{index}", block)


@dataclass
class BlockParams:
    """Sizes of all stages."""

    depths: list[int]
    widths: list[int]
    group_widths: list[int]
    bottleneck_multipliers: list[float]
    strides: list[int]
    se_ratio: float | None = None

    @classmethod
    def from_init_params(
        cls,
        depth: int,
        w_0: int,
        w_a: float,
        w_m: float,
        group_width: int,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
        **_unused: Any,
    ) -> "BlockParams":
        """Stages of the line w_0 + w_a·j, put on the grid w_0·w_m^k (section 3.3 of the paper).

        Raises ValueError where the line does not rise or starts off the quantum of 8.
        """
        if w_a < 0 or w_0 <= 0 or w_m <= 1 or w_0 % 8 != 0:
            raise ValueError("Invalid RegNet settings")
        of_blocks = [_grid_width(w_0 + w_a * place, w_0, w_m) for place in range(depth)]
        widths = sorted(set(of_blocks))
        depths = [of_blocks.count(width) for width in widths]
        groups = [group_width] * len(widths)
        multipliers = [bottleneck_multiplier] * len(widths)
        widths, groups = _compatible(widths, multipliers, groups)
        return cls(depths, widths, groups, multipliers, [2] * len(widths), se_ratio)

    def stages(self) -> Iterator[tuple[int, int, int, int, float]]:
        """(width, stride, depth, group width, bottleneck multiplier) of each stage."""
        return zip(
            self.widths, self.strides, self.depths, self.group_widths, self.bottleneck_multipliers
        )


def _grid_width(width: float, w_0: int, w_m: float) -> int:
    power = round(math.log(width / w_0) / math.log(w_m))
    return round(w_0 * w_m**power / QUANTUM) * QUANTUM


def _compatible(
    widths: Sequence[int], multipliers: Sequence[float], groups: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Make every width a multiple of its groups."""
    inner = [int(width * multiplier) for width, multiplier in zip(widths, multipliers)]
    groups = [min(group, width) for group, width in zip(groups, inner)]
    inner = [_make_divisible(width, group) for width, group in zip(inner, groups)]
    return [int(width / multiplier) for width, multiplier in zip(inner, multipliers)], groups


class RegNet(nn.Module):
    """(N, 3, H, W) to (N, num_classes)."""

    def __init__(
        self,
        block_params: BlockParams,
        num_classes: int = 1000,
        stem_width: int = 32,
        stem_type: Layer | None = None,
        block_type: Layer | None = None,
        norm_layer: Layer | None = None,
        activation: Layer | None = None,
    ) -> None:
        super().__init__()
        norm_layer, activation = norm_layer or nn.BatchNorm2d, activation or nn.ReLU
        self.stem = (stem_type or SimpleStemIN)(3, stem_width, norm_layer, activation)
        width, stages = stem_width, OrderedDict()
        for index, (wider, stride, depth, group, multiplier) in enumerate(
            block_params.stages(), start=1
        ):
            stages[f"block{index}"] = AnyStage(
                width,
                wider,
                stride,
                depth,
                block_type or ResBottleneckBlock,
                norm_layer,
                activation,
                group,
                multiplier,
                block_params.se_ratio,
                stage_index=index,
            )
            width = wider
        self.trunk_output = nn.Sequential(stages)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width, num_classes)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, mean=0.0, std=math.sqrt(2.0 / fan_out))
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, mean=0.0, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.trunk_output(self.stem(x)))
        return self.fc(x.flatten(start_dim=1))


def _regnet(
    sizes: tuple[Any, ...], se_ratio: float | None, weights: Any, progress: bool, **kwargs: Any
) -> RegNet:
    params = BlockParams.from_init_params(*sizes, se_ratio=se_ratio)
    norm_layer = kwargs.pop("norm_layer", partial(nn.BatchNorm2d, eps=1e-05, momentum=0.1))
    return build(RegNet, weights, progress, params, norm_layer=norm_layer, **kwargs)


RegNet_Y_400MF_Weights = weights_enum("RegNet_Y_400MF_Weights", __name__)
RegNet_Y_800MF_Weights = weights_enum("RegNet_Y_800MF_Weights", __name__)
RegNet_Y_1_6GF_Weights = weights_enum("RegNet_Y_1_6GF_Weights", __name__)
RegNet_Y_3_2GF_Weights = weights_enum("RegNet_Y_3_2GF_Weights", __name__)
RegNet_Y_8GF_Weights = weights_enum("RegNet_Y_8GF_Weights", __name__)
RegNet_Y_16GF_Weights = weights_enum("RegNet_Y_16GF_Weights", __name__)
RegNet_Y_32GF_Weights = weights_enum("RegNet_Y_32GF_Weights", __name__)
RegNet_Y_128GF_Weights = weights_enum("RegNet_Y_128GF_Weights", __name__)
RegNet_X_400MF_Weights = weights_enum("RegNet_X_400MF_Weights", __name__)
RegNet_X_800MF_Weights = weights_enum("RegNet_X_800MF_Weights", __name__)
RegNet_X_1_6GF_Weights = weights_enum("RegNet_X_1_6GF_Weights", __name__)
RegNet_X_3_2GF_Weights = weights_enum("RegNet_X_3_2GF_Weights", __name__)
RegNet_X_8GF_Weights = weights_enum("RegNet_X_8GF_Weights", __name__)
RegNet_X_16GF_Weights = weights_enum("RegNet_X_16GF_Weights", __name__)
RegNet_X_32GF_Weights = weights_enum("RegNet_X_32GF_Weights", __name__)


@register_model(RegNet_Y_400MF_Weights)
def regnet_y_400mf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 400 MFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["400mf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_Y_800MF_Weights)
def regnet_y_800mf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 800 MFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["800mf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_Y_1_6GF_Weights)
def regnet_y_1_6gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 1.6 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["1_6gf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_Y_3_2GF_Weights)
def regnet_y_3_2gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 3.2 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["3_2gf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_Y_8GF_Weights)
def regnet_y_8gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 8 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["8gf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_Y_16GF_Weights)
def regnet_y_16gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 16 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["16gf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_Y_32GF_Weights)
def regnet_y_32gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 32 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["32gf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_Y_128GF_Weights)
def regnet_y_128gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetY of 128 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(Y_SIZES["128gf"], 0.25, weights, progress, **kwargs)


@register_model(RegNet_X_400MF_Weights)
def regnet_x_400mf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetX of 400 MFLOP; `kwargs` go to `RegNet`."""
    return _regnet(X_SIZES["400mf"], None, weights, progress, **kwargs)


@register_model(RegNet_X_800MF_Weights)
def regnet_x_800mf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetX of 800 MFLOP; `kwargs` go to `RegNet`."""
    return _regnet(X_SIZES["800mf"], None, weights, progress, **kwargs)


@register_model(RegNet_X_1_6GF_Weights)
def regnet_x_1_6gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetX of 1.6 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(X_SIZES["1_6gf"], None, weights, progress, **kwargs)


@register_model(RegNet_X_3_2GF_Weights)
def regnet_x_3_2gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetX of 3.2 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(X_SIZES["3_2gf"], None, weights, progress, **kwargs)


@register_model(RegNet_X_8GF_Weights)
def regnet_x_8gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetX of 8 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(X_SIZES["8gf"], None, weights, progress, **kwargs)


@register_model(RegNet_X_16GF_Weights)
def regnet_x_16gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetX of 16 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(X_SIZES["16gf"], None, weights, progress, **kwargs)


@register_model(RegNet_X_32GF_Weights)
def regnet_x_32gf(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RegNet:
    """RegNetX of 32 GFLOP; `kwargs` go to `RegNet`."""
    return _regnet(X_SIZES["32gf"], None, weights, progress, **kwargs)
