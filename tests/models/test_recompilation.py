"""Sizes that come back compile nothing: after the first epoch every program is known."""

from __future__ import annotations

from typing import Any

import lampas
from lampas import nn
from lampas.engine.llvm.compiler import counters
from lampas.engine.realize.statistics import statistics
from lampas.engine.settings import settings

SIZES = [(8, 6), (8, 4), (5, 6), (3, 4), (8, 6), (2, 5)]  # batch, length


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.recurrent = nn.LSTM(16, 16, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.recurrent(self.words(x))[0][:, -1])


def test_three_epochs_compile_what_the_first_one_needs() -> None:
    model = Reader()
    optimizer = lampas.optim.Adam(model.parameters(), lr=1e-2)
    schedule = lampas.optim.lr_scheduler.CosineAnnealingLR(optimizer, 18)
    counts = []
    for _ in range(3):
        before = statistics.programs
        for size in SIZES:
            loss = nn.functional.cross_entropy(
                model(lampas.randint(0, 50, size)), lampas.randint(0, 5, size[:1])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()
        counts.append(statistics.programs - before)
    assert counts[0] > 0
    assert counts[1:] == [0, 0]


def test_another_batch_or_image_size_runs_the_same_kernels() -> None:
    """Rows of products are cut into tiles of the same heights, choices are made for the next power of two."""
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip
    optimizer = lampas.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def kernels_of_steps(batch: int, extent: int = 16) -> int:
        before = counters.compiled + counters.disk_hits
        for _ in range(3):
            images, labels = lampas.randn(batch, 3, extent, extent), lampas.randint(0, 5, (batch,))
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        return counters.compiled + counters.disk_hits - before

    with settings.override(tier="compiled"):
        kernels_of_steps(16)
        assert [kernels_of_steps(batch) for batch in (12, 10, 15)] == [0, 0, 0]
        # Images so much smaller cross a few thresholds: of ways, of feeds, of blocks.
        assert max(kernels_of_steps(16, extent) for extent in (12, 20)) <= 2
