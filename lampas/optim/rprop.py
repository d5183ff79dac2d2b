"""Rprop: resilient backpropagation (Riedmiller & Braun, 1993; the variant without backtracking)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import lampas
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Plan, Turn, check_lr
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, plain_number


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], maximize: bool
) -> list[Node]:
    """Step sizes grow while the gradient keeps its sign and shrink when it turns."""
    shrink, grow, smallest, largest = numbers
    before, size = states
    if maximize:
        gradient = g.negative(gradient)
    zero, one = g.like(x, 0), g.like(x, 1)
    agreement = g.multiply(gradient, before)
    turned = g.less(agreement, zero)
    factor = g.where(g.greater(agreement, zero), grow, g.where(turned, shrink, one))
    size = g.minimum(g.maximum(g.multiply(size, factor), smallest), largest)
    gradient = g.where(turned, zero, gradient)
    return [g.subtract(x, g.multiply(g.sign(gradient), size)), gradient, size]


class Rprop(ElementwiseOptimizer):
    """Steps by the gradient's sign only, each element with its own step size (full batches)."""

    _update = Update("rprop", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _begin(self, parameter: Any, group: Group) -> dict[str, Any]:
        lr = plain_number(group["lr"])
        first = complex(lr, lr) if parameter.is_complex() else lr
        return {
            "prev": lampas.zeros_like(parameter),
            "step_size": lampas.full_like(parameter, first),
        }

    def _plan(self, group: Group, turn: Turn) -> Plan:
        return Plan((*group["etas"], *group["step_sizes"]), group["maximize"])
