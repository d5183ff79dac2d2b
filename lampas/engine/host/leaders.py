"""The first few of each row by compiled code: one pass for a threshold, one for what reaches it.

The first pass finds the greatest key of each of 32 interleaved chunks; at least k elements reach the
k-th of those, whatever the order of the row. The second inserts what reaches it into a sorted list of
k. The keys are those of `ordering.order_keys`, inverted where the least are wanted.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lampas.engine.host.ordering import order_keys
from lampas.engine.host.shares import WIDE_BLOCK, in_shares
from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.text import Builder, Module, Value, bits_of, constant, is_float, vector
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
ENOUGH: Final = 1 << 12  # elements from which on compiled code is worth its making
MOST: Final = 16  # more choices are slow to insert, and 32 chunks would admit too many
LANES: Final = 8
ABREAST: Final = 4
STEP: Final = LANES * ABREAST
KINDS: Final = {"i4": "i32", "i8": "i64", "f4": "float", "f8": "double"}


def leads(rows: Array, k: int) -> bool:
    """Whether `leaders` can and should select k of each row."""
    fits = 0 < k <= MOST and rows.shape[1] >= 2 * STEP
    return fits and rows.size >= ENOUGH and settings.tier != "reference"


def leaders(rows: Array, k: int, largest: bool) -> Array:
    """The positions of the first k of each row in (descending, if `largest`) order."""
    found = np.empty((len(rows), k), np.int64)

    def work(start: int, stop: int) -> None:
        part = np.ascontiguousarray(rows[start:stop])
        if part.dtype.str[1:] not in KINDS:
            part = order_keys(part)
        kernel = _kernel(part.dtype.str[1:])
        keys = np.empty(k, f"i{part.dtype.itemsize}")
        target = found.ctypes.data + start * k * 8
        sizes = (part.shape[1], k, len(part), 0 if largest else -1)
        kernel(part.ctypes.data, target, keys.ctypes.data, *sizes)

    in_shares(work, *rows.shape, block=WIDE_BLOCK)
    return found


@functools.cache
def _kernel(kind: str) -> Callable[..., Any]:
    module = Module()
    key = f"i{8 * int(kind[1:])}"
    insert, name = f"lampas_insert_{kind}", f"lampas_leaders_{kind}"
    lists = [("ptr", each) for each in ("keys", "places", "filled", "limit")]
    _write_insert(module.function(insert, [*lists, ("i64", "k"), (key, "key"), ("i64", "place")]))
    pointers = [("ptr", each) for each in ("lines", "found", "keys")]
    sizes = [("i64", each) for each in ("count", "k", "rows")]
    builder = module.function(name, [*pointers, *sizes, (key, "flip")])
    _Leaders(builder, KINDS[kind], insert).write()
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    flip = ctypes.c_int32 if key == "i32" else whole
    signature = (None, pointer, pointer, pointer, whole, whole, whole, flip)
    return ctypes.CFUNCTYPE(*signature)(compile_functions(module, [name])[name])


def _write_insert(b: Builder) -> None:
    """Put a key and its place behind those that are not less; of more than k the last falls out.

    Once there are k, the limit becomes the least key that may still come in.
    """
    keys, places, filled, limit, k, key, place = b.arguments
    count = b.load("i64", filled)
    with b.carrying_loop(0, count, 1, [key, place, constant(False, "i1")]) as built:
        new_key, new_place, is_behind = built.values
        key_slot = b.element_pointer(keys, built.index, key.type)
        place_slot = b.element_pointer(places, built.index, "i64")
        old_key, old_place = b.load(key.type, key_slot), b.load("i64", place_slot)
        # Behind the first that has to move all move: those that are equal keep their order.
        moves = b.bit_or(is_behind, b.compare("sgt", new_key, old_key))
        b.store(b.select(moves, new_key, old_key), key_slot)
        b.store(b.select(moves, new_place, old_place), place_slot)
        built.carry(
            [b.select(moves, old_key, new_key), b.select(moves, old_place, new_place), moves]
        )
    last_key, last_place, _ = built.results
    with b.when(b.compare("slt", count, k)):
        b.store(last_key, b.element_pointer(keys, count, key.type))
        b.store(last_place, b.element_pointer(places, count, "i64"))
        b.store(b.add(count, 1), filled)
    with b.when(b.compare("eq", b.load("i64", filled), k)):
        least = b.load(key.type, b.element_pointer(keys, b.subtract(k, 1), key.type))
        is_top = b.compare("eq", least, _most(key.type))
        b.store(b.select(is_top, least, b.add(least, 1)), limit)
    b.ret()


def _most(kind: str) -> int:
    return (1 << (bits_of(kind) - 1)) - 1


class _Leaders:
    """The writing of the kernel that selects k of each row."""

    def __init__(self, builder: Builder, kind: str, insert: str) -> None:
        self.builder, self.kind, self.insert = builder, kind, insert
        self.lines, self.found, self.keys, self.count, self.k, self.rows, self.flip = (
            builder.arguments
        )
        self.key_kind = self.flip.type
        self.key_lanes = vector(self.key_kind, LANES)
        self.filled, self.limit = builder.allocate("i64"), builder.allocate(self.key_kind)
        self.bests = builder.allocate(self.key_kind, STEP)

    def write(self) -> None:
        b = self.builder
        whole = b.bit_and(self.count, -STEP)
        with b.loop(0, self.rows, 1) as row:
            line = b.element_pointer(self.lines, b.multiply(row, self.count), self.kind)
            target = b.element_pointer(self.found, b.multiply(row, self.k), "i64")
            self.find_limit(line, whole, target)
            with (
                b.loop(0, whole, STEP) as start,
                b.when(self.any_reaches(line, start)),
                b.loop(start, b.add(start, STEP), 1) as place,
            ):
                self.consider(self.key(line, place, 1), place, target)
            with b.loop(whole, self.count, 1) as place:
                self.consider(self.key(line, place, 1), place, target)
        b.ret()

    def find_limit(self, line: Value, whole: Value, target: Value) -> None:
        """The k-th of the chunks' greatest keys; the list is empty again afterwards."""
        b = self.builder
        least = -_most(self.key_kind) - 1
        starts = [constant(least, self.key_lanes)] * ABREAST
        with b.carrying_loop(0, whole, STEP, starts) as built:
            keys = [self.key(line, place, LANES) for place in self.abreast(built.index)]
            built.carry([b.maximum(old, new) for old, new in zip(built.values, keys, strict=True)])
        for place, best in zip(self.abreast(b.value(0)), built.results, strict=True):
            b.store(best, b.element_pointer(self.bests, place, self.key_kind))
        b.store(constant(least, self.key_kind), self.limit)
        b.store(b.value(0), self.filled)
        with b.loop(0, STEP, 1) as place:
            self.consider(b.load_element(self.key_kind, self.bests, place), place, target)
        last = b.element_pointer(self.keys, b.subtract(self.k, 1), self.key_kind)
        b.store(b.load(self.key_kind, last), self.limit)
        b.store(b.value(0), self.filled)

    def abreast(self, start: Value) -> list[Value]:
        return [self.builder.add(start, LANES * number) for number in range(ABREAST)]

    def any_reaches(self, line: Value, start: Value) -> Value:
        """Whether one of STEP keys is at least the limit."""
        b = self.builder
        limit = b.splat(b.load(self.key_kind, self.limit), self.key_lanes)
        best = self.key(line, start, LANES)
        for place in self.abreast(start)[1:]:
            best = b.maximum(best, self.key(line, place, LANES))
        reached = b.compare("sge", best, limit)
        return b.compare("ne", b.cast("bitcast", reached, f"i{LANES}"), 0)

    def consider(self, key: Value, place: Value, target: Value) -> None:
        """Insert a key that reaches the limit."""
        b = self.builder
        with b.when(b.compare("sge", key, b.load(self.key_kind, self.limit))):
            listed = [self.keys, target, self.filled, self.limit, self.k, key, place]
            b.call(self.insert, "void", listed)

    def key(self, line: Value, place: Value, lanes: int) -> Value:
        """The order key of one element, or of LANES neighbours."""
        b = self.builder
        kind = self.kind if lanes == 1 else vector(self.kind, lanes)
        whole = self.key_kind if lanes == 1 else self.key_lanes
        x = b.load(kind, b.element_pointer(line, place, self.kind))
        bits = x
        if is_float(self.kind):
            plain = b.add(x, 0.0)  # -0 becomes 0
            bits = b.cast("bitcast", plain, whole)
            sign = b.shift_right(bits, bits_of(self.key_kind) - 1)
            bits = b.bit_xor(bits, b.bit_and(sign, _most(self.key_kind)))
            bits = b.select(b.compare("uno", x, x), b.value(_most(self.key_kind), whole), bits)
        return b.bit_xor(bits, b.splat(self.flip, whole))
