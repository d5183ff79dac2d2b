"""Timings of a program's records: microseconds, GB/s and GFLOP/s.

With `LAMPAS_DEBUG=1` every run prints such a table to standard error; `Program.profile` returns the rows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, final

from lampas.engine.loops.nest import MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.schedule.draft import NestCall

IDLE = frozenset({"constant", "index", "cast", "bitcast"})


@final
@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes that a record must move at least, and its arithmetic operations."""

    nbytes: int = 0
    operations: int = 0


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One timed record."""

    name: str
    microseconds: float
    cost: Cost

    @property
    def gigabytes_a_second(self) -> float:
        return self.cost.nbytes / max(self.microseconds, 1e-3) / 1e3

    @property
    def gigaflops(self) -> float:
        return self.cost.operations / max(self.microseconds, 1e-3) / 1e3


def nest_cost(call: NestCall) -> Cost:
    """What one call of a nest moves and computes; elements read twice count once."""
    nest = call.nest
    sizes = call.sizes[1:] if nest.blocked else call.sizes
    nbytes = 0
    for operand, strides in zip(nest.operands, call.strides, strict=True):
        walked = strides[1:] if nest.blocked else strides
        reach = prod(n for n, stride in zip(sizes, walked, strict=True) if stride)
        nbytes += reach * operand.dtype.itemsize
    busy = [i for i in nest.instructions if i.op not in MEMORY and i.op not in IDLE]
    return Cost(nbytes, len(busy) * prod(sizes))


def print_table(rows: Sequence[Row]) -> None:
    """Write the rows to standard error."""
    total = sum(row.microseconds for row in rows)
    lines = [f"program: {len(rows)} records, {total:.1f} us"]
    for row in rows:
        rates = f"{row.gigabytes_a_second:7.1f} GB/s {row.gigaflops:8.1f} GFLOP/s"
        lines.append(f"{row.microseconds:10.1f} us {rates}  {row.name}")
    sys.stderr.write("\n".join(lines) + "\n")
