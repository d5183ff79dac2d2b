"""Rounds of a comparison, and which of them count.

While others work, a program of as many threads as there are cores may wait for a thread that the system has put
aside: PyTorch's steps then take up to fifty times as long.  That is a matter of its own (busy.py); here such rounds
are repeated, and where the machine does not come to rest the least disturbed count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from bench.contestants import OURS
from bench.ratios import ratio_of

QUIET = 0.04  # of the cores' time: what others may take in a round that counts
ATTEMPTS = 3  # rounds at most for each that was asked for


@dataclass(frozen=True)
class Round:
    """A turn of everybody: the median step of each in seconds, and the share that others took (NaN: not known)."""

    times: dict[str, float]
    others: float

    @property
    def quiet(self) -> bool:
        return not self.others > QUIET  # where it is not known, we hope


def enough(found: Sequence[Round], count: int) -> bool:
    """Whether so many quiet rounds have been seen, or there were too many attempts."""
    return sum(each.quiet for each in found) >= count or len(found) >= ATTEMPTS * count


def summary(found: Sequence[Round], count: int) -> dict[str, Any]:
    """Medians, ratios to ours and the share of others, of those so many rounds that were disturbed least.

    A contestant that failed in one round has no time.
    """
    counted = sorted(found, key=lambda each: 0.0 if each.quiet else each.others)[:count]
    named = set.intersection(*(set(each.times) for each in found)) if found else set()
    times = {who: [each.times[who] for each in counted] for who in sorted(named)}
    return {
        "milliseconds": {who: median(own) * 1e3 for who, own in times.items()},
        "ratios": {
            who: vars(ratio_of(own, times[OURS]))
            for who, own in times.items()
            if who != OURS and OURS in times
        },
        "others": fmean(each.others for each in counted) if counted else math.nan,
    }
