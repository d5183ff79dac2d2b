"""Events and averages as a table of text, in the form that PyTorch's programs print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from lampas.profiler.peaks import Peaks, peaks

COLUMN = 12
SPACE = "  "
NAME_ROOM = 4
UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}
MEMORY_UNITS = (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10))
COUNT_UNITS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3))
UNKNOWN = "--"


def format_time(microseconds: float, unit: str | None = None) -> str:
    """A time in a unit ("s", "ms" or "us"), or in the one that suits it.

    >>> format_time(12.5), format_time(1234.5), format_time(12.5, "ms")
    ('12.500us', '1.234ms', '0.013ms')
    """
    if unit is None:
        unit = next((name for name, size in UNITS.items() if microseconds >= size), "us")
    elif unit not in UNITS:
        raise ValueError(f"time_unit must be one of {sorted(UNITS)}, got {unit!r}")
    return f"{microseconds / UNITS[unit]:.3f}{unit}"


def format_memory(nbytes: int) -> str:
    """A number of bytes.

    >>> format_memory(-4), format_memory(18196)
    ('-4 B', '17.77 KB')
    """
    for name, size in MEMORY_UNITS:
        if abs(nbytes) >= size:
            return f"{nbytes / size:.2f} {name}"
    return f"{nbytes} B"


def format_count(number: int) -> str:
    """A large number.

    >>> format_count(574464), format_count(0)
    ('574.464 K', '--')
    """
    for name, size in COUNT_UNITS:
        if number >= size:
            return f"{number / size:.3f} {name}"
    return str(number) if number else UNKNOWN


def format_share(part: float, whole: float) -> str:
    """A percentage; of nothing it is 0 or NaN.

    >>> format_share(1, 8)
    '12.50%'
    """
    if not whole:
        return "NaN" if part else "0.00%"
    return f"{100 * part / whole:.2f}%"


@final
@dataclass(frozen=True)
class Column:
    """A heading, and the cell of an event under it."""

    heading: str
    cell: Callable[[Any], str]
    width: int = COLUMN


def make_table(
    events: Sequence[Any],
    *,
    total: float,
    row_limit: int = 100,
    widths: tuple[int, int, int] = (55, 80, 75),
    header: str | None = None,
    notes: Sequence[str] = (),
    time_unit: str | None = None,
    memory: bool = False,
    rates: bool = False,
    roofline: bool = False,
) -> str:
    """The text of a table; `widths` bound the columns of names, of shapes and of source locations.

    `total` is the time that percentages refer to.  -1 for `row_limit` shows all rows.
    """
    if not events:
        return ""
    shown = events if row_limit < 0 else events[:row_limit]
    columns = time_columns(events, total, widths[0], time_unit)
    if memory:
        columns.append(Column("CPU Mem", lambda e: format_memory(e.cpu_memory_usage)))
        columns.append(Column("Self CPU Mem", lambda e: format_memory(e.self_cpu_memory_usage)))
    columns.append(Column("# of Calls", lambda e: str(e.count)))
    columns.extend(detail_columns(events, widths))
    if rates or roofline:
        columns.extend(rate_columns())
    if roofline:
        columns.append(roofline_column(peaks()))
    rule = SPACE.join("-" * column.width for column in columns) + SPACE
    lines = heading_lines(len(rule), header, notes)
    lines.extend([rule, row_text(columns, [column.heading for column in columns]), rule])
    for event in shown:
        lines.append(row_text(columns, [column.cell(event) for column in columns]))
        lines.extend(stack_lines(columns, event, widths[2]))
    lines.extend([rule, f"Self CPU time total: {format_time(total, time_unit)}", ""])
    return "\n".join(lines)


def time_columns(events: Sequence[Any], total: float, most: int, unit: str | None) -> list[Column]:
    """Name and times."""
    longest = max(len(event.key) for event in events) + NAME_ROOM
    width = min(longest, most)

    def name(event: Any) -> str:
        key: str = event.key
        return key if len(key) < most - 3 else f"{key[: most - 3]}..."

    return [
        Column("Name", name, width),
        Column("Self CPU %", lambda e: format_share(e.self_cpu_time_total, total)),
        Column("Self CPU", lambda e: format_time(e.self_cpu_time_total, unit)),
        Column("CPU total %", lambda e: format_share(e.cpu_time_total, total)),
        Column("CPU total", lambda e: format_time(e.cpu_time_total, unit)),
        Column("CPU time avg", lambda e: format_time(e.cpu_time, unit)),
    ]


def detail_columns(events: Sequence[Any], widths: tuple[int, int, int]) -> list[Column]:
    """Shapes and source locations, where events have them."""
    columns: list[Column] = []
    texts = [str(event.input_shapes) for event in events if event.input_shapes]
    if texts:
        width = min(max(map(len, texts)) + NAME_ROOM, widths[1])
        columns.append(Column("Input Shapes", lambda e: str(e.input_shapes)[:width], width))
    if any(event.stack for event in events):
        longest = max(len(frame) for event in events for frame in event.stack) + NAME_ROOM
        width = min(longest, widths[2])
        columns.append(Column("Source Location", lambda e: frame_text(e, 0, width), width))
    return columns


def rate_columns() -> list[Column]:
    """What kernels moved and computed, in all and in a second."""

    def rate(event: Any, amount: int) -> str:
        known = event.is_kernel and amount and event.self_cpu_time_total
        return f"{amount / event.self_cpu_time_total / 1e3:.1f}" if known else UNKNOWN

    return [
        Column("Bytes", lambda e: format_memory(e.nbytes) if e.nbytes else UNKNOWN),
        Column("FLOPs", lambda e: format_count(e.flops)),
        Column("GB/s", lambda e: rate(e, e.nbytes)),
        Column("GFLOP/s", lambda e: rate(e, e.flops)),
    ]


def roofline_column(known: Peaks) -> Column:
    """The time that a kernel needs at least, in proportion to what it took."""

    def cell(event: Any) -> str:
        if not event.is_kernel or not (event.nbytes or event.flops):
            return UNKNOWN
        seconds = event.self_cpu_time_total / 1e6
        share = known.share(event.flops, event.nbytes, seconds, event.itemsize, event.count)
        return f"{100 * share:.1f}%"

    return Column("Roofline", cell)


def heading_lines(width: int, header: str | None, notes: Sequence[str]) -> list[str]:
    lines: list[str] = []
    if header is not None:
        lines.extend(["=" * width, header])
    if notes:
        lines.extend(["=" * width, *notes])
    return lines


def row_text(columns: Sequence[Column], cells: Sequence[str]) -> str:
    return "".join(
        f"{cell:>{column.width}}{SPACE}" for column, cell in zip(columns, cells, strict=True)
    )


def frame_text(event: Any, place: int, width: int) -> str:
    """A frame of an event's stack; a long one loses its start."""
    if place >= len(event.stack):
        return ""
    frame: str = event.stack[place]
    return frame if len(frame) <= width else f"...{frame[3 - width :]}"


def stack_lines(columns: Sequence[Column], event: Any, most: int) -> list[str]:
    """The frames below the first, each in a row of its own."""
    place = next((n for n, c in enumerate(columns) if c.heading == "Source Location"), -1)
    lines: list[str] = []
    for number in range(1, len(event.stack) if place >= 0 else 0):
        cells = [""] * len(columns)
        cells[place] = frame_text(event, number, columns[place].width)
        lines.append(row_text(columns, cells))
    return lines
