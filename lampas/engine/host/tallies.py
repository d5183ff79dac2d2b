"""Counting small integers by compiled code: one pass, which has been told how great they are.

NumPy's `bincount` looks for the least and the greatest first. The kernel counts in two tables by turns, so
that equal neighbours do not wait for each other.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lampas.engine.llvm.compiler import compile_function
from lampas.engine.llvm.text import Module
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
NAME: Final = "lampas_tally"
ENOUGH: Final = 1 << 14  # numbers from which on compiled code is worth its making


def count_each(x: Array, bins: int) -> Array:
    """How often each number of [0, bins) occurs among integers, all of which are in there."""
    few = len(x) < max(ENOUGH, bins)
    if few or x.dtype != np.int64 or settings.tier == "reference":
        return np.bincount(x, minlength=bins)
    x = np.ascontiguousarray(x)
    tables = np.zeros((2, bins), np.int64)
    _kernel()(x.ctypes.data, tables[0].ctypes.data, tables[1].ctypes.data, len(x))
    return tables[0] + tables[1]


@functools.cache
def _kernel() -> Callable[..., Any]:
    module = Module()
    pointers = [("ptr", each) for each in ("numbers", "even", "odd")]
    b = module.function(NAME, [*pointers, ("i64", "count")])
    numbers, even, odd, count = b.arguments

    def note(place: Any, table: Any) -> None:
        cell = b.element_pointer(table, b.load_element("i64", numbers, place), "i64")
        b.store(b.add(b.load("i64", cell), 1), cell)

    whole = b.bit_and(count, -2)
    with b.loop(0, whole, 2) as place:
        note(place, even)
        note(b.add(place, 1), odd)
    with b.loop(whole, count) as place:
        note(place, even)
    b.ret()
    pointer = ctypes.c_void_p
    signature = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, ctypes.c_int64)
    return signature(compile_function(module, NAME))
