"""What the compiler and its programs did so far, in one object.

`statistics` counts for the whole process; `statistics.reset()` starts again (tests do).
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Statistics:
    """Counts and times since the process began.

    `programs` were built, `loaded` came from the disk.  `kernels` are distinct kernels bound (compiled now, or found in the
    memory or disk cache); what was compiled is counted by `llvm.cache.counters`.
    """

    programs: int = 0
    loaded: int = 0
    kernels: int = 0
    records: int = 0
    host_steps: int = 0
    build_ms: float = 0.0
    runs: int = 0
    arena_bytes: int = 0
    output_bytes: int = 0

    def reset(self) -> None:
        """Set every count to zero."""
        for field in fields(self):
            setattr(self, field.name, type(getattr(self, field.name))())


statistics = Statistics()
BOUND: set[int] = set()


def count_kernel(address: int) -> None:
    """Count a kernel that is bound for the first time, by its code's address."""
    if address not in BOUND:
        BOUND.add(address)
        statistics.kernels += 1
