"""Muon: momentum orthogonalized by Newton-Schulz iterations (Jordan et al., 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import lampas
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Plan, Turn, check_lr
from lampas.optim.optimizer import Group
from lampas.optim.update import Update, add_scaled, lerp, plain_number

# The quintic's coefficients that Jordan chose: steepest at 0, within about 0.5 to 1.5 afterwards.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ADJUSTMENTS = (None, "original", "match_rms_adamw")


class _Options(NamedTuple):
    nesterov: bool
    decay: bool
    light: bool
    coefficients: tuple[float, float, float]
    eps: float
    iterations: int
    adjustment: str | None


def _orthogonalize(matrix: Node, options: _Options) -> Node:
    """Near U·Vᵀ of the matrix's singular value decomposition, in bfloat16."""
    a, b, c = options.coefficients
    x = g.cast(matrix, lampas.bfloat16)
    tall = matrix.shape[0] > matrix.shape[1]
    if tall:
        x = g.transpose(x)
    wide = g.cast(x, lampas.float32)
    norm = g.sqrt(g.reshape(g.sum_dims(g.multiply(wide, wide), (0, 1)), ()))
    norm = g.cast(norm, lampas.bfloat16)
    x = g.divide(x, g.maximum(norm, g.like(norm, options.eps)))
    for _ in range(options.iterations):
        gram = g.cast(_product(x, g.transpose(x)), lampas.bfloat16)
        mixed = _combine(gram, b, _product(gram, gram), c)
        x = _combine(x, a, _product(mixed, x), 1.0)
    return g.transpose(x) if tall else x


def _product(a: Node, b: Node) -> Node:
    """The matrix product of bfloat16 matrices, in float32."""
    return g.matmul(g.cast(a, lampas.float32), g.cast(b, lampas.float32))


def _combine(a: Node, scale_a: float, product: Node, scale: float) -> Node:
    """scale_a·a + scale·product, computed in float32 and rounded once."""
    wide = g.cast(a, lampas.float32)
    scaled = g.multiply(product, g.like(product, scale))
    return g.cast(g.add(g.multiply(wide, g.like(wide, scale_a)), scaled), a.dtype)


def _adjusted(shape: tuple[int, ...], adjustment: str | None) -> float:
    """What the learning rate is multiplied by for a matrix of this shape."""
    rows, columns = shape
    if adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


def _rule(
    x: Node, gradient: Node, states: Sequence[Node], numbers: Sequence[Node], options: _Options
) -> list[Node]:
    """b ← lerp(b, ∇, 1-μ);  x ← (1 - lr·λ)·x - lr'·orthogonalize(b or its look ahead)."""
    negative_lr, momentum, weight, shrink = numbers
    velocity = lerp(states[0], gradient, weight, momentum, options.light)
    ahead = velocity
    if options.nesterov:
        ahead = lerp(gradient, velocity, momentum, weight, not options.light)
    move = g.cast(_orthogonalize(ahead, options), x.dtype)
    if options.decay:
        x = g.multiply(x, shrink)
    scale = g.multiply(negative_lr, g.like(x, _adjusted(x.shape, options.adjustment)))
    return [add_scaled(x, scale, move), velocity]


class Muon(ElementwiseOptimizer):
    """For the matrices of hidden layers: every direction of the step gets about the same size.

    Raises ValueError for parameters that are not matrices and for options out of range.
    """

    _update = Update("muon", _rule)
    _counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = _COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in _ADJUSTMENTS:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with "
                        f"size: {parameter.size()}"
                    )

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _begin(self, parameter: Any, group: Group) -> dict[str, Any]:
        if parameter.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        return super()._begin(parameter, group)

    def _plan(self, group: Group, turn: Turn) -> Plan:
        if group["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        lr, momentum = plain_number(group["lr"]), group["momentum"]
        decay = group["weight_decay"]
        options = _Options(
            group["nesterov"],
            decay != 0,
            1 - momentum < 0.5,
            tuple(group["ns_coefficients"]),
            group["eps"],
            group["ns_steps"],
            group["adjust_lr_fn"],
        )
        return Plan((-lr, momentum, 1 - momentum, 1 - lr * decay), options)
