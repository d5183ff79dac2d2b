"""Turns: what an elementwise optimizer's rule gets for a step beside tensors.

Whoever takes a step that was taken before without recording it (`step_replays`, `lampas.compiler.recording`) still needs
the rule's numbers (learning rates, bias corrections), and the step counts moved on.  A `GroupTurn` gives both for one
group, provided that all its parameters stand at the same step and get the same plan.
"""

from __future__ import annotations

from typing import Any, NamedTuple, final

from lampas.engine.graph.node import Node
from lampas.optim.optimizer import Group
from lampas.optim.update import Counters


class Plan(NamedTuple):
    """What a rule gets beside tensors: run-time numbers, and options of its structure."""

    numbers: tuple[float, ...]
    options: Any


class Turn(NamedTuple):
    """Where a parameter stands: its step (1 at the first), whether its state has just begun."""

    step: float
    fresh: bool
    state: dict[str, Any]
    counters: Counters


@final
class GroupTurn:
    """The next turn of those parameters of a group that have gradients."""

    def __init__(self, optimizer: Any, group: Group, parameters: list[Any], options: Any) -> None:
        self.optimizer, self.group = optimizer, group
        self.counting = optimizer._counts_steps
        self.states = (
            [optimizer.state[parameter] for parameter in parameters] if self.counting else []
        )
        self.state = self.states[0] if self.counting else {}
        self.options = options  # of the rule, which must stay
        self.node: Node | None = None  # of the last count, and the count
        self.step = 0.0
        self.seen: list[Any] = []  # the group's values, and the numbers that they gave
        self.given: tuple[float, ...] = ()

    def has_steps_apart(self) -> bool:
        """Whether the parameters do not share one step count."""
        return len({id(state["step"]._value()) for state in self.states}) > 1

    def numbers(self) -> tuple[float, ...] | None:
        """The rule's numbers; None where the parameters' steps differ, or the options are others now."""
        values = [*self.group.values()]
        if values == self.seen:
            return self.given
        counters = Counters()
        if self.counting and not self.next_step(counters):
            return None
        plan = self.optimizer._plan(self.group, Turn(self.step, False, self.state, counters))
        if plan.options != self.options:
            return None
        if not self.counting and is_plain(self.group):
            self.seen, self.given = values, plan.numbers
        return plan.numbers

    def next_step(self, counters: Counters) -> bool:
        """Find the step that comes now; False where the parameters' steps differ."""
        first = self.state["step"]
        node = first._value()
        for state in self.states:
            if state["step"]._value() is not node:
                return False
        known = node is self.node and not first._storage.shared
        self.node, self.step = counters.make(
            (self.step if known else counters.read(first)) + 1, first.dtype
        )
        return True

    def count(self) -> None:
        """Move the step counts on."""
        for state in self.states:
            state["step"]._write(self.node, None, recorded=False)


def is_plain(group: Group) -> bool:
    """Whether a group's options cannot change without being replaced."""
    return all(type(value) in _UNCHANGING for name, value in group.items() if name != "params")


_UNCHANGING = (bool, int, float, type(None))
