"""What the operands and integers of the matrix product's macro kernel mean."""

from __future__ import annotations

from enum import IntEnum

KERNEL_PARAMETERS = (
    ("ptr", "operands"),
    ("ptr", "integers"),
    ("i64", "begin"),
    ("i64", "end"),
    ("i64", "worker"),
)


class Operand(IntEnum):
    """Places in the operand array; an epilogue's own follow."""

    A, B, C, SCRATCH = range(4)


class Integer(IntEnum):
    """Places in the integer array; an epilogue's own follow. Strides are in elements."""

    # fmt: off
    (TILES, TALL, COLUMNS, DEPTH, A_ROW, A_STRIDE, B_PANEL, B_STRIDE, B_ACROSS, C_TILE_ROW, C_PANEL,
     C_STRIDE, UNIT_TILES, UNIT_PANELS, DEPTH_BLOCK, COPY, SCRATCH_STRIDE, BATCH0, BATCH1, A_BATCH0,
     A_BATCH1, B_BATCH0, B_BATCH1, C_BATCH0, C_BATCH1) = range(25)
    # fmt: on


FIRST_OPERAND, FIRST_INTEGER = len(Operand), len(Integer)
COPY_NONE, COPY_NARROW, COPY_ALL = range(3)
