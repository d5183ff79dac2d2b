"""RAdam: Adam with rectified variance (Liu et al., 2020)."""

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
    decoupled: bool
    maximize: bool
    light: bool
    rectified: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """Adam's means; the step is scaled by the variance only once enough of it is known."""
    decay, beta1, weight1, beta2, weight2, correction1, lr, root_correction, eps, rect = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay and options.decoupled:
        x = g.multiply(x, decay)
    elif options.decay:
        gradient = add_scaled(gradient, decay, x)
    first = lerp(states[0], gradient, weight1, beta1, options.light)
    square = g.multiply(g.multiply(weight2, gradient), gradient)
    second = g.add(g.multiply(states[1], beta2), square)
    move = g.multiply(g.divide(first, correction1), lr)
    if options.rectified:
        adaptive = g.divide(root_correction, g.add(g.sqrt(second), eps))
        move = g.multiply(g.multiply(move, adaptive), rect)
    return [g.subtract(x, move), first, second]


class RAdam(ElementwiseOptimizer):
    """Adam without its need of a warm-up. Raises ValueError for options out of range."""

    _update = Update("radam", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
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
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _plan(self, group: Group, turn: Turn) -> Plan:
        (beta1, beta2), lr = group["betas"], plain_number(group["lr"])
        weight_decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        correction2 = 1 - beta2**turn.step
        rect = _rectification(beta2, turn.step, correction2)
        numbers = (
            1 - lr * weight_decay if decoupled else weight_decay,
            beta1,
            1 - beta1,
            beta2,
            1 - beta2,
            1 - beta1**turn.step,
            lr,
            correction2**0.5,
            group["eps"],
            rect,
        )
        light = 1 - beta1 < 0.5
        options = _Options(weight_decay != 0, decoupled, group["maximize"], light, rect != 0)
        return Plan(numbers, options)


def _rectification(beta2: float, step: float, correction2: float) -> float:
    """r_t of the paper's algorithm 2; 0 while the length of the mean is at most 5."""
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / correction2
    if length <= 5.0:
        return 0.0
    above = (length - 4) * (length - 2) * longest
    return (above / ((longest - 4) * (longest - 2) * length)) ** 0.5
