"""Random programs around training steps: with `lampas.compile`, without it, and without known steps of optimizers all is the same."""

from __future__ import annotations

import random
from typing import Any

import pytest

import lampas as torch
from lampas import nn
from lampas.compiler import whole_calls
from lampas.engine.settings import settings
from lampas.nn import functional as F
from lampas.optim.step_replays import StepReplays

STEPS = 80


class Program:
    """A network with functions that train it and ask it, and somebody who meddles."""

    def __init__(self, compiled: bool, seed: int) -> None:
        torch.manual_seed(seed)
        choose = random.Random(seed)
        wrap = torch.compile if compiled else (lambda function: function)
        self.net = nn.Sequential(
            nn.Linear(5, 7), choose.choice([nn.BatchNorm1d, nn.LayerNorm])(7), nn.GELU(),
            nn.Dropout(0.2), nn.Linear(7, 3),
        )  # fmt: skip
        name = choose.choice(["SGD", "Adam", "AdamW", "RMSprop"])
        self.optimizer = getattr(torch.optim, name)(self.net.parameters(), lr=0.02)
        self.clearing = choose.choice([True, False])
        self.held: list[Any] = []
        self.hook: Any = None
        self.train, self.accumulate, self.ask = map(wrap, (self.training, self.adding, self.asking))

    def training(self, x: Any, y: Any) -> Any:
        """A step."""
        if self.clearing:
            self.optimizer.zero_grad()
        scores = self.net(x)
        loss = F.cross_entropy(scores, y)
        loss.backward()
        self.optimizer.step()
        return loss, scores.detach()

    def adding(self, x: Any, y: Any) -> Any:
        """Gradients alone."""
        loss = F.cross_entropy(self.net(x), y, reduction="sum")
        loss.backward()
        return loss.detach()

    def asking(self, x: Any) -> Any:
        """Inference."""
        with torch.no_grad():
            return F.softmax(self.net(x), dim=-1)

    def meddle(self, chance: random.Random) -> None:
        """Change something from outside."""
        weight, bias = self.net[0].weight, self.net[4].bias
        group = self.optimizer.param_groups[0]
        what = chance.randrange(14)
        if what == 0:
            group["lr"] = chance.choice([0.01, 0.02, 0.05])
        elif what == 1:
            self.net.zero_grad(set_to_none=chance.random() < 0.5)
        elif what == 2:
            self.held = [weight.grad, weight.detach(), weight * 2, bias.detach().clone()]
        elif what == 3:
            with torch.no_grad():
                weight.mul_(0.9)
        elif what == 4:
            self.net.train(chance.random() < 0.5)
        elif what == 5:
            bias.requires_grad_(not bias.requires_grad)
        elif what == 6:
            self.net.load_state_dict({k: v.clone() for k, v in self.net.state_dict().items()})
        elif what == 7:
            self.clearing = not self.clearing
        elif what == 8 and self.hook is None:
            self.hook = weight.register_hook(lambda gradient: gradient * 0.5)
        elif what == 9 and self.hook is not None:
            self.hook.remove()
            self.hook = None
        elif what == 10:
            self.optimizer.load_state_dict(self.optimizer.state_dict())
        elif what == 11:
            self.net[3].p = chance.choice([0.1, 0.2])

    def seen(self) -> list[Any]:
        """All that can be seen."""
        found: list[Any] = [value.tolist() for value in self.held if value is not None]
        for tensor in [*self.net.parameters(), *self.net.buffers()]:
            found += [tensor.tolist(), tensor._version]
            found.append(None if tensor.grad is None else tensor.grad.tolist())
        for state in self.optimizer.state.values():
            found += [value.tolist() for value in state.values() if value is not None]
        return found


@pytest.mark.parametrize("seed", range(8))
def test_compiled_programs_do_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_calls, "CALLS_BEFORE", 1)  # much of a short program is replayed
    results = []
    for way in ("compiled", "known steps", "long way"):
        if way == "long way":
            monkeypatch.setattr(StepReplays, "take", lambda self: False)
        with settings.override(tier="compiled"):
            results.append(run(Program(way == "compiled", seed), random.Random(seed)))
    for number, (first, second, third) in enumerate(zip(*results, strict=True)):
        assert first == second == third, number


def run(program: Program, chance: random.Random) -> list[Any]:
    """What is seen after each step."""
    found: list[Any] = []
    rows = 4
    for number in range(STEPS):
        if number % 20 > 16:
            program.meddle(chance)
            rows = chance.choice([4, 4, 4, 5])
        inputs, classes = torch.randn(rows, 5), torch.randint(0, 3, (rows,))
        which = chance.choice(["train", "train", "train", "accumulate", "ask"])
        made = getattr(program, which)(inputs, *([] if which == "ask" else [classes]))
        listed = made if isinstance(made, tuple) else (made,)
        found.append([which, [each.tolist() for each in listed], program.seen()])
    return found
