"""The rewriting rules of `simplify`, one row a primitive.

`REWRITES[op](rewriter, entry) -> number or None`: the number of an entry with the same value, or None
to keep the entry.  A rule must be exact to the bit for every input, NaN and -0.0 included (`joins` says
where the sign of a zero differs); `x + 0.0` is therefore kept (it turns -0.0 into 0.0) while `x - 0.0`
goes.  Powers with a small constant exponent
become products, as PyTorch computes them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lampas.engine.dtype import bool_, int64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import Entry
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.schedule.joins import join_before_reshape, joined_pads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lampas.engine.dtype import dtype
    from lampas.engine.graph.primitives import Primitive


class Writer(Protocol):
    """What rules need of the rewriter."""

    entries: list[Entry]
    turned: set[int]

    def append(self, entry: Entry) -> int: ...
    def emit(self, op: Primitive, sources: Iterable[int], *attributes: Any) -> int: ...
    def constant(self, value: Any, kind: dtype) -> int: ...
    def expand(self, source: int, shape: tuple[int, ...]) -> int: ...


Rule = "Callable[[Writer, Entry], int | None]"
LEAST_DIVIDED = 1 << 12  # elements; fewer quotients cost nothing
REPEATING = frozenset({p.EXPAND, p.RESHAPE, p.PERMUTE, p.SLICE, p.FLIP})


def constant_of(w: Writer, number: int) -> Any:
    """The number that an entry holds everywhere, or None."""
    entry = w.entries[number]
    while entry.op in REPEATING:
        entry = w.entries[entry.sources[0]]
    return entry.attributes[0] if entry.op is p.CONSTANT else None


def is_number(w: Writer, number: int, value: float, signed: bool = False) -> bool:
    """Whether an entry is `value` everywhere; `signed` tells 0.0 from -0.0."""
    found = constant_of(w, number)
    if found is None or isinstance(found, complex) or found != value:
        return False
    return not signed or math.copysign(1.0, found) == math.copysign(1.0, value)


def fold(w: Writer, entry: Entry) -> int | None:
    """An elementwise operation on 0-d constants is done now."""
    given = [w.entries[source] for source in entry.sources]
    if entry.shape or any(e.op is not p.CONSTANT or e.dtype.is_complex for e in given):
        return None
    if entry.dtype.is_complex:
        return None
    arrays = [np.asarray(e.attributes[0], dtype=e.dtype.numpy) for e in given]
    with np.errstate(all="ignore"):
        found = REFERENCE_RULES[entry.op](arrays, *entry.attributes)
    return w.constant(np.asarray(found).item(), entry.dtype)


def unary(*also: Any) -> Any:
    """A rule that folds constants, then tries others in turn."""

    def rule(w: Writer, entry: Entry) -> int | None:
        found = fold(w, entry)
        for attempt in also:
            if found is not None:
                break
            found = attempt(w, entry)
        return found

    return rule


def twice(w: Writer, entry: Entry) -> int | None:
    """f(f(x)) is x for negation, complement and conjugation."""
    inner = w.entries[entry.sources[0]]
    return inner.sources[0] if inner.op is entry.op else None


def logical_not_twice(w: Writer, entry: Entry) -> int | None:
    inner = w.entries[entry.sources[0]]
    if inner.op is p.LOGICAL_NOT and w.entries[inner.sources[0]].dtype is bool_:
        return inner.sources[0]
    return None


def cast_chain(w: Writer, entry: Entry) -> int | None:
    """A cast to the own dtype, and one there and back through a wider dtype, change nothing."""
    source = entry.sources[0]
    inner = w.entries[source]
    if inner.dtype is entry.dtype:
        return source
    if inner.op is p.CAST:
        first = w.entries[inner.sources[0]]
        if holds(inner.dtype, first.dtype):
            return w.emit(p.CAST, inner.sources, entry.dtype)
    if inner.op is p.EXPAND:
        small = w.emit(p.CAST, inner.sources, entry.dtype)
        return w.expand(small, entry.shape)
    return None


def holds(wide: dtype, narrow: dtype) -> bool:
    """Whether every value of `narrow` is one of `wide`, so that casts compose."""
    if narrow is bool_ or wide is narrow:
        return narrow is bool_ or wide is narrow
    if narrow.is_complex or wide.is_complex or wide is bool_:
        return False
    if narrow.is_floating_point:
        return wide.is_floating_point and np.can_cast(narrow.numpy, wide.numpy, "safe")
    return not wide.is_floating_point and np.can_cast(narrow.numpy, wide.numpy, "safe")


def neutral(value: float, right_only: bool = False, signed: bool = False) -> Any:
    """x ∘ value is x, where the other operand does not widen the shape."""

    def rule(w: Writer, entry: Entry) -> int | None:
        a, b = entry.sources
        if entry.dtype.is_complex or entry.dtype is bool_:
            return None
        pairs = [(a, b)] if right_only else [(a, b), (b, a)]
        floating = signed and entry.dtype.is_floating_point
        for kept, other in pairs:
            if w.entries[kept].shape == entry.shape and is_number(w, other, value, floating):
                return kept
        return None

    return rule


def divide_by_power_of_two(w: Writer, entry: Entry) -> int | None:
    """x / 2^n is x · 2^-n exactly, as long as both are normal numbers.

    Few quotients stay what they are: a mean over 64 values is then computed by the kernel of one over 36.
    """
    if entry.numel < LEAST_DIVIDED:
        return None
    value = constant_of(w, entry.sources[1])
    if entry.dtype.itemsize < 4 or not isinstance(value, float) or not math.isfinite(value):
        return None
    mantissa, exponent = math.frexp(value)
    if abs(mantissa) != 0.5 or not -100 < exponent < 100:
        return None
    divisor = w.entries[entry.sources[1]]
    inverse = w.expand(w.constant(1.0 / value, entry.dtype), divisor.shape)
    return w.emit(p.MULTIPLY, (entry.sources[0], inverse))


def small_power(w: Writer, entry: Entry) -> int | None:
    """x² and x³ are products, x¹ is x."""
    base, exponent = entry.sources
    value = constant_of(w, exponent)
    if value is None or not entry.dtype.is_floating_point or w.entries[base].shape != entry.shape:
        return None
    if value == 1:
        return base
    if value == 2:
        return w.emit(p.MULTIPLY, (base, base))
    if value == 3 and entry.dtype.itemsize >= 4:
        return w.emit(p.MULTIPLY, (w.emit(p.MULTIPLY, (base, base)), base))
    return None


def where_constant(w: Writer, entry: Entry) -> int | None:
    """A condition that is known picks its operand; equal operands need no condition."""
    condition, a, b = entry.sources
    value = constant_of(w, condition)
    picked = a if value or (value is None and a == b) else b if value is not None else None
    return None if picked is None else w.expand(picked, entry.shape)


def reduce_nothing(w: Writer, entry: Entry) -> int | None:
    """Reducing dimensions of size 1 leaves the value (index 0 for argmax)."""
    source = w.entries[entry.sources[0]]
    if any(source.shape[d] != 1 for d in entry.attributes[0]):
        return None
    if entry.op is p.ARGMAX or entry.op is p.ARGMIN:
        return w.expand(w.constant(0, int64), entry.shape)
    return entry.sources[0]


def reshape_chain(w: Writer, entry: Entry) -> int | None:
    inner = w.entries[entry.sources[0]]
    if inner.shape == entry.shape:
        return entry.sources[0]
    if inner.op is p.RESHAPE:
        return w.emit(p.RESHAPE, inner.sources, entry.shape)
    if inner.op is p.EXPAND and not w.entries[inner.sources[0]].shape:
        return w.emit(p.EXPAND, inner.sources, entry.shape)
    return None


def permute_chain(w: Writer, entry: Entry) -> int | None:
    dims: tuple[int, ...] = entry.attributes[0]
    inner = w.entries[entry.sources[0]]
    if dims == tuple(range(len(dims))):
        return entry.sources[0]
    if inner.op is p.PERMUTE:
        before = inner.attributes[0]
        return w.emit(p.PERMUTE, inner.sources, tuple(before[d] for d in dims))
    if inner.op is p.EXPAND and not w.entries[inner.sources[0]].shape:
        return w.emit(p.EXPAND, inner.sources, entry.shape)
    if entry.sources[0] in w.turned and exchanges_last(dims):
        b, a = (w.emit(p.PERMUTE, (source,), dims) for source in reversed(inner.sources))
        return w.emit(p.MATMUL, (b, a))
    moved = [d for d in dims if inner.shape[d] != 1]
    if moved == sorted(moved) and 0 not in inner.shape:
        return w.emit(p.RESHAPE, entry.sources, entry.shape)
    return None


def exchanges_last(dims: tuple[int, ...]) -> bool:
    """Whether a permutation exchanges the last two dimensions and nothing else."""
    rank = len(dims)
    return dims == (*range(rank - 2), rank - 1, rank - 2)


def expand_chain(w: Writer, entry: Entry) -> int | None:
    inner = w.entries[entry.sources[0]]
    if inner.shape == entry.shape:
        return entry.sources[0]
    if inner.op is p.EXPAND:
        return w.emit(p.EXPAND, inner.sources, entry.shape)
    return None


def slice_chain(w: Writer, entry: Entry) -> int | None:
    starts, lengths, steps = entry.attributes
    inner = w.entries[entry.sources[0]]
    if lengths == inner.shape and not any(starts):
        return entry.sources[0]
    if inner.op is p.SLICE and 0 not in lengths:
        first, _, strides = inner.attributes
        starts = tuple(a + b * s for a, b, s in zip(first, starts, strides, strict=True))
        steps = tuple(s * t for s, t in zip(strides, steps, strict=True))
        return w.emit(p.SLICE, inner.sources, starts, lengths, steps)
    if inner.op is p.EXPAND and not w.entries[inner.sources[0]].shape:
        return w.emit(p.EXPAND, inner.sources, entry.shape)
    return None


def flip_ones(w: Writer, entry: Entry) -> int | None:
    """Turning round a dimension of size 1 does nothing."""
    shape = w.entries[entry.sources[0]].shape
    return entry.sources[0] if all(shape[d] < 2 for d in entry.attributes[0]) else None


def along(w: Writer, index: int, dim: int, length: int) -> int:
    """The truth of `position along dim == index`, for an index of size 1 along dim."""
    rank = len(w.entries[index].shape)
    shape = tuple(length if d == dim else 1 for d in range(rank))
    count = w.append(Entry(p.IOTA, (length,), (), (length,), int64))
    return w.emit(p.EQUAL, (w.emit(p.RESHAPE, (count,), shape), index))


def scatter_one(w: Writer, entry: Entry) -> int | None:
    """One element per row set (or added to zeros): a choice by position, which fuses.

    This is the derivative of picking the target's log-probability.  Indices are read as PyTorch reads
    them: from 0 on.  Zeros plus the element is the element only up to the sign of zero, which a sum
    forgets too: 0.0 + -0.0 is 0.0, so the sum is kept.
    """
    dim, mode = entry.attributes
    base, index, source = entry.sources
    shape = w.entries[index].shape
    whole = tuple(1 if d == dim else n for d, n in enumerate(entry.shape))
    fits = bool(shape) and shape == whole == w.entries[source].shape and index_is_plain(w, index)
    if not fits or mode not in ("set", "add") or entry.dtype.is_complex:
        return None
    chosen = along(w, index, dim, entry.shape[dim])
    value = source if mode == "set" else w.emit(p.ADD, (base, source))
    return w.emit(p.WHERE, (chosen, value, base))


def index_is_plain(w: Writer, index: int) -> bool:
    return w.entries[index].dtype is int64


REWRITES: dict[Primitive, Any] = {
    **{op: unary() for op in p.PRIMITIVES.values() if op.kind in ("unary", "binary", "compare")},
    p.NEGATIVE: unary(twice),
    p.BITWISE_NOT: unary(twice),
    p.CONJUGATE: unary(twice),
    p.LOGICAL_NOT: unary(logical_not_twice),
    p.CAST: unary(cast_chain),
    p.MULTIPLY: unary(neutral(1)),
    p.ADD: unary(neutral(-0.0, signed=True), joined_pads),
    p.CONCATENATE: join_before_reshape,
    p.SUBTRACT: unary(neutral(0.0, right_only=True, signed=True)),
    p.DIVIDE: unary(neutral(1, right_only=True), divide_by_power_of_two),
    p.POWER: unary(small_power),
    p.WHERE: where_constant,
    **{op: reduce_nothing for op in p.PRIMITIVES.values() if op.kind == "reduce"},
    p.RESHAPE: reshape_chain,
    p.PERMUTE: permute_chain,
    p.EXPAND: expand_chain,
    p.SLICE: slice_chain,
    p.FLIP: flip_ones,
    p.SCATTER: scatter_one,
}
