"""Intel's tracing interface (ITT): not offered, since nothing here is linked with it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NoReturn


def is_available() -> bool:
    """Whether ranges reach a tracing tool: never."""
    return False


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(f"torch.profiler.itt.{name}: Lampas is not linked with ITT")


def range_push(msg: str) -> NoReturn:
    """Not offered."""
    _refuse("range_push")


def range_pop() -> NoReturn:
    """Not offered."""
    _refuse("range_pop")


def mark(msg: str) -> NoReturn:
    """Not offered."""
    _refuse("mark")


@contextmanager
def range(msg: str, *args: object, **kwargs: object) -> Generator[None, None, None]:
    """Not offered."""
    _refuse("range")
    yield
