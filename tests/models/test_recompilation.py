"""Sizes that come back compile nothing: after the first epoch every program is known."""

from __future__ import annotations

from typing import Any

import lampas
from lampas import nn
from lampas.engine.realize.statistics import statistics

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
