"""What Python code does besides tensor operations: found by watching one call of it, and by reading its byte code.

`Inspection` is set as the thread's profile function during a call.  It notes which code objects run.  Code outside of
this package is read: which globals and attributes it looks at, and whether it changes anything but local variables.
Of this package only what has no state of its own outside of tensors, modules and optimizers may run.

`Refusal` says, with file and line, why the call may not be replaced by a recording of what it computed.
"""

from __future__ import annotations

import dis
import os
import sys
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, NamedTuple

from lampas.compiler.frames import PACKAGE
from lampas.engine.realize.realize import read, settle_in, settle_row_major
from lampas.engine.tensor.generator import engine_of
from lampas.engine.tensor.neural_linear import stored_bounds
from lampas.engine.tensor.random_fill import (
    _fill_plain,
    normal_draw,
    uniform_draw,
    whole_draw,
)
from lampas.engine.tensor.storage import Storage
from lampas.engine.tensor.values import array_of

STANDARD = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))
# Standard modules whose Python code keeps nothing from call to call.
STATELESS = frozenset(
    ["functools.py", "contextlib.py", "_collections_abc.py", "typing.py", "enum.py", "types.py", "<frozen abc>",
     "<frozen _collections_abc>"]
)  # fmt: skip
# Parts of this package that keep all they know in tensors, modules, optimizers, and the modes that guards compare.
TRUSTED = (
    "__init__.py", "_pytree", "autograd", "compiler", "engine", "functional", "linalg", "nn", "optim", "special",
    "vision/models", "vision/ops", "utils/hooks.py",
)  # fmt: skip
STATEFUL = ("optim/lr_scheduler", "optim/lbfgs", "optim/swa_utils", "nn/parallel")
PURE_BUILTINS = frozenset(
    "abs all any bin callable chr divmod format getattr hasattr hex isinstance issubclass iter len max min next oct "
    "ord pow repr round sorted sum".split()
)
PURE_MODULES = frozenset({"math", "_operator", "itertools", "_functools", "_collections"})
CONTAINERS = (str, bytes, int, float, complex, tuple, list, dict, set, frozenset)
CHANGING = {
    "STORE_ATTR": "sets the attribute",
    "DELETE_ATTR": "deletes the attribute",
    "STORE_GLOBAL": "sets the global",
    "DELETE_GLOBAL": "deletes the global",
    "STORE_SUBSCR": "sets an item",
    "DELETE_SUBSCR": "deletes an item",
    "STORE_SLICE": "sets a slice",
}
GLOBAL_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
ATTRIBUTE_READS = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})


class Refusal(Exception):
    """Why a call cannot be replaced by a recording."""


class Reads(NamedTuple):
    """What a code object looks at by name, and the first thing that it changes (line and words)."""

    globals: frozenset[str]
    attributes: frozenset[str]
    change: tuple[int, str] | None


@lru_cache(maxsize=1 << 10)
def reads_of(code: CodeType) -> Reads:
    """What the byte code says; functions defined inside are read when they run."""
    globals_read: set[str] = set()
    attributes: set[str] = set()
    change: tuple[int, str] | None = None
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno or line if instruction.positions else line
        name = instruction.opname
        if name in GLOBAL_READS:
            globals_read.add(instruction.argval)
        elif name in ATTRIBUTE_READS:
            attributes.add(instruction.argval)
        elif change is None and name in CHANGING:
            named = f" {instruction.argval}" if isinstance(instruction.argval, str) else ""
            change = line, CHANGING[name] + named
        elif change is None and name == "STORE_DEREF" and instruction.argval in code.co_freevars:
            change = line, f"sets the outer variable {instruction.argval}"
    return Reads(frozenset(globals_read), frozenset(attributes), change)


@lru_cache(maxsize=1 << 12)
def is_ours(filename: str) -> bool:
    """Whether a file belongs to this package."""
    return filename.startswith(PACKAGE)


@lru_cache(maxsize=1 << 12)
def is_standard(filename: str) -> bool:
    """Whether a file is Python's own, or was installed as somebody else's package."""
    return (
        filename.startswith((*STANDARD, "<frozen ")) or f"{os.sep}site-packages{os.sep}" in filename
    )


