"""Adam (Kingma & Ba, 2015) and AMSGrad (Reddi et al., 2018); AdamW stands in `adamw.py`."""

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
    check_fused,
    check_lr,
    check_not_negative,
)
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, lerp, plain_number


class _Options(NamedTuple):
    amsgrad: bool
    decay: bool
    decoupled: bool
    maximize: bool
    light: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """m ← lerp(m, ∇, 1-β₁);  v ← β₂v + (1-β₂)∇²;  x ← x - lr·m̂ / (√v̂ + ε)."""
    decay, beta1, weight1, beta2, weight2, negative_step, root_correction, eps = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay and options.decoupled:
        x = g.multiply(x, decay)
    elif options.decay:
        gradient = add_scaled(gradient, decay, x)
    first = lerp(states[0], gradient, weight1, beta1, options.light)
    square = g.multiply(g.multiply(weight2, gradient), gradient)
    second = g.add(g.multiply(states[1], beta2), square)
    results = [first, second]
    scale = second
    if options.amsgrad:
        scale = g.maximum(states[2], second)
        results.append(scale)
    below = g.add(g.divide(g.sqrt(scale), root_correction), eps)
    return [g.add(x, g.divide(g.multiply(negative_step, first), below)), *results]


class Adam(ElementwiseOptimizer):
    """Steps scaled by running means of the gradient and of its square, both bias-corrected.

    `decoupled_weight_decay` shrinks the parameters themselves (AdamW). Raises ValueError for options
    out of range.
    """

    _update = Update("adam", _rule)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_lr(lr)
        if isinstance(lr, lampas.Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        if isinstance(betas[0], lampas.Tensor) != isinstance(betas[1], lampas.Tensor):
            raise ValueError("betas must be either both floats or both Tensors")
        defaults = {
            "lr": lr,
            "betas": tuple(plain_number(beta) for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def _plan(self, group: Group, turn: Turn) -> Plan:
        beta1, beta2 = group["betas"]
        lr, weight_decay = plain_number(group["lr"]), group["weight_decay"]
        decoupled = group["decoupled_weight_decay"]
        numbers = (
            1 - lr * weight_decay if decoupled else weight_decay,
            beta1,
            1 - beta1,
            beta2,
            1 - beta2,
            -lr / (1 - beta1**turn.step),
            (1 - beta2**turn.step) ** 0.5,
            group["eps"],
        )
        light = 1 - beta1 < 0.5
        options = _Options(group["amsgrad"], weight_decay != 0, decoupled, group["maximize"], light)
        return Plan(numbers, options)
