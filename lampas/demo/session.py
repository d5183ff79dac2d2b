"""`lampas demo`: trains the digits network, tells how it goes, and draws what it learned.

The time of a step is taken around the whole of it, the first one (which compiles kernels, or loads
them from the cache) included. The verdict is the exit status: 0 when the target accuracy is met.
"""

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

import lampas
from lampas.data import load_digits
from lampas.demo import digits
from lampas.demo.clock import kernel_clock
from lampas.demo.picture import Lesson, draw_lesson


@dataclass(frozen=True)
class Options:
    """What the command line may choose."""

    epochs: int = 10
    batch: int = digits.BATCH
    optimizer: str = "adam"
    seed: int = 0
    target: float = 94.0
    output: Path = Path("runs/digits.png")
    quiet: bool = False


@dataclass
class Epoch:
    """One pass through the training digits."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    accuracy: float = 0.0  # of the test digits, in per cent

    @property
    def mean_loss(self) -> float:
        return float(numpy.mean(self.losses))


@dataclass
class Outcome:
    """What the training gave."""

    epochs: list[Epoch]
    predictions: numpy.ndarray
    first_step: float
    images: int  # trained on, over all epochs
    kernel_share: float  # of the training's time, 0 … 1

    @property
    def accuracy(self) -> float:
        return self.epochs[-1].accuracy

    @property
    def seconds(self) -> float:
        return sum(epoch.seconds for epoch in self.epochs)

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


def train(torch: Any, options: Options) -> Outcome:
    """Train by the options; on a terminal, with a progress bar unless they say quiet."""
    from tqdm import tqdm  # slow to import

    data = load_digits()
    torch.manual_seed(options.seed)
    images, labels = digits.to_tensors(torch, data.train_images, data.train_labels)
    test_images, _ = digits.to_tensors(torch, data.test_images, data.test_labels)
    model = digits.make_model(torch)
    optimizer = digits.make_optimizer(torch, options.optimizer, model)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    outcome = Outcome([], numpy.zeros(0), 0.0, len(images) * options.epochs, 0.0)
    steps = options.epochs * -(-len(images) // options.batch)
    with (
        kernel_clock() as clock,
        tqdm(total=steps, unit="step", disable=options.quiet or None) as bar,
    ):
        for number in range(1, options.epochs + 1):
            epoch, start = Epoch(), time.perf_counter()
            for loss in digits.train_epoch(torch, model, optimizer, images, labels, options.batch):
                outcome.first_step = outcome.first_step or time.perf_counter() - start
                epoch.losses.append(loss)
                bar.set_postfix_str(f"epoch {number}, loss {loss:.3f}", refresh=False)
                bar.update()
            schedule.step()
            epoch.seconds = time.perf_counter() - start
            outcome.predictions = digits.predict(torch, model, test_images)
            epoch.accuracy = float((outcome.predictions == data.test_labels).mean() * 100)
            outcome.epochs.append(epoch)
    outcome.kernel_share = clock.share
    return outcome


def run_demo(options: Options) -> int:
    """Train, draw, report; return the exit status."""
    torch = lampas
    outcome = train(torch, options)
    picture = _draw(outcome, options)
    _report(outcome, options, picture)
    return 0 if outcome.accuracy >= options.target else 1


def _draw(outcome: Outcome, options: Options) -> Path:
    data = load_digits()
    lesson = Lesson(
        losses=list(itertools.chain.from_iterable(epoch.losses for epoch in outcome.epochs)),
        accuracies=[epoch.accuracy for epoch in outcome.epochs],
        images=data.test_images,
        labels=data.test_labels,
        predictions=outcome.predictions,
        caption=(
            f"{len(data.train_labels):,} digits, {options.epochs} epochs, {options.optimizer}, "
            f"batch {options.batch}: {outcome.seconds:.1f} s, "
            f"{outcome.images_per_second:,.0f} images/s"
        ),
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    draw_lesson(lesson).save(options.output)
    return options.output


def _report(outcome: Outcome, options: Options, picture: Path) -> None:
    from rich.console import Console  # slow to import
    from rich.table import Table

    console = Console(highlight=False)
    if not options.quiet:
        table = Table(title="784-512-512-10 on handwritten digits")
        for heading in ("epoch", "loss", "test accuracy", "images/s", "seconds"):
            table.add_column(heading, justify="right")
        for number, epoch in enumerate(outcome.epochs, start=1):
            speed = outcome.images / len(outcome.epochs) / epoch.seconds
            cells = (f"{epoch.mean_loss:.4f}", f"{epoch.accuracy:.1f} %", f"{speed:,.0f}")
            table.add_row(str(number), *cells, f"{epoch.seconds:.2f}")
        console.print(table)
    wrong = int((outcome.predictions != load_digits().test_labels).sum())
    console.print(
        f"test accuracy {outcome.accuracy:.1f} % ({wrong} of {len(outcome.predictions):,} wrong), "
        f"{outcome.images_per_second:,.0f} images/s, training {outcome.seconds:.2f} s, "
        f"first step {outcome.first_step * 1e3:.0f} ms, "
        f"{outcome.kernel_share:.0%} of the time in compiled kernels",
        soft_wrap=True,
    )
    if outcome.accuracy < options.target:
        console.print(f"[red]below the target of {options.target:.1f} %[/red]")
    console.print(f"picture: {picture}", soft_wrap=True)
