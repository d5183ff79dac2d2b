"""Whole calls: a compiled function that does the same each time is not run again, only what it computed.

A call goes through three stages, for each kind of arguments:

1. It runs as usual, a few times, until what it computes is replayed (`realize.replay`).
2. It runs twice more under observation: once to see what its Python code does and looks at (`inspection`,
   `dependencies`), once to find where values come from and go to (`recording`).
3. From then on a function written for it (`replaying`) checks that all is as it was, and runs the program: forward,
   backward and the optimizer's step are one native call, and no line of the function is executed.

Where that would not do the same (a value is read inside, an attribute is set, random numbers are drawn, …) the call
always runs as usual; `reasons` keeps why, and `lampas.explain` prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, final

from lampas.compiler.dependencies import MISSING, Dependencies
from lampas.compiler.inspection import Inspection, Refusal, inspect_call
from lampas.compiler.recording import NotYet, Recording
from lampas.compiler.replaying import write_replay
from lampas.engine.settings import settings
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.door import HOOKS, LOOKERS
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.watch import WATCHERS

CALLS_BEFORE = 4  # until a call is observed
ATTEMPTS = 12  # to record a kind of call
REFUSALS = 3  # of a kind of call, until it is left alone
REPLAYS_KEPT = 8  # of one function
KINDS_KEPT = 64

Run = Callable[[], Any]


@final
class Kind:
    """How far one kind of arguments has come."""

    __slots__ = ("calls", "dependencies", "over", "recorded", "refused")

    def __init__(self) -> None:
        self.calls = 0
        self.dependencies: Dependencies | None = None
        self.over = False  # given up
        self.recorded = 0  # times; what it depends on may change
        self.refused = 0  # times; an array that shares memory may go


@final
class WholeCalls:
    """The replays of one compiled function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.replays: list[Any] = []
        self.kinds: dict[Any, Kind] = {}
        self.reasons: list[str] = []
        self.replayed = 0

    def replay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the call would return, if it is known what it does; else MISSING."""
        for place, replay in enumerate(self.replays):
            made = replay(args, kwargs)
            if made is not MISSING:
                if place:
                    self.replays.insert(0, self.replays.pop(place))
                self.replayed += 1
                return made
        return MISSING

    def call(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run as usual, perhaps under observation; `run` calls the function with these arguments."""
        if HOOKS or LOOKERS or WATCHERS or settings.eager or settings.debug or sys.getprofile():
            return run()
        kind = self.kind_of(args, kwargs)
        if kind is None or kind.over:
            return run()
        kind.calls += 1
        if kind.calls <= CALLS_BEFORE:
            return run()
        if kind.calls > CALLS_BEFORE + ATTEMPTS:
            self.give_up(kind, "what it computes differs from call to call")
            return run()
        if kind.dependencies is None:
            return self.inspect(kind, run, args, kwargs)
        return self.record(kind, run, args, kwargs)

    def kind_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Kind | None:
        """The kind of a call's arguments; None where there are too many."""
        key = (
            grad_mode.enabled,
            tuple(kwargs),
            *[
                (value._shape, value.dtype) if isinstance(value, Tensor) else _key(value)
                for value in (*args, *kwargs.values())
            ],
        )
        kind = self.kinds.get(key)
        if kind is None and len(self.kinds) < KINDS_KEPT:
            kind = self.kinds[key] = Kind()
        return kind

    def inspect(self, kind: Kind, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run and look at what the Python code does."""
        inspection = Inspection()
        value = inspect_call(inspection, run)
        try:
            if inspection.refusal:
                raise Refusal(inspection.refusal)
            dependencies = Dependencies(inspection.codes)
            dependencies.find(self.function, [*args, *kwargs.values()])
            kind.dependencies = dependencies
        except Refusal as refusal:
            self.give_up(kind, str(refusal))
        return value

    def record(self, kind: Kind, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run and look at what is computed."""
        dependencies, kind.dependencies = kind.dependencies, None
        assert dependencies is not None
        recording = Recording(dependencies, args, kwargs)
        try:
            if not dependencies.hold():
                return run()
            recording.prepare()
            recording.run(run)
            if not dependencies.hold():
                raise NotYet
            self.replays.insert(0, write_replay(recording))
            del self.replays[REPLAYS_KEPT:]
            kind.recorded += 1
            kind.calls = 0
            kind.over = kind.recorded == REPLAYS_KEPT
        except NotYet:
            pass
        except Refusal as refusal:
            self.give_up(kind, str(refusal))
        return run() if recording.value is MISSING else recording.value

    def give_up(self, kind: Kind, reason: str) -> None:
        """Calls of this kind are run as usual, after a few refusals for good."""
        kind.refused += 1
        kind.calls = 0
        kind.over = kind.refused == REFUSALS
        if reason not in self.reasons:
            self.reasons.append(reason)

    def __str__(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        told = [f"{self.replayed} calls replayed whole"] if self.replayed else []
        told += [f"not replayed whole: {reason}" for reason in self.reasons]
        return f"compiled {name}: {'; '.join(told) or 'not met often enough yet'}"


def _key(value: Any) -> Any:
    return (type(value), value) if isinstance(value, int | float | str | None) else type(value)
