"""Connectionist temporal classification (Graves et al., 2006).

The forward variables run over time in log space, for the whole batch at once, over the labels
interleaved with blanks. As in PyTorch, the gradient holds for log-probabilities that come from a
log-softmax: the softmax's own term, which vanishes there, is included.
"""

from __future__ import annotations

from typing import Any

from lampas.engine.tensor import Tensor, arange, cat, full, tensor, where, zeros_like

__all__ = ["ctc_loss"]

LOWEST = -1e30


def _lengths(values: Any) -> list[int]:
    if isinstance(values, Tensor):
        return [int(value) for value in values.reshape(-1).tolist()]
    return [int(value) for value in values]


def _target_rows(targets: Tensor, lengths: list[int]) -> list[list[int]]:
    """The labels of every sample, from a matrix or from one row of all."""
    values = targets.tolist()
    if targets.dim() == 2:
        return [row[:length] for row, length in zip(values, lengths)]
    rows = []
    start = 0
    for length in lengths:
        rows.append(values[start : start + length])
        start += length
    return rows


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """−log p(targets | log_probs): log_probs (T, N, C) or (T, C), targets (N, S) or (Σ lengths).

    The mean divides each loss by its target length first.
    """
    single = log_probs.dim() == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.reshape(1, -1)
    steps, batch, classes = log_probs.shape
    times, sizes = _lengths(input_lengths), _lengths(target_lengths)
    _check(steps, batch, classes, times, sizes, blank)
    rows = _target_rows(targets, sizes)
    losses = _losses(log_probs, rows, times, sizes, blank)
    losses = _with_softmax_term(losses, log_probs, times)
    if zero_infinity:
        losses = where(losses.detach() > -LOWEST / 2, zeros_like(losses), losses)
    else:
        losses = where(losses.detach() > -LOWEST / 2, losses.detach() * 0 + float("inf"), losses)
    if reduction == "mean":
        counts = tensor([max(size, 1) for size in sizes], dtype=losses.dtype)
        return (losses / counts).mean()
    if reduction == "sum":
        return losses.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return losses.squeeze(0) if single else losses


def _check(
    steps: int, batch: int, classes: int, times: list[int], sizes: list[int], blank: int
) -> None:
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if len(times) != batch:
        raise RuntimeError("input_lengths must be of size batch_size")
    if len(sizes) != batch:
        raise RuntimeError("target_lengths must be of size batch_size")
    for number, time in enumerate(times):
        if time < 0:
            raise RuntimeError(
                f"Expected input_lengths to have value at least 0, but got value {time}"
            )
        if time > steps:
            raise RuntimeError(
                f"Expected input_lengths to have value at most {steps}, but got value {time} "
                f"(while checking arguments for ctc_loss_cpu, sample {number})"
            )


def _losses(
    log_probs: Tensor, rows: list[list[int]], times: list[int], sizes: list[int], blank: int
) -> Tensor:
    batch, longest = len(rows), max([*sizes, 0])
    width = 2 * longest + 1
    labels = [[blank] * width for _ in range(batch)]
    skips = [[False] * width for _ in range(batch)]
    for number, row in enumerate(rows):
        for place, label in enumerate(row):
            labels[number][2 * place + 1] = label
            skips[number][2 * place + 1] = place > 0 and label != row[place - 1]
    index = tensor(labels)
    may_skip = tensor(skips)
    last = tensor(times)
    lowest = full((batch, 1), LOWEST, dtype=log_probs.dtype)
    places = arange(width)
    emitted = log_probs.gather(2, index.unsqueeze(0).expand(log_probs.size(0), batch, width))
    alpha = where(places.unsqueeze(0) < 2, emitted[0], zeros_like(emitted[0]) + LOWEST)
    for step in range(1, max([*times, 1])):
        alpha = _advance(alpha, emitted[step], may_skip, lowest, (last > step).unsqueeze(1))
    ends = tensor([[2 * size, max(2 * size - 1, 0)] for size in sizes])
    final = alpha.gather(1, ends)
    empty = tensor([[False, size == 0] for size in sizes])
    final = where(empty, zeros_like(final) + LOWEST, final)
    started = tensor([time > 0 for time in times])
    nothing = tensor([[0.0 if size == 0 else LOWEST] for size in sizes], dtype=final.dtype)
    total = _log_sum([final[:, 0], final[:, 1]])
    return -where(started, total, nothing.squeeze(1))


def _advance(
    alpha: Tensor, emitted: Tensor, may_skip: Tensor, lowest: Tensor, running: Tensor
) -> Tensor:
    """One time step: stay, move by one, or skip the blank between two different labels."""
    moved = _shifted(alpha, lowest, 1)
    skipped = _shifted(alpha, lowest, 2)
    skipped = where(may_skip, skipped, zeros_like(skipped) + LOWEST)
    following = _log_sum([alpha, moved, skipped]) + emitted
    return where(running, following.clamp_min(LOWEST), alpha)


def _shifted(alpha: Tensor, lowest: Tensor, amount: int) -> Tensor:
    if alpha.size(1) <= amount:
        return zeros_like(alpha) + LOWEST
    front = lowest.expand(alpha.size(0), amount)
    return cat([front, alpha[:, : alpha.size(1) - amount]], 1)


def _log_sum(values: list[Tensor]) -> Tensor:
    top = values[0].detach()
    for value in values[1:]:
        top = top.maximum(value.detach())
    total = (values[0] - top).exp()
    for value in values[1:]:
        total = total + (value - top).exp()
    return total.log() + top


def _with_softmax_term(losses: Tensor, log_probs: Tensor, times: list[int]) -> Tensor:
    """The same losses; their gradient gains exp(log_probs) at the steps in use."""
    steps = log_probs.size(0)
    valid = arange(steps).unsqueeze(1) < tensor(times).unsqueeze(0)
    mass = log_probs.exp().sum(2)
    mass = where(valid, mass, zeros_like(mass)).sum(0)
    return losses + (mass - mass.detach())
