"""Cyclic schedules (Smith, 2017) and the one-cycle policy (Smith & Topin, 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from lampas.optim.lr_scheduler.base import (
    LRScheduler,
    check_optimizer,
    functions_state,
    per_group,
    set_group_value,
)
from lampas.optim.optimizer import Optimizer


class _MomentumScheduler(LRScheduler):
    """A schedule that moves the momentum (or Adam's first beta) against the learning rate."""

    use_beta1: bool

    def _begin_momentum(self, highest: list[Any], lowest: list[Any], fresh: bool) -> None:
        for high, low, group in zip(highest, lowest, self.optimizer.param_groups, strict=True):
            if fresh:
                self._set_momentum(group, high)
                group["max_momentum"] = high
                group["base_momentum"] = low

    def _check_momentum(self) -> None:
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
            )
        self.use_beta1 = "betas" in defaults

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


def _constant(place: float) -> float:
    return 1.0


def _halved(cycle: float) -> float:
    return 1 / 2.0 ** (cycle - 1)


def _power(gamma: float, place: float) -> float:
    return gamma**place


class CyclicLR(_MomentumScheduler):
    """Between `base_lr` and `max_lr` along triangles; `step` is called after every batch.

    `mode` is "triangular", "triangular2" (each cycle half as high) or "exp_range" (times
    `gamma**batch`); `scale_fn` replaces it. Raises ValueError for an unknown mode.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_group_value(group, "lr", rate)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"mode is invalid and scale_fn is None (mode {mode!r})")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        self._choose_scale()
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._check_momentum()
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
            self._begin_momentum(self.max_momentums, self.base_momentums, last_epoch == -1)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _choose_scale(self) -> None:
        if self._scale_fn_custom is not None:
            return
        by_mode: dict[str, tuple[Callable[[float], float], str]] = {
            "triangular": (_constant, "cycle"),
            "triangular2": (_halved, "cycle"),
            "exp_range": (partial(_power, self.gamma), "iterations"),
        }
        self._scale_fn_ref, self.scale_mode = by_mode[self.mode]

    def scale_fn(self, place: float) -> float:
        """The height of the triangle at a cycle or a batch."""
        return (self._scale_fn_custom or self._scale_fn_ref)(place)

    def get_lr(self) -> list[Any]:
        """The next learning rates; sets the momentum too."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        place = 1.0 + self.last_epoch / self.total_size - cycle
        up = place <= self.step_ratio
        slope = place / self.step_ratio if up else (place - 1) / (self.step_ratio - 1)
        height = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            limits = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, limits, strict=True):
                self._set_momentum(group, high - (high - low) * slope * height)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * slope * height for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions."""
        state = super().state_dict()
        state.pop("_scale_fn_ref", None)
        custom = self._scale_fn_custom
        state["_scale_fn_custom"] = None if custom is None else functions_state([custom])[0]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state; a scale function that is an object gets its attributes back."""
        saved = state_dict["_scale_fn_custom"]
        rest = {name: value for name, value in state_dict.items() if name != "_scale_fn_custom"}
        super().load_state_dict(rest)
        if saved is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(saved)
        self._choose_scale()


def _along_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * fraction) + 1)


def _along_line(start: float, end: float, fraction: float) -> float:
    return (end - start) * fraction + start


_ANNEALING = {"cos": _along_cosine, "linear": _along_line}


def _phase(end: float, rates: tuple[str, str], momenta: tuple[str, str]) -> dict[str, Any]:
    return {
        "end_step": end,
        "start_lr": rates[0],
        "end_lr": rates[1],
        "start_momentum": momenta[0],
        "end_momentum": momenta[1],
    }


class OneCycleLR(_MomentumScheduler):
    """Up to `max_lr` and down far below the start, once in `total_steps` batches.

    `total_steps` may be given as `epochs` times `steps_per_epoch`. Raises ValueError for lengths that
    are no positive integers, and for a step after the last.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in _ANNEALING:
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = self._phases(pct_start, three_phase)
        fresh = last_epoch == -1
        highest = per_group("max_lr", optimizer, max_lr)
        for high, group in zip(highest, optimizer.param_groups, strict=True):
            if fresh:
                group["initial_lr"] = high / div_factor
                group["max_lr"] = high
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._check_momentum()
            lowest = per_group("base_momentum", optimizer, base_momentum)
            self._begin_momentum(per_group("max_momentum", optimizer, max_momentum), lowest, fresh)
        super().__init__(optimizer, last_epoch)

    def _phases(self, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
        falling, rising = ("max_momentum", "base_momentum"), ("base_momentum", "max_momentum")
        steady = ("max_momentum", "max_momentum")
        top = float(pct_start * self.total_steps) - 1
        last = self.total_steps - 1
        up = _phase(top, ("initial_lr", "max_lr"), falling)
        if not three_phase:
            return [up, _phase(last, ("max_lr", "min_lr"), rising)]
        middle = float(2 * pct_start * self.total_steps) - 2
        return [
            up,
            _phase(middle, ("max_lr", "initial_lr"), rising),
            _phase(last, ("initial_lr", "min_lr"), steady),
        ]

    def get_lr(self) -> list[Any]:
        """The next learning rates; sets the momentum too."""
        self._warn_outside_step()
        number = self.last_epoch
        if number > self.total_steps:
            raise ValueError(
                f"Tried to step {number} times. "
                f"The specified number of total steps is {self.total_steps}"
            )
        start, phase = 0.0, self._schedule_phases[0]
        for following in self._schedule_phases[1:]:
            if number > phase["end_step"]:
                start, phase = phase["end_step"], following
        fraction = (number - start) / (phase["end_step"] - start)
        anneal = _ANNEALING[self._anneal_func_type]
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(anneal(group[phase["start_lr"]], group[phase["end_lr"]], fraction))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, anneal(*ends, fraction))
        return rates


def _total_steps(total: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total is not None:
        _check_count("total_steps", total)
        return total
    if epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    _check_count("epochs", epochs)
    _check_count("steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {value}")
