"""Networks whose output is an image: a U-Net that labels pixels and a generator of images."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from bench.workloads.registry import Program, workload

PIXEL_CLASSES = 4
LATENT = 64


def double_convolution(lib: Any, inner: int, outer: int) -> Any:
    """Two 3×3 convolutions, each with batch norm and ReLU."""
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(),
        nn.Conv2d(outer, outer, 3, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(),
    )


@functools.cache
def unet_class(lib: Any) -> Any:
    """The class of a U-Net (Ronneberger et al. 2015) of two levels."""
    nn = lib.nn

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = double_convolution(lib, 3, 16)
            self.second = double_convolution(lib, 16, 32)
            self.bottom = double_convolution(lib, 32, 64)
            self.pool = nn.MaxPool2d(2)
            self.up_second = nn.ConvTranspose2d(64, 32, 2, 2)
            self.join_second = double_convolution(lib, 64, 32)
            self.up_first = nn.ConvTranspose2d(32, 16, 2, 2)
            self.join_first = double_convolution(lib, 32, 16)
            self.head = nn.Conv2d(16, PIXEL_CLASSES, 1)

        def forward(self, x: Any) -> Any:
            first = self.first(x)
            second = self.second(self.pool(first))
            bottom = self.bottom(self.pool(second))
            second = self.join_second(lib.cat([second, self.up_second(bottom)], 1))
            first = self.join_first(lib.cat([first, self.up_first(second)], 1))
            return self.head(first)

    return UNet


@workload("unet", batch=4, extent=64)
def unet(lib: Any) -> Program:
    """A U-Net of two levels, 4 images of 64×64, a class for each pixel, training with Adam."""
    model, criterion = unet_class(lib)(), lib.nn.CrossEntropyLoss()

    def draw(batch: int, side: int) -> tuple[Any, Any]:
        images = lib.randn(batch, 3, side, side)
        return images, lib.randint(0, PIXEL_CLASSES, (batch, side, side))

    return Program(
        lambda images, classes: criterion(model(images), classes),
        draw,
        lib.optim.Adam(model.parameters(), lr=1e-3),
    )


@workload("dcgan-generator", batch=16)
def dcgan_generator(lib: Any) -> Program:
    """DCGAN's generator (Radford et al. 2016), 16 images of 32×32 from 64 numbers each, training with Adam."""
    nn = lib.nn
    layers: list[Any] = []
    widths = (LATENT, 128, 64, 32)
    for number, (inner, outer) in enumerate(itertools.pairwise(widths)):
        stride, padding = (2, 1) if number else (1, 0)
        layers += [
            nn.ConvTranspose2d(inner, outer, 4, stride, padding, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
        ]
    model = nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1, bias=False), nn.Tanh())
    criterion = nn.MSELoss()
    return Program(
        lambda latent, images: criterion(model(latent), images),
        lambda batch, _: (lib.randn(batch, LATENT, 1, 1), lib.randn(batch, 3, 32, 32)),
        lib.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999)),
    )
