"""Resident memory of this process, now and at its most, from Linux's /proc; NaN elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def resident() -> float:
    """MiB in memory now."""
    return entry("VmRSS")


def peak() -> float:
    """MiB in memory at most since the process began, or since `reset_peak`."""
    return entry("VmHWM")


def reset_peak() -> None:
    """Let the peak start from what is in memory now, where the system allows it."""
    try:
        CLEAR.write_text("5")  # proc(5): resets the peak resident set size
    except OSError:
        pass  # then the peak covers the import too, which for both libraries is less than a workload


def entry(name: str) -> float:
    """One line of the status file, in MiB."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return math.nan
    found = [line.split()[1] for line in lines if line.startswith(name + ":")]
    return int(found[0]) / 1024 if found else math.nan
