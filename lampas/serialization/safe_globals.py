"""Classes and functions that the program declares safe to be constructed by files it loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Entry = Callable[..., Any] | tuple[Callable[..., Any], str]

_registered: dict[str, Any] = {}


def _full_name(entry: Entry) -> tuple[str, Any]:
    if isinstance(entry, tuple):
        if len(entry) != 2 or not isinstance(entry[1], str):
            raise ValueError(
                "a safe global is a callable, or a tuple of a callable and its full name as text, "
                f"got a tuple of {len(entry)}"
            )
        return entry[1], entry[0]
    return f"{entry.__module__}.{entry.__qualname__}", entry


def add_safe_globals(safe_globals: Iterable[Entry]) -> None:
    """Lets files construct these: classes, functions, or (object, "full.name") pairs."""
    _registered.update(_full_name(entry) for entry in safe_globals)


def get_safe_globals() -> list[Any]:
    """What has been registered."""
    return list(_registered.values())


def clear_safe_globals() -> None:
    """Forgets everything that was registered."""
    _registered.clear()


def registered(full_name: str) -> Any:
    """The registered object of that name, or None. Files saved under either name of us fit."""
    if full_name.startswith("torch."):
        return _registered.get(full_name) or _registered.get("lampas." + full_name[6:])
    return _registered.get(full_name)


class safe_globals:
    """Registers within a `with` block.

    >>> class Point: pass
    >>> with safe_globals([Point]):
    ...     Point in get_safe_globals()
    True
    """

    def __init__(self, safe_globals: Iterable[Entry]) -> None:
        self.entries = list(safe_globals)

    def __enter__(self) -> None:
        self.before = dict(_registered)
        add_safe_globals(self.entries)

    def __exit__(self, *error: object) -> None:
        _registered.clear()
        _registered.update(self.before)
