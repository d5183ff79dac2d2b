"""ResNet-18 (He et al. 2015, "Deep Residual Learning for Image Recognition"), in training and at inference."""

from __future__ import annotations

import functools
from typing import Any

from bench.workloads.parts import classifier_loss, labelled
from bench.workloads.registry import Program, workload

CLASSES = 1000
WIDTHS = (64, 128, 256, 512)


@functools.cache
def basic_block(lib: Any) -> Any:
    """The class of a residual block of two 3×3 convolutions."""
    nn = lib.nn

    class BasicBlock(nn.Module):
        def __init__(self, inner: int, outer: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outer)
            self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outer)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Identity()
            if stride != 1 or inner != outer:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
                )

        def forward(self, x: Any) -> Any:
            out = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(out)) + self.shortcut(x))

    return BasicBlock


def resnet(lib: Any) -> Any:
    """ResNet-18 for 1000 classes."""
    nn, block = lib.nn, basic_block(lib)
    layers = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inner = 64
    for outer in WIDTHS:
        layers += [block(inner, outer, 1 if outer == 64 else 2), block(outer, outer, 1)]
        inner = outer
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, CLASSES)]
    return nn.Sequential(*layers)


def training(lib: Any) -> Program:
    """Training with SGD and momentum."""
    model = resnet(lib)
    return Program(
        classifier_loss(lib, model),
        lambda batch, side: labelled(lib, lib.randn(batch, 3, side, side), CLASSES),
        lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
    )


def inference(lib: Any) -> Program:
    """The forward pass of a model in evaluation."""
    return Program(resnet(lib).eval(), lambda batch, side: (lib.randn(batch, 3, side, side),))


@workload("resnet18-train-64", batch=16, extent=64)
def resnet_training(lib: Any) -> Program:
    """ResNet-18, 16 images of 64×64, training with SGD and momentum."""
    return training(lib)


@workload("resnet18-train-224", batch=8, extent=224)
def resnet_training_large(lib: Any) -> Program:
    """ResNet-18, 8 images of 224×224, training with SGD and momentum."""
    return training(lib)


@workload("resnet18-infer-64", batch=16, extent=64)
def resnet_inference(lib: Any) -> Program:
    """ResNet-18, 16 images of 64×64, inference."""
    return inference(lib)


@workload("resnet18-infer-224", batch=1, extent=224)
def resnet_inference_large(lib: Any) -> Program:
    """ResNet-18, one image of 224×224, inference."""
    return inference(lib)
