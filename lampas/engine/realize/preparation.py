"""What is made of weights once and serves many runs: the transformed filters of convolutions, while nothing learns.

The result hangs at the weight's buffer (`Buffer.prepared`), so it lives as long as that, and several programs share it.
A stored value never changes, with two exceptions: a buffer that is given away for a result forgets what was made of it
(`Program.output_buffers`), and one that an array outside may show is prepared for every run anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from lampas.engine.device.buffer import Buffer
from lampas.engine.device.launch import Program as NativeProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.device.launch import Record


@final
class Preparation:
    """One program's part of it: which leaf, how many bytes, and what makes them."""

    __slots__ = ("key", "leaf", "native", "nbytes")

    def __init__(self, leaf: int, nbytes: int, records: Sequence[Record], slots: int) -> None:
        self.leaf, self.nbytes = leaf, nbytes
        self.native = NativeProgram(records, slots)
        self.key = (nbytes, *[(record.kernel, record.integers) for record in records])


Missing = list[tuple[Preparation, Buffer, Buffer]]


def find_prepared(
    preparations: Sequence[Preparation], leaves: Sequence[Buffer]
) -> tuple[list[Buffer], Missing]:
    """The memory of each, and those that have yet to be made: (preparation, weight, its memory)."""
    found: list[Buffer] = []
    missing: Missing = []
    for each in preparations:
        weight = leaves[each.leaf]
        known: dict[Any, Buffer] | None = weight.prepared
        made = None if known is None or weight.is_seen_outside() else known.get(each.key)
        if made is None:
            made = Buffer.allocate(each.nbytes)
            missing.append((each, weight, made))
        found.append(made)
    return found, missing


def make_prepared(missing: Missing, address: int) -> None:
    """Fill what is missing; `address` is that of the run's pointers."""
    for each, weight, made in missing:
        each.native.run_at(address)
        weight.prepared = {**(weight.prepared or {}), each.key: made}
