"""Statistics of a comparison: the ratio of medians with its spread over the rounds, and means of ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median


@dataclass(frozen=True)
class Ratio:
    """How many times as long one contestant takes as another.

    `middle` is the ratio of the medians over all rounds; `lowest` and `highest` are those of single rounds.
    """

    middle: float
    lowest: float
    highest: float


def ratio_of(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Compare the times of the same rounds; above 1 means that ours are shorter.

    >>> ratio_of([4.0, 6.0, 5.0], [2.0, 2.0, 2.5])
    Ratio(middle=2.5, lowest=2.0, highest=3.0)
    """
    rounds = [other / own for other, own in zip(theirs, ours, strict=True)]
    middle = median(theirs) / median(ours)
    return Ratio(middle, min(rounds), max(rounds))


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean for ratios: that of 2 and 1/2 is 1; NaN of none."""
    return math.exp(fmean(map(math.log, ratios))) if ratios else math.nan


def difference(value: float, expected: float) -> float:
    """How far a value is from the expected one, relative to it."""
    return abs(value - expected) / max(abs(expected), 1e-30)


def digits(value: float) -> str:
    """A positive number to three digits, never in powers of ten.

    >>> digits(0.01234), digits(1.234), digits(123.4), digits(1234.5)
    ('0.0123', '1.23', '123', '1234')
    """
    if not math.isfinite(value) or value <= 0:
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{places}f}"
