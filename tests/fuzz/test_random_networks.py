"""Random networks: a step of training, compiled as one program, gives the losses and gradients that NumPy gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import lampas as torch
from lampas import nn
from lampas.engine.settings import settings
from lampas.nn import functional as F

Layer = Callable[[Any], Any]


class Gate(nn.Module):
    """h·σ(W·h), with h made on the spot: an operand of the product is used again behind it."""

    def __init__(self, width: int, activation: Layer) -> None:
        super().__init__()
        self.product, self.activation = nn.Linear(width, width), activation

    def forward(self, x: Any) -> Any:
        h = self.activation(x) * 0.7 + 0.1
        return h * torch.sigmoid(self.product(h))


class Residual(nn.Module):
    """h + f(h)."""

    def __init__(self, inner: Layer, activation: Layer) -> None:
        super().__init__()
        self.inner, self.activation = inner, activation

    def forward(self, x: Any) -> Any:
        h = self.activation(x)
        return h + self.inner(h)


class Attention(nn.Module):
    """Rows of a batch attend to each other."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.parts, self.causal = nn.Linear(width, 3 * width), causal

    def forward(self, x: Any) -> Any:
        q, k, v = self.parts(x).unsqueeze(0).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).squeeze(0)


ACTIVATIONS: list[Layer] = [
    torch.relu,
    torch.tanh,
    F.gelu,
    F.silu,
    torch.sigmoid,
    F.softplus,
    F.elu,
]


def dense(pick: random.Random) -> tuple[nn.Module, Any, int]:
    """Rows of numbers: the network, an input, how many classes."""
    width = pick.choice([3, 8, 16, 33])
    rows = pick.choice([2, 5, 16, 40])
    layers: list[Any] = []
    for _ in range(pick.randrange(2, 6)):
        act = pick.choice(ACTIVATIONS)
        layers.append(
            pick.choice(
                [
                    lambda: nn.Linear(width, width),
                    lambda: nn.Linear(width, width, bias=False),
                    lambda act=act: Gate(width, act),
                    lambda act=act: Residual(nn.Linear(width, width), act),
                    lambda: nn.LayerNorm(width),
                    lambda: nn.BatchNorm1d(width),
                    lambda: Attention(width, pick.random() < 0.5),
                    lambda: nn.Softmax(dim=-1),
                    lambda: nn.Sequential(nn.Linear(width, 2 * width), nn.GLU()),
                ]
            )()
        )
        layers.append(Residual(nn.Identity(), act) if pick.random() < 0.3 else nn.Identity())
    return nn.Sequential(*layers, nn.Linear(width, 5)), torch.randn(rows, width), 5


def images(pick: random.Random) -> tuple[nn.Module, Any, int]:
    """Images with channels."""
    width = pick.choice([3, 8, 16, 32])
    size = pick.choice([4, 7, 8, 13])
    act = pick.choice(ACTIVATIONS)
    kinds: list[Callable[[], nn.Module]] = [
        lambda: nn.Conv2d(width, width, 3, padding=1),
        lambda: nn.Conv2d(width, width, 1, bias=False),
        lambda: nn.Conv2d(width, width, 3, padding=1, groups=width),
        lambda: nn.Conv2d(width, width, 3, padding=2, dilation=2),
        lambda: nn.ConvTranspose2d(width, width, 3, padding=1),
        lambda: nn.BatchNorm2d(width),
        lambda: nn.ReLU(),
        lambda: nn.MaxPool2d(3, 1, 1),
        lambda: nn.AvgPool2d(3, 1, 1),
        lambda: Residual(nn.Conv2d(width, width, 3, padding=1), act),
    ]
    layers = [pick.choice(kinds)() for _ in range(pick.randrange(1, 5))]
    layers.insert(0, nn.Conv2d(2, width, 3, padding=1))
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))
    return network, torch.randn(pick.choice([1, 3, 4]), 2, size, size), 4


class Words(nn.Module):
    """Embedding, a recurrent layer, the last time."""

    def __init__(self, kind: str, width: int, both: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(11, width)
        self.inner = getattr(nn, kind)(width, width, batch_first=True, bidirectional=both)
        self.head = nn.Linear(width * (1 + both), 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.inner(self.table(x))[0][:, -1])


def words(pick: random.Random) -> tuple[nn.Module, Any, int]:
    """Sequences of numbers of words."""
    network = Words(pick.choice(["LSTM", "GRU", "RNN"]), pick.choice([4, 16]), pick.random() < 0.5)
    return network, torch.randint(0, 11, (pick.choice([1, 4, 9]), pick.choice([1, 3, 6]))), 3


def run(seed: int) -> list[Any]:
    """Loss and gradients of the first step, and the loss of the third."""
    torch.manual_seed(seed)
    pick = random.Random(seed)
    network, x, classes = pick.choice([dense, dense, images, words])(pick)
    if isinstance(network, nn.Sequential) and len(x) == 1:
        network.eval()  # batch norm of one value
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=pick.choice([0, 0.9]))
    y = torch.randint(0, classes, x.shape[:1])
    found: list[Any] = []
    for step in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        if step == 0 and pick.random() < 0.5:
            found += [p.grad.flatten().tolist() for p in network.parameters()]
        optimizer.step()
        found.append([loss.item()])
    return [*found, *[p.flatten().tolist() for p in network.parameters()]]


@pytest.mark.parametrize("seed", range(30))
def test_a_step_of_training(seed: int) -> None:
    with settings.override(tier="compiled", verify=True):
        compiled = run(seed)
    with settings.override(tier="reference"):
        plain = run(seed)
    for ours, theirs in zip(compiled, plain, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=2e-4, nan_ok=True)
