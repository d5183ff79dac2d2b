"""One library in one process: builds workloads and times their steps when told to.

Reads a command a line from standard input, answers a line of JSON each:
`build NAME` (seconds to build and of the first step), `time NAME SECONDS` (seconds of each step), `quit`.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from typing import Any


def main(name: str) -> None:
    """Serve commands for the library `name`."""
    out = sys.stdout
    sys.stdout = sys.stderr
    start = time.perf_counter()
    library = importlib.import_module(name)
    for part in ("nn", "optim"):
        importlib.import_module(f"{name}.{part}")
    answer(out, {"import": time.perf_counter() - start})
    from workloads import WORKLOADS

    steps: dict[str, Any] = {}
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "quit":
            return
        if command == "build":
            answer(out, build(library, WORKLOADS[rest[0]], steps, rest[0]))
        else:
            answer(out, measure(steps[rest[0]], float(rest[1])))


def answer(out: Any, value: dict[str, Any]) -> None:
    """Write one line of JSON."""
    out.write(json.dumps(value) + "\n")
    out.flush()


def build(library: Any, builder: Any, steps: dict[str, Any], name: str) -> dict[str, Any]:
    """Make a workload and run it until its program is settled."""
    start = time.perf_counter()
    try:
        step = builder(library)
        made = time.perf_counter()
        value = step()
        first = time.perf_counter()
        for _ in range(4):
            value = step()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    steps[name] = step
    return {"build": made - start, "first": first - made, "value": value}


def measure(step: Any, seconds: float) -> dict[str, Any]:
    """The duration of each step during about `seconds`."""
    times = []
    deadline = time.perf_counter() + seconds
    while not times or time.perf_counter() < deadline:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"times": times, "peak": peak}


if __name__ == "__main__":
    main(sys.argv[1])
