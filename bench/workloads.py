"""The workloads: programs written for PyTorch's API, as functions of the library that runs them.

Each builder takes the library (torch or lampas) and returns `step`, a function that does one unit of work
and returns a Python number that the work has produced, so that nothing can be left undone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

Step = Callable[[], float]
Builder = Callable[[Any], Step]
WORKLOADS: dict[str, Builder] = {}


def workload(name: str) -> Callable[[Builder], Builder]:
    """Register a builder."""

    def register(builder: Builder) -> Builder:
        WORKLOADS[name] = builder
        return builder

    return register


def _training(lib: Any, model: Any, optimizer: Any, batches: Any, loss: Any) -> Step:
    """Steps of training over a list of batches, the loss read at each."""
    position = 0

    def step() -> float:
        nonlocal position
        inputs, targets = batches[position % len(batches)]
        position += 1
        optimizer.zero_grad()
        value = loss(model(inputs), targets)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def _batches(lib: Any, shape: tuple[int, ...], classes: int, count: int = 8) -> list[Any]:
    return [(lib.randn(*shape), lib.randint(0, classes, (shape[0],))) for _ in range(count)]


def _mlp(lib: Any, *sizes: int) -> Any:
    nn = lib.nn
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _mlp_training(lib: Any, optimizer: str, **options: Any) -> Step:
    lib.manual_seed(0)
    model = _mlp(lib, 784, 512, 512, 10)
    update = getattr(lib.optim, optimizer)(model.parameters(), **options)
    batches = _batches(lib, (64, 784), 10)
    return _training(lib, model, update, batches, lib.nn.CrossEntropyLoss())


@workload("mlp-sgd")
def mlp_sgd(lib: Any) -> Step:
    """784-512-512-10, batch 64, SGD."""
    return _mlp_training(lib, "SGD", lr=0.01)


@workload("mlp-momentum")
def mlp_momentum(lib: Any) -> Step:
    """784-512-512-10, batch 64, SGD with momentum."""
    return _mlp_training(lib, "SGD", lr=0.01, momentum=0.9)


@workload("mlp-adam")
def mlp_adam(lib: Any) -> Step:
    """784-512-512-10, batch 64, Adam."""
    return _mlp_training(lib, "Adam", lr=1e-3)


@workload("tiny")
def tiny(lib: Any) -> Step:
    """10-5-2, batch 16, SGD, the loss read at each step: nothing but overhead."""
    lib.manual_seed(0)
    model = _mlp(lib, 10, 5, 2)
    update = lib.optim.SGD(model.parameters(), lr=0.01)
    batches = _batches(lib, (16, 10), 2)
    return _training(lib, model, update, batches, lib.nn.CrossEntropyLoss())


@workload("mlp-inference")
def mlp_inference(lib: Any) -> Step:
    """784-512-512-10, batch 64, forward only."""
    lib.manual_seed(0)
    model = _mlp(lib, 784, 512, 512, 10).eval()
    inputs = lib.randn(64, 784)

    def step() -> float:
        with lib.no_grad():
            return model(inputs)[0, 0].item()

    return step


@workload("elementwise-chain")
def elementwise_chain(lib: Any) -> Step:
    """A chain of pointwise functions over a million numbers, summed."""
    lib.manual_seed(0)
    x, y = lib.randn(1000, 1000), lib.randn(1000, 1000)

    def step() -> float:
        z = (x * y + x.sigmoid()).tanh() * 0.5 + y.exp().log1p()
        return z.sum().item()

    return step


@workload("softmax-norm")
def softmax_norm(lib: Any) -> Step:
    """Layer norm, then softmax, over 4096 rows of 256."""
    lib.manual_seed(0)
    x = lib.randn(4096, 256)
    functional = lib.nn.functional

    def step() -> float:
        return functional.softmax(functional.layer_norm(x, (256,)), -1)[0, 0].item()

    return step


@workload("cnn")
def cnn(lib: Any) -> Step:
    """A small convolutional network with dropout on 28×28 images, batch 32, Adam."""
    lib.manual_seed(0)
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
    update = lib.optim.Adam(model.parameters(), lr=1e-3)
    batches = _batches(lib, (32, 1, 28, 28), 10)
    return _training(lib, model, update, batches, nn.CrossEntropyLoss())


@workload("lstm")
def lstm(lib: Any) -> Step:
    """A one-layer LSTM classifier, 32 sequences of 24 steps, 64 wide, Adam."""
    lib.manual_seed(0)
    nn = lib.nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(32, 64, batch_first=True)
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.recurrent(x)[0][:, -1])

    model = Classifier()
    update = lib.optim.Adam(model.parameters(), lr=1e-3)
    return _training(lib, model, update, _batches(lib, (32, 24, 32), 10), nn.CrossEntropyLoss())


@workload("transformer")
def transformer(lib: Any) -> Step:
    """One encoder layer, 8 sequences of 64, 96 wide, 4 heads, AdamW."""
    lib.manual_seed(0)
    nn = lib.nn
    layer = nn.TransformerEncoderLayer(96, 4, 384, dropout=0.0, batch_first=True)
    update = lib.optim.AdamW(layer.parameters(), lr=1e-3)
    inputs = lib.randn(8, 64, 96)

    def step() -> float:
        update.zero_grad()
        loss = (layer(inputs) ** 2).mean()
        loss.backward()
        update.step()
        return loss.item()

    return step


@workload("embedding")
def embedding(lib: Any) -> Step:
    """A bag of embeddings, 20,000 × 64, 32 rows of 50 indices, SGD."""
    lib.manual_seed(0)
    nn = lib.nn
    table, head = nn.Embedding(20_000, 64), nn.Linear(64, 10)
    update = lib.optim.SGD([*table.parameters(), *head.parameters()], lr=0.1)
    indices, targets = lib.randint(0, 20_000, (32, 50)), lib.randint(0, 10, (32,))
    criterion = nn.CrossEntropyLoss()

    def step() -> float:
        update.zero_grad()
        loss = criterion(head(table(indices).mean(1)), targets)
        loss.backward()
        update.step()
        return loss.item()

    return step
