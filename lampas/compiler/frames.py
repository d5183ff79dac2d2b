"""Who asked for values, and how: found by walking the stack from the engine out to the user's line.

The first frame outside this package is the user's; the last one before it is what the user called, and its name
says why values are computed.
"""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import lampas
from lampas.engine.settings import settings

PACKAGE = os.path.dirname(lampas.__file__) + os.sep
OPTIMIZERS = os.path.join(PACKAGE, "optim") + os.sep
OPTIMIZER_STEP = "optimizer step"
PENDING_LIMIT = "LAMPAS_PENDING limit"
EAGER = "LAMPAS_EAGER"
END = "end of explain"
# What the user wrote, by the names of the functions that answer for it.
SPOKEN = {
    "represent": "print",
    "to_format": "format",
    "to_bool": "bool (a branch)",
    "to_float": "float",
    "to_int": "int",
    "to_index": "index",
    "get_item": "indexing",
    "set_item": "indexed assignment",
    "__contains__": "in",
    "__array__": "numpy (as an array)",
    "__reduce_ex__": "pickle or copy",
    "__dlpack__": "DLPack",
}
# What nobody reads: values are computed here so that steps and memory stay bounded.
NOT_READS = frozenset({OPTIMIZER_STEP, PENDING_LIMIT, EAGER, END})


class Place(NamedTuple):
    """A line of the user's, and why values are computed there."""

    file: str
    line: int
    why: str

    @property
    def where(self) -> str:
        """The line as `file.py:12`."""
        return f"{Path(self.file).name}:{self.line}"

    @property
    def source(self) -> str:
        """The text of the line, or nothing if there is none."""
        return linecache.getline(self.file, self.line).strip()


def find_place() -> Place:
    """The place that caused the call of this function."""
    frame: FrameType | None = sys._getframe(1)
    called, why = "", ""
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        name = frame.f_code.co_name
        called = called if name == "<lambda>" else name
        why = why or _engine_reason(frame)
        frame = frame.f_back
    why = why or SPOKEN.get(called, called or "unknown")
    if frame is None:
        return Place("?", 0, why)
    return Place(frame.f_code.co_filename, frame.f_lineno, why)


def _engine_reason(frame: FrameType) -> str:
    """Why, where the frame alone tells."""
    name = frame.f_code.co_name
    if name == "bound_pending":
        return EAGER if settings.eager else PENDING_LIMIT
    if name == "step" and frame.f_code.co_filename.startswith(OPTIMIZERS):
        return OPTIMIZER_STEP
    if name == "_flush_for_report":
        return END
    return ""
