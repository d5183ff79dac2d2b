"""What a workload costs before it runs at full speed, and what memory it takes: fresh processes for each measure.

Cold means that the contestant's cache of compiled kernels is an empty folder; warm, that the same workload has been
run once with that folder.  A contestant that keeps no cache (PyTorch eager) has a cold start alone.
"""

from __future__ import annotations

import tempfile
from typing import Any

from bench.contestants import CACHES, Failure, Worker

MEMORY_SECONDS = 1.0


def measure_starts(contestant: str, name: str) -> dict[str, Any]:
    """First steps from a cold and a warm cache, kernels compiled, and what changed sizes compile afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="lampas-bench-") as folder:
            variable = CACHES.get(contestant)
            variables = {variable: folder} if variable else {}
            with Worker(contestant, variables) as worker:
                found: dict[str, Any] = {"cold": worker.ask("build", name)}
                found["changed"] = worker.ask("change", name)
            if variable:
                with Worker(contestant, variables) as worker:
                    found["warm"] = worker.ask("build", name)
            return found
    except Failure as failure:
        return {"error": str(failure)}


def measure_memory(contestant: str, name: str) -> dict[str, Any]:
    """MiB by which a process of this contestant alone grows over what its import took."""
    try:
        with Worker(contestant) as worker:
            return worker.ask("memory", name, MEMORY_SECONDS)
    except Failure as failure:
        return {"error": str(failure)}
