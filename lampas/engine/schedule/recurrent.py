"""Calls of the kernels of LSTM and GRU, from the entries of the two primitives; None where only the reference knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.dtype import float32
from lampas.engine.graph import primitives as p
from lampas.engine.loops.recurrent_plan import (
    WEIGHT_ROW,
    RecurrentSizes,
    plan_recurrent,
    plan_recurrent_backward,
    suits_kernel,
)
from lampas.engine.schedule.contract import GemmCall, operand

if TYPE_CHECKING:
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.paths import Paths

# Operands in the order of the sources, each with the integers that hold its strides but the last, which is 1.
FORWARD = (
    ("projected", ("INPUT_TIME", "INPUT_ROW")), ("state", ("STATE_ROW",)), ("cell", ("CELL_ROW",)),
    ("weight", (WEIGHT_ROW,)), ("bias", ()),
)  # fmt: skip
BACKWARD = (
    ("states", None), ("kept", None), ("state", ("STATE_ROW",)), ("cell", ("CELL_ROW",)), ("weight", (WEIGHT_ROW,)),
    ("flow", ("INPUT_TIME", "INPUT_ROW")), ("last", ("LAST_ROW",)), ("last_cell", ("LAST_CELL_ROW",)),
)  # fmt: skip


def recurrent_call(
    paths: Paths, number: int, scratch: dict[int, int], threads: int
) -> GemmCall | None:
    """The call of a layer's time steps, or of the way back through them."""
    entry = paths.entries[number]
    if entry.op is not p.RECURRENT and entry.op is not p.RECURRENT_BACKWARD:
        return None
    cell, backwards = entry.attributes
    lstm, forward = cell == "lstm", entry.op is p.RECURRENT
    listed = [row for row in (FORWARD if forward else BACKWARD) if lstm or "cell" not in row[0]]
    places: dict[str, tuple[Place, int]] = {"c": (("entry", number), 0)}
    strides: dict[str, int] = {}
    for (name, integers), source in zip(listed, entry.sources, strict=True):
        base, reading = operand(paths, source)
        places[name] = (("entry", base), reading.offset * entry.dtype.itemsize)
        strides.update(zip(integers or (), reading.strides, strict=False))
    times, batch, _ = paths.entries[entry.sources[0]].shape
    size = paths.entries[entry.sources[1 if forward else 2]].shape[1]
    if entry.dtype is not float32 or not suits_kernel(times, batch, size):
        return None
    plan = plan_recurrent if forward else plan_recurrent_backward
    made = plan(RecurrentSizes(cell, times, batch, size, backwards), strides, threads=threads)
    slot = len(scratch)
    scratch[slot] = made.scratch_bytes
    places["scratch"] = (("scratch", slot), 0)
    return GemmCall(number, made, places, (), (number,))
