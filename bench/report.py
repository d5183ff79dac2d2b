"""What the comparison prints to the terminal: times and ratios, starts, memory, checks of first values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.contestants import OURS
from bench.ratios import difference, digits, geometric_mean
from bench.workloads import Workload

TOLERANCE = 1e-3  # of first values, relative
WIDTH = 130  # where the output is no terminal


def console() -> Console:
    """A console as wide as the terminal, or wide enough for the tables."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def grid(*columns: str, title: str = "") -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    return table


def show_list(workloads: Sequence[Workload]) -> None:
    """Names and descriptions."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in workloads:
        table.add_row(each.name, each.description)
    console().print(table)


def show_results(results: dict[str, Any]) -> None:
    """Everything that was measured."""
    out, contestants = console(), results["contestants"]
    out.print(f"{results['machine']['processor']}, {results['machine']['cores']} cores")
    for name, seconds in results["imports"].items():
        out.print(f"import {name}: {seconds:.2f} s")
    for name, reason in results["left_out"].items():
        out.print(f"left out: {name}, {reason}")
    rows = results["rows"]
    if any(row["milliseconds"] for row in rows):
        out.print(times_table(rows, contestants))
    if any("starts" in row for row in rows):
        out.print(starts_table(rows))
    if any("memory" in row for row in rows):
        out.print(memory_table(rows, contestants))
    for row in rows:
        for name, message in row["errors"].items():
            out.print(f"{row['name']}, {name}: {message[:300]}")


def times_table(rows: Sequence[dict[str, Any]], contestants: Sequence[str]) -> Table:
    """Milliseconds a step of each contestant, and the others' ratios to ours with their spread."""
    theirs = [name for name in contestants if name != OURS]
    heads = [f"{name} ms" for name in contestants] + [f"{name} / {OURS}" for name in theirs]
    table = grid("workload", *heads, "others took")
    for row in rows:
        times = [row["milliseconds"].get(name) for name in contestants]
        cells = ["–" if value is None else digits(value) for value in times]
        for name in theirs:
            found = row["ratios"].get(name)
            cells.append("–" if found is None else spread(found))
        table.add_row(row["name"], *cells, f"{row['others']:.0%}")
    means = []
    for name in theirs:
        known = [row["ratios"][name]["middle"] for row in rows if name in row["ratios"]]
        means.append(f"{geometric_mean(known):.2f} of {len(known)}")
    if rows and theirs:
        table.add_row("geometric mean", *[""] * len(contestants), *means)
    return table


def spread(ratio: dict[str, float]) -> str:
    return f"{ratio['middle']:.2f} ({ratio['lowest']:.2f} – {ratio['highest']:.2f})"


def starts_table(rows: Sequence[dict[str, Any]]) -> Table:
    """First steps from cold and warm caches, and what changed sizes compile."""
    table = grid(
        "workload",
        "contestant",
        "cold first s",
        "preparing s",
        "kernels",
        "warm first s",
        "preparing s",
        "other batch: kernels, s",
        "other size: kernels, s",
        title="\nfirst steps",
    )
    for row in rows:
        for name, found in row.get("starts", {}).items():
            if "error" in found:
                table.add_row(row["name"], name, found["error"][:40])
                continue
            cells = start_cells(found["cold"])
            cells.append(str(found["cold"]["kernels"]))
            cells += start_cells(found.get("warm"))
            for what in ("batch", "extent"):
                other = found["changed"].get(what)
                cells.append(
                    "" if other is None else f"{other['kernels']}, {digits(other['first'])}"
                )
            table.add_row(row["name"], name, *cells)
    return table


def start_cells(found: dict[str, Any] | None) -> list[str]:
    """Seconds of the first step, and of preparation in the first five."""
    return ["", ""] if found is None else [digits(found["first"]), digits(found["preparing"])]


def memory_table(rows: Sequence[dict[str, Any]], contestants: Sequence[str]) -> Table:
    """MiB of the process, and over what the import took."""
    heads = [f"{name} {what}" for what in ("MiB", "growth") for name in contestants]
    table = grid("workload", *heads, title="\nmemory at most")
    for row in rows:
        known = row.get("memory", {})
        found = [known.get(n, {}).get(what) for what in ("peak", "growth") for n in contestants]
        table.add_row(row["name"], *("–" if value is None else f"{value:.0f}" for value in found))
    return table


def show_checks(rows: Sequence[dict[str, Any]]) -> int:
    """First values beside one another; how many differ or failed."""
    table, bad = grid("workload", "torch", OURS, "difference", ""), 0
    for row in rows:
        theirs, own = row["values"].get("torch"), row["values"].get(OURS)
        if theirs is None or own is None:
            remark = "; ".join(f"{name}: {text}" for name, text in row["errors"].items())
            table.add_row(row["name"], f"{theirs}", f"{own}", "", remark or "not installed")
            bad += bool(row["errors"])
            continue
        far = difference(own, theirs)
        bad += far > TOLERANCE
        remark = "" if far <= TOLERANCE else "DIFFERENT"
        table.add_row(row["name"], f"{theirs:.6f}", f"{own:.6f}", f"{far:.1e}", remark)
    console().print(table)
    return bad
