"""Vision transformers (arXiv:2010.11929).

An image is cut into patches; a class token goes before them; positions are learned.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from lampas import Tensor, cat, empty, nn, zeros
from lampas.nn import functional as F
from lampas.vision.models._api import overwrite_named_param, register_model, weights_enum
from lampas.vision.ops.misc import MLP, Conv2dNormActivation

__all__ = [
    "VisionTransformer",
    "ViT_B_16_Weights",
    "ViT_B_32_Weights",
    "ViT_L_16_Weights",
    "ViT_L_32_Weights",
    "ViT_H_14_Weights",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "vit_l_32",
    "vit_h_14",
]

Layer = Callable[..., nn.Module]
NORM = partial(nn.LayerNorm, eps=1e-6)


class ConvStemConfig(NamedTuple):
    """One layer of a convolutional stem that may replace the patches."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Layer = nn.BatchNorm2d
    activation_layer: Layer = nn.ReLU


class MLPBlock(MLP):
    """Linear, GELU, dropout, linear, dropout."""

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(
            in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, inplace=None, dropout=dropout
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        version = local_metadata.get("version")
        if version is None or version < 2:
            for old, place in ((1, 0), (2, 3)):  # "linear_1" was the name of what is now "0"
                for kind in ("weight", "bias"):
                    old_key = f"{prefix}linear_{old}.{kind}"
                    if old_key in state_dict:
                        state_dict[f"{prefix}{place}.{kind}"] = state_dict.pop(old_key)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class EncoderBlock(nn.Module):
    """Self-attention, then a perceptron, each after a norm and beside a shortcut."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = NORM,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 3:
            raise ValueError(
                f"Expected (batch_size, seq_length, hidden_dim) got {tuple(input.shape)}"
            )
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Adds the positions, then runs the blocks and a last norm: (N, S, E) to (N, S, E)."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = NORM,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        sizes = (num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        layers = OrderedDict()
        for index in range(num_layers):
            layers[f"encoder_layer_{index}"] = EncoderBlock(*sizes)
        self.layers = nn.Sequential(layers)
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 3:
            raise ValueError(
                f"Expected (batch_size, seq_length, hidden_dim) got {tuple(input.shape)}"
            )
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """(N, 3, image_size, image_size) to (N, num_classes)."""

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Layer = NORM,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError("Input shape indivisible by patch size!")
        self.image_size, self.patch_size = image_size, patch_size
        self.hidden_dim, self.mlp_dim = hidden_dim, mlp_dim
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.num_classes, self.representation_size = num_classes, representation_size
        self.norm_layer = norm_layer
        if conv_stem_configs is None:
            self.conv_proj = nn.Conv2d(3, hidden_dim, patch_size, stride=patch_size)
        else:
            self.conv_proj = _stem(conv_stem_configs, hidden_dim)
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        sizes = (num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout)
        self.encoder = Encoder(self.seq_length, *sizes, norm_layer)
        self.heads = _heads(hidden_dim, representation_size, num_classes)
        self._initialize()

    def _initialize(self) -> None:
        if isinstance(self.conv_proj, nn.Conv2d):
            fan_in = self.conv_proj.in_channels * math.prod(self.conv_proj.kernel_size)
            nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / fan_in))
            nn.init.zeros_(self.conv_proj.bias)
        else:
            last = self.conv_proj.conv_last
            deviation = math.sqrt(2.0 / last.out_channels)
            nn.init.normal_(last.weight, mean=0.0, std=deviation)
            nn.init.zeros_(last.bias)
        if self.representation_size is not None:
            inner = self.heads.pre_logits
            nn.init.trunc_normal_(inner.weight, std=math.sqrt(1 / inner.in_features))
            nn.init.zeros_(inner.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def _process_input(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        for size, name in ((height, "height"), (width, "width")):
            if size != self.image_size:
                raise AssertionError(
                    f"Wrong image {name}! Expected {self.image_size} but got {size}!"
                )
        places = (height // self.patch_size) * (width // self.patch_size)
        return self.conv_proj(x).reshape(batch, self.hidden_dim, places).permute(0, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self._process_input(x)
        token = self.class_token.expand(x.shape[0], -1, -1)
        return self.heads(self.encoder(cat([token, x], dim=1))[:, 0])


def _stem(configs: Sequence[ConvStemConfig], hidden_dim: int) -> nn.Sequential:
    layers, channels = nn.Sequential(), 3
    for index, row in enumerate(configs):
        width, size, stride, norm, activation = row
        block = Conv2dNormActivation(
            channels, width, size, stride, norm_layer=norm, activation_layer=activation
        )
        layers.add_module(f"conv_bn_relu_{index}", block)
        channels = width
    layers.add_module("conv_last", nn.Conv2d(channels, hidden_dim, 1))
    return layers


def _heads(hidden_dim: int, representation_size: int | None, classes: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if representation_size is None:
        layers["head"] = nn.Linear(hidden_dim, classes)
    else:
        layers["pre_logits"] = nn.Linear(hidden_dim, representation_size)
        layers["act"] = nn.Tanh()
        layers["head"] = nn.Linear(representation_size, classes)
    return nn.Sequential(layers)


# patch size, layers, heads, width, perceptron's width
SIZES = {
    "b_16": (16, 12, 12, 768, 3072),
    "b_32": (32, 12, 12, 768, 3072),
    "l_16": (16, 24, 16, 1024, 4096),
    "l_32": (32, 24, 16, 1024, 4096),
    "h_14": (14, 32, 16, 1280, 5120),
}


def _vision_transformer(size: str, weights: Any, progress: bool, **kwargs: Any) -> Any:
    if weights is not None:
        overwrite_named_param(kwargs, "num_classes", 1000)
        overwrite_named_param(kwargs, "image_size", weights.meta["min_size"][0])
    image_size = kwargs.pop("image_size", 224)
    model = VisionTransformer(image_size, *SIZES[size], **kwargs)
    if weights is not None:
        model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return model


def interpolate_embeddings(
    image_size: int,
    patch_size: int,
    model_state: "OrderedDict[str, Tensor]",
    interpolation_mode: str = "bicubic",
    reset_heads: bool = False,
) -> "OrderedDict[str, Tensor]":
    """Fit the positions of a state dict to another image size by interpolation.

    `reset_heads` leaves the last layers out. Raises ValueError where the positions are not one
    class token and a square.
    """
    positions = model_state["encoder.pos_embedding"]
    count, length, width = positions.shape
    if count != 1:
        raise ValueError(f"Unexpected position embedding shape: {tuple(positions.shape)}")
    side = (image_size // patch_size) ** 2 + 1
    if side == length:
        return model_state
    before = math.isqrt(length - 1)
    if before * before != length - 1:
        raise ValueError(f"seq_length is not a perfect square: {length - 1} places")
    grid = positions[:, 1:].permute(0, 2, 1).reshape(1, width, before, before)
    after = image_size // patch_size
    grid = F.interpolate(grid, size=after, mode=interpolation_mode, align_corners=True)
    grid = grid.reshape(1, width, after * after).permute(0, 2, 1)
    model_state["encoder.pos_embedding"] = cat([positions[:, :1], grid], dim=1)
    if reset_heads:
        kept = ((key, value) for key, value in model_state.items() if not key.startswith("heads"))
        return OrderedDict(kept)
    return model_state


ViT_B_16_Weights = weights_enum("ViT_B_16_Weights", __name__)
ViT_B_32_Weights = weights_enum("ViT_B_32_Weights", __name__)
ViT_L_16_Weights = weights_enum("ViT_L_16_Weights", __name__)
ViT_L_32_Weights = weights_enum("ViT_L_32_Weights", __name__)
ViT_H_14_Weights = weights_enum("ViT_H_14_Weights", __name__)


@register_model(ViT_B_16_Weights)
def vit_b_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-B with patches of 16×16; `kwargs` go to `VisionTransformer`."""
    return _vision_transformer("b_16", weights, progress, **kwargs)


@register_model(ViT_B_32_Weights)
def vit_b_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-B with patches of 32×32."""
    return _vision_transformer("b_32", weights, progress, **kwargs)


@register_model(ViT_L_16_Weights)
def vit_l_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-L with patches of 16×16."""
    return _vision_transformer("l_16", weights, progress, **kwargs)


@register_model(ViT_L_32_Weights)
def vit_l_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-L with patches of 32×32."""
    return _vision_transformer("l_32", weights, progress, **kwargs)


@register_model(ViT_H_14_Weights)
def vit_h_14(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT-H with patches of 14×14."""
    return _vision_transformer("h_14", weights, progress, **kwargs)
