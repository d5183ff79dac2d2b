"""Ranges that programs name: `record_function`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from lampas.engine.watch import WATCHERS

if TYPE_CHECKING:
    from types import TracebackType


class record_function(contextlib.ContextDecorator):
    """A named range in profiles, for a `with` block or as a decorator; free while nobody profiles.

    >>> with record_function("forward"):
    ...     pass
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._told: list[list[Any]] = []

    def __enter__(self) -> record_function:
        self._told.append([(each, each.begin("annotation", self.name)) for each in WATCHERS])
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for watcher, span in self._told.pop():
            watcher.end(span)
