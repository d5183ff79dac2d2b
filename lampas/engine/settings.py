"""The settings of the engine: the only module that reads ``os.environ``.

Every setting is an attribute of the one object `settings`. Each is read from the environment once, when this
module is imported, and can then be changed by assignment (tests do) or for a while with `settings.override`.

| variable           | attribute        | meaning                                                              |
|--------------------|------------------|----------------------------------------------------------------------|
| LAMPAS_DEBUG       | debug            | 0 … 6: how much the engine tells (schedule, timings, loops, IR, …)   |
| LAMPAS_TIER        | tier             | "auto", "reference" (NumPy) or "compiled" (machine code)             |
| LAMPAS_EAGER       | eager            | realize every operation at once                                      |
| LAMPAS_THREADS     | threads          | upper limit on threads; 0 means what the machine grants              |
| LAMPAS_CACHE       | cache            | keep compiled objects on disk                                        |
| LAMPAS_CACHE_DIR   | cache_dir        | where; "" means the user's cache directory                           |
| LAMPAS_CACHE_MB    | cache_mb         | cap of the disk cache in MiB                                         |
| LAMPAS_FUSE        | fuse             | join operations into kernels                                         |
| LAMPAS_CONVOLUTION | convolution      | "auto", "direct", "winograd2" or "winograd4": the way of 3×3 kernels |
| LAMPAS_VERIFY      | verify           | check the graph after each pass                                      |
| LAMPAS_VECTOR      | vector_bytes     | force a narrower vector (16, 32, 64); 0 means the machine's          |
| LAMPAS_PENDING     | pending          | nodes that may wait before the graph is realized by itself           |
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass, fields, replace

TIERS = ("auto", "reference", "compiled")
CONVOLUTIONS = ("auto", "direct", "winograd2", "winograd4")


@dataclass
class Settings:
    """Values of all settings; see the table at the top of this file."""

    debug: int = 0
    tier: str = "auto"
    eager: bool = False
    threads: int = 0
    cache: bool = True
    cache_dir: str = ""
    cache_mb: int = 256
    fuse: bool = True
    convolution: str = "auto"
    verify: bool = False
    vector_bytes: int = 0
    pending: int = 20_000

    @contextlib.contextmanager
    def override(self, **values: object) -> Generator[Settings, None, None]:
        """Set attributes inside a ``with`` block and restore them afterwards."""
        before = replace(self)
        for name in values:
            if name not in NAMES:
                raise AttributeError(f"no setting is called {name!r}; there are {sorted(NAMES)}")
        for name, value in values.items():
            setattr(self, name, value)
        try:
            yield self
        finally:
            for name in values:
                setattr(self, name, getattr(before, name))


NAMES = {field.name for field in fields(Settings)}
# fmt: off
VARIABLES = {
    "debug": "LAMPAS_DEBUG", "tier": "LAMPAS_TIER", "eager": "LAMPAS_EAGER", "threads": "LAMPAS_THREADS",
    "cache": "LAMPAS_CACHE", "cache_dir": "LAMPAS_CACHE_DIR", "cache_mb": "LAMPAS_CACHE_MB",
    "fuse": "LAMPAS_FUSE", "verify": "LAMPAS_VERIFY", "vector_bytes": "LAMPAS_VECTOR",
    "convolution": "LAMPAS_CONVOLUTION", "pending": "LAMPAS_PENDING",
}
# fmt: on
FALSE_WORDS = ("", "0", "false", "no", "off")


def read_settings(environment: dict[str, str]) -> Settings:
    """Return settings read from a mapping such as ``os.environ``; raise ValueError for a bad value."""
    found = Settings()
    for name, variable in VARIABLES.items():
        if variable in environment:
            setattr(found, name, parse(variable, environment[variable], getattr(found, name)))
    if found.tier not in TIERS:
        raise ValueError(f"LAMPAS_TIER is {found.tier!r}; it can be one of {', '.join(TIERS)}")
    if found.convolution not in CONVOLUTIONS:
        raise ValueError(
            f"LAMPAS_CONVOLUTION is {found.convolution!r}; it can be one of {', '.join(CONVOLUTIONS)}"
        )
    if found.vector_bytes not in (0, 16, 32, 64):
        raise ValueError(f"LAMPAS_VECTOR is {found.vector_bytes}; it can be 0, 16, 32 or 64")
    return found


def parse(variable: str, text: str, default: object) -> object:
    """Read `text` as the type that `default` has."""
    text = text.strip()
    if isinstance(default, bool):
        return text.lower() not in FALSE_WORDS
    if not isinstance(default, int):
        return text
    try:
        return int(text or 0)
    except ValueError:
        raise ValueError(f"{variable} is {text!r}; it takes a whole number") from None


def openmp_threads() -> int:
    """Return OMP_NUM_THREADS (its first level) or 0 when it is unset or unreadable."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() else 0


def cache_home() -> str:
    """Return the user's cache directory by the XDG rule."""
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")


def torch_home() -> str:
    """Return PyTorch's cache directory: TORCH_HOME, else `torch` in the user's cache directory."""
    return os.path.expanduser(os.environ.get("TORCH_HOME") or os.path.join(cache_home(), "torch"))


settings = read_settings(dict(os.environ))
