"""`show.curve`: learning curves, one panel for each measure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lampas.show.picture import Picture
from lampas.show.sheet import FAINT, GRID, INK, Axis, Sheet, text_width

COLOURS = ("#2563eb", "#dc7f00", "#15803d", "#b91c6b", "#6d4bd8", "#0e7490")
PANEL_WIDTH, PANEL_HEIGHT = 560, 300
LEFT, RIGHT, TOP, FOOT = 78, 24, 64, 58
DOTS = 40  # points are marked one by one up to this number


def curve(
    histories: Any,
    *,
    title: str = "",
    x_label: str = "step",
    log: bool = False,
) -> Picture:
    """Draw numbers over steps.

    `histories` is a sequence of numbers (tensors of one element are numbers too), a mapping of
    names to sequences (lines in one panel), or a mapping of panel titles to such mappings. A line's
    points lie at 1, 2, …; None and NaN leave a gap. With `log` the y axis is logarithmic.
    ValueError where there is nothing to draw.

    >>> curve({"training": [2.3, 1.1, 0.7], "test": [2.2, 1.3, 1.0]}, x_label="epoch").size
    (560, 300)
    """
    panels = _panels(histories)
    if not any(_known(line) for lines in panels.values() for line in lines.values()):
        raise ValueError("curve() got no numbers to draw")
    height = TOP - 28 if title else 0
    sheet = Sheet(PANEL_WIDTH * len(panels), PANEL_HEIGHT + height)
    if title:
        sheet.text(24, 18, title, 20, INK)
    for number, (name, lines) in enumerate(panels.items()):
        _draw_panel(sheet, (PANEL_WIDTH * number, height), name, lines, (x_label, log))
    return Picture(sheet, f"curves of {', '.join(panels) or 'numbers'}")


def _panels(histories: Any) -> dict[str, dict[str, list[float]]]:
    """Titles of panels, names of lines, numbers; unknown ones are NaN."""
    if not isinstance(histories, Mapping):
        histories = {"": histories}
    if not any(isinstance(value, Mapping) for value in histories.values()):
        histories = {"": histories}
    return {
        str(panel): {str(name): [_number(value) for value in line] for name, line in lines.items()}
        for panel, lines in histories.items()
    }


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _known(line: Sequence[float]) -> list[float]:
    return [value for value in line if math.isfinite(value)]


def _draw_panel(
    sheet: Sheet,
    corner: tuple[float, float],
    name: str,
    lines: dict[str, list[float]],
    form: tuple[str, bool],
) -> None:
    x_label, log = form
    values = [value for line in lines.values() for value in _known(line)]
    values = [value for value in values if value > 0] if log else values
    if not values:
        return
    ticks = _log_ticks(values) if log else _ticks(min(values), max(values))
    length = max(len(line) for line in lines.values())
    axis = Axis(
        corner[0] + LEFT,
        corner[1] + TOP,
        PANEL_WIDTH - LEFT - RIGHT,
        PANEL_HEIGHT - TOP - FOOT,
        (1, max(length, 2)),
        (ticks[0], ticks[-1]),
        math.log10 if log else float,
    )
    _draw_frame(sheet, axis, ticks, x_label, length)
    _draw_heading(sheet, axis, name, list(lines))
    for number, line in enumerate(lines.values()):
        _draw_line(sheet, axis, line, COLOURS[number % len(COLOURS)], log)


def _draw_heading(sheet: Sheet, axis: Axis, name: str, names: list[str]) -> None:
    """The panel's title on the left, the key on the right."""
    sheet.text(axis.left - LEFT + 24, axis.top - 42, name, 15, INK)
    x, y = axis.left + axis.width, axis.top - 20
    for number in reversed(range(len(names))):
        if not names[number]:
            continue
        x -= text_width(names[number], 13)
        sheet.text(x, y, names[number], 13, INK, "lm")
        sheet.line([(x - 26, y), (x - 6, y)], COLOURS[number % len(COLOURS)], 2.5)
        x -= 44


def _draw_frame(sheet: Sheet, axis: Axis, ticks: list[float], x_label: str, length: int) -> None:
    for value in ticks:
        x, y = axis.place(axis.x_range[0], value)
        sheet.line([(x, y), (x + axis.width, y)], GRID, 1)
        sheet.text(x - 8, y, f"{value:g}", 12, FAINT, "rm")
    foot, end = axis.top + axis.height, axis.left + axis.width
    sheet.line([(axis.left, foot), (end, foot)], FAINT, 1)
    for value in _steps(length):
        sheet.text(axis.place(value, ticks[0])[0], foot + 7, f"{value:g}", 12, FAINT, "ma")
    sheet.text(end, foot + 26, x_label, 12, FAINT, "ra")


def _draw_line(sheet: Sheet, axis: Axis, line: list[float], colour: str, log: bool) -> None:
    run: list[tuple[float, float]] = []
    for number, value in enumerate([*line, math.nan], start=1):
        if math.isfinite(value) and (value > 0 or not log):
            run.append(axis.place(number, value))
            continue
        if len(run) > 1:
            sheet.line(run, colour, 2)
        if len(line) <= DOTS or len(run) == 1:
            for x, y in run:
                sheet.dot(x, y, 3.0, colour)
        run = []


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that reach around the values."""
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-30):
        spread = abs(high) * 0.5 or 1.0
        low, high = low - spread, high + spread
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (step * factor) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _log_ticks(values: list[float]) -> list[float]:
    """Powers of ten around the values; where they span one only, 1, 2 and 5 times these."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)
    if last - first > 2:
        return [10.0**power for power in range(first, last + 1)]
    fine = [factor * 10.0**power for power in range(first, last) for factor in (1, 2, 5)]
    fine.append(10.0**last)
    low = max(value for value in fine if value <= min(values) * (1 + 1e-9))
    high = min(value for value in fine if value >= max(values) * (1 - 1e-9))
    chosen = [value for value in fine if low <= value <= high]
    return chosen if len(chosen) > 1 else [low, low * 10]


def _steps(length: int) -> list[int]:
    """Up to about eight whole numbers from 1 to `length`."""
    if length <= 10:
        return list(range(1, length + 1))
    step = _ticks(0, length)[1]
    return [round(step * number) for number in range(1, int(length / step + 1e-9) + 1)]
