"""Where values would be inserted into sorted ones: binary searches in vectors.

Each step moves the starts of the searched ranges by a masked sum, not by a jump, which could not be
foretold; vectors side by side hide the latency of each other's loads. A NaN is greater than all.
Small amounts go to NumPy, which gives the same, and so does everything in `LAMPAS_TIER=reference`.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lampas.engine.host.ordering import comparable, has_nan, order_keys
from lampas.engine.host.shares import in_shares
from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.text import (
    Builder,
    Module,
    Value,
    bytes_of,
    constant,
    element_of,
    suffix_of,
    vector,
)
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
ENOUGH: Final = 1 << 12  # values from which on compiled code is worth its making
MOST_EDGES: Final = 1 << 30  # positions are 32 bits wide in the vectors
LANES: Final = 8
ABREAST: Final = 2
PLACES: Final = f"<{LANES} x i32>"
KINDS: Final = {"i4": "i32", "i8": "i64", "f4": "float", "f8": "double"}


def search(edges: Array, values: Array, side: str) -> Array:
    """Positions in `edges`, a vector or a row for each of the values' rows, from left or right."""
    result = np.zeros(values.shape, np.int64)
    if not (values.size and edges.size):
        return result
    edges, values = _in_one_kind(edges, values)
    lines = edges.reshape(-1, edges.shape[-1])
    wanted = values.reshape(1 if edges.ndim == 1 else len(lines), -1)
    found = result.reshape(wanted.shape)
    compiled = values.size + 64 * len(wanted) >= ENOUGH and settings.tier != "reference"
    if compiled and lines.shape[1] < MOST_EDGES and values.dtype.str[1:] in KINDS:
        _search_compiled(lines, wanted, side, found)
        return result
    for line, some, places in zip(lines, wanted, found, strict=True):
        places[...] = np.searchsorted(line, some, side=side)  # type: ignore[call-overload]
    return result


def _in_one_kind(edges: Array, values: Array) -> tuple[Array, Array]:
    """Both in a dtype that compares as numbers do, without NaN."""
    pair = comparable(edges), comparable(values)
    small = pair[0].dtype.itemsize < 4 or pair[0].dtype.kind == "u"
    if small or any(has_nan(each) for each in pair):
        pair = order_keys(pair[0]), order_keys(pair[1])
    return np.ascontiguousarray(pair[0]), np.ascontiguousarray(pair[1])


def _search_compiled(lines: Array, wanted: Array, side: str, found: Array) -> None:
    count = lines.shape[1]
    steps = (count - 1).bit_length()
    run = _kernel(wanted.dtype.str[1:], side)
    size = wanted.dtype.itemsize

    def pointers(row: int, place: int) -> tuple[int, int, int]:
        start = row * wanted.shape[1] + place
        line = lines.ctypes.data + row * count * size
        return line, wanted.ctypes.data + start * size, found.ctypes.data + start * 8

    def of_rows(start: int, stop: int) -> None:
        run(*pointers(start, 0), count, steps, wanted.shape[1], stop - start)

    def of_places(start: int, stop: int) -> None:
        run(*pointers(0, start), count, steps, stop - start, 1)

    if len(wanted) == 1:
        in_shares(of_places, wanted.shape[1], 1)
    else:
        in_shares(of_rows, *wanted.shape)


@functools.cache
def _kernel(kind: str, side: str) -> Callable[..., Any]:
    name = f"lampas_search_{side}_{kind}"
    module = Module()
    arguments = [("ptr", "lines"), ("ptr", "wanted"), ("ptr", "found")]
    sizes = [("i64", size) for size in ("count", "steps", "values", "rows")]
    _write(module.function(name, [*arguments, *sizes]), KINDS[kind], side)
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    signature = (None, pointer, pointer, pointer, whole, whole, whole, whole)
    return ctypes.CFUNCTYPE(*signature)(compile_functions(module, [name])[name])


def _write(b: Builder, kind: str, side: str) -> None:
    """For each row: the positions of its values, in vectors side by side, then what is left of them."""
    lines, wanted, found, count, steps, values, rows = b.arguments
    with b.loop(0, rows, 1) as row:
        line = b.element_pointer(lines, b.multiply(row, count), kind)
        first = b.multiply(row, values)
        source = b.element_pointer(wanted, first, kind)
        target = b.element_pointer(found, first, "i64")
        whole = b.subtract(values, b.remainder(values, LANES * ABREAST))
        for start, stop, abreast in ((b.value(0), whole, ABREAST), (whole, values, 1)):
            with b.loop(start, stop, LANES * abreast) as place:
                places = [b.add(place, LANES * number) for number in range(abreast)]
                masks = [b.lane_mask(LANES, b.subtract(values, each)) for each in places]
                keys = [
                    b.masked_load(vector(kind, LANES), b.element_pointer(source, each, kind), mask)
                    for each, mask in zip(places, masks, strict=True)
                ]
                results = _search_vectors(b, keys, line, (count, steps), side)
                for each, mask, result in zip(places, masks, results, strict=True):
                    wide = b.cast("sext", result, vector("i64", LANES))
                    b.masked_store(wide, b.element_pointer(target, each, "i64"), mask)
    b.ret()


def _search_vectors(
    b: Builder, keys: list[Value], line: Value, sizes: tuple[Value, Value], side: str
) -> list[Value]:
    """Halve the ranges in which the keys' positions lie until each has one element, then look at it."""
    count, steps = sizes
    starts = [constant(0, PLACES) for _ in keys]
    with b.carrying_loop(0, steps, 1, [b.cast("trunc", count, "i32"), *starts]) as built:
        length, *bases = built.values
        half = b.shift_right(length, 1)
        last, step = b.splat(b.subtract(half, 1), PLACES), b.splat(half, PLACES)
        moved = []
        for base, key in zip(bases, keys, strict=True):
            is_before = _before(b, line, b.add(base, last), key, side)
            moved.append(b.add(base, b.bit_and(is_before, step)))
        built.carry([b.subtract(length, half), *moved])
    bases = built.results[1:]
    return [
        b.subtract(base, _before(b, line, base, key, side))
        for base, key in zip(bases, keys, strict=True)
    ]


def _before(b: Builder, line: Value, places: Value, keys: Value, side: str) -> Value:
    """-1 where the edge at a place stays before the key, else 0."""
    kind = element_of(keys.type)
    pointers = b.emit(f"getelementptr {kind}, {line}, {places}", vector("ptr", LANES))
    name = f"llvm.masked.gather.{suffix_of(keys.type)}.v{LANES}p0"
    mask = constant(True, vector("i1", LANES))
    b.module.declare(name, keys.type, [pointers.type, mask.type, keys.type])
    placed = f"{pointers.type} align {bytes_of(keys.type)} {pointers.text}"
    edges = b.emit(
        f"call {keys.type} @{name}({placed}, {mask}, {constant(0, keys.type)})", keys.type
    )
    less = {"left": "lt", "right": "le"}[side]
    holds = b.compare(("s" if kind[0] == "i" else "o") + less, edges, keys)
    return b.cast("sext", holds, PLACES)
