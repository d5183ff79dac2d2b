"""The table of a known step: what its native functions (`step_native`) compare and write, as words.

    header      addresses of objects that all steps share, how many rows there are of each kind, where they begin
    states      a tensor, its entry in the optimizer's state, a name in that, the tensor there (both 0: the entry alone)
    idle        a parameter that had no gradient
    rows        a tensor (0: the gradient of the row before), its storage, its value's number on the path (-1: none there),
                shape and dtype
    leaves      a row, or a value's number and -1; the attributes that its node has
    outputs     the row whose memory a result may take (-1: none), the references to that row's node
    values      a value's number, the result that it gets, the attributes of its node
    moved       a row, the result that its tensor gets, the attributes of the new node

The objects whose addresses stand in a table are kept beside it.
"""

from __future__ import annotations

import ctypes
import struct
from enum import IntEnum
from typing import Any


class StepWord(IntEnum):
    """Words of the header; from COUNTS on each `Section` has its number of rows and the place of its first word."""

    # fmt: off
    (NONE, FALSE, ONE, BUFFER, EMPTY, BUFFER_NODE, STATES, SCRATCH, COUNTS) = range(9)
    # fmt: on


class Section(IntEnum):
    """Kinds of rows, in their order."""

    STATES, IDLE, ROWS, LEAVES, OUTPUTS, VALUES, MOVED = range(7)


WIDTHS = {
    Section.STATES: 4, Section.IDLE: 1, Section.ROWS: 5, Section.LEAVES: 3, Section.OUTPUTS: 2, Section.VALUES: 3,
    Section.MOVED: 3,
}  # fmt: skip
HEADER = StepWord.COUNTS + 2 * len(Section)
ABSENT = -1


class StepTable:
    """Collects the words of one step."""

    def __init__(self, shared: dict[StepWord, Any]) -> None:
        self.kept: list[Any] = []
        self.shared = {place: self.address(thing) for place, thing in shared.items()}
        self.rows: dict[Section, list[tuple[int, ...]]] = {section: [] for section in Section}

    def address(self, thing: Any) -> int:
        """An object's address; the object is kept."""
        self.kept.append(thing)
        return id(thing)

    def add(self, section: Section, *words: int) -> None:
        """One more row."""
        if len(words) != WIDTHS[section]:
            raise ValueError(f"rows of {section.name} have {WIDTHS[section]} words, not {words}")
        self.rows[section].append(words)

    def packed(self) -> bytes:
        """The table; it has scratch memory for two addresses a row."""
        scratch = (ctypes.c_void_p * (2 * len(self.rows[Section.ROWS]) + 1))()
        self.kept.append(scratch)
        words = [0] * HEADER
        for place, address in self.shared.items():
            words[place] = address
        words[StepWord.SCRATCH] = ctypes.addressof(scratch)
        for section in Section:
            rows = self.rows[section]
            words[StepWord.COUNTS + 2 * section] = len(rows)
            words[StepWord.COUNTS + 2 * section + 1] = len(words)
            for row in rows:
                words.extend(row)
        return struct.pack(f"{len(words)}q", *words)
