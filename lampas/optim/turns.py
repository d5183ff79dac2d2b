"""Turns: an elementwise optimizer's step once more, without looking at tensors.

Whoever runs the computation of a training step as a whole (`lampas.compiler.recording`) still needs the numbers that
the optimizer's rule gets (learning rates, bias corrections), and its step counts moved on.  A turn gives both for one
group, provided that all its parameters stand at the same step and get the same plan.
"""

from __future__ import annotations

from typing import Any, final

from lampas.engine.graph.node import Node
from lampas.optim.elementwise import ElementwiseOptimizer, Turn
from lampas.optim.optimizer import Group
from lampas.optim.update import Counters


@final
class GroupTurn:
    """The next turn of those parameters of a group that have gradients."""

    def __init__(
        self, optimizer: ElementwiseOptimizer, group: Group, parameters: list[Any]
    ) -> None:
        self.optimizer, self.group = optimizer, group
        self.counting = optimizer._counts_steps
        self.states = (
            [optimizer.state[parameter] for parameter in parameters] if self.counting else []
        )
        self.state = self.states[0] if self.counting else {}
        self.options: Any = None
        self.node: Node | None = None

    def numbers(self) -> tuple[float, ...] | None:
        """The rule's numbers; None where the parameters' steps differ."""
        step, counters = 0.0, Counters()
        if self.counting:
            first = self.state["step"]
            node = first._value()
            for state in self.states:
                if state["step"]._value() is not node:
                    return None
            self.node, step = counters.make(counters.read(first) + 1, first.dtype)
        plan = self.optimizer._plan(self.group, Turn(step, False, self.state, counters))
        if self.options is None:
            self.options = plan.options
        return plan.numbers if plan.options == self.options else None

    def count(self) -> None:
        """Move the step counts on."""
        for state in self.states:
            state["step"]._write(self.node, None, recorded=False)
