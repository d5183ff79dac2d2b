"""RMSprop (Hinton's lecture 6e, 2012; centred form: Graves, 2013)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Plan, Turn, check_lr, check_not_negative
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, lerp, plain_number


class _Options(NamedTuple):
    momentum: bool
    centered: bool
    decay: bool
    maximize: bool
    light: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """v ← αv + (1-α)∇²;  x ← x - lr·∇ / (√(v - mean²) + ε), through a momentum buffer if wanted."""
    negative_lr, alpha, weight, eps, momentum, decay = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay:
        gradient = add_scaled(gradient, decay, x)
    scaled = g.multiply(g.multiply(weight, gradient), gradient)
    square = g.add(g.multiply(states[0], alpha), scaled)
    results = [square]
    spread = square
    if options.centered:
        mean = lerp(states[1], gradient, weight, alpha, options.light)
        spread = g.subtract(square, g.multiply(mean, mean))
        results.append(mean)
    below = g.add(g.sqrt(spread), eps)
    if not options.momentum:
        moved = g.add(x, g.divide(g.multiply(negative_lr, gradient), below))
        return [moved, *results]
    velocity = g.add(g.multiply(states[-1], momentum), g.divide(gradient, below))
    return [add_scaled(x, negative_lr, velocity), *results, velocity]


class RMSprop(ElementwiseOptimizer):
    """Steps scaled by a running mean of the squared gradient. Raises ValueError for bad options."""

    _update = Update("rmsprop", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_not_negative(eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        names = ["square_avg"]
        if group["centered"]:
            names.append("grad_avg")
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        return tuple(names)

    def _plan(self, group: Group, turn: Turn) -> Plan:
        alpha, decay = group["alpha"], group["weight_decay"]
        numbers = (
            -plain_number(group["lr"]),
            alpha,
            1 - alpha,
            group["eps"],
            group["momentum"],
            decay,
        )
        options = _Options(
            group["momentum"] > 0,
            group["centered"],
            decay != 0,
            group["maximize"],
            1 - alpha < 0.5,
        )
        return Plan(numbers, options)
