"""Adamax: Adam with the infinity norm (Kingma & Ba, 2015, §7.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import (
    ElementwiseOptimizer,
    Plan,
    Turn,
    check_betas,
    check_lr,
    check_not_negative,
)
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, lerp, plain_number


class _Options(NamedTuple):
    decay: bool
    maximize: bool
    light: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """m ← lerp(m, ∇, 1-β₁);  u ← max(β₂u, |∇| + ε);  x ← x - lr/(1-β₁ᵗ)·m/u."""
    negative_step, beta1, weight1, beta2, eps, decay = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay:
        gradient = add_scaled(gradient, decay, x)
    mean = lerp(states[0], gradient, weight1, beta1, options.light)
    norm = g.maximum(g.multiply(states[1], beta2), g.add(g.absolute(gradient), eps))
    return [g.add(x, g.divide(g.multiply(negative_step, mean), norm)), mean, norm]


class Adamax(ElementwiseOptimizer):
    """Steps scaled by a decaying maximum of the gradient. Raises ValueError for bad options."""

    _update = Update("adamax", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _plan(self, group: Group, turn: Turn) -> Plan:
        beta1, beta2 = group["betas"]
        decay = group["weight_decay"]
        step_size = plain_number(group["lr"]) / (1 - beta1**turn.step)
        numbers = (-step_size, beta1, 1 - beta1, beta2, group["eps"], decay)
        return Plan(numbers, _Options(decay != 0, group["maximize"], 1 - beta1 < 0.5))
