"""Matrix products as records of the packed kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lampas.engine.device.launch import Record
    from lampas.engine.realize.bind import Slots
    from lampas.engine.schedule.contract import GemmCall
    from lampas.engine.schedule.lower import Schedule


def gemm_records(call: GemmCall, schedule: Schedule, slots: Slots) -> list[Record] | None:
    """The records of a matrix product; None where only NumPy can do it."""
    return None
