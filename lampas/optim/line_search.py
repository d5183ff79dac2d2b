"""A line search for the strong Wolfe conditions (Nocedal & Wright, Numerical Optimization, 3.5-3.6).

First a bracket is grown until it holds a good step, then it is cut by cubic interpolation. Slopes are
NumPy scalars of the parameters' dtype: arithmetic and comparisons round as they would on tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

_DECREASE = 1e-4
_CURVATURE = 0.9


class Point(NamedTuple):
    """A step along the direction: the loss there, the gradient, and its slope."""

    step: Any
    loss: float
    gradient: Any
    slope: Any


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points and slopes is least, kept inside `bounds`."""
    low, high = bounds or (min(a.step, b.step), max(a.step, b.step))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
    square = d1**2 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if a.step <= b.step:
        ratio = (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
        least = b.step - (b.step - a.step) * ratio
    else:
        ratio = (a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2)
        least = a.step - (a.step - b.step) * ratio
    return min(max(least, low), high)


class StrongWolfe:
    """Searches from `start` (step 0). `evaluate(step)` gives (loss, gradient, slope)."""

    def __init__(
        self,
        evaluate: Callable[[float], tuple[float, Any, float]],
        start: Point,
        reach: float,
        tolerance: float = 1e-9,
        limit: int = 25,
    ) -> None:
        self.evaluate = evaluate
        self.start = start
        self.reach = reach
        self.tolerance = tolerance
        self.limit = limit
        self.evaluations = 0
        self.rounds = 0

    def _at(self, step: float) -> Point:
        self.evaluations += 1
        return Point(step, *self.evaluate(step))

    def _too_high(self, point: Point) -> bool:
        start = self.start
        return point.loss > start.loss + _DECREASE * point.step * start.slope

    def _is_flat(self, point: Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * self.start.slope

    def search(self, step: float) -> Point:
        """The best point found; `evaluations` says what it cost."""
        bracket = self._bracket(step)
        return bracket[0] if len(bracket) == 1 else self._zoom(bracket)

    def _bracket(self, step: float) -> list[Point]:
        before, now = self.start, self._at(step)
        while self.rounds < self.limit:
            if self._too_high(now) or (self.rounds > 1 and now.loss >= before.loss):
                return [before, now]
            if self._is_flat(now):
                return [now]
            if now.slope >= 0:
                return [before, now]
            bounds = (now.step + 0.01 * (now.step - before.step), now.step * 10)
            before, now = now, self._at(cubic_minimum(before, now, bounds))
            self.rounds += 1
        return [self.start, now]

    def _zoom(self, bracket: list[Point]) -> Point:
        points = list(bracket)
        low = _lower(points)
        stalled = False
        while self.rounds < self.limit:
            high = 1 - low
            if abs(points[1].step - points[0].step) * self.reach < self.tolerance:
                break
            step, stalled = self._trial(points[0], points[1], stalled)
            now = self._at(step)
            self.rounds += 1
            if self._too_high(now) or now.loss >= points[low].loss:
                points[high] = now
                low = _lower(points)
                continue
            if self._is_flat(now):
                return now
            if now.slope * (points[high].step - points[low].step) >= 0:
                points[high] = points[low]
            points[low] = now
        return points[low]

    @staticmethod
    def _trial(a: Point, b: Point, stalled: bool) -> tuple[float, bool]:
        """A step inside the bracket; one that stays near an end twice is moved a tenth inwards."""
        left, right = min(a.step, b.step), max(a.step, b.step)
        step = cubic_minimum(a, b)
        margin = 0.1 * (right - left)
        if min(right - step, step - left) >= margin:
            return step, False
        if not stalled and left < step < right:
            return step, True
        nearer_right = abs(step - right) < abs(step - left)
        return (right - margin if nearer_right else left + margin), False


def _lower(points: list[Point]) -> int:
    """Which of two points has the smaller loss; the first of equal ones."""
    return 0 if points[0].loss <= points[1].loss else 1
