"""SGD: stochastic gradient descent with momentum (Sutskever et al., ICML 2013)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Plan, Turn, check_fused, check_lr
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, plain_number


class _Options(NamedTuple):
    momentum: bool
    first: bool
    nesterov: bool
    decay: bool
    maximize: bool


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """b ← μ·b + (1-τ)·∇;  x ← x - lr·b (or ∇ + μ·b with Nesterov's look ahead)."""
    negative_lr, momentum, undamped, decay = numbers
    if options.maximize:
        gradient = g.negative(gradient)
    if options.decay:
        gradient = add_scaled(gradient, decay, x)
    if not options.momentum:
        return [add_scaled(x, negative_lr, gradient)]
    if options.first:
        velocity = gradient
    else:
        velocity = add_scaled(g.multiply(states[0], momentum), undamped, gradient)
    step = add_scaled(gradient, momentum, velocity) if options.nesterov else velocity
    return [add_scaled(x, negative_lr, step), velocity]


class SGD(ElementwiseOptimizer):
    """Gradient descent: x ← x - lr·∇, with momentum, dampening, Nesterov's form, weight decay.

    Raises ValueError for negative options, and for `nesterov` without momentum or with dampening.

    >>> import lampas
    >>> weight = lampas.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([weight], lr=0.5)
    >>> weight.grad = lampas.tensor([1.0])
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.5000])
    """

    _update = Update("sgd", _rule)
    _counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _plan(self, group: Group, turn: Turn) -> Plan:
        momentum = group["momentum"]
        decay = plain_number(group["weight_decay"])
        options = _Options(
            momentum != 0, turn.fresh, group["nesterov"], decay != 0, group["maximize"]
        )
        numbers = (-plain_number(group["lr"]), momentum, 1 - group["dampening"], decay)
        return Plan(numbers, options)
