"""Loads and stores of nest operands: whole vectors, masked vectors, strided and indexed lanes."""

from __future__ import annotations

from lampas.engine.dtype import dtype
from lampas.engine.llvm.text import (
    Builder,
    Value,
    bytes_of,
    constant,
    element_of,
    lane_constants,
    lanes_of,
    suffix_of,
    vector,
)
from lampas.engine.loops.emit_types import from_memory, memory_type, to_memory


def load_lanes(b: Builder, pointer: Value, kind: dtype, lanes: int, mask: Value | None) -> Value:
    """Load neighbouring elements."""
    type_ = memory_type(kind, lanes)
    if mask is None:
        return from_memory(b, b.load(type_, pointer), kind)
    return from_memory(b, b.masked_load(type_, pointer, mask), kind)


def load_if_any(b: Builder, pointer: Value, kind: dtype, lanes: int, mask: Value) -> Value:
    """Load neighbouring elements where the mask is true, else 0.

    Where it is false everywhere, as far outside a padded array, there may be no memory: processors load nothing there
    too, but some take a thousand times as long.
    """
    type_ = memory_type(kind, lanes)
    before = b.block
    with b.when(b.compare("ne", b.cast("bitcast", mask, f"i{lanes}"), 0)):
        taken = b.masked_load(type_, pointer, mask)
        inside = b.block
    return from_memory(b, b.phi([(constant(0, type_), before), (taken, inside)]), kind)


def store_lanes(b: Builder, value: Value, pointer: Value, kind: dtype, mask: Value | None) -> None:
    """Store neighbouring elements."""
    stored = to_memory(b, value, kind)
    if mask is None:
        b.store(stored, pointer)
    else:
        b.masked_store(stored, pointer, mask)


def strided_offsets(b: Builder, stride: Value, lanes: int) -> Value:
    """Return the element offsets of the lanes of a strided vector."""
    kind = vector("i64", lanes)
    return b.multiply(b.splat(stride, kind), lane_constants(range(lanes), "i64"))


def reversed_lanes(b: Builder, value: Value) -> Value:
    """Return a vector with its lanes in the opposite order."""
    return b.shuffle(value, Value("poison", value.type), range(lanes_of(value.type))[::-1])


def load_reversed(b: Builder, base: Value, kind: dtype, lanes: int, mask: Value | None) -> Value:
    """Load neighbouring elements of which `base` is the last, from there downwards."""
    first = b.element_pointer(base, 1 - lanes, memory_type(kind), inside=False)
    allowed = None if mask is None else reversed_lanes(b, mask)
    return reversed_lanes(b, load_lanes(b, first, kind, lanes, allowed))


def store_reversed(b: Builder, value: Value, base: Value, kind: dtype, mask: Value | None) -> None:
    """Store neighbouring elements of which `base` is the last, from there downwards."""
    first = b.element_pointer(base, 1 - lanes_of(value.type), memory_type(kind), inside=False)
    allowed = None if mask is None else reversed_lanes(b, mask)
    store_lanes(b, reversed_lanes(b, value), first, kind, allowed)


def lane_pointers(b: Builder, base: Value, offsets: Value, kind: dtype) -> Value:
    """Return one address a lane."""
    lanes = lanes_of(offsets.type)
    element = memory_type(kind)
    return b.emit(f"getelementptr {element}, {base}, {offsets}", vector("ptr", lanes))


def gather_lanes(b: Builder, pointers: Value, kind: dtype, mask: Value | None) -> Value:
    """Load one element from each address; 0 where the mask is false."""
    lanes = lanes_of(pointers.type)
    type_ = memory_type(kind, lanes)
    chosen = mask or constant(True, vector("i1", lanes))
    name = f"llvm.masked.gather.{suffix_of(type_)}.v{lanes}p0"
    b.module.declare(name, type_, [pointers.type, chosen.type, type_])
    align = bytes_of(type_)
    listed = f"{pointers.type} align {align} {pointers.text}, {chosen}, {constant(0, type_)}"
    return from_memory(b, b.emit(f"call {type_} @{name}({listed})", type_), kind)


def load_each(b: Builder, base: Value, stride: Value, kind: dtype, lanes: int) -> Value:
    """Load strided elements one by one."""
    type_ = memory_type(kind, lanes)
    result = Value("poison", type_)
    for lane in range(lanes):
        place = b.element_pointer(base, b.multiply(stride, lane), element_of(type_))
        result = b.insert(result, b.load(element_of(type_), place), lane)
    return from_memory(b, result, kind)


def store_each(b: Builder, value: Value, base: Value, stride: Value, kind: dtype) -> None:
    """Store strided elements one by one."""
    stored = to_memory(b, value, kind)
    for lane in range(lanes_of(stored.type)):
        place = b.element_pointer(base, b.multiply(stride, lane), element_of(stored.type))
        b.store(b.extract(stored, lane), place)


def scatter_lanes(b: Builder, value: Value, pointers: Value, kind: dtype, mask: Value) -> None:
    """Store one element to each address whose mask is true."""
    stored = to_memory(b, value, kind)
    name = f"llvm.masked.scatter.{suffix_of(stored.type)}.v{lanes_of(stored.type)}p0"
    b.module.declare(name, "void", [stored.type, pointers.type, mask.type])
    place = f"{pointers.type} align {bytes_of(stored.type)} {pointers.text}"
    b.line(f"call void @{name}({stored}, {place}, {mask})")


def load_one(b: Builder, pointer: Value, kind: dtype) -> Value:
    """Load one element."""
    return from_memory(b, b.load(memory_type(kind), pointer), kind)


def store_one(b: Builder, value: Value, pointer: Value, kind: dtype) -> None:
    """Store one element."""
    b.store(to_memory(b, value, kind), pointer)


def gather_one(b: Builder, pointer: Value, kind: dtype, valid: Value | None) -> Value:
    """Load one element if `valid` holds, else 0 without touching memory."""
    if valid is None:
        return load_one(b, pointer, kind)
    before = b.block
    with b.when(valid):
        taken = b.load(memory_type(kind), pointer)
        inside = b.block
    merged = b.phi([(constant(0, memory_type(kind)), before), (taken, inside)])
    return from_memory(b, merged, kind)
