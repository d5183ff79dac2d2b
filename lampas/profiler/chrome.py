"""Events in Chrome's trace format, which chrome://tracing, Perfetto and TensorBoard show.

Kernels stand inside the run of their program, on the thread that asked for it; their arguments say what they came
from, what they moved and computed, and at which rates.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lampas.serialization.files import replacing

if TYPE_CHECKING:
    from lampas.profiler.events import FunctionEvent

SCHEMA_VERSION = 1


def write(
    path: str,
    events: Sequence[FunctionEvent],
    *,
    base: int = 0,
    facts: Mapping[str, Any] | None = None,
    memory: Sequence[tuple[float, int, int]] = (),
) -> None:
    """Write a trace; compressed, if the path ends in .gz. An old file stays whole until the new one is.

    `base` is the clock (ns) at the start of the recording, `facts` go to the head of the file, `memory` are points
    (microseconds, live bytes, arena bytes) for a counter.
    """
    process = os.getpid()
    listed: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": "lampas"}}
    ]
    offset = base / 1e3
    listed.extend(trace_event(event, process, offset) for event in events)
    for microseconds, live, arena in memory:
        amounts = {"live": live, "arena": arena}
        listed.append(
            {
                "ph": "C",
                "name": "memory",
                "pid": process,
                "ts": microseconds + offset,
                "args": amounts,
            }
        )
    head = {
        "schemaVersion": SCHEMA_VERSION,
        "deviceProperties": [],
        "host_name": platform.node(),
        "trace_id": uuid.uuid4().hex.upper(),
        **(facts or {}),
        "displayTimeUnit": "ms",
        "baseTimeNanoseconds": base,
        "traceName": os.fspath(path),
        "traceEvents": listed,
    }
    data = json.dumps(head, allow_nan=False).encode()
    with replacing(path) as file:
        file.write(gzip.compress(data) if os.fspath(path).endswith(".gz") else data)


def trace_event(event: FunctionEvent, process: int, offset: float) -> dict[str, Any]:
    """One complete event ("X")."""
    return {
        "ph": "X",
        "cat": event.category,
        "name": event.name if event.is_kernel else event.trace_name,
        "pid": process,
        "tid": event.thread,
        "ts": event.start_us + offset,
        "dur": max(event.end_us - event.start_us, 0.0),
        "args": arguments(event),
    }


def arguments(event: FunctionEvent) -> dict[str, Any]:
    """What is known of an event beside its times."""
    found: dict[str, Any] = {"External id": event.id}
    if event.input_shapes:
        found["Input Dims"] = event.input_shapes
    if event.stack:
        found["Call stack"] = ";\n".join(event.stack)
    if event.kernel_time:
        found["Kernel time (us)"] = round(event.kernel_time, 3)
    if event.is_kernel:
        seconds = max(event.end_us - event.start_us, 1e-3) / 1e6
        found.update(
            {
                "Kernel": event.trace_name,
                "Operations": {name: round(part, 4) for name, _, part in event.shares},
                "Bytes": event.nbytes,
                "FLOPs": event.flops,
                "GB/s": round(event.nbytes / seconds / 1e9, 3),
                "GFLOP/s": round(event.flops / seconds / 1e9, 3),
            }
        )
    return found
