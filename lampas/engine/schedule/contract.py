"""Contractions: which strides a matrix product reads its operands by.

Batch dimensions are walked by strides too, so neither a transposed nor a repeated operand is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.reading import Reading
    from lampas.engine.schedule.steps import Contraction


@final
@dataclass(frozen=True, slots=True)
class GemmCall:
    """One matrix product: (*B, M, K) by (*B, K, N); the result is row-major."""

    entry: int
    bases: tuple[int, int]
    readings: tuple[Reading, Reading]


def gemm_call(step: Contraction, paths: Paths) -> GemmCall:
    """How a matrix product reads its operands."""
    entry = paths.entries[step.entry]
    found = [paths.follow(source) for source in entry.sources]
    readings = [paths.reading(path) for path in found]
    assert readings[0] is not None
    assert readings[1] is not None
    return GemmCall(step.entry, (found[0][0], found[1][0]), (readings[0], readings[1]))