def is_written(frame: FrameType) -> bool:
    """Whether a function was written by the engine, for one of its dataclasses, or by `namedtuple`."""
    name = frame.f_globals.get("__name__", "namedtuple_")
    return frame.f_code.co_filename == "<string>" and name.startswith(("namedtuple_", "lampas."))


def place_of(code: CodeType, line: int) -> str:
    """A line of code, for people."""
    return f"{code.co_name} at {os.path.basename(code.co_filename)}:{line}"


class Inspection:
    """The profile function of one call; `refusal` is the first reason found."""

    def __init__(self) -> None:
        self.codes: dict[CodeType, dict[str, Any]] = {}  # others' code that ran, with its globals
        self.ours: set[CodeType] = set()
        self.refusal = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.refusal:
            return
        code = frame.f_code
        if event == "call":
            if code in self.ours or code in self.codes:
                return
            if is_ours(code.co_filename):
                self.ours.add(code)
                self.look_at_ours(frame)
            elif not is_written(frame):
                self.look_at(frame)
                if not is_standard(code.co_filename):
                    self.codes[code] = frame.f_globals
        elif event == "c_call" and code in self.codes:
            self.look_at_builtin(frame, argument)

    def refuse(self, reason: str) -> None:
        """Note a reason, if it is the first."""
        self.refusal = self.refusal or reason

    def look_at(self, frame: FrameType) -> None:
        """Somebody else's function has begun."""
        code, caller = frame.f_code, frame.f_back
        filename = code.co_filename
        if is_standard(filename):
            asked = caller is not None and caller.f_code in self.codes
            if asked and os.path.basename(filename) not in STATELESS:
                self.refuse(f"calls {code.co_name} of {os.path.basename(filename)}")
            return
        change = reads_of(code).change
        if change is not None:
            self.refuse(f"{place_of(code, change[0])} {change[1]}")

    def look_at_builtin(self, frame: FrameType, function: Any) -> None:
        """Somebody else's code calls a function that is not Python's."""
        owner = getattr(function, "__self__", None)
        name, module = function.__name__, getattr(function, "__module__", None)
        if isinstance(owner, CONTAINERS) or module in PURE_MODULES:
            return
        if module == "builtins" and name in PURE_BUILTINS:
            return
        self.refuse(f"{place_of(frame.f_code, frame.f_lineno)} calls {name}")

    def look_at_ours(self, frame: FrameType) -> None:
        """A function of this package has begun."""
        code, caller = frame.f_code, frame.f_back
        asked = None if caller is None else caller.f_code
        if code in READING and asked not in LOOKED_AT_AGAIN:
            self.refuse(f"a value is read{_asked_at(frame)}")
        elif code is engine_of.__code__ and asked not in DRAWN_AGAIN:
            self.refuse(f"random numbers are drawn{_asked_at(frame)}")
        else:
            part = code.co_filename[len(PACKAGE) :].replace(os.sep, "/")
            if not part.startswith(TRUSTED) or part.startswith(STATEFUL):
                self.refuse(
                    f"calls {code.co_name} of lampas/{part}, which keeps a state{_asked_at(frame)}"
                )


READING = frozenset({Storage.compute.__code__, array_of.__code__, read.__code__})
# Who reads without making Python code depend on it, or tells (`neural_linear.BOUNDING`).
LOOKED_AT_AGAIN = frozenset(
    function.__code__ for function in (stored_bounds, settle_row_major, settle_in)
)
# What `random_fill.fill` tells to those who draw again.
DRAWN_AGAIN = frozenset(
    function.__code__ for function in (_fill_plain, uniform_draw, normal_draw, whole_draw)
)


def _asked_at(frame: FrameType | None) -> str:
    while frame is not None and is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None else f" by {place_of(frame.f_code, frame.f_lineno)}"


def inspect_call(inspection: Inspection, call: Callable[[], Any]) -> Any:
    """The result of a call that is watched."""
    sys.setprofile(inspection)
    try:
        return call()
    finally:
        sys.setprofile(None)
