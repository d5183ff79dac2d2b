"""Schedules made of schedules: one after the other, or all together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from lampas.optim.lr_scheduler.base import LRScheduler, group_values, set_group_value
from lampas.optim.lr_scheduler.plateau import ReduceLROnPlateau
from lampas.optim.optimizer import Optimizer


class _Composition(LRScheduler):
    """Saves and loads its members' states."""

    _schedulers: Sequence[LRScheduler]

    def _check_members(self, optimizer: Optimizer, members: Sequence[Any]) -> None:
        name = type(self).__name__
        for place, member in enumerate(members):
            if not hasattr(member, "optimizer"):
                raise TypeError(
                    f"{name} at index {place} should have `optimizer` as its attribute."
                )
            if isinstance(member, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires "
                    "additional kwargs to be specified when calling `step`, but got one at index "
                    f"{place} in the given schedulers sequence."
                )
            if member.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got "
                    f"scheduler {type(member).__name__} at index {place} has {member.optimizer}, "
                    f"which is different from {type(optimizer).__name__}."
                )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the members' states."""
        state = super().state_dict()
        state["_schedulers"] = [member.state_dict() for member in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state that `state_dict` gave."""
        rest = {name: value for name, value in state_dict.items() if name != "_schedulers"}
        self.__dict__.update(rest)
        for member, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            member.load_state_dict(saved)


class SequentialLR(_Composition):
    """Each of `schedulers` in its turn; `milestones` are the epochs of change.

    Raises ValueError where the numbers do not fit or a schedule belongs to another optimizer.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler, but got no scheduler."
            )
        self._check_members(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                "the number of milestone points, but got number of schedulers "
                f"{len(schedulers)} and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Every member has made its first step when it was built: all of that is undone, and only
        # the one whose turn it is begins.
        for group in optimizer.param_groups:
            set_group_value(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: Any = None) -> None:
        """Takes back the first step of a schedule (this one) and of its members."""
        schedule = self if sched is None else sched
        if hasattr(schedule, "_schedulers"):
            for member in schedule._schedulers:
                self.recursive_undo(member)
        elif hasattr(schedule, "last_epoch"):
            schedule.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Steps the schedule whose turn it is; a new one starts at its epoch 0."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        member = self._schedulers[turn]
        if turn and self._milestones[turn - 1] == self.last_epoch:
            member._update_lr(0)
        else:
            member.step()
        self._last_lr = member.get_last_lr()


class ChainedScheduler(_Composition):
    """All of `schedulers` at every step, in order; each goes on from the rates of the one before.

    Raises ValueError for none, or for schedules of different optimizers.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler to be chained, "
                "but got no scheduler."
            )
        optimizer = optimizer or schedulers[0].optimizer
        self._check_members(optimizer, schedulers)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = group_values(optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Steps every schedule."""
        for member in self._schedulers:
            member.step()
        self._last_lr = group_values(self.optimizer, "lr")
