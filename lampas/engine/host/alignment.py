"""The probability of labels whose places in time are unknown: connectionist temporal classification.

Graves et al. (2006): with a blank before, between and behind the labels an alignment stays in its
state, moves to the next, or skips a blank between two different labels. The logarithms of the sums
over all beginnings and all endings of alignments give the losses and, in the same pass, their
derivatives by the scores. As in PyTorch these hold for scores that come from a log-softmax: its own
term, which vanishes there, is included. Compiled code walks one sequence after the other; small work
and `LAMPAS_TIER=reference` take NumPy, which walks all at once.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

import numpy as np

from lampas.engine.host.alignment_kernel import BEFORE, LOWEST, alignment_kernel, row_size
from lampas.engine.host.shares import in_shares
from lampas.engine.settings import settings

Array = np.ndarray
ENOUGH: Final = 1 << 12  # states times steps from which on compiled code is worth its making
WEIGHT: Final = 4  # a state takes as long as so many elements of what `in_shares` was measured with


@final
class States(NamedTuple):
    """What the sequences are aligned with: (N, S) labels with blanks, `skips` 0 or LOWEST."""

    labels: Array
    skips: Array
    times: Array
    widths: Array

    def used(self, steps: int) -> Array:
        """(T, N): whether a step belongs to its sequence."""
        return np.arange(steps)[:, None] < self.times


def states_of(labels: Array, times: Array, sizes: Array, blank: int, classes: int) -> States:
    """States from (N, S) labels, or from those of all sequences in one row.

    Raises IndexError for a label that is no class.
    """
    longest = int(sizes.max(initial=0))
    places = np.arange(longest)
    inside = places < sizes[:, None]
    rows = np.full((len(sizes), longest), blank, np.int64)
    rows[inside] = labels[:, :longest][inside] if labels.ndim == 2 else labels[: int(sizes.sum())]
    wrong = (rows < 0) | (rows >= classes)
    if wrong.any():
        raise IndexError(
            f"ctc_loss: target {rows[wrong][0]} is out of bounds for {classes} classes"
        )
    every = np.full((len(sizes), 2 * longest + 1), blank, np.int64)
    every[:, 1::2] = rows
    skips = np.full(every.shape, LOWEST)
    skips[:, 3::2][rows[:, 1:] != rows[:, :-1]] = 0
    return States(every, skips, times, 2 * sizes + 1)


def align(scores: Array, states: States, wants_gradient: bool) -> tuple[Array, Array | None]:
    """Losses (N,), infinite where no alignment fits, and derivatives by the scores (T, N, C)."""
    steps = len(scores)
    losses = np.where(states.widths == 1, 0.0, np.inf).astype(scores.dtype)  # of no steps
    gradient = None
    if wants_gradient:
        gradient = np.exp(scores)
        if (states.times < steps).any():
            gradient[~states.used(steps)] = 0
    if settings.tier == "reference" or steps * states.labels.size < ENOUGH:
        endless, shares = _align_plainly(scores, states)
        np.copyto(losses, endless, where=states.times > 0)
        if gradient is not None:
            gradient -= _by_label(shares, states, scores.shape[2])
    else:
        _align_compiled(np.ascontiguousarray(scores), states, losses, gradient)
    finite = losses < -LOWEST / 2
    losses[losses >= -LOWEST / 2] = np.inf
    if gradient is not None and not finite.all():
        gradient[states.used(steps) & ~finite] = np.nan
    return losses, gradient


def _align_compiled(scores: Array, states: States, losses: Array, gradient: Array | None) -> None:
    """One sequence after the other; a share of them has memory of its own."""
    steps, batch, classes = scores.shape
    kind, size = scores.dtype.str[1:], scores.dtype.itemsize
    row = row_size(states.labels.shape[1])
    skips = np.full((batch, row), LOWEST, scores.dtype)
    skips[:, BEFORE : BEFORE + states.skips.shape[1]] = states.skips
    forwards, backwards = alignment_kernel("forwards", kind), alignment_kernel("backwards", kind)
    given = [each.ctypes.data for each in (scores, states.labels, skips, losses)]
    strides = (classes * size, states.labels.strides[0], row * size, size)
    times, widths = states.times.tolist(), states.widths.tolist()
    target = 0 if gradient is None else gradient.ctypes.data

    def work(start: int, stop: int) -> None:
        memory = np.full((2 * steps + 3, row), LOWEST, scores.dtype)
        emitted = memory.ctypes.data
        sums = emitted + steps * row * size
        endings = sums + steps * row * size
        for number in range(start, stop):
            if not times[number]:
                continue
            source, *states_given, loss = (
                base + number * stride for base, stride in zip(given, strides, strict=True)
            )
            sizes = (batch * classes, times[number], widths[number], row)
            forwards(source, *states_given, emitted, sums, loss, *sizes)
            if target and losses[number] < -LOWEST / 2:
                own = target + number * classes * size
                backwards(*states_given, emitted, sums, loss, endings, own, *sizes)

    in_shares(work, batch, WEIGHT * steps * states.labels.shape[1])


def _align_plainly(scores: Array, states: States) -> tuple[Array, Array]:
    """Losses (N,), and the share (T, N, S) of each state in all alignments."""
    walk = _Walk(scores, states)
    losses = -walk.ends()[0]
    shares = np.exp(walk.beginnings + walk.emitted + walk.endings + losses[:, None])
    return losses, np.where(states.used(len(scores))[..., None], shares, 0)


def _by_label(shares: Array, states: States, classes: int) -> Array:
    """The sums (T, N, C) of the shares of states with equal labels."""
    steps, batch = shares.shape[:2]
    places = np.arange(steps * batch).reshape(steps, batch, 1) * classes + states.labels
    count = steps * batch * classes
    found = np.bincount(places.reshape(-1), shares.reshape(-1), count)[:count]
    return found.reshape(steps, batch, classes).astype(shares.dtype)


def curvature(scores: Array, states: States, change: Array) -> Array:
    """How the gradient moves as the scores move by `change`; as it is symmetric, its pullback too."""
    walk = _Walk(scores, states, change)
    total, moved = walk.ends()
    shares = np.exp(walk.beginnings + walk.emitted + walk.endings - total[:, None])
    moves = walk.beginning_moves + walk.moved + walk.ending_moves - moved[:, None]
    used = states.used(len(scores))
    of_states = np.where(used[..., None], shares * moves, 0)
    result = np.exp(scores) * change - _by_label(of_states, states, scores.shape[2])
    return np.where((used & (total > LOWEST / 2))[..., None], result, 0)


class _Walk:
    """The logarithms of sums over beginnings and endings at (T, N, S), the state's own score left out.

    With a `change` of the scores, also how they move.
    """

    def __init__(self, scores: Array, states: States, change: Array | None = None) -> None:
        width = states.labels.shape[1]
        self.states = states
        self.emitted = np.take_along_axis(scores, states.labels[None], 2)
        self.moved = (
            np.zeros_like(self.emitted)
            if change is None
            else np.take_along_axis(change, states.labels[None], 2)
        )
        behind = states.widths[:, None] - np.arange(width)
        skips = states.skips.astype(scores.dtype)
        turned = np.full_like(skips, LOWEST)
        turned[:, 2:] = skips[:, :1:-1]
        steps = np.arange(len(scores))[:, None]
        first = np.broadcast_to(np.arange(width) < 2, behind.shape)
        last = (behind > 0) & (behind <= 2)
        back = (slice(None, None, -1), slice(None), slice(None, None, -1))
        self.beginnings, self.beginning_moves = _summed(
            self.emitted, self.moved, skips, first, steps < 1
        )
        self.endings, self.ending_moves = (
            each[back]
            for each in _summed(
                self.emitted[back],
                self.moved[back],
                turned,
                last[:, ::-1],
                (steps >= states.times - 1)[::-1],
            )
        )

    def ends(self) -> tuple[Array, Array]:
        """The logarithm of the sum over all alignments, and how it moves."""
        rows = np.arange(len(self.states.times))
        time = np.maximum(self.states.times - 1, 0)
        places = np.stack([self.states.widths - 1, np.maximum(self.states.widths - 2, 0)])
        values = self.beginnings[time, rows, places] + self.emitted[time, rows, places]
        values[1, self.states.widths == 1] = LOWEST
        total, weights = _log_sum(values)
        moves = self.beginning_moves[time, rows, places] + self.moved[time, rows, places]
        return total, (weights * moves).sum(0)


def _log_sum(values: Array) -> tuple[Array, Array]:
    """The logarithm of the sum of exponentials along the first dimension, and the terms' weights."""
    top = values.max(0, initial=LOWEST)
    terms = np.exp(values - top)
    total = terms.sum(0)
    return np.maximum(np.log(total) + top, LOWEST), terms / total


def _summed(
    emitted: Array, moved: Array, skips: Array, start: Array, starts: Array
) -> tuple[Array, Array]:
    """Walk the steps; where `starts` (T, N) holds, the states `start` (N, S) have the probability 1."""
    first = np.where(start, 0, LOWEST).astype(emitted.dtype)
    sums, moves = np.empty_like(emitted), np.zeros_like(emitted)
    options = np.full((3, *first.shape), LOWEST, emitted.dtype)
    changes = np.zeros_like(options)
    for step in range(len(emitted)):
        if step:
            for number in range(3):
                stop = first.shape[1] - number
                source = sums[step - 1, :, :stop], emitted[step - 1, :, :stop]
                options[number, :, number:] = np.maximum(np.add(*source), LOWEST)
                changes[number, :, number:] = (moves + moved)[step - 1, :, :stop]
            options[2] += skips
            total, weights = _log_sum(options)
            begun = starts[step][:, None]
            sums[step] = np.where(begun, first, total)
            moves[step] = np.where(begun, 0, (weights * changes).sum(0))
        else:
            sums[step] = first
    return sums, moves
