"""The compiled kernels of random numbers, for those who ask for enough of them.

Small amounts go through NumPy until something large has had the kernels compiled; the numbers are
the same. `LAMPAS_TIER=reference` keeps to NumPy.
"""

import ctypes
from collections.abc import Callable
from typing import Final

from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.target import host
from lampas.engine.settings import settings
from lampas.engine.tensor.random_kernels import LIBM, kernels

Functions = dict[str, Callable[..., None]]
ENOUGH: Final = 4096
_POINTER, _WHOLE = ctypes.c_void_p, ctypes.c_int64
_SINGLE, _DOUBLE = ctypes.c_float, ctypes.c_double
_SIGNATURES: Final = {
    "blocks": (_POINTER, _POINTER, _WHOLE),
    "singles": (_POINTER, _WHOLE, _SINGLE, _SINGLE, _SINGLE),
    "doubles": (_POINTER, _WHOLE),
    "trials": (_POINTER, _POINTER, _WHOLE, _WHOLE),
    "normal": (_POINTER, _WHOLE, _SINGLE, _SINGLE),
    "swap": (_POINTER, _POINTER, _WHOLE),
    "fused": (_POINTER, _WHOLE, _DOUBLE, _DOUBLE),
    **dict.fromkeys(LIBM, (_POINTER, _WHOLE)),
}
_loaded: list[Functions] = []


def native(count: int) -> Functions | None:
    """The kernels by name, or None where NumPy is to do this amount of work."""
    if settings.tier == "reference":
        return None
    if _loaded:
        return _loaded[0]
    if count < ENOUGH or not host().fma:
        return None
    found = compile_functions(kernels(), [f"lampas_{name}" for name in _SIGNATURES])
    _loaded.append(
        {
            name: ctypes.CFUNCTYPE(None, *signature)(found[f"lampas_{name}"])
            for name, signature in _SIGNATURES.items()
        }
    )
    return _loaded[0]
