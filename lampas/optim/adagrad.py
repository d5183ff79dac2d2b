"""Adagrad (Duchi, Hazan & Singer, 2011)."""

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
    check_fused,
    check_lr,
    check_not_negative,
)
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, plain_number


class _Options(NamedTuple):
    decay: bool
    maximize: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """s ← s + ∇²;  x ← x - lr·∇ / (√s + ε)."""
    negative_lr, eps, decay = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay:
        gradient = add_scaled(gradient, decay, x)
    total = g.add(states[0], g.multiply(gradient, gradient))
    below = g.add(g.sqrt(total), eps)
    return [g.add(x, g.divide(g.multiply(negative_lr, gradient), below)), total]


class Adagrad(ElementwiseOptimizer):
    """Steps scaled by the root of the sum of all squared gradients. Raises ValueError as needed."""

    _update = Update("adagrad", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_not_negative(
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def _begin(self, parameter: Any, group: Group) -> dict[str, Any]:
        first = self.defaults["initial_accumulator_value"]
        first = complex(first, first) if parameter.is_complex() else first
        return {"sum": lampas.full_like(parameter, first)}

    def share_memory(self) -> None:
        """Moves the state to shared memory, where tensors can be shared."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["step"].share_memory_()
                state["sum"].share_memory_()

    def _plan(self, group: Group, turn: Turn) -> Plan:
        decay = group["weight_decay"]
        lr = plain_number(group["lr"]) / (1 + (turn.step - 1) * group["lr_decay"])
        return Plan((-lr, group["eps"], decay), _Options(decay != 0, group["maximize"]))
