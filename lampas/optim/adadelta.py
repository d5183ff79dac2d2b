"""Adadelta (Zeiler, 2012)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Plan, Turn, check_lr, check_not_negative
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, plain_number


class _Options(NamedTuple):
    decay: bool
    maximize: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """v ← ρv + (1-ρ)∇²;  Δ = √(u+ε)/√(v+ε)·∇;  u ← ρu + (1-ρ)Δ²;  x ← x - lr·Δ."""
    negative_lr, rho, weight, eps, decay = numbers
    square, moved = states
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay:
        gradient = add_scaled(gradient, decay, x)
    scaled = g.multiply(g.multiply(weight, gradient), gradient)
    square = g.add(g.multiply(square, rho), scaled)
    ratio = g.divide(g.sqrt(g.add(moved, eps)), g.sqrt(g.add(square, eps)))
    delta = g.multiply(ratio, gradient)
    moved = g.add(g.multiply(moved, rho), g.multiply(g.multiply(weight, delta), delta))
    return [add_scaled(x, negative_lr, delta), square, moved]


class Adadelta(ElementwiseOptimizer):
    """Steps in the parameters' own units: running means of squared gradients and squared steps."""

    _update = Update("adadelta", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative(eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _plan(self, group: Group, turn: Turn) -> Plan:
        rho, decay = group["rho"], group["weight_decay"]
        numbers = (-plain_number(group["lr"]), rho, 1 - rho, group["eps"], decay)
        return Plan(numbers, _Options(decay != 0, group["maximize"]))
