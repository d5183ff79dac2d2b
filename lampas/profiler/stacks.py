"""Stacks as lines of text that tools for flame graphs read: `outermost;…;innermost number`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lampas.serialization.files import replacing

SEPARATORS = str.maketrans(" ;\t\n", "____")


def write(path: str, events: Iterable[Any], metric: str) -> None:
    """Write the events that have a stack and a metric of at least 1; an old file stays whole until then."""
    lines: list[str] = []
    for event in events:
        value = int(getattr(event, metric))
        if event.stack and value > 0:
            frames = [frame.translate(SEPARATORS) for frame in reversed(event.stack)]
            lines.append(f"{';'.join(frames)} {value}\n")
    with replacing(path) as file:
        file.write("".join(lines).encode())
