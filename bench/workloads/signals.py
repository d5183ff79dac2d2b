"""Convolutions in one and in three dimensions."""

from __future__ import annotations

from typing import Any

from bench.workloads.parts import classifier_loss, labelled
from bench.workloads.registry import Program, workload


@workload("conv1d", batch=16, extent=256)
def conv1d(lib: Any) -> Program:
    """A one-dimensional convolutional network, 16 sequences of 8 channels × 256, training with Adam."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv1d(8, 32, 5, padding=2),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(32, 64, 5, padding=2),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Conv1d(64, 64, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    return Program(
        classifier_loss(lib, model),
        lambda batch, length: labelled(lib, lib.randn(batch, 8, length), 10),
        lib.optim.Adam(model.parameters(), lr=1e-3),
    )


@workload("conv3d", batch=4, extent=16)
def conv3d(lib: Any) -> Program:
    """A three-dimensional convolutional network, 4 volumes of 16×16×16, training with Adam."""
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    return Program(
        classifier_loss(lib, model),
        lambda batch, side: labelled(lib, lib.randn(batch, 1, side, side, side), 10),
        lib.optim.Adam(model.parameters(), lr=1e-3),
    )
