"""Linear recurrences along a dimension: each element is a multiple of the one before, plus another.

Forwards s[k] = c[k] + a[k]·s[k-1], backwards s[k] = c[k] + a[k+1]·s[k+1] (Horner's rule): each is what
the other's derivative needs. Compiled code takes neighbouring columns in vectors, or several rows
abreast, so that their chains of operations hide each other's latency. Small amounts, complex
numbers and `LAMPAS_TIER=reference` go to NumPy.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lampas.engine.host.shares import in_shares
from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.target import host
from lampas.engine.llvm.text import Builder, Value, constant, vector
from lampas.engine.llvm.vector_math_parts import TargetModule
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
ENOUGH: Final = 1 << 12  # elements from which on compiled code is worth its making
LANES: Final = 8
ABREAST: Final = 4  # rows; more of them, a power of two apart, would share few places in the cache
CHEAP: Final = 4  # so many elements take as long as one of what `in_shares` was measured with
KINDS: Final = {"f4": "float", "f8": "double"}


def recurrence(factors: Array, terms: Array, dim: int, backwards: bool, at_zeros: bool) -> Array:
    """The recurrence along `dim`; the factor beside the first element to be found is not read.

    If only results beside factors that are 0 are wanted and there are none, all are 0.
    """
    if at_zeros and factors.all():
        return np.zeros_like(terms)
    narrow = factors.dtype.itemsize == 2
    a, c = (x.astype(np.float32) if narrow else np.ascontiguousarray(x) for x in (factors, terms))
    shape = math.prod(c.shape[:dim]), c.shape[dim], math.prod(c.shape[dim + 1 :])
    a, c = a.reshape(shape), c.reshape(shape)
    result = np.empty(shape, c.dtype)
    plain = settings.tier == "reference" or c.size < ENOUGH or c.dtype.str[1:] not in KINDS
    (_plainly if plain else _compiled)(a, c, backwards, result)
    return result.reshape(terms.shape).astype(terms.dtype, copy=False)


def _plainly(a: Array, c: Array, backwards: bool, result: Array) -> None:
    count = c.shape[1]
    if not c.size:
        return
    order = range(count - 1, -1, -1) if backwards else range(count)
    result[:, order[0]] = c[:, order[0]]
    for before, place in itertools.pairwise(order):
        factor = a[:, before if backwards else place]
        result[:, place] = c[:, place] + factor * result[:, before]


def _compiled(a: Array, c: Array, backwards: bool, result: Array) -> None:
    outer, count, inner = c.shape
    kernel = _kernel(c.dtype.str[1:], backwards)
    size = c.dtype.itemsize

    def work(start: int, stop: int) -> None:
        skip = start * count * inner * size
        pointers = [each.ctypes.data + skip for each in (a, c, result)]
        kernel(*pointers, stop - start, count, inner)

    in_shares(work, outer, count * inner // CHEAP)


@functools.cache
def _kernel(kind: str, backwards: bool) -> Callable[..., Any]:
    module = TargetModule(host())
    name = f"lampas_recurrence_{'backwards' if backwards else 'forwards'}_{kind}"
    arguments = [("ptr", "factors"), ("ptr", "terms"), ("ptr noalias", "result")]
    sizes = [("i64", size) for size in ("outer", "count", "inner")]
    _Writer(module.function(name, [*arguments, *sizes]), KINDS[kind], backwards).write()
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    signature = (None, pointer, pointer, pointer, whole, whole, whole)
    return ctypes.CFUNCTYPE(*signature)(compile_functions(module, [name])[name])


class _Writer:
    """The writing of one kernel."""

    def __init__(self, builder: Builder, kind: str, backwards: bool) -> None:
        self.builder, self.kind, self.backwards = builder, kind, backwards
        self.outer, self.count, self.inner = builder.arguments[3:]

    def write(self) -> None:
        """Rows of many columns column by column; single columns several rows abreast."""
        b = self.builder
        size = b.multiply(self.count, self.inner)
        several = b.select(b.compare("eq", self.inner, 1), b.bit_and(self.outer, -ABREAST), 0)
        with b.loop(0, several, ABREAST) as row:
            starts = [b.multiply(b.add(row, number), size) for number in range(ABREAST)]
            self.walk(starts, self.kind)
        with b.loop(several, self.outer) as row:
            start = b.multiply(row, size)
            whole = b.bit_and(self.inner, -LANES)
            with b.loop(0, whole, LANES) as column:
                self.walk([b.add(start, column)], vector(self.kind, LANES))
            with b.loop(whole, self.inner) as column:
                self.walk([b.add(start, column)], self.kind)
        b.ret()

    def walk(self, starts: list[Value], kind: str) -> None:
        """Chains that begin at elements `starts`, side by side."""
        b = self.builder
        factors, terms, result = b.arguments[:3]
        zeros = [constant(0.0, kind)] * len(starts)
        with b.carrying_loop(0, self.count, 1, zeros) as built:
            number = built.index
            place = b.subtract(b.subtract(self.count, 1), number) if self.backwards else number
            # The first element has no factor: reading that of the last, or its own, keeps in bounds.
            is_first = b.compare("eq", number, 0)
            offset = b.multiply(place, self.inner)
            beside = b.multiply(b.add(place, 1), self.inner) if self.backwards else offset
            beside = b.select(is_first, offset, beside)
            found = []
            for start, old in zip(starts, built.values, strict=True):
                factor = self.load(factors, b.add(start, beside), kind)
                factor = b.select(is_first, constant(0.0, kind), factor)
                term = self.load(terms, b.add(start, offset), kind)
                found.append(b.multiply_add(factor, old, term))
                b.store(found[-1], b.element_pointer(result, b.add(start, offset), self.kind))
            built.carry(found)

    def load(self, base: Value, place: Value, kind: str) -> Value:
        return self.builder.load(kind, self.builder.element_pointer(base, place, self.kind))
