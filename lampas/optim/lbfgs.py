"""L-BFGS: a quasi-Newton method with limited memory (Nocedal & Wright, algorithm 7.4-7.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import lampas
from lampas.optim.elementwise import check_lr
from lampas.optim.line_search import Point, StrongWolfe
from lampas.optim.optimizer import Optimizer
from lampas.optim.update import plain_number

# A pair of step and gradient change is kept only where the curvature along it is positive enough.
_LEAST_CURVATURE = 1e-10


class LBFGS(Optimizer):
    """Quasi-Newton steps for one group of parameters; `step` needs a closure.

    `line_search_fn` is None (steps of `lr`) or "strong_wolfe". Raises ValueError for more groups
    than one, RuntimeError for another line search.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Any]:
        return self.param_groups[0]["params"]

    def _flat_gradient(self) -> Any:
        parts = []
        for parameter in self._params:
            gradient = parameter.grad
            if gradient is None:
                gradient = lampas.zeros_like(parameter)
            if gradient.is_complex():
                gradient = lampas.view_as_real(gradient)
            parts.append(gradient.reshape(-1))
        return lampas.cat(parts, 0)

    def _move(self, step: Any, direction: Any) -> None:
        offset = 0
        for parameter in self._params:
            real = lampas.view_as_real(parameter) if parameter.is_complex() else parameter
            count = real.numel()
            real.add_(direction[offset : offset + count].view_as(real), alpha=float(step))
            offset += count

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """At most `max_iter` iterations; returns the first loss."""
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required positional argument: 'closure'")
        with lampas.no_grad(), np.errstate(all="ignore"):
            return self._optimize(lampas.enable_grad()(closure))

    def _optimize(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss = float(first_loss)
        state["func_evals"] += 1
        gradient = self._flat_gradient()
        evaluations = 1
        if _largest(gradient) <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, gradient, group["history_size"])
            previous_loss = loss
            state["prev_flat_grad"], state["prev_loss"] = gradient.clone(), loss
            step = plain_number(group["lr"])
            if state["n_iter"] == 1:
                step *= min(1.0, 1.0 / _scalar(gradient.abs().sum()))
            slope = _scalar(gradient.dot(direction))
            state["d"], state["t"] = direction, _kept(step)
            if slope > -group["tolerance_change"]:
                break
            start = Point(0.0, loss, gradient, slope)
            last = iteration == group["max_iter"]
            point, cost = self._search(closure, start, step, direction, evaluations, last)
            step, loss, gradient = point.step, point.loss, point.gradient
            state["t"] = _kept(step)
            evaluations += cost
            state["func_evals"] += cost
            if last or evaluations >= group["max_eval"]:
                break
            if _largest(gradient) <= group["tolerance_grad"]:
                break
            small = _largest(direction * float(step)) <= group["tolerance_change"]
            if small or abs(loss - previous_loss) < group["tolerance_change"]:
                break
        return first_loss

    def _search(
        self,
        closure: Callable[[], Any],
        start: Point,
        step: Any,
        direction: Any,
        evaluations: int,
        last: bool,
    ) -> tuple[Point, int]:
        """Moves the parameters; returns where they are and how often the loss was computed."""
        group = self.param_groups[0]
        if group["line_search_fn"] is None:
            self._move(step, direction)
            if last:
                # Nobody needs the loss there: the next call of step computes it.
                return Point(step, start.loss, start.gradient, start.slope), 0
            return Point(step, float(closure()), self._flat_gradient(), 0.0), 1
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        origin = [parameter.clone() for parameter in self._params]

        def evaluate(trial: Any) -> tuple[float, Any, Any]:
            self._move(trial, direction)
            loss = float(closure())
            gradient = self._flat_gradient()
            for parameter, value in zip(self._params, origin, strict=True):
                parameter.copy_(value)
            return loss, gradient, _scalar(gradient.dot(direction))

        limit = group["max_eval"] - evaluations
        search = StrongWolfe(evaluate, start, _largest(direction), limit=limit)
        point = search.search(step)
        self._move(point.step, direction)
        return point, search.evaluations


def _scalar(tensor: Any) -> Any:
    """A 0-d tensor as a NumPy scalar: it rounds as the tensor would."""
    return tensor.numpy()[()]


def _kept(step: Any) -> Any:
    """A step length as the state keeps it: a number, or a tensor where it came from one."""
    return lampas.tensor(step) if isinstance(step, np.generic) else step


def _largest(tensor: Any) -> Any:
    return _scalar(tensor.abs().max())


def _direction(state: dict[str, Any], gradient: Any, history_size: int) -> Any:
    """Minus the gradient times the inverse Hessian that the history implies (two-loop recursion)."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return gradient.neg()
    changes, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
    change = gradient.sub(state["prev_flat_grad"])
    step = state["d"].mul(state["t"])
    curvature = change.dot(step)
    if float(curvature) > _LEAST_CURVATURE:
        if len(changes) == history_size:
            for kept in (changes, steps, inverses):
                kept.pop(0)
        changes.append(change)
        steps.append(step)
        inverses.append(1.0 / curvature)
        state["H_diag"] = curvature / change.dot(change)
    weights: list[Any] = [None] * history_size
    rest = gradient.neg()
    for place in reversed(range(len(changes))):
        weights[place] = steps[place].dot(rest) * inverses[place]
        rest = rest - changes[place] * weights[place]
    state["al"] = weights
    result = rest * state["H_diag"]
    for place in range(len(changes)):
        correction = changes[place].dot(result) * inverses[place]
        result = result + steps[place] * (weights[place] - correction)
    return result
