"""LRScheduler: what every schedule shares. A subclass computes the groups' next learning rates.

Attribute names are PyTorch's where they are part of `state_dict`.
"""

from __future__ import annotations

import functools
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lampas
from lampas.optim.optimizer import Optimizer
from lampas.optim.update import plain_number

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler."
)
_ORDER_ADVICE = (
    "Call `optimizer.step()` before `lr_scheduler.step()`: in the other order the first value of "
    "the learning rate schedule is skipped."
)


def copied(value: Any) -> Any:
    """A tensor's copy; numbers as they are."""
    return value.clone() if isinstance(value, lampas.Tensor) else value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """`value` for every group. Raises ValueError for a list of another length."""
    count = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(values)} values, param_groups has {count}."
        )
    return [copied(item) for item in values]


def group_values(optimizer: Optimizer, name: str) -> list[Any]:
    """An option of every group."""
    return [copied(group[name]) for group in optimizer.param_groups]


def set_group_value(group: dict[str, Any], name: str, value: Any) -> None:
    """Sets an option; a tensor is filled in place, so that whoever holds it sees the change."""
    if isinstance(group[name], lampas.Tensor):
        group[name].fill_(plain_number(value))
    else:
        group[name] = value


def check_optimizer(optimizer: Any) -> None:
    """Refuses what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def check_functions(functions: Any, optimizer: Optimizer) -> list[Callable[[int], float]]:
    """One function for every group."""
    count = len(optimizer.param_groups)
    if not isinstance(functions, list | tuple):
        return [functions] * count
    if len(functions) != count:
        raise ValueError(f"Expected {count} lr_lambdas, but got {len(functions)}")
    return list(functions)


class LRScheduler:
    """Base of schedules: sets the groups' "lr" each time `step` is called.

    A subclass gives `get_lr` (from the present rates) and may give `_get_closed_form_lr` (from the
    epoch alone). Raises TypeError for what is no optimizer, KeyError when resuming an optimizer that
    has no "initial_lr".
    """

    _get_lr_called_within_step = False
    _is_initial = False
    _step_count: int
    _last_lr: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{number}] when resuming "
                    "scheduler with last_epoch >= 0. Load the optimizer's state first, or start "
                    "with last_epoch=-1."
                )
        self.base_lrs = group_values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state that `state_dict` gave. Load the optimizer's state as well."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The learning rates that were set last."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The next learning rates; `step` calls it."""
        raise NotImplementedError(f"{type(self).__name__} should implement get_lr")

    def step(self, epoch: int | None = None) -> None:
        """Sets the next epoch's learning rates (or those of `epoch`, which is deprecated)."""
        if self._step_count == 1:
            self._warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _warn_of_order(self) -> None:
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                f"initialization. {_ORDER_ADVICE}",
                UserWarning,
                stacklevel=3,
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. "
                f"{_ORDER_ADVICE}",
                UserWarning,
                stacklevel=3,
            )

    def _update_lr(self, epoch: int | None = None) -> None:
        closed_form = getattr(self, "_get_closed_form_lr", None)
        with self._within_step():
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                values = closed_form() if closed_form is not None else self.get_lr()
        self._set_lr(values)

    def _set_lr(self, values: list[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            set_group_value(group, "lr", value)
        self._last_lr = group_values(self.optimizer, "lr")

    @contextmanager
    def _within_step(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _warn_outside_step(self) -> None:
        """For `get_lr`, which answers wrongly when it is called from outside."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, "
                "please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _scaled(self, factor: float) -> list[Any]:
        """Every group's present rate times `factor`."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _kept(self) -> list[Any]:
        """Every group's present rate."""
        return group_values(self.optimizer, "lr")


class _LRScheduler(LRScheduler):
    """The old name, kept for programs that test or subclass it."""


def _note_steps(optimizer: Optimizer) -> None:
    """Has the optimizer remember that it was stepped, for the warning about the order."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    weak = weakref.ref(optimizer)
    function = optimizer.step.__func__  # type: ignore[attr-defined]

    @functools.wraps(function)
    def step(*args: Any, **kwargs: Any) -> Any:
        owner = weak()
        assert owner is not None, "the optimizer is gone"
        owner._opt_called = True  # type: ignore[attr-defined]
        return function(owner, *args, **kwargs)

    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = step  # type: ignore[method-assign]


def functions_state(functions: list[Any]) -> list[dict[str, Any] | None]:
    """What can be saved of functions: the attributes of callable objects, nothing of the rest."""
    return [
        None if isinstance(function, types.FunctionType) else function.__dict__.copy()
        for function in functions
    ]
