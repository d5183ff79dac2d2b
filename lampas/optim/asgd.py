"""ASGD: averaged stochastic gradient descent (Polyak & Juditsky, 1992)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import lampas
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Plan, Turn, check_lr, check_not_negative
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, counter, plain_number


class _Options(NamedTuple):
    decay: bool
    maximize: bool
    averaging: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """x ← (1 - λη)·x - η·∇;  average ← average + μ·(x - average)."""
    shrink, negative_eta, mu, decay = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay:
        gradient = add_scaled(gradient, decay, x)
    x = add_scaled(g.multiply(x, shrink), negative_eta, gradient)
    if not options.averaging:
        return [x, x]
    average = states[0]
    return [x, g.add(average, g.multiply(g.subtract(x, average), mu))]


class ASGD(ElementwiseOptimizer):
    """Gradient descent with a decaying step that keeps the parameters' average in `ax`."""

    _update = Update("asgd", _rule)
    _plans_by_step = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("ax",)

    def _begin(self, parameter: Any, group: Group) -> dict[str, Any]:
        eta = counter(plain_number(group["lr"]))
        return {"eta": eta, "mu": counter(1.0), "ax": lampas.zeros_like(parameter)}

    def _plan(self, group: Group, turn: Turn) -> Plan:
        state, counters = turn.state, turn.counters
        eta, mu = counters.read(state["eta"]), counters.read(state["mu"])
        lambd, lr, decay = group["lambd"], plain_number(group["lr"]), group["weight_decay"]
        counters.write(state["eta"], lr / (1 + lambd * lr * turn.step) ** group["alpha"])
        counters.write(state["mu"], 1 / max(1, turn.step - group["t0"]))
        numbers = (1 - lambd * eta, -eta, mu, decay)
        return Plan(numbers, _Options(decay != 0, group["maximize"], mu != 1))
