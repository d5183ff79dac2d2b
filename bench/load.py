"""How much of the machine others took meanwhile, from Linux's /proc; NaN elsewhere.

    load = OthersLoad(identities)        # of processes that are ours
    …                                    # they measure something
    load.share()                         # 0.25: a quarter of all cores' time went elsewhere

Time that a hypervisor gave to other machines counts as taken.  What ran for less than a clock tick is not seen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

PROCESSES = Path("/proc")
IDLE = (3, 4)  # the fields of /proc/stat that are no work: idle, waiting for input
FIELDS = 8  # user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of these


class OthersLoad:
    """Counts from its creation on."""

    def __init__(self, identities: Iterable[int]) -> None:
        self.identities = list(identities)
        self.own = own_ticks(self.identities)
        self.busy, self.total = machine_ticks()

    def share(self) -> float:
        """The part of the cores' time that neither this process nor those have used."""
        busy, total = machine_ticks()
        own = own_ticks(self.identities) - self.own
        if not total > self.total:
            return math.nan
        return max(0.0, busy - self.busy - own) / (total - self.total)


def machine_ticks() -> tuple[float, float]:
    """Clock ticks of work and of everything, all cores together, since the machine started."""
    try:
        words = (PROCESSES / "stat").read_text().splitlines()[0].split()[1 : FIELDS + 1]
    except (OSError, IndexError):
        return math.nan, math.nan
    ticks = [float(word) for word in words]
    return sum(ticks) - sum(ticks[place] for place in IDLE), sum(ticks)


def own_ticks(identities: Iterable[int]) -> float:
    """Clock ticks that this process and these have used."""
    return sum(process_ticks(identity) for identity in (os.getpid(), *identities))


def process_ticks(identity: int) -> float:
    """User and system time of a process; nothing once it has ended."""
    try:
        text = (PROCESSES / str(identity) / "stat").read_text()
    except OSError:
        return 0.0
    words = text.rpartition(")")[2].split()  # the name before may hold anything
    return float(words[11]) + float(words[12])
