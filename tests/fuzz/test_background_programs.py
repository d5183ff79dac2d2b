"""Random training programs: between steps that go on in the background, anything may be read, written, saved or freed.

The oracle is the same program in the foreground: all that is seen is equal bit by bit.
"""

from __future__ import annotations

import copy
import gc
import io
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas import nn
from lampas.engine.device import background
from lampas.engine.settings import settings
from tests.background import in_background, in_foreground

STEPS = 40


class Program:
    """A training, what it has seen, and a copy of its weights that is averaged along."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.choose = random.Random(seed)
        self.model = nn.Sequential(
            nn.Linear(32, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 128), nn.GELU(),
            nn.Linear(128, 6),
        )  # fmt: skip
        kinds = (torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD)
        options = {"lr": 1e-2} | ({"momentum": 0.9} if seed % 4 == 3 else {})
        self.optimizer = kinds[seed % 4](self.model.parameters(), **options)
        self.data, self.classes = torch.randn(256, 32) + 0.0, torch.randint(0, 6, (256,)) + 0
        self.array = np.random.default_rng(seed).standard_normal((64, 32)).astype(np.float32)
        self.source, self.held, self.seen, self.started = "part", [], [], 0
        self.mean = [parameter.detach().clone() for parameter in self.model.parameters()]

    def batch(self, number: int) -> tuple[Any, Any]:
        start = number % 3 * 64
        targets = self.classes[start : start + 64]
        if self.source == "array":
            return torch.from_numpy(self.array), targets
        part = self.data[start : start + 64]
        return (part.clone() if self.source == "copy" else part), targets

    def step(self, number: int) -> Any:
        inputs, targets = self.batch(number)
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(inputs), targets)
        loss.backward()
        self.optimizer.step()
        self.started += bool(background.RUNS)
        return loss

    def parameter(self) -> Any:
        return self.choose.choice(list(self.model.parameters()))

    # ---- what may happen between steps ----------------------------------------------------------------------

    def read_loss(self, loss: Any) -> Any:
        return loss.item()

    def print_loss(self, loss: Any) -> Any:
        return str(loss)

    def read_weight(self, loss: Any) -> Any:
        return self.parameter().tolist()

    def show_weight(self, loss: Any) -> Any:
        return self.parameter().detach().numpy().copy().tolist()

    def hold_weight(self, loss: Any) -> Any:
        self.held = [self.parameter().detach().numpy()]

    def let_go(self, loss: Any) -> Any:
        found = [array.tolist() for array in self.held]
        self.held = []
        return found

    def read_gradient(self, loss: Any) -> Any:
        gradient = self.parameter().grad
        return None if gradient is None else gradient.norm().item()

    def read_state(self, loss: Any) -> Any:
        states = list(self.optimizer.state.values())
        return (
            [float(value.sum()) for value in states[0].values() if value is not None]
            if states
            else None
        )

    def change_weight(self, loss: Any) -> Any:
        with torch.no_grad():
            self.parameter().mul_(0.99)

    def change_data(self, loss: Any) -> Any:
        self.data.add_(0.01)

    def change_array(self, loss: Any) -> Any:
        self.array += 0.01

    def change_source(self, loss: Any) -> Any:
        self.source = self.choose.choice(("part", "copy", "array"))

    def average(self, loss: Any) -> Any:
        with torch.no_grad():
            for mean, parameter in zip(self.mean, self.model.parameters(), strict=True):
                mean.mul_(0.9).add_(parameter, alpha=0.1)

    def evaluate(self, loss: Any) -> Any:
        self.model.eval()
        with torch.no_grad():
            found = self.model(self.data[:40]).argmax(1).tolist()
        self.model.train()
        return found

    def save(self, loss: Any) -> Any:
        file = io.BytesIO()
        torch.save(self.model.state_dict(), file)
        file.seek(0)
        return [value.tolist() for value in torch.load(file).values()][:2]

    def copy_model(self, loss: Any) -> Any:
        return next(copy.deepcopy(self.model).parameters()).tolist()

    def load(self, loss: Any) -> Any:
        names = [name for name, _ in self.model.named_parameters()]
        self.model.load_state_dict(dict(zip(names, self.mean, strict=True)), strict=False)

    def drop_gradients(self, loss: Any) -> Any:
        self.optimizer.zero_grad()
        return [torch.full((size,), 3.0).sum().item() for size in (128, 128 * 32, 128 * 128)]

    def collect(self, loss: Any) -> Any:
        gc.collect()

    def change_rate(self, loss: Any) -> Any:
        self.optimizer.param_groups[0]["lr"] *= 0.9

    def read_in_threads(self, loss: Any) -> Any:
        chosen, found = [self.parameter() for _ in range(3)], {}

        def read(place: int) -> None:
            found[place] = chosen[place].tolist()

        threads = [threading.Thread(target=read, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found.items())


ACTIONS = [
    "read_loss", "read_loss", "read_loss", "print_loss", "read_weight", "show_weight", "hold_weight", "let_go",
    "read_gradient", "read_state", "change_weight", "change_data", "change_array", "change_source", "average", "evaluate",
    "save", "copy_model", "load", "drop_gradients", "collect", "change_rate", "read_in_threads",
]  # fmt: skip


def run(seed: int, surroundings: Callable[[], Any]) -> tuple[list[Any], int]:
    """What a program sees, and how many of its steps went on in the background."""
    with settings.override(tier="compiled"), surroundings():
        program = Program(seed)
        for number in range(STEPS):
            loss = program.step(number)
            # Steps are known after they were alike a few times: most are left alone.
            for _ in range(program.choose.choice((0, 1, 1, 2)) if number > 6 else 0):
                action = program.choose.choice(ACTIONS)
                program.seen.append((number, action, getattr(program, action)(loss)))
        program.seen.append([parameter.tolist() for parameter in program.model.parameters()])
        background.finish()
        return program.seen, program.started


@pytest.mark.parametrize("seed", range(8))
def test_nothing_that_is_seen_depends_on_it(seed: int) -> None:
    found, started = run(seed, in_background)
    expected, none = run(seed, in_foreground)
    assert started > 0
    assert none == 0
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other
