"""Connectionist temporal classification (Graves et al., 2006): arguments, reduction, and the tape.

`engine.host.alignment` computes losses and derivatives in one pass. The loss can be derived twice.
"""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import float32, float64, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.host.alignment import align, curvature, states_of
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.core import should_record
from lampas.engine.tensor.door import record
from lampas.engine.tensor.values import tensor_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]

__all__ = ["ctc_loss"]


@host_function("ctc_loss")
def _losses(
    scores: np.ndarray,
    labels: np.ndarray,
    times: np.ndarray,
    sizes: np.ndarray,
    blank: int,
    forgives: bool,
    wants_gradient: bool,
) -> tuple[np.ndarray, ...]:
    """Losses and, if wanted, the gradients of each; infinite ones count as nothing if forgiven."""
    states = states_of(labels, times, sizes, blank, scores.shape[2])
    losses, gradient = align(scores, states, wants_gradient)
    if forgives:
        infinite = np.isinf(losses)
        losses[infinite] = 0
        if gradient is not None:
            gradient[:, infinite] = 0
    return (losses,) if gradient is None else (losses, gradient)


@host_function("ctc_loss_curvature")
def _curvature(
    scores: np.ndarray,
    labels: np.ndarray,
    times: np.ndarray,
    sizes: np.ndarray,
    change: np.ndarray,
    blank: int,
) -> np.ndarray:
    return curvature(scores, states_of(labels, times, sizes, blank, scores.shape[2]), change)


@host_vjp("ctc_loss")
def _losses_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> Grads:
    flow: Node | None = None
    if cts[0] is not None:
        flow = _along_samples(outputs[1], cts[0])
    if len(cts) > 1 and cts[1] is not None:
        kind = ((inputs[0].shape, inputs[0].dtype),)
        moved = g.host("ctc_loss_curvature", (*inputs, cts[1]), kind, parameters[:1])[0]
        flow = moved if flow is None else g.add(flow, moved)
    return (flow, None, None, None)


def _along_samples(gradient: Node, flow: Node) -> Node:
    """(T, N, C) times (N,)."""
    return g.multiply(gradient, g.reshape(flow, (1, flow.shape[0], 1)))


def _forward(*arguments: Any) -> tuple[Node, ...]:
    *nodes, blank, forgives, wants_gradient = arguments
    scores: Node = nodes[0]
    results = [((scores.shape[1],), scores.dtype), (scores.shape, scores.dtype)]
    kept = results if wants_gradient else results[:1]
    return g.host("ctc_loss", nodes, kept, (blank, forgives, wants_gradient))


def _vjp(saved: Saved, flow: Node | None, _: Node | None = None) -> Grads:
    if flow is None:
        return (None, None, None, None)
    return (_along_samples(saved.outputs[1], flow), None, None, None)


CTC_LOSS = Operation("ctc_loss", _forward, vjp=_vjp, multiple=True)


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
    times, sizes = _lengths(input_lengths), _lengths(target_lengths)
    _check(log_probs, times, sizes, blank)
    _check_targets(targets, sizes)
    inputs = (log_probs, targets.long(), tensor_of(times, int64), tensor_of(sizes, int64))
    attributes = (blank, bool(zero_infinity), should_record(log_probs))
    losses: Tensor = record(CTC_LOSS, inputs, attributes)[0]
    if reduction == "mean":
        counts = tensor_of([max(size, 1) for size in sizes], losses.dtype)
        return (losses / counts).mean()
    if reduction == "sum":
        return losses.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return losses.squeeze(0) if single else losses


def _lengths(values: Any) -> list[int]:
    if isinstance(values, Tensor):
        return [int(value) for value in values.reshape(-1).tolist()]
    return [int(value) for value in values]


def _check(log_probs: Tensor, times: list[int], sizes: list[int], blank: int) -> None:
    steps, batch, classes = log_probs.shape
    if log_probs.dtype not in (float32, float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{log_probs.dtype.title}'")
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if len(times) != batch:
        raise RuntimeError("input_lengths must be of size batch_size")
    if len(sizes) != batch:
        raise RuntimeError("target_lengths must be of size batch_size")
    for name, lengths in (("input_lengths", times), ("target_lengths", sizes)):
        for length in lengths:
            if length < 0:
                raise RuntimeError(
                    f"Expected {name} to have value at least 0, but got value {length}"
                )
    for number, time in enumerate(times):
        if time > steps:
            raise RuntimeError(
                f"Expected input_lengths to have value at most {steps}, but got value {time} "
                f"(while checking arguments for ctc_loss_cpu, sample {number})"
            )


def _check_targets(targets: Tensor, sizes: list[int]) -> None:
    where = "for argument #2 'targets' (while checking arguments for ctc_loss_cpu)"
    if targets.dim() not in (1, 2):
        raise RuntimeError(
            f"Expected 1 to 2 dimensions, but got {targets.dim()}-dimensional tensor {where}"
        )
    if targets.dim() == 1 and targets.size(0) != sum(sizes):
        raise RuntimeError(
            f"Expected tensor to have size {sum(sizes)} at dimension 0, but got size "
            f"{targets.size(0)} {where}"
        )
    longest = max([*sizes, 0])
    if targets.dim() == 2 and targets.size(1) < longest:
        raise RuntimeError(
            f"Expected tensor to have size at least {longest} at dimension 1, but got size "
            f"{targets.size(1)} {where}"
        )
