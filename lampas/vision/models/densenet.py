"""DenseNet (arXiv:1608.06993): every layer reads the outputs of all layers before it."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from lampas import Tensor, cat, flatten, nn
from lampas.nn import functional as F
from lampas.vision.models._api import overwrite_named_param, register_model, weights_enum

__all__ = [
    "DenseNet",
    "DenseNet121_Weights",
    "DenseNet161_Weights",
    "DenseNet169_Weights",
    "DenseNet201_Weights",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
]

# Files of the first release write "norm.1" where the modules are now called "norm1".
OLD_KEY = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)")


class _DenseLayer(nn.Module):
    """Norm, ReLU, 1×1 convolution, norm, ReLU, 3×3 convolution on all features joined."""

    def __init__(
        self,
        num_input_features: int,
        growth_rate: int,
        bn_size: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        inner = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(inner, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def bn_function(self, *inputs: Tensor) -> Tensor:
        """The joined features, narrowed to the bottleneck's width."""
        return self.conv1(self.relu1(self.norm1(cat(inputs, 1))))

    def forward(self, input: Tensor | list[Tensor]) -> Tensor:
        features = [input] if isinstance(input, Tensor) else input
        inner = self.bn_function(*features)
        grown = self.conv2(self.relu2(self.norm2(inner)))
        if self.drop_rate > 0:
            grown = F.dropout(grown, p=self.drop_rate, training=self.training)
        return grown


class _DenseBlock(nn.ModuleDict):
    """Layers that each add `growth_rate` features."""

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        for index in range(num_layers):
            width = num_input_features + index * growth_rate
            layer = _DenseLayer(width, growth_rate, bn_size, drop_rate, memory_efficient)
            self.add_module(f"denselayer{index + 1}", layer)

    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for layer in self.values():
            features.append(layer(list(features)))
        return cat(features, 1)


class _Transition(nn.Sequential):
    """Halves the places and narrows the features between blocks."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(num_input_features, num_output_features, 1, bias=False)
        self.pool = nn.AvgPool2d(2, stride=2)


class DenseNet(nn.Module):
    """(N, 3, H, W) to (N, num_classes); `block_config` counts the layers of each block.

    `memory_efficient` is accepted and remembered; nothing is computed twice to save memory.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        stem = {
            "conv0": nn.Conv2d(3, num_init_features, 7, stride=2, padding=3, bias=False),
            "norm0": nn.BatchNorm2d(num_init_features),
            "relu0": nn.ReLU(inplace=True),
            "pool0": nn.MaxPool2d(3, stride=2, padding=1),
        }
        self.features = nn.Sequential(OrderedDict(stem))
        width = num_init_features
        for index, layers in enumerate(block_config, start=1):
            block = _DenseBlock(layers, width, bn_size, growth_rate, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{index}", block)
            width += layers * growth_rate
            if index != len(block_config):
                self.features.add_module(f"transition{index}", _Transition(width, width // 2))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, num_classes)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 1)
                nn.init.constant_(module.bias, 0)
            elif isinstance(module, nn.Linear):
                nn.init.constant_(module.bias, 0)

    def forward(self, x: Tensor) -> Tensor:
        features = F.relu(self.features(x), inplace=True)
        return self.classifier(flatten(F.adaptive_avg_pool2d(features, (1, 1)), 1))


def _densenet(
    growth_rate: int,
    block_config: Sequence[int],
    num_init_features: int,
    weights: Any,
    progress: bool,
    **kwargs: Any,
) -> DenseNet:
    if weights is not None:
        overwrite_named_param(kwargs, "num_classes", 1000)
    model = DenseNet(growth_rate, block_config, num_init_features, **kwargs)
    if weights is not None:
        state = weights.get_state_dict(progress=progress, check_hash=True)
        model.load_state_dict({OLD_KEY.sub(r"\1\2", key): value for key, value in state.items()})
    return model


DenseNet121_Weights = weights_enum("DenseNet121_Weights", __name__)
DenseNet161_Weights = weights_enum("DenseNet161_Weights", __name__)
DenseNet169_Weights = weights_enum("DenseNet169_Weights", __name__)
DenseNet201_Weights = weights_enum("DenseNet201_Weights", __name__)


@register_model(DenseNet121_Weights)
def densenet121(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-121; `kwargs` go to `DenseNet`."""
    return _densenet(32, (6, 12, 24, 16), 64, weights, progress, **kwargs)


@register_model(DenseNet161_Weights)
def densenet161(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-161; `kwargs` go to `DenseNet`."""
    return _densenet(48, (6, 12, 36, 24), 96, weights, progress, **kwargs)


@register_model(DenseNet169_Weights)
def densenet169(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-169; `kwargs` go to `DenseNet`."""
    return _densenet(32, (6, 12, 32, 32), 64, weights, progress, **kwargs)


@register_model(DenseNet201_Weights)
def densenet201(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-201; `kwargs` go to `DenseNet`."""
    return _densenet(32, (6, 12, 48, 32), 64, weights, progress, **kwargs)
