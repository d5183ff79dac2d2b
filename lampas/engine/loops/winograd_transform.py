"""Emission of Winograd's transforms: matrix · tile · matrixᵀ, with lanes along the channels.

A tile is a square of vectors, one for each place; a transform reads and writes them through functions of (row, column),
so that the caller decides where they lie.  The first half works on columns, the second on rows; what is between them
stays in registers as far as there are any.
"""

from __future__ import annotations

from collections.abc import Callable

from lampas.engine.llvm.text import Builder, Value, constant
from lampas.engine.loops.winograd_matrices import Steps, Terms

Read = Callable[[int, int], Value]
Write = Callable[[int, int, Value], None]


def transform(b: Builder, steps: Steps, read: Read, write: Write) -> None:
    """Write matrix · tile · matrixᵀ; what would be multiplied by zeros alone is not read."""
    used = steps.used
    columns = [combine(b, steps, {y: read(y, x) for y in used}) for x in used]
    for y in range(len(steps.rows)):
        along = {x: column[y] for x, column in zip(used, columns, strict=True)}
        for x, value in enumerate(combine(b, steps, along)):
            write(y, x, value)


def combine(b: Builder, steps: Steps, values: dict[int, Value]) -> list[Value]:
    """The products of a matrix's rows with a column of vectors, of which the used ones are given by their places."""
    for number, terms in enumerate(steps.sums):
        values[steps.inputs + number] = weighted(b, terms, values)
    return [weighted(b, terms, values) for terms in steps.rows]


def weighted(b: Builder, terms: Terms, values: dict[int, Value]) -> Value:
    """A sum of multiples; ones cost nothing."""
    total: Value | None = None
    for place, factor in sorted(terms, key=lambda term: term[1] != 1):
        value = values[place]
        if total is None:
            total = value if factor == 1 else b.multiply(value, constant(factor, value.type))
        elif factor == 1:
            total = b.add(total, value)
        elif factor == -1:
            total = b.subtract(total, value)
        else:
            total = b.multiply_add(value, constant(factor, value.type), total)
    assert total is not None, "no row is empty"
    return total
