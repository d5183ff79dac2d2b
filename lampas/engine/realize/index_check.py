"""Looking at the flags that guards have written (`schedule.guards`): the first bad index raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, final


@final
class Flag(NamedTuple):
    """The place of a flag, and the operation whose index it tells of: along which dimension, of what size."""

    place: int
    op: str
    dim: int
    size: int

    def error(self) -> Exception:
        """The exception for a bad index, of the type that PyTorch raises."""
        where = f"out of bounds for dimension {self.dim} with size {self.size}"
        if self.op in ("gather", "scatter"):
            return RuntimeError(f"{self.op}(): index is {where}; it must lie in [0, {self.size})")
        return IndexError(f"index out of range in self: {self.op}() got an index that is {where}")


@final
@dataclass(frozen=True, slots=True)
class IndexCheck:
    """Flags that are looked at together."""

    flags: tuple[Flag, ...]

    def run(self, values: Any) -> None:
        """Raise for the first flag that is set: `values` has a byte for each place."""
        for flag in self.flags:
            if values[flag.place]:
                raise flag.error()
