"""Draws what the digits network learned: learning curves, a grid of test digits, the mistakes.

Pillow is imported when the first picture is drawn. Everything is drawn at twice the final size and
then reduced, which smooths the lines; text uses the font that Pillow carries.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

SCALE = 2  # drawn this much larger than shown
WIDTH, HEIGHT = 1280, 984
INK, FAINT, GRID, PAPER = "#1d2430", "#6b7482", "#e4e7ec", "#ffffff"
BLUE, PALE_BLUE, GREEN, RED = "#2563eb", "#bfd3fb", "#15803d", "#dc2626"
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


@dataclass(frozen=True)
class Axis:
    """A rectangle in final pixels, and the ranges of values that it spans."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    y_of: Callable[[float], float] = float  # applied to values and to y_range

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) lies on the canvas."""
        low, high = map(self.y_of, self.y_range)
        across = (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = min(max((self.y_of(y) - low) / (high - low), 0.0), 1.0)
        return self.left + across * self.width, self.top + (1 - up) * self.height


def draw_lesson(lesson: Lesson) -> Any:
    """Return a `PIL.Image.Image` of the whole sheet."""
    from PIL import Image  # slow to import

    canvas = _Canvas(WIDTH, HEIGHT)
    accuracy = lesson.accuracies[-1]
    canvas.text(40, 28, f"It reads {accuracy:.1f} % of the test digits", 28, INK)
    canvas.text(40, 68, lesson.caption, 15, FAINT)
    _draw_losses(canvas, lesson)
    _draw_accuracies(canvas, lesson)
    _draw_grid(canvas, lesson)
    _draw_mistakes(canvas, lesson)
    return canvas.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _draw_losses(canvas: "_Canvas", lesson: Lesson) -> None:
    losses = [max(loss, 1e-4) for loss in lesson.losses]
    smooth = _smoothed(losses)
    bottom = 10.0 ** math.floor(math.log10(max(min(smooth), 1e-4)))
    top = max(4.0, max(losses))
    epochs = len(lesson.accuracies)
    axis = Axis(84, 138, 476, 270, (0, epochs), (bottom, top), math.log10)
    ticks = [10.0**power for power in range(round(math.log10(bottom)), 1)]
    canvas.text(40, 106, "Training loss, step by step", 16, INK)
    _draw_frame(canvas, axis, ticks, "{:g}", epochs)
    steps = len(losses)
    across = [(step + 1) * epochs / steps for step in range(steps)]
    canvas.line([axis.place(*point) for point in zip(across, losses, strict=True)], PALE_BLUE, 1)
    canvas.line([axis.place(*point) for point in zip(across, smooth, strict=True)], BLUE, 2)


def _smoothed(values: Iterable[float], share: float = 0.95) -> list[float]:
    """Exponential mean of the logarithms, without the bias of its start."""
    total, weight, result = 0.0, 0.0, []
    for value in values:
        total = share * total + math.log(value)
        weight = share * weight + 1
        result.append(math.exp(total / weight))
    return result


def _draw_accuracies(canvas: "_Canvas", lesson: Lesson) -> None:
    worst = min(lesson.accuracies)
    step = 2 if worst >= 88 else 5 if worst >= 70 else 20
    bottom = min(math.floor((worst - 0.5) / step) * step, 100 - 2 * step)
    epochs = len(lesson.accuracies)
    axis = Axis(84, 486, 476, 202, (0, epochs), (bottom, 100))
    canvas.text(40, 454, "Accuracy on the test digits, after each epoch", 16, INK)
    _draw_frame(canvas, axis, range(bottom, 101, step), "{:g} %", epochs)
    points = [axis.place(number, value) for number, value in enumerate(lesson.accuracies, start=1)]
    canvas.line(points, GREEN, 2)
    for x, y in points:
        canvas.dot(x, y, 3.5, GREEN)
    last_x, last_y = points[-1]
    canvas.text(last_x, last_y + 8, f"{lesson.accuracies[-1]:.1f} %", 14, GREEN, "ra")


def _draw_frame(
    canvas: "_Canvas", axis: Axis, ticks: Iterable[float], form: str, epochs: int
) -> None:
    for value in ticks:
        x, y = axis.place(0, value)
        canvas.line([(x, y), (x + axis.width, y)], GRID, 1)
        canvas.text(x - 8, y, form.format(value), 12, FAINT, "rm")
    every = max(1, round(epochs / 10))
    for number in range(0, epochs + 1, every):
        x, _ = axis.place(number, axis.y_range[0])
        canvas.text(x, axis.top + axis.height + 8, str(number), 12, FAINT, "ma")
    end = axis.left + axis.width
    canvas.text(end, axis.top + axis.height + 26, "epoch", 12, FAINT, "ra")
    foot = axis.top + axis.height
    canvas.line([(axis.left, foot), (end, foot)], FAINT, 1)


def _draw_grid(canvas: "_Canvas", lesson: Lesson) -> None:
    chosen = _spread(lesson.labels)
    canvas.text(612, 106, "Test digits and what the network reads", 16, INK)
    wrong = lesson.predictions != lesson.labels
    for place, index in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        left, top = 612 + column * 64, 138 + row * 60
        colour = RED if wrong[index] else GREEN
        canvas.digit(left, top, lesson.images[index], colour if wrong[index] else None)
        canvas.text(left + 53, top + 24, str(lesson.predictions[index]), 13, colour, "mm")


def _spread(labels: numpy.ndarray) -> list[int]:
    """Up to ten examples of each class, evenly spread, a class a row."""
    chosen = []
    for digit in range(10):
        members = numpy.flatnonzero(labels == digit)
        positions = numpy.linspace(0, len(members) - 1, min(COLUMNS, len(members)))
        chosen.extend(int(members[round(position)]) for position in positions)
    return chosen


def _draw_mistakes(canvas: "_Canvas", lesson: Lesson) -> None:
    wrong = numpy.flatnonzero(lesson.predictions != lesson.labels)
    left, top = 40, 780
    title = f"The {len(wrong)} mistakes" if len(wrong) else "No mistakes"
    if len(wrong) > 2 * MISTAKES:
        title += f" ({2 * MISTAKES} of them)"
    canvas.text(left, top, f"{title}: read as (in red), and meant", 16, INK)
    positions = numpy.linspace(0, max(len(wrong) - 1, 0), min(2 * MISTAKES, len(wrong)))
    for place, position in enumerate(positions):
        index = wrong[round(position)]
        row, column = divmod(place, MISTAKES)
        x, y = left + column * 48.5, top + 30 + row * 80
        canvas.digit(x, y, lesson.images[index], RED, 40)
        canvas.text(x + 12, y + 53, str(lesson.predictions[index]), 13, RED, "mm")
        canvas.text(x + 28, y + 53, str(lesson.labels[index]), 13, FAINT, "mm")


class _Canvas:
    """A sheet addressed in final pixels, drawn `SCALE` times larger."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw, ImageFont

        self.image = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
        self.pen = ImageDraw.Draw(self.image)
        self.make_image = Image.fromarray
        self.load_font = ImageFont.load_default

    def text(
        self, x: float, y: float, words: str, size: float, colour: str, anchor: str = "la"
    ) -> None:
        font = self.load_font(size * SCALE)
        self.pen.text((x * SCALE, y * SCALE), words, colour, font, anchor)

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self.pen.line(scaled, colour, round(width * SCALE), joint="curve")

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        box = [
            (x - radius) * SCALE,
            (y - radius) * SCALE,
            (x + radius) * SCALE,
            (y + radius) * SCALE,
        ]
        self.pen.ellipse(box, colour)

    def digit(
        self, x: float, y: float, image: numpy.ndarray, border: str | None, size: int = 44
    ) -> None:
        """A digit in dark ink on a light tile, framed where it has a border's colour."""
        ink = 247 - image.astype(numpy.float32) * (215 / 255)
        tile = self.make_image(ink.astype(numpy.uint8)).resize((size * SCALE, size * SCALE))
        left, top = round(x * SCALE), round(y * SCALE)
        self.image.paste(tile.convert("RGB"), (left, top))
        if border:
            edge = 3
            box = [left - edge, top - edge, left + size * SCALE + edge, top + size * SCALE + edge]
            self.pen.rectangle(box, None, border, 2 * edge - 1)
