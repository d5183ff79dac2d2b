"""The report of `lampas.explain`: a row for each time that values were computed, and what was compiled then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lampas.compiler.frames import Place

HEADINGS = ("#", "where", "why", "values", "operations", "plan", "ran on", "ms")
MS = 1e6  # nanoseconds


@dataclass(slots=True)
class Compilation:
    """A structure that was compiled: how long it took, into how many kernel calls, and what made it another one."""

    nanoseconds: int = 0
    kernels: int = 0
    fresh_kernels: int = 0
    diverged: str = ""

    def __str__(self) -> str:
        fresh = (
            f"machine code made for {self.fresh_kernels}"
            if self.fresh_kernels
            else "no new machine code"
        )
        calls = "1 kernel" if self.kernels == 1 else f"{self.kernels} kernels"
        text = f"compiled in {self.nanoseconds / MS:.1f} ms: {calls}, {fresh}"
        return f"{text}; {self.diverged}" if self.diverged else text


@dataclass(slots=True)
class Flush:
    """One time that values were computed.

    `plan` is "new" for a structure that was not met before, "known" for one that was, and "followed" for one that
    came after the one before it, as it did last time (nothing is numbered or looked up then).
    """

    place: Place
    values: int
    operations: int = 0
    plan: str = "known"
    tier: str = ""
    nanoseconds: int = 0
    diverged: str = ""
    compilation: Compilation | None = None

    def row(self, number: int) -> tuple[str, ...]:
        """The cells of the table."""
        took = f"{self.nanoseconds / MS:.2f}"
        place = self.place
        numbers = str(self.values), str(self.operations)
        return str(number), place.where, place.why, *numbers, self.plan, self.tier, took

    def notes(self) -> list[str]:
        """What stands under the row."""
        if self.compilation is not None:
            return [str(self.compilation)]
        return [self.diverged] if self.diverged else []


@dataclass(slots=True, repr=False)
class Report:
    """What happened inside `lampas.explain`; `result` is what the function returned, `calls` tells of compiled ones."""

    flushes: list[Flush] = field(default_factory=list)
    result: Any = None
    calls: list[str] = field(default_factory=list)

    @property
    def compilations(self) -> list[Compilation]:
        """What was compiled, in order."""
        return [flush.compilation for flush in self.flushes if flush.compilation is not None]

    def totals(self) -> str:
        """The last line."""
        compiled = self.compilations
        plans = [flush.plan for flush in self.flushes]
        spent = sum(one.nanoseconds for one in compiled) / MS
        took = sum(flush.nanoseconds for flush in self.flushes) / MS
        return (
            f"{len(plans)} flushes in {took:.1f} ms: {plans.count('new')} new structures, {plans.count('known')} known, "
            f"{plans.count('followed')} followed; {len(compiled)} compiled in {spent:.1f} ms"
        )

    def __repr__(self) -> str:
        if not self.flushes:
            return "lampas.explain: no value was computed"
        rows = [HEADINGS, *(flush.row(n) for n, flush in enumerate(self.flushes, 1))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines: list[str] = []
        for number, row in enumerate(rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  ".join(cells).rstrip())
            notes = self.flushes[number - 1].notes() if number else ["-" * (sum(widths) + 14)]
            lines += [f"   └ {note}" if number else note for note in notes]
        return "\n".join([*lines, self.totals(), *self.calls])
