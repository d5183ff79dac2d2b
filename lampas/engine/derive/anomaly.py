"""Anomaly detection on the tape: tracebacks of the forward calls, and a look for NaN in backward."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Callable


def _unknown(node: Any) -> bool:
    raise NotImplementedError("anomaly detection needs a tensor layer that can look at values")


@final
class State:
    """The switches; `has_nan(node)` is given by the layer that can realise values."""

    def __init__(self) -> None:
        self.enabled = False
        self.check_nan = True
        self.has_nan: Callable[[Any], bool] = _unknown


state = State()


def remember_call(entry: Any) -> None:
    """Keep the traceback of the call that made a grad node."""
    entry.__dict__["traceback"] = traceback.extract_stack(sys._getframe(2))


def explain(entry: Any) -> str:
    """Where the forward operation was called."""
    stack = entry.__dict__.get("traceback")
    if stack is None:
        return "No forward pass information available. Enable detect anomaly during forward pass."
    return "".join(traceback.format_list(stack))


def check(entry: Any, flows: Any) -> None:
    """RuntimeError if a gradient that the entry returned holds NaN."""
    if not state.check_nan:
        return
    for place, flow in enumerate(flows):
        if flow is not None and state.has_nan(flow.node):
            raise RuntimeError(
                f"Function '{entry.name()}' returned nan values in its {place}th output. The "
                f"forward call was:\n{explain(entry)}"
            )
