"""Convolutional classifiers of images: a plain one, one of depthwise convolutions, one of concatenations."""

from __future__ import annotations

import functools
from typing import Any

from bench.workloads.parts import classifier_loss, labelled
from bench.workloads.registry import Program, workload

# widening, channels, stride of each inverted residual block
MOBILE_BLOCKS = ((1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 64, 2), (6, 64, 1))
GROWTH, DENSE_LAYERS = 16, 6


@workload("cnn", batch=32)
def cnn(lib: Any) -> Program:
    """A small convolutional network with dropout, 32 images of 28×28, training with Adam."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 49, 10),
    )
    return Program(
        classifier_loss(lib, model),
        lambda batch, _: labelled(lib, lib.randn(batch, 1, 28, 28), 10),
        lib.optim.Adam(model.parameters(), lr=1e-3),
    )


@functools.cache
def inverted_residual(lib: Any) -> Any:
    """The class of MobileNetV2's block (Sandler et al. 2018): widen, filter each channel, narrow."""
    nn = lib.nn

    class InvertedResidual(nn.Module):
        def __init__(self, inner: int, outer: int, stride: int, widening: int) -> None:
            super().__init__()
            wide = inner * widening
            self.residual = stride == 1 and inner == outer
            self.layers = nn.Sequential(
                nn.Conv2d(inner, wide, 1, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU6(),
                nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU6(),
                nn.Conv2d(wide, outer, 1, bias=False),
                nn.BatchNorm2d(outer),
            )

        def forward(self, x: Any) -> Any:
            return x + self.layers(x) if self.residual else self.layers(x)

    return InvertedResidual


@workload("mobilenet", batch=8, extent=64)
def mobilenet(lib: Any) -> Program:
    """A small MobileNetV2, 8 images of 64×64, training with SGD and momentum."""
    nn, block = lib.nn, inverted_residual(lib)
    layers = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
    inner = 16
    for widening, outer, stride in MOBILE_BLOCKS:
        layers.append(block(inner, outer, stride, widening))
        inner = outer
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 100)]
    model = nn.Sequential(*layers)
    return Program(
        classifier_loss(lib, model),
        lambda batch, side: labelled(lib, lib.randn(batch, 3, side, side), 100),
        lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
    )


@functools.cache
def dense_layer(lib: Any) -> Any:
    """The class of DenseNet's layer (Huang et al. 2017): its output is appended to its input's channels."""
    nn = lib.nn

    class DenseLayer(nn.Module):
        def __init__(self, inner: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(inner)
            self.conv = nn.Conv2d(inner, GROWTH, 3, padding=1, bias=False)

        def forward(self, x: Any) -> Any:
            return lib.cat([x, self.conv(lib.relu(self.norm(x)))], 1)

    return DenseLayer


@workload("dense-block", batch=8, extent=32)
def dense_block(lib: Any) -> Program:
    """A dense block of 6 layers that grow by 16 channels, 8 images of 32×32, training with SGD."""
    nn, layer = lib.nn, dense_layer(lib)
    grown = [layer(GROWTH * (number + 1)) for number in range(DENSE_LAYERS)]
    model = nn.Sequential(
        nn.Conv2d(3, GROWTH, 3, padding=1, bias=False),
        *grown,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(GROWTH * (DENSE_LAYERS + 1), 10),
    )
    return Program(
        classifier_loss(lib, model),
        lambda batch, side: labelled(lib, lib.randn(batch, 3, side, side), 10),
        lib.optim.SGD(model.parameters(), lr=0.01),
    )
