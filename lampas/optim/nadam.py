"""NAdam: Adam with Nesterov momentum (Dozat, 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import lampas
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
from lampas.optim.update import Update, add_scaled, counter, lerp, plain_number


class _Options(NamedTuple):
    decay: bool
    decoupled: bool
    maximize: bool
    light: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """Adam's means; x moves by both the gradient and the mean, each with its own step size."""
    decay, beta1, weight1, beta2, weight2, correction2, eps, gradient_step, mean_step = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay and options.decoupled:
        x = g.multiply(x, decay)
    elif options.decay:
        gradient = add_scaled(gradient, decay, x)
    first = lerp(states[0], gradient, weight1, beta1, options.light)
    square = g.multiply(g.multiply(weight2, gradient), gradient)
    second = g.add(g.multiply(states[1], beta2), square)
    below = g.add(g.sqrt(g.divide(second, correction2)), eps)
    x = g.add(x, g.divide(g.multiply(gradient_step, gradient), below))
    x = g.add(x, g.divide(g.multiply(mean_step, first), below))
    return [x, first, second]


class NAdam(ElementwiseOptimizer):
    """Adam that looks ahead along the momentum. Raises ValueError for options out of range."""

    _update = Update("nadam", _rule)
    _plans_by_step = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _begin(self, parameter: Any, group: Group) -> dict[str, Any]:
        means = {name: lampas.zeros_like(parameter) for name in self._state_names(group)}
        return {"mu_product": counter(1.0), **means}

    def _plan(self, group: Group, turn: Turn) -> Plan:
        (beta1, beta2), lr = group["betas"], plain_number(group["lr"])
        weight_decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        slowing = group["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (turn.step * slowing))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((turn.step + 1) * slowing))
        product = turn.counters.scale(turn.state["mu_product"], mu)
        numbers = (
            1 - lr * weight_decay if decoupled else weight_decay,
            beta1,
            1 - beta1,
            beta2,
            1 - beta2,
            1 - beta2**turn.step,
            group["eps"],
            -lr * (1.0 - mu) / (1.0 - product),
            -lr * mu_next / (1.0 - product * mu_next),
        )
        options = _Options(weight_decay != 0, decoupled, group["maximize"], 1 - beta1 < 0.5)
        return Plan(numbers, options)
