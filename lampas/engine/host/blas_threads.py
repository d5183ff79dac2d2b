"""How many threads the OpenBLAS libraries of NumPy and SciPy may use, for the length of a call.

Their threads spin on after a call, beside ours: on matrices of a few hundred rows they cost more than they
give, up to ten times the call where other work wants the processors.  Where no such library is found (other
builds of NumPy or SciPy), nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator

PACKAGES: Final = ("numpy", "scipy")
_LOCK: Final = threading.Lock()
_DEPTH: Final[dict[str, int]] = dict.fromkeys(PACKAGES, 0)
_BEFORE: Final[dict[str, int]] = {}


@functools.cache
def switches(package: str) -> tuple[Any, Any] | None:
    """Functions that get and set the number of threads, or None."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    home = Path(found.origin).parent
    for folder in (home.parent / f"{package}.libs", home / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            library = ctypes.CDLL(str(path))
            for prefix in ("scipy_openblas", "openblas"):
                for suffix in ("", "64_"):
                    ask = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                    tell = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                    if ask is not None and tell is not None:
                        return ask, tell
    return None


@contextlib.contextmanager
def at_most(count: int, package: str) -> Generator[None]:
    """No more than `count` threads inside; what was allowed before comes back when the last caller leaves."""
    functions = switches(package)
    if functions is None:
        yield
        return
    ask, tell = functions
    with _LOCK:
        if not _DEPTH[package]:
            _BEFORE[package] = ask()
        _DEPTH[package] += 1
        if ask() > count:
            tell(count)
    try:
        yield
    finally:
        with _LOCK:
            _DEPTH[package] -= 1
            if not _DEPTH[package]:
                tell(_BEFORE[package])
