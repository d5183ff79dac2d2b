"""Draws what the digits network learned: learning curves, a grid of test digits, the mistakes.

The drawing itself is done by `lampas.show.sheet`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from lampas.show.sheet import BLUE, FAINT, GREEN, GRID, INK, PALE_BLUE, RED, Axis, Sheet

WIDTH, HEIGHT = 1280, 984
COLUMNS = 10
MISTAKES = 25  # in a row; two rows


@dataclass(frozen=True)
class Lesson:
    """The facts that the picture shows."""

    losses: Sequence[float]  # of each step
    accuracies: Sequence[float]  # of the test digits after each epoch, in per cent
    images: numpy.ndarray  # uint8 (n, 28, 28), sorted by class or not
    labels: numpy.ndarray  # (n,)
    predictions: numpy.ndarray  # (n,)
    caption: str


def draw_lesson(lesson: Lesson) -> Any:
    """Return a `PIL.Image.Image` of the whole sheet."""
    sheet = Sheet(WIDTH, HEIGHT)
    accuracy = lesson.accuracies[-1]
    sheet.text(40, 28, f"It reads {accuracy:.1f} % of the test digits", 28, INK)
    sheet.text(40, 68, lesson.caption, 15, FAINT)
    _draw_losses(sheet, lesson)
    _draw_accuracies(sheet, lesson)
    _draw_grid(sheet, lesson)
    _draw_mistakes(sheet, lesson)
    return sheet.to_image()


def _draw_losses(sheet: Sheet, lesson: Lesson) -> None:
    losses = [max(loss, 1e-4) for loss in lesson.losses]
    smooth = _smoothed(losses)
    bottom = 10.0 ** math.floor(math.log10(max(min(smooth), 1e-4)))
    top = max(4.0, max(losses))
    epochs = len(lesson.accuracies)
    axis = Axis(84, 138, 476, 270, (0, epochs), (bottom, top), math.log10)
    ticks = [10.0**power for power in range(round(math.log10(bottom)), 1)]
    sheet.text(40, 106, "Training loss, step by step", 16, INK)
    _draw_frame(sheet, axis, ticks, "{:g}", epochs)
    steps = len(losses)
    across = [(step + 1) * epochs / steps for step in range(steps)]
    sheet.line([axis.place(*point) for point in zip(across, losses, strict=True)], PALE_BLUE, 1)
    sheet.line([axis.place(*point) for point in zip(across, smooth, strict=True)], BLUE, 2)


def _smoothed(values: Iterable[float], share: float = 0.95) -> list[float]:
    """Exponential mean of the logarithms, without the bias of its start."""
    total, weight, result = 0.0, 0.0, []
    for value in values:
        total = share * total + math.log(value)
        weight = share * weight + 1
        result.append(math.exp(total / weight))
    return result


def _draw_accuracies(sheet: Sheet, lesson: Lesson) -> None:
    worst = min(lesson.accuracies)
    step = 2 if worst >= 88 else 5 if worst >= 70 else 20
    bottom = min(math.floor((worst - 0.5) / step) * step, 100 - 2 * step)
    epochs = len(lesson.accuracies)
    axis = Axis(84, 486, 476, 202, (0, epochs), (bottom, 100))
    sheet.text(40, 454, "Accuracy on the test digits, after each epoch", 16, INK)
    _draw_frame(sheet, axis, range(bottom, 101, step), "{:g} %", epochs)
    points = [axis.place(number, value) for number, value in enumerate(lesson.accuracies, start=1)]
    sheet.line(points, GREEN, 2)
    for x, y in points:
        sheet.dot(x, y, 3.5, GREEN)
    last_x, last_y = points[-1]
    sheet.text(last_x, last_y + 8, f"{lesson.accuracies[-1]:.1f} %", 14, GREEN, "ra")


def _draw_frame(sheet: Sheet, axis: Axis, ticks: Iterable[float], form: str, epochs: int) -> None:
    for value in ticks:
        x, y = axis.place(0, value)
        sheet.line([(x, y), (x + axis.width, y)], GRID, 1)
        sheet.text(x - 8, y, form.format(value), 12, FAINT, "rm")
    every = max(1, round(epochs / 10))
    for number in range(0, epochs + 1, every):
        x, _ = axis.place(number, axis.y_range[0])
        sheet.text(x, axis.top + axis.height + 8, str(number), 12, FAINT, "ma")
    end = axis.left + axis.width
    sheet.text(end, axis.top + axis.height + 26, "epoch", 12, FAINT, "ra")
    foot = axis.top + axis.height
    sheet.line([(axis.left, foot), (end, foot)], FAINT, 1)


def _draw_grid(sheet: Sheet, lesson: Lesson) -> None:
    chosen = _spread(lesson.labels)
    sheet.text(612, 106, "Test digits and what the network reads", 16, INK)
    wrong = lesson.predictions != lesson.labels
    for place, index in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        left, top = 612 + column * 64, 138 + row * 60
        colour = RED if wrong[index] else GREEN
        sheet.tile(left, top, _inked(lesson.images[index]), colour if wrong[index] else None)
        sheet.text(left + 53, top + 24, str(lesson.predictions[index]), 13, colour, "mm")


def _spread(labels: numpy.ndarray) -> list[int]:
    """Up to ten examples of each class, evenly spread, a class a row."""
    chosen = []
    for digit in range(10):
        members = numpy.flatnonzero(labels == digit)
        positions = numpy.linspace(0, len(members) - 1, min(COLUMNS, len(members)))
        chosen.extend(int(members[round(position)]) for position in positions)
    return chosen


def _draw_mistakes(sheet: Sheet, lesson: Lesson) -> None:
    wrong = numpy.flatnonzero(lesson.predictions != lesson.labels)
    left, top = 40, 780
    title = f"The {len(wrong)} mistakes" if len(wrong) else "No mistakes"
    if len(wrong) > 2 * MISTAKES:
        title += f" ({2 * MISTAKES} of them)"
    sheet.text(left, top, f"{title}: read as (in red), and meant", 16, INK)
    positions = numpy.linspace(0, max(len(wrong) - 1, 0), min(2 * MISTAKES, len(wrong)))
    for place, position in enumerate(positions):
        index = wrong[round(position)]
        row, column = divmod(place, MISTAKES)
        x, y = left + column * 48.5, top + 30 + row * 80
        sheet.tile(x, y, _inked(lesson.images[index]), RED, 40)
        sheet.text(x + 12, y + 53, str(lesson.predictions[index]), 13, RED, "mm")
        sheet.text(x + 28, y + 53, str(lesson.labels[index]), 13, FAINT, "mm")


def _inked(image: numpy.ndarray) -> numpy.ndarray:
    """A digit in dark ink on light paper."""
    return (247 - image.astype(numpy.float32) * (215 / 255)).astype(numpy.uint8)
