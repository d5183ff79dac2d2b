"""The tables that the cursor's native function (`cursor_native`) reads: what is the same for all steps, and for one.

A table is a row of 64-bit words: numbers, and addresses of objects that somebody else keeps alive.  `journal.Entry` has
one of its own (`graph.journal.pack_entry`).
"""

from __future__ import annotations

from enum import IntEnum

MOST_INPUTS = 8
MOST_RESULTS = 4


class Mode(IntEnum):
    """What the door wants of a step."""

    TRACED = 0  # tensors, and notes on the trail
    VIEW = 1  # a node and its mark, and notes on the trail
    PLAIN = 2  # tensors that no tape wants
    UNTRACKED = 3  # nodes


class Source(IntEnum):
    """Where an input's cotangent has to go."""

    ANYWHERE = 0  # nobody asks
    NOWHERE = 1
    MARK = 2  # to a place of the trail
    KNOWN_LEAF = 3
    FRESH_LEAF = 4  # one that the trail has not met
    SAME_LEAF = 5  # the fresh one of an earlier input


class Common(IntEnum):
    """Places in the table for all steps: addresses of objects."""

    # fmt: off
    (TUPLE, NODE, TENSOR, STORAGE, MARK, NONE, FALSE, TRUE, ZERO, CPU, JOURNALS, JOURNAL, PENDING, SETTINGS, LIMIT,
     NEXT_SEQUENCE, NEW, GRAD_MODE, ENABLED, SCALAR) = range(20)
    # fmt: on


class Word(IntEnum):
    """Places in a step's table.

    `LEAVES` is how many the trail must have met, -1 where that does not matter; `WRITTEN` is the function that is written
    in Python, which takes what the native one refuses.
    """

    # fmt: off
    (COMMON, MODE, INPUTS, LEAVES, RECIPE, USED, KINDS, RESULTS, MULTIPLE, STEP, PLACE, KEEPS_INPUTS,
     KEEPS_OUTPUTS, WRITTEN) = range(14)
    # fmt: on
    USED_PLACES = 16
    INPUT_ROWS = 32
    KIND_ROWS = 96
    RESULT_ROWS = 112
    LENGTH = 144


class InputWord(IntEnum):
    """Words of an input's row."""

    # fmt: off
    IS_NODE, SHAPE, DTYPE, SOURCE, TARGET = range(5)
    # fmt: on


class ResultWord(IntEnum):
    """Words of a result's row: which computed value it is; the index and source of its mark, if it has one."""

    # fmt: off
    POSITION, HAS_MARK, INDEX, SOURCE = range(4)
    # fmt: on


INPUT_WORDS, KIND_WORDS, RESULT_WORDS = 8, 2, 8
