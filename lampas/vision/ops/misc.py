"""Building blocks shared by the models: convolution with norm and activation, gates, perceptrons.

The order in which a block makes its layers is part of its meaning: it fixes the names in a state
dict and the order of the random draws of the default initialisation.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import lampas
from lampas import Tensor, nn

Layer = Callable[..., nn.Module]
Size = int | Sequence[int]

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "ConvNormActivation",
    "FrozenBatchNorm2d",
    "Permute",
    "SqueezeExcitation",
]


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and affine parameters are fixed buffers.

    Input (N, C, H, W); y = x·s + (bias − mean·s) with s = weight / sqrt(var + eps).
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", lampas.ones(num_features))
        self.register_buffer("bias", lampas.zeros(num_features))
        self.register_buffer("running_mean", lampas.zeros(num_features))
        self.register_buffer("running_var", lampas.ones(num_features))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"


class ConvNormActivation(nn.Sequential):
    """Convolution, then normalisation, then activation; either of the last two may be None.

    `padding=None` keeps the size for stride 1; `bias=None` gives a bias only without a norm layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Size | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: Size = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
        conv_layer: Layer = nn.Conv2d,
    ) -> None:
        if padding is None:
            padding = _same_padding(kernel_size, dilation)
        if bias is None:
            bias = norm_layer is None
        layers = [
            conv_layer(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding,
                dilation=dilation,
                groups=groups,
                bias=bias,
            )
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**_inplace(inplace)))
        super().__init__(*layers)
        self.out_channels = out_channels


def _inplace(value: bool | None) -> dict[str, bool]:
    return {} if value is None else {"inplace": value}


def _same_padding(kernel_size: Size, dilation: Size) -> Size:
    if isinstance(kernel_size, int) and isinstance(dilation, int):
        return (kernel_size - 1) // 2 * dilation
    sizes = repeat(kernel_size) if isinstance(kernel_size, int) else kernel_size
    steps = repeat(dilation) if isinstance(dilation, int) else dilation
    return tuple((size - 1) // 2 * step for size, step in zip(sizes, steps))


class Conv2dNormActivation(ConvNormActivation):
    """Conv2d, norm, activation: see `ConvNormActivation`."""

    def __init__(self, in_channels: int, out_channels: int, *sizes: Any, **options: Any) -> None:
        super().__init__(in_channels, out_channels, *sizes, **options, conv_layer=nn.Conv2d)


class Conv3dNormActivation(ConvNormActivation):
    """Conv3d, norm, activation: see `ConvNormActivation`."""

    def __init__(self, in_channels: int, out_channels: int, *sizes: Any, **options: Any) -> None:
        if len(sizes) < 5:
            options.setdefault("norm_layer", nn.BatchNorm3d)
        super().__init__(in_channels, out_channels, *sizes, **options, conv_layer=nn.Conv3d)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from the channels' means (arXiv:1709.01507).

    Input and output (N, C, H, W).
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        squeezed = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(squeezed)) * input


class MLP(nn.Sequential):
    """Linear layers with norm, activation and dropout between them, and a last dropout."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Layer | None = None,
        activation_layer: Layer | None = nn.ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        options = _inplace(inplace)
        layers: list[nn.Module] = []
        for width in hidden_channels[:-1]:
            layers.append(nn.Linear(in_channels, width, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(width))
            if activation_layer is not None:
                layers.append(activation_layer(**options))
            layers.append(nn.Dropout(dropout, **options))
            in_channels = width
        layers.append(nn.Linear(in_channels, hidden_channels[-1], bias=bias))
        layers.append(nn.Dropout(dropout, **options))
        super().__init__(*layers)


class Permute(nn.Module):
    """Reorders dimensions: `permute` as a module."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(*self.dims)
