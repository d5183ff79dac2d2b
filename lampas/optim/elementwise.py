"""ElementwiseOptimizer: what the optimizers share that update every element by itself.

A subclass names its state tensors, begins them, and says which numbers and options its rule gets for
a parameter at a given step. Parameters that get the same numbers are updated together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, ClassVar

import lampas
from lampas.engine.realize.realize import realize
from lampas.optim.optimizer import Group, Optimizer
from lampas.optim.step_replays import StepReplays
from lampas.optim.turns import Plan, Turn
from lampas.optim.update import Counters, Update, counter, plain_number


class ElementwiseOptimizer(Optimizer):
    """Base of optimizers with an `Update`."""

    _update: ClassVar[Update]
    _counts_steps: ClassVar[bool] = True
    # Whether parameters at the same step always share a plan (it does not read or write the state).
    _plans_by_step: ClassVar[bool] = True
    _replays: StepReplays | None = None  # of steps like those before

    def _state_names(self, group: Group) -> tuple[str, ...]:
        """The names of the state tensors that the rule updates, in its order."""
        raise NotImplementedError(f"{type(self).__name__} has no _state_names")

    def _begin(self, parameter: Any, group: Group) -> dict[str, Any]:
        """The first values of the state tensors."""
        return {name: lampas.zeros_like(parameter) for name in self._state_names(group)}

    def _plan(self, group: Group, turn: Turn) -> Plan:
        """Numbers and options for a parameter's turn; see `_plans_by_step`."""
        raise NotImplementedError(f"{type(self).__name__} has no _plan")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient; returns the closure's loss."""
        loss = None
        if closure is not None:
            with lampas.enable_grad():
                loss = closure()
        replays = self._replays
        if replays is None:
            usual = type(self)._update_group is ElementwiseOptimizer._update_group
            replays = self._replays = StepReplays(self, usual and self._plans_by_step)
        if not replays.take():
            with replays.watch() or _NOBODY:
                self._take_step()
        return loss

    def _take_step(self) -> None:
        """Updates all groups, and computes what is pending."""
        for group in self.param_groups:
            self._update_group(group)
        if not any(group.get("differentiable") for group in self.param_groups):
            # The end of a training step: what is pending is one program, the same in every step.
            realize(())

    def _update_group(self, group: Group) -> None:
        names = self._state_names(group)
        counters = Counters()
        known: dict[tuple[float, bool], Plan] = {}
        batches: dict[Plan, list[tuple[Any, ...]]] = {}
        last: Plan | None = None
        rows: list[tuple[Any, ...]] = []
        for parameter in group["params"]:
            gradient = parameter._grad
            if gradient is None:
                continue
            state = self.state[parameter] if names or self._counts_steps else {}
            fresh = _lacks(state, names)
            if fresh or (self._counts_steps and "step" not in state):
                self._begin_state(parameter, gradient, group, state)
            step = 0.0
            if self._counts_steps:
                step = counters.write(state["step"], counters.read(state["step"]) + 1)
            plan = known.get((step, fresh)) if self._plans_by_step else None
            if plan is None:
                plan = known[step, fresh] = self._plan(group, Turn(step, fresh, state, counters))
            if plan is not last:
                last, rows = plan, batches.setdefault(plan, [])
            rows.append((parameter, gradient, *[state[name] for name in names]))
        differentiable = bool(group.get("differentiable"))
        for plan, rows in batches.items():
            self._update.apply(rows, plan.numbers, plan.options, differentiable)

    def _begin_state(self, parameter: Any, gradient: Any, group: Group, state: Any) -> None:
        if getattr(gradient, "is_sparse", False):
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        if self._counts_steps and "step" not in state:
            state["step"] = counter()
        for name, value in self._begin(parameter, group).items():
            if state.get(name) is None:
                state[name] = value

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for values in self.state.values():
            # Old checkpoints hold counts as Python numbers.
            if isinstance(values, dict) and isinstance(values.get("step"), int | float):
                values["step"] = counter(float(values["step"]))


_NOBODY = contextlib.nullcontext()


def _lacks(state: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether a state tensor is missing. (`None in` would compare tensors with None.)"""
    for name in names:  # noqa: SIM110
        if state.get(name) is None:
            return True
    return False


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """The ways to run that exclude each other. Every way computes the same here."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def check_lr(lr: Any, message: str = "Invalid learning rate: {}") -> None:
    """Refuses a negative learning rate, or a tensor of several."""
    if isinstance(lr, lampas.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not plain_number(lr) >= 0.0:
        raise ValueError(message.format(lr))


def check_not_negative(**values: Any) -> None:
    """Refuses the first negative value; `Invalid NAME value: VALUE` as PyTorch says it."""
    for name, value in values.items():
        if not value >= 0.0:
            shown = "epsilon" if name == "eps" else name
            raise ValueError(f"Invalid {shown} value: {value}")


def check_betas(betas: tuple[Any, Any]) -> None:
    """Refuses decay rates outside [0, 1)."""
    for place, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {place}: {beta}")
