"""Adafactor: a factored second moment (Shazeer & Stern, 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import lampas
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Plan, Turn, check_lr
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, plain_number


class _Options(NamedTuple):
    decay: bool
    maximize: bool
    own_eps: bool
    light: bool


def _all_dims(x: Node) -> tuple[int, ...]:
    return tuple(range(len(x.shape)))


def _norm(x: Node) -> Node:
    """The Euclidean norm, 0-d."""
    total = g.sum_dims(g.multiply(x, x), _all_dims(x))
    return g.sqrt(g.reshape(total, ()))


def _mean_square(x: Node, dim: int) -> Node:
    total = g.sum_dims(g.multiply(x, x), (dim % len(x.shape),))
    return g.divide(total, g.like(x, x.shape[dim]))


def _mean(x: Node, dim: int) -> Node:
    return g.divide(g.sum_dims(x, (dim % len(x.shape),)), g.like(x, x.shape[dim]))


def _blend(a: Node, b: Node, weight: Node, light: bool) -> Node:
    step = g.subtract(b, a)
    if light:
        return g.add(a, g.multiply(weight, step))
    return g.subtract(b, g.multiply(step, g.subtract(g.like(weight, 1), weight)))


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """Step and clip relative to the size of the parameters; rows and columns keep the variance."""
    weight, rho, eps1, eps2, clip, shrink = numbers
    if not options.own_eps:
        eps1 = g.like(x, lampas.finfo(x.dtype).eps)
    if options.maximize:
        gradient = g.negative(gradient)
    root_count = g.like(x, max(x.numel, 1) ** 0.5)
    step = g.multiply(g.maximum(eps2, g.divide(_norm(x), root_count)), rho)
    if options.decay:
        x = g.multiply(x, shrink)
    if len(gradient.shape) > 1:
        rows = _blend(states[0], _mean_square(gradient, -1), weight, options.light)
        columns = _blend(states[1], _mean_square(gradient, -2), weight, options.light)
        new_states = [rows, columns]
        # An outer product of a column and a row, by broadcasting.
        variance = g.divide(g.multiply(rows, columns), g.maximum(_mean(rows, -2), eps1))
    else:
        variance = _blend(states[0], g.multiply(gradient, gradient), weight, options.light)
        new_states = [variance]
    move = g.multiply(g.rsqrt(g.maximum(variance, g.multiply(eps1, eps1))), gradient)
    size = g.divide(_norm(move), g.multiply(root_count, clip))
    below = g.maximum(g.like(x, 1), size)
    return [g.subtract(x, g.multiply(g.divide(step, below), move)), *new_states]


class Adafactor(ElementwiseOptimizer):
    """Adam-like steps with a row and a column of state for a matrix. Raises ValueError as needed."""

    _update = Update("adafactor", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update_group(self, group: Group) -> None:
        """Matrices and vectors keep different states: each kind is updated by itself."""
        parameters = group["params"]
        for matrices in (True, False):
            chosen = [item for item in parameters if (item.dim() > 1) == matrices]
            super()._update_group({**group, "params": chosen, "matrices": matrices})

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("row_var", "col_var") if group["matrices"] else ("variance",)

    def _begin(self, parameter: Any, group: Group) -> dict[str, Any]:
        if parameter.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        if not group["matrices"]:
            return {"variance": lampas.zeros_like(parameter)}
        *lead, rows, columns = parameter.shape
        kind = parameter.dtype
        return {
            "row_var": lampas.zeros((*lead, rows, 1), dtype=kind, device=parameter.device),
            "col_var": lampas.zeros((*lead, 1, columns), dtype=kind, device=parameter.device),
        }

    def _plan(self, group: Group, turn: Turn) -> Plan:
        lr, decay = plain_number(group["lr"]), group["weight_decay"]
        eps1, eps2 = group["eps"]
        weight = turn.step ** group["beta2_decay"]
        rho = min(lr, 1 / turn.step**0.5)
        numbers = (weight, rho, eps1 or 0.0, eps2, group["d"], 1 - lr * decay)
        options = _Options(decay != 0, group["maximize"], eps1 is not None, weight < 0.5)
        return Plan(numbers, options)
