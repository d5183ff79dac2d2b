"""The memory timeline: bytes in use before, during and after each run of a program.

Live bytes are what tensors (and the arena, while a program runs) hold of the allocator's memory; the arena is a
program's room for intermediate values, taken for each run.
"""

from __future__ import annotations

import gzip
import html
import itertools
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lampas.serialization.files import replacing
from lampas.show.picture import Picture
from lampas.show.sheet import BLUE, FAINT, GRID, INK, PALE_BLUE, Axis, Sheet

if TYPE_CHECKING:
    from lampas.profiler.recorder import Recorder

MEGABYTE = 1 << 20
WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, FOOT = 84, 44, 56, 52
LINES = 4


class Point(NamedTuple):
    """Bytes at a time (microseconds from the start of the recording)."""

    time: float
    live: int
    arena: int


def points_of(recorder: Recorder) -> list[Point]:
    """The points of a recording in the order of time: each run has its begin, its inside, and its end."""
    start = recorder.start_time
    points = [Point(0.0, recorder.memory_at_start, 0)]
    for run in recorder.runs:
        before, inside, after = run.times.live
        begin, end = (run.times.start - start) / 1e3, (run.times.end - start) / 1e3
        arena = run.program.arena_bytes
        points.extend(
            [
                Point(begin, before, 0),
                Point(begin, inside, arena),
                Point(end, inside, arena),
                Point(end, after, 0),
            ]
        )
    points.append(Point((recorder.end_time - start) / 1e3, recorder.memory_at_end, 0))
    return sorted(points, key=lambda point: point.time)


def as_json(points: Sequence[Point]) -> dict[str, Any]:
    """The points as one object: lists of times, live bytes and arena bytes, and the peak."""
    return {
        "times_us": [round(point.time, 3) for point in points],
        "live_bytes": [point.live for point in points],
        "arena_bytes": [point.arena for point in points],
        "peak_bytes": max((point.live for point in points), default=0),
    }


def export(path: str, points: Sequence[Point]) -> None:
    """Write .json, .json.gz, or a picture as .svg, .png or .html; ValueError for any other name."""
    name = os.fspath(path)
    if name.endswith(".raw.json.gz"):
        raise NotImplementedError("export_memory_timeline: the form .raw.json.gz is not offered")
    if name.endswith((".svg", ".png")):
        picture(points).save(name)
        return
    if name.endswith(".html"):
        data = f"<!DOCTYPE html><title>{html.escape(os.path.basename(name))}</title>{picture(points).svg}"
    elif name.endswith((".json", ".json.gz")):
        data = json.dumps(as_json(points))
    else:
        raise ValueError(
            f"a memory timeline is written as .json, .json.gz, .html, .svg or .png, not as {name!r}"
        )
    with replacing(name) as file:
        file.write(gzip.compress(data.encode()) if name.endswith(".gz") else data.encode())


def picture(points: Sequence[Point]) -> Picture:
    """Live bytes over time, and the arena's part of them as bars below the line."""
    sheet = Sheet(WIDTH, HEIGHT)
    last = max(points[-1].time, 1e-3)
    most = max(max(point.live for point in points), 1)
    axis = Axis(
        LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - FOOT, (0.0, last), (0.0, float(most))
    )
    sheet.text(LEFT, 18, f"Memory, at most {most / MEGABYTE:.1f} MB", 17, INK)
    for number in range(LINES + 1):
        amount = most * number / LINES
        x, y = axis.place(0.0, amount)
        sheet.line([(x, y), axis.place(last, amount)], GRID, 1.0)
        sheet.text(x - 8, y, f"{amount / MEGABYTE:.1f} MB", 12, FAINT, "rm")
        time = last * number / LINES
        across = axis.place(time, 0.0)
        sheet.text(across[0], across[1] + 8, f"{time / 1e3:.2f} ms", 12, FAINT, "ma")
    for point, following in itertools.pairwise(points):
        if point.arena and following.time > point.time:
            low, high = axis.place(point.time, 0.0), axis.place(following.time, float(point.arena))
            sheet.box(
                (low[0], high[1]),
                (high[0] - low[0], low[1] - high[1]),
                PALE_BLUE,
                PALE_BLUE,
                radius=0.0,
            )
    sheet.line([axis.place(point.time, float(point.live)) for point in points], BLUE, 1.75)
    return Picture(sheet, "memory timeline")
