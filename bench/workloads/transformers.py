"""Transformers from the library's own layers: an encoder layer, a vision transformer, attention alone."""

from __future__ import annotations

import functools
from typing import Any

from bench.workloads.parts import classifier_loss, labelled
from bench.workloads.registry import Program, workload

PATCH, WIDTH, HEADS, DEPTH = 4, 128, 4, 4
IMAGE_SIDE = 32


@workload("transformer", batch=8, extent=64)
def transformer(lib: Any) -> Program:
    """One encoder layer, 8 sequences of 64, 96 wide, 4 heads, training with AdamW."""
    layer = lib.nn.TransformerEncoderLayer(96, 4, 384, dropout=0.0, batch_first=True)
    return Program(
        lambda inputs: (layer(inputs) ** 2).mean(),
        lambda batch, length: (lib.randn(batch, length, 96),),
        lib.optim.AdamW(layer.parameters(), lr=1e-3),
    )


@functools.cache
def vision_transformer(lib: Any) -> Any:
    """The class of a vision transformer (Dosovitskiy et al. 2021)."""
    nn = lib.nn

    class VisionTransformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
            self.token = nn.Parameter(lib.zeros(1, 1, WIDTH))
            places = (IMAGE_SIDE // PATCH) ** 2 + 1
            self.places = nn.Parameter(0.02 * lib.randn(1, places, WIDTH))
            form = dict(dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            layers = [
                nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, **form) for _ in range(DEPTH)
            ]
            self.layers = nn.Sequential(*layers)
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, 10)

        def forward(self, images: Any) -> Any:
            patches = self.patches(images).flatten(2).transpose(1, 2)  # (batch, places, width)
            token = self.token.expand(images.shape[0], -1, -1)
            x = self.layers(lib.cat([token, patches], 1) + self.places)
            return self.head(self.norm(x[:, 0]))

    return VisionTransformer


@workload("vit", batch=16)
def vit(lib: Any) -> Program:
    """A vision transformer, 16 images of 32×32 in patches of 4×4, 4 layers, 128 wide, training with AdamW."""
    model = vision_transformer(lib)()
    shape = (3, IMAGE_SIDE, IMAGE_SIDE)
    return Program(
        classifier_loss(lib, model),
        lambda batch, _: labelled(lib, lib.randn(batch, *shape), 10),
        lib.optim.AdamW(model.parameters(), lr=1e-3),
    )


@workload("attention-inference", batch=4, extent=256)
def attention_inference(lib: Any) -> Program:
    """Attention alone, 4 sequences of 256, 8 heads of 64, inference."""

    def draw(batch: int, length: int) -> tuple[Any, Any, Any]:
        shape = (batch, 8, length, 64)
        return lib.randn(*shape), lib.randn(*shape), lib.randn(*shape)

    return Program(lib.nn.functional.scaled_dot_product_attention, draw)
