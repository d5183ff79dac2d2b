"""Emission of Winograd's transforms: matrix · tile · matrixᵀ, with lanes along the channels.

A tile is a square of vectors, one for each place; a transform reads and writes them through functions of (row, column),
so that the caller decides where they lie.  The first half works on columns, the second on rows; what is between them
stays in registers as far as there are any.
"""

from __future__ import annotations

from collections.abc import Callable

from lampas.engine.llvm.text import Builder, Value, constant
from lampas.engine.loops.winograd_matrices import Matrix

Read = Callable[[int, int], Value]
Write = Callable[[int, int, Value], None]


def transform(b: Builder, matrix: Matrix, read: Read, write: Write) -> None:
    """Write matrix · tile · matrixᵀ; what would be multiplied by zeros alone is not read."""
    size = len(matrix[0])
    used = [place for place in range(size) if any(row[place] for row in matrix)]
    matrix = tuple(tuple(row[place] for place in used) for row in matrix)
    columns = [combine(b, matrix, [read(y, x) for y in used]) for x in used]
    for y in range(len(matrix)):
        for x, value in enumerate(combine(b, matrix, [column[y] for column in columns])):
            write(y, x, value)


def combine(b: Builder, matrix: Matrix, values: list[Value]) -> list[Value]:
    """The products of a matrix's rows with a column of vectors."""
    return [weighted(b, row, values) for row in matrix]


def weighted(b: Builder, row: tuple[float, ...], values: list[Value]) -> Value:
    """A sum of multiples; ones and zeros cost nothing."""
    total: Value | None = None
    terms = [term for term in zip(row, values, strict=True) if term[0]]
    terms.sort(key=lambda term: term[0] != 1)
    for factor, value in terms:
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
