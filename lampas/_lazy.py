"""Attributes of a package that are imported when somebody first reads them.

`import lampas` has to be quick, and most programs use few of its modules. A package hands its
tables to `attach` and binds the two functions that come back as its own `__getattr__` and
`__dir__` (PEP 562). A name that was read once is an ordinary attribute from then on.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attach(
    package: str, modules: Iterable[str], names: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `(__getattr__, __dir__)` for `package`.

    `modules` are submodules by their own name; `names` maps an attribute to the full name of the
    module that defines it. An unknown attribute raises AttributeError, and so does a listed
    submodule that this release does not have.
    """
    submodules = frozenset(modules)
    sources = dict(names or {})

    def load(name: str) -> Any:
        if name in sources:
            value = getattr(importlib.import_module(sources[name]), name)
        elif name in submodules:
            value = _submodule(package, name)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        setattr(sys.modules[package], name, value)
        return value

    def listing() -> list[str]:
        return sorted({*vars(sys.modules[package]), *submodules, *sources})

    return load, listing


def _submodule(package: str, name: str) -> Any:
    full_name = f"{package}.{name}"
    try:
        return importlib.import_module(full_name)
    except ModuleNotFoundError as error:
        if error.name != full_name:
            raise
        raise AttributeError(
            f"module {package!r} has no attribute {name!r}: this release has no {full_name}",
            name=name,
        ) from None
