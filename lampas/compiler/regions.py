"""What holds while a compiled call runs: structures are compiled at first sight, and `fullgraph` watches for reads.

A call marks its own thread (`HERE`).  The tier is the process's, so that while any thread is inside, small graphs of
others are compiled early too: that costs them time, and changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, final

from lampas.compiler.choices import Choice
from lampas.compiler.dependencies import MISSING
from lampas.compiler.errors import Unsupported
from lampas.compiler.frames import NOT_READS, find_place
from lampas.compiler.whole_calls import WholeCalls
from lampas.engine.realize.realize import COMPUTING
from lampas.engine.settings import settings

STANCES = (
    "default",
    "eager_then_compile",
    "aot_eager_then_compile",
    "force_eager",
    "eager_on_recompile",
    "fail_on_recompile",
)


@final
class Here(threading.local):
    """What this thread is inside of."""

    compiling: bool = False
    at_once: bool = False
    whole: str = ""  # the function that has to stay one graph


@final
class Haste:
    """Sets the tier to "compiled" while anybody is inside; a tier that the user forced stays."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.changed = False

    def begin(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1 and settings.tier == "auto":
                settings.tier = "compiled"
                self.changed = True

    def end(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0 and self.changed:
                self.changed = False
                if settings.tier == "compiled":
                    settings.tier = "auto"


HERE = Here()
HASTE = Haste()
STANCE = ["default"]
CALLED: list[dict[int, WholeCalls]] = []  # who wants to know which compiled functions are called


def run_compiled(
    choice: Choice,
    calls: WholeCalls,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """The function's result, computed under a choice; `calls` are its replays."""
    stance = STANCE[0]
    if stance == "force_eager":
        return function(*args, **kwargs)
    outermost = choice.at_once and not HERE.compiling and stance == "default"
    if outermost and calls.replays:
        made = calls.replay(args, kwargs)
        if made is not MISSING:
            return made
    for noted in CALLED:
        noted.setdefault(id(calls), calls)
    whole = HERE.whole or (getattr(function, "__qualname__", "?") if choice.fullgraph else "")
    with _inside(True, choice.at_once and not stance.endswith("then_compile"), whole):
        if outermost:
            return calls.call(lambda: function(*args, **kwargs), args, kwargs)
        return function(*args, **kwargs)


def run_disabled(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The function's result, as if no compiled call were around it."""
    with _inside(False, False, ""):
        return function(*args, **kwargs)


@contextmanager
def _inside(compiling: bool, at_once: bool, whole: str) -> Generator[None, None, None]:
    before = HERE.compiling, HERE.at_once, HERE.whole
    HERE.compiling, HERE.at_once, HERE.whole = compiling, at_once, whole
    if at_once and not before[1]:
        HASTE.begin()
    elif before[1] and not at_once:
        HASTE.end()
    try:
        yield
    finally:
        HERE.compiling, HERE.at_once, HERE.whole = before
        if at_once and not before[1]:
            HASTE.end()
        elif before[1] and not at_once:
            HASTE.begin()


def watch_for_reads() -> None:
    """Have reads inside a whole graph refused from now on; programs without `fullgraph` never come here."""
    if refuse_read not in COMPUTING:
        COMPUTING.append(refuse_read)


def refuse_read() -> None:
    """Raise if values are about to be computed in the middle of a call that has to be one graph."""
    if not HERE.whole:
        return
    place = find_place()
    if place.why in NOT_READS:
        return
    raise Unsupported(
        f"fullgraph=True: a value is read in the middle of the compiled call of {HERE.whole}, so that it "
        f"cannot be one graph.\n  reason: {place.why}\n  from user code:\n"
        f'    File "{place.file}", line {place.line}\n      {place.source}\n'
        "Return the tensor and read it after the call, use torch.where instead of a branch, or leave fullgraph out."
    )
