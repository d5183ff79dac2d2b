"""The largest element of each of many equal windows whose corners lie anywhere.

A window is its corner's position in a plane and the offsets that all share. Compiled code takes
neighbouring windows in vectors; small amounts and `LAMPAS_TIER=reference` go to NumPy.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lampas.engine.host.shares import in_shares
from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.text import (
    Builder,
    Module,
    Value,
    bytes_of,
    constant,
    suffix_of,
    vector,
)
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
LANES: Final = 8
PLACES: Final = f"<{LANES} x i32>"
MOST: Final = 1 << 31  # positions are 32 bits wide in the vectors
ENOUGH: Final = 1 << 12  # elements of windows from which on compiled code is worth its making
CHEAP: Final = 4  # so many elements take as long as one of what `in_shares` was measured with
KINDS: Final = {"f4": "float", "f8": "double"}


def greatest_in_windows(planes: Array, corners: Array, offsets: Array) -> Array:
    """The positions in their (P, size) planes for (P, windows) corners.

    Of several NaN the last counts, else the first of the largest elements: PyTorch's choice.
    """
    found = np.empty(corners.shape, np.int64)
    work = corners.size * len(offsets)
    compiled = work >= ENOUGH and planes.shape[1] < MOST and settings.tier != "reference"
    if not compiled or planes.dtype.str[1:] not in KINDS:
        _plainly(planes, corners, offsets, found)
        return found
    kernel = _kernel(planes.dtype.str[1:])
    small, inside = (each.astype(np.int32, copy=False) for each in (corners, offsets))
    small, inside = np.ascontiguousarray(small), np.ascontiguousarray(inside)

    def share(start: int, stop: int) -> None:
        rows = [each[start:stop].ctypes.data for each in (planes, small, found)]
        kernel(
            *rows,
            inside.ctypes.data,
            stop - start,
            *corners.shape[1:],
            *planes.shape[1:],
            len(inside),
        )

    in_shares(share, len(planes), corners.shape[1] * len(offsets) // CHEAP)
    return found


def _plainly(planes: Array, corners: Array, offsets: Array, found: Array) -> None:
    best = np.take_along_axis(planes, corners + offsets[0], 1)
    found[...] = corners + offsets[0]
    for offset in offsets[1:]:
        value = np.take_along_axis(planes, corners + offset, 1)
        better = (value > best) | (value != value)
        np.copyto(best, value, where=better)
        np.copyto(found, corners + offset, where=better)


@functools.cache
def _kernel(kind: str) -> Callable[..., Any]:
    name = f"lampas_greatest_in_windows_{kind}"
    module = Module()
    arguments = [("ptr", each) for each in ("planes", "corners", "found", "offsets")]
    sizes = [("i64", each) for each in ("count", "windows", "size", "inside")]
    _write(module.function(name, [*arguments, *sizes]), KINDS[kind])
    pointers, wholes = [ctypes.c_void_p] * 4, [ctypes.c_int64] * 4
    signature = ctypes.CFUNCTYPE(None, *pointers, *wholes)
    return signature(compile_functions(module, [name])[name])


def _write(b: Builder, kind: str) -> None:
    planes, corners, found, _, count, windows, size = b.arguments[:7]
    with b.loop(0, count) as number:
        plane = b.element_pointer(planes, b.multiply(number, size), kind)
        first = b.multiply(number, windows)
        with b.loop(0, windows, LANES) as window:
            mask = b.lane_mask(LANES, b.subtract(windows, window))
            place = b.add(first, window)
            corner = b.masked_load(PLACES, b.element_pointer(corners, place, "i32"), mask)
            chosen = _greatest(b, kind, plane, corner)
            wide = b.cast("sext", chosen, vector("i64", LANES))
            b.masked_store(wide, b.element_pointer(found, place, "i64"), mask)
    b.ret()


def _greatest(b: Builder, kind: str, plane: Value, corner: Value) -> Value:
    offsets, inside = b.arguments[3], b.arguments[7]
    start = b.add(corner, b.splat(b.load_element("i32", offsets, 0), PLACES))
    with b.carrying_loop(1, inside, 1, [_gathered(b, kind, plane, start), start]) as built:
        best, chosen = built.values
        offset = b.load_element("i32", offsets, built.index)
        place = b.add(corner, b.splat(offset, PLACES))
        value = _gathered(b, kind, plane, place)
        # A NaN that was found stays until another comes.
        better = b.bit_or(b.compare("ogt", value, best), b.compare("uno", value, value))
        built.carry([b.select(better, value, best), b.select(better, place, chosen)])
    return built.results[1]


def _gathered(b: Builder, kind: str, plane: Value, places: Value) -> Value:
    lanes = vector(kind, LANES)
    pointers = b.emit(f"getelementptr {kind}, {plane}, {places}", vector("ptr", LANES))
    name = f"llvm.masked.gather.{suffix_of(lanes)}.v{LANES}p0"
    mask = constant(True, vector("i1", LANES))
    b.module.declare(name, lanes, [pointers.type, mask.type, lanes])
    placed = f"{pointers.type} align {bytes_of(kind)} {pointers.text}"
    return b.emit(f"call {lanes} @{name}({placed}, {mask}, {constant(0, lanes)})", lanes)
