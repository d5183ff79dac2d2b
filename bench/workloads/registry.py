"""What a workload is, and how it becomes steps that can be timed.

A builder is a plain PyTorch program as a function of the library that runs it (torch or lampas).  It returns a
`Program`: the forward function, how a batch of its inputs is drawn, and the optimizer if it learns.  The loop
around it, the same for all, is written here once, so that each contestant does the same work in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Step = Callable[[], float]
Wrap = Callable[[Any], Any]
BATCHES = 4  # drawn beforehand and taken in turn: no step works on what the step before it left in the caches
SEED = 0


@dataclass
class Program:
    """What a builder returns.

    `forward` takes one batch and returns the loss (with an optimizer) or any tensor (without).
    `draw` makes a batch for a number of samples and an extent: the side of an image, the length of a sequence.
    """

    forward: Callable[..., Any]
    draw: Callable[[int, int], tuple[Any, ...]]
    optimizer: Any = None

    def __post_init__(self) -> None:
        self.learn: Callable[..., Any] = self._learn

    def _learn(self, *inputs: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.forward(*inputs)
        loss.backward()
        self.optimizer.step()
        return loss


@dataclass(frozen=True)
class Workload:
    """A registered builder and its sizes; extent 0 means that only the number of samples can change."""

    name: str
    build: Callable[[Any], Program]
    batch: int
    extent: int

    @property
    def description(self) -> str:
        return (self.build.__doc__ or "").split("\n")[0]

    def changed(self) -> dict[str, tuple[int, int]]:
        """Other sizes of the same program, to see what has to be compiled anew for them."""
        found = {"batch": (three_quarters(self.batch), self.extent)}
        if self.extent:
            found["extent"] = (self.batch, three_quarters(self.extent))
        return found

    def small(self) -> tuple[int, int]:
        """The least sizes that still run everything, for tests."""
        return min(self.batch, 2), min(self.extent, 32)


WORKLOADS: dict[str, Workload] = {}


def workload(
    name: str, batch: int, extent: int = 0
) -> Callable[[Callable[[Any], Program]], Callable[[Any], Program]]:
    """Register a builder under a name, with the sizes at which it is timed."""

    def register(build: Callable[[Any], Program]) -> Callable[[Any], Program]:
        if name in WORKLOADS:
            raise ValueError(f"there are two workloads {name!r}")
        WORKLOADS[name] = Workload(name, build, batch, extent)
        return build

    return register


def three_quarters(size: int) -> int:
    """A changed size; 1 becomes 2, since fewer than one there is not."""
    return size * 3 // 4 if size > 1 else 2


def make_program(lib: Any, chosen: Workload, wrap: Wrap | None = None) -> Program:
    """Build a workload from the common seed; `wrap` is what a compiling contestant does to a function.

    It gets what its documentation tells users to compile: the forward function, and for Lampas the whole step.
    """
    lib.manual_seed(SEED)
    program = chosen.build(lib)
    if wrap is not None and lib.__name__ == "lampas" and program.optimizer is not None:
        program.learn = wrap(program.learn)
    elif wrap is not None:
        program.forward = wrap(program.forward)
    return program


def make_step(lib: Any, program: Program, batch: int, extent: int) -> Step:
    """A function that does one unit of work and returns a number which the work has produced."""
    turns = itertools.cycle([program.draw(batch, extent) for _ in range(BATCHES)])
    forward, learn = program.forward, program.learn

    def train() -> float:
        return learn(*next(turns)).item()

    def infer() -> float:
        with lib.no_grad():
            result = forward(*next(turns))  # held until its number is read: all of it is wanted
            return result.flatten()[0].item()

    return infer if program.optimizer is None else train
