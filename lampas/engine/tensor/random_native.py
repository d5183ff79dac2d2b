"""The compiled kernels of random numbers, for those who ask for enough of them.

Small amounts go through NumPy until something large has had the kernels compiled; the numbers are
the same. `LAMPAS_TIER=reference` keeps to NumPy.
"""

import ctypes
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Final

from lampas.engine.settings import settings

Functions = dict[str, Callable[..., None]]
ENOUGH: Final = 4096
_POINTER, _WHOLE = ctypes.c_void_p, ctypes.c_int64
_SINGLE, _DOUBLE = ctypes.c_float, ctypes.c_double
_SIGNATURES: Final = {
    "blocks": (_POINTER, _POINTER, _WHOLE),
    "singles": (_POINTER, _WHOLE, _SINGLE, _SINGLE, _SINGLE),
    "doubles": (_POINTER, _WHOLE),
    "trials": (_POINTER, _POINTER, _WHOLE, _WHOLE),
    "flags": (_POINTER, _POINTER, _WHOLE, _WHOLE),
    "normal": (_POINTER, _WHOLE, _SINGLE, _SINGLE),
    "swap": (_POINTER, _POINTER, _WHOLE),
    "fused": (_POINTER, _WHOLE, _DOUBLE, _DOUBLE),
}
_loaded: list[Functions] = []


def native(count: int) -> Functions | None:
    """The kernels by name, or None where NumPy is to do this amount of work."""
    if settings.tier == "reference":
        return None
    if _loaded:
        return _loaded[0]
    if count < ENOUGH or not _compiler("target").host().fma:
        return None
    sources = importlib.import_module("lampas.engine.tensor.random_kernels")
    signatures = {**_SIGNATURES, **dict.fromkeys(sources.LIBM, (_POINTER, _WHOLE))}
    names = [f"lampas_{name}" for name in signatures]
    found = _compiler("compiler").compile_functions(sources.kernels(), names)
    _loaded.append(
        {
            name: ctypes.CFUNCTYPE(None, *signature)(found[f"lampas_{name}"])
            for name, signature in signatures.items()
        }
    )
    return _loaded[0]


def _compiler(name: str) -> ModuleType:
    """A module of the compiler, loaded when kernels are first wanted: start-up stays quick."""
    return importlib.import_module(f"lampas.engine.llvm.{name}")
