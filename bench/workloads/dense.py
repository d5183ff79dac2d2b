"""Fully connected networks, embeddings and a plain matrix product."""

from __future__ import annotations

import itertools
from typing import Any

from bench.workloads.parts import classifier_loss, labelled
from bench.workloads.registry import Program, workload


def mlp(lib: Any, *sizes: int) -> Any:
    """Linear layers of these widths with ReLU between them."""
    nn = lib.nn
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def mlp_training(lib: Any, sizes: tuple[int, ...], optimizer: str, **options: Any) -> Program:
    """A classifier in training."""
    model = mlp(lib, *sizes)
    return Program(
        classifier_loss(lib, model),
        lambda batch, _: labelled(lib, lib.randn(batch, sizes[0]), sizes[-1]),
        getattr(lib.optim, optimizer)(model.parameters(), **options),
    )


@workload("mlp-sgd", batch=64)
def mlp_sgd(lib: Any) -> Program:
    """784-512-512-10, batch 64, training with SGD."""
    return mlp_training(lib, (784, 512, 512, 10), "SGD", lr=0.01)


@workload("mlp-momentum", batch=64)
def mlp_momentum(lib: Any) -> Program:
    """784-512-512-10, batch 64, training with SGD and momentum."""
    return mlp_training(lib, (784, 512, 512, 10), "SGD", lr=0.01, momentum=0.9)


@workload("mlp-adam", batch=64)
def mlp_adam(lib: Any) -> Program:
    """784-512-512-10, batch 64, training with Adam."""
    return mlp_training(lib, (784, 512, 512, 10), "Adam", lr=1e-3)


@workload("mlp-inference", batch=64)
def mlp_inference(lib: Any) -> Program:
    """784-512-512-10, batch 64, inference."""
    model = mlp(lib, 784, 512, 512, 10).eval()
    return Program(model, lambda batch, _: (lib.randn(batch, 784),))


@workload("tiny", batch=16)
def tiny(lib: Any) -> Program:
    """10-5-2, batch 16, training with SGD: nothing but overhead."""
    return mlp_training(lib, (10, 5, 2), "SGD", lr=0.01)


@workload("autoencoder", batch=64)
def autoencoder(lib: Any) -> Program:
    """784-128-32-128-784, batch 64, squared error, training with Adam."""
    model = mlp(lib, 784, 128, 32, 128, 784)
    criterion = lib.nn.MSELoss()
    return Program(
        lambda inputs: criterion(model(inputs), inputs),
        lambda batch, _: (lib.rand(batch, 784),),
        lib.optim.Adam(model.parameters(), lr=1e-3),
    )


@workload("embedding", batch=32, extent=50)
def embedding(lib: Any) -> Program:
    """A bag of embeddings, 20,000 × 64, 32 rows of 50 indices, training with SGD."""
    nn = lib.nn
    table, head, criterion = nn.Embedding(20_000, 64), nn.Linear(64, 10), nn.CrossEntropyLoss()
    return Program(
        lambda indices, classes: criterion(head(table(indices).mean(1)), classes),
        lambda batch, length: labelled(lib, lib.randint(0, 20_000, (batch, length)), 10),
        lib.optim.SGD([*table.parameters(), *head.parameters()], lr=0.1),
    )


@workload("gemm", batch=1024)
def gemm(lib: Any) -> Program:
    """A product of matrices, 1024 × 1024 × 1024."""
    return Program(lib.matmul, lambda rows, _: (lib.randn(rows, 1024), lib.randn(1024, 1024)))
