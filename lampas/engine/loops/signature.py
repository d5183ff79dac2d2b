"""What the integers of a kernel mean, and how its work is cut into parallel units.

The integers are, in this order:
1. the size of each dimension of the nest (rank of them);
2. for each operand in order, for each dimension in order whose class is STRIDED, that stride in elements;
3. for a blocked nest, the block length (sizes then name the whole reduced length).

The parallel index numbers units, kept dimensions outermost. In row mode a unit is one row. In map and column mode
it is a stretch of `stretch` positions along the last kept dimension (the last stretch may be short).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from lampas.engine.loops.emit_elements import HEAVY
from lampas.engine.loops.nest import STRIDED, Nest

GRAIN_ELEMENTS = 16384  # of light work; each costly function counts as much again


class Signature(NamedTuple):
    """How to call the kernel of one nest."""

    nest: Nest
    stretch: int

    def integers(
        self, sizes: Sequence[int], strides: Sequence[Sequence[int]], block: int = 0
    ) -> list[int]:
        """Return the integers of a call; `strides` has one sequence an operand, in elements."""
        listed = list(sizes)
        for operand, walked in zip(self.nest.operands, strides, strict=True):
            pairs = zip(operand.classes, walked, strict=True)
            listed.extend(stride for kind, stride in pairs if kind == STRIDED)
        return [*listed, block] if self.nest.blocked else listed

    def extent(self, sizes: Sequence[int]) -> int:
        """Return how many parallel units the sizes make; 0 if nothing is to be written."""
        nest = self.nest
        if nest.mode == "row":
            return prod(sizes[: nest.kept])
        return prod(sizes[: nest.kept - 1]) * -(-sizes[nest.kept - 1] // self.stretch)

    def grain(self, sizes: Sequence[int], block: int = 0) -> int:
        """Return how many units a thread should take at once."""
        nest = self.nest
        inner = prod(sizes[nest.kept :])
        if nest.blocked:
            inner = prod(sizes[nest.kept + 1 :]) * block
        own = 1 if nest.mode == "row" else min(self.stretch, sizes[nest.kept - 1])
        costly = sum(instruction.op in HEAVY for instruction in nest.instructions)
        return max(1, GRAIN_ELEMENTS // (1 + costly) // max(1, inner * own))
