"""The picture of the demo: its parts are drawn where they belong, for easy and for odd lessons."""

import numpy
import pytest

from lampas.demo import picture
from lampas.demo.picture import Axis, Lesson, draw_lesson

RED, GREEN, BLUE = (220, 38, 38), (21, 128, 61), (37, 99, 235)


def lesson(wrong: int, *, losses: int = 60, epochs: int = 3, count: int = 200) -> Lesson:
    generator = numpy.random.default_rng(0)
    labels = numpy.repeat(numpy.arange(10), count // 10)
    predictions = labels.copy()
    predictions[:wrong] = (labels[:wrong] + 1) % 10
    return Lesson(
        losses=list(2.3 * 0.95 ** numpy.arange(losses)),
        accuracies=list(numpy.linspace(60, 95, epochs)),
        images=generator.integers(0, 255, (count, 28, 28), dtype=numpy.uint8),
        labels=labels,
        predictions=predictions,
        caption="a caption",
    )


def coloured(image, colour: tuple[int, int, int], box: tuple[int, int, int, int]) -> int:
    """How many pixels in (left, top, right, bottom) have this colour, or nearly (lines are smoothed)."""
    pixels = numpy.asarray(image.crop(box)).astype(int)
    return int((abs(pixels - colour).max(axis=-1) < 30).sum())


def test_size_and_parts() -> None:
    image = draw_lesson(lesson(wrong=30))
    assert image.size == (picture.WIDTH, picture.HEIGHT)
    assert image.mode == "RGB"
    assert coloured(image, BLUE, (84, 138, 560, 410)) > 200  # the loss
    assert coloured(image, GREEN, (84, 486, 560, 690)) > 200  # the accuracy
    assert coloured(image, RED, (612, 138, 1260, 740)) > 500  # wrong ones in the grid
    assert coloured(image, RED, (30, 800, 1260, 984)) > 2000  # the mistakes


def test_no_mistakes_no_red() -> None:
    image = draw_lesson(lesson(wrong=0))
    assert coloured(image, RED, (0, 0, picture.WIDTH, picture.HEIGHT)) == 0


@pytest.mark.parametrize(
    "odd",
    [
        lesson(wrong=200),
        lesson(wrong=1, losses=1, epochs=1),
        lesson(wrong=5, losses=25, epochs=25, count=10),
    ],
    ids=["all wrong", "one step", "few digits"],
)
def test_odd_lessons_are_drawn(odd: Lesson) -> None:
    assert draw_lesson(odd).size == (picture.WIDTH, picture.HEIGHT)


def test_loss_of_zero_has_a_place() -> None:
    perfect = lesson(wrong=0)
    image = draw_lesson(Lesson(**{**vars(perfect), "losses": [1.0, 0.0, 0.0]}))
    assert coloured(image, BLUE, (84, 138, 560, 410)) > 50


def test_axis_places_points() -> None:
    axis = Axis(10, 20, 100, 50, (0, 4), (0, 10))
    assert axis.place(0, 0) == (10, 70)
    assert axis.place(4, 10) == (110, 20)
    assert axis.place(2, 5) == (60, 45)
    assert axis.place(2, 99) == (60, 20)  # beyond the range: at its edge


def test_smoothing_keeps_a_constant_and_lags_a_jump() -> None:
    assert picture._smoothed([0.5] * 30) == pytest.approx([0.5] * 30)
    jump = picture._smoothed([1.0] * 30 + [0.01] * 5)
    assert 0.01 < jump[-1] < 1.0


def test_grid_spreads_over_each_class() -> None:
    labels = numpy.repeat(numpy.arange(10), 100)
    chosen = picture._spread(labels)
    assert len(chosen) == 100
    assert numpy.bincount(labels[chosen]).tolist() == [10] * 10
    assert chosen[0] == 0
    assert chosen[-1] == 999
