"""Hooks that apply to every module, and the switches that decide whether a call needs the slow way.

The dictionaries are module globals by design: `lampas.nn.modules.module` offers PyTorch's
registration functions for them, `Module.__call__` reads them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

BACKWARD: dict[int, Callable[..., Any]] = OrderedDict()
BACKWARD_PRE: dict[int, Callable[..., Any]] = OrderedDict()
FORWARD: dict[int, Callable[..., Any]] = OrderedDict()
FORWARD_PRE: dict[int, Callable[..., Any]] = OrderedDict()
FORWARD_WITH_KEYWORDS: dict[int, bool] = OrderedDict()
FORWARD_ALWAYS: dict[int, bool] = OrderedDict()
BUFFER_REGISTRATION: dict[int, Callable[..., Any]] = OrderedDict()
MODULE_REGISTRATION: dict[int, Callable[..., Any]] = OrderedDict()
PARAMETER_REGISTRATION: dict[int, Callable[..., Any]] = OrderedDict()


class Switches:
    """`full_backward`: the kind of the global backward hooks, None while there are none."""

    full_backward: bool | None = None


def any_call_hook() -> bool:
    """Whether a hook stands that every module's call must run."""
    return bool(BACKWARD or BACKWARD_PRE or FORWARD or FORWARD_PRE)
