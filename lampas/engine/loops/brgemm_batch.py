"""Batch dimensions of a matrix product: fold them into rows or into each other, cut what is left into parts.

The macro kernel walks two batch dimensions. Neighbouring ones that every operand walks with one stride are merged; if B
is the same for all and the rows of A and C go on from matrix to matrix, the batch becomes more rows; and of what is
still more than two, the outer ones are unrolled into problems of their own, at byte offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from lampas.engine.loops.brgemm_plan import Problem

Strides = tuple[int, ...]


class Batched(NamedTuple):
    """A problem with at most two batch dimensions, and where its operands start in bytes.

    `extras` has (batch 0, batch 1, row, column) strides of each extra operand of the epilogue.
    """

    problem: Problem
    offsets: dict[str, int]
    extras: tuple[tuple[int, int, int, int], ...]
    extra_offsets: tuple[int, ...]


def fold_batches(
    problem: Problem, batch: Strides, walked: Sequence[Strides], extras: Sequence[Strides]
) -> list[Batched]:
    """Return the problems that make up a batched one."""
    count = len(batch)
    rows = [list(strides) or [0] * count for strides in walked]
    rows += [list(extra[:count]) for extra in extras]
    tails = [tuple(extra[count:]) for extra in extras]
    sizes, rows = merge_batches(list(batch), rows)
    problem, sizes, rows, tails = fold_rows(problem, sizes, rows, tails)
    outer, inner = sizes[:-2], sizes[-2:]
    padding = 2 - len(inner)
    batch_sizes = (1,) * padding + tuple(inner)
    whole = [[0] * padding + row[len(outer) :] for row in rows]
    matrices = [
        matrix._replace(batch=(own[0], own[1]))
        for matrix, own in zip((problem.a, problem.b, problem.c), whole, strict=False)
    ]
    part = problem._replace(
        a=matrices[0], b=matrices[1], c=matrices[2], batch=(batch_sizes[0], batch_sizes[1])
    )
    listed = tuple(
        (own[0], own[1], tail[0], tail[1]) for own, tail in zip(whole[3:], tails, strict=True)
    )
    bytes_each = operand_bytes(problem)
    found: list[Batched] = []
    for position in product(*(range(size) for size in outer)):
        starts = [
            width * sum(p * s for p, s in zip(position, row, strict=False))
            for width, row in zip(bytes_each, rows, strict=True)
        ]
        offsets: dict[str, int] = dict(zip(("a", "b", "c"), starts, strict=False))
        found.append(Batched(part, offsets, listed, tuple(starts[3:])))
    return found


def operand_bytes(problem: Problem) -> list[int]:
    """Return the element sizes of A, B, C and the epilogue's extra operands."""
    found: list[int] = []
    for matrix in (problem.a, problem.b, problem.c):
        assert matrix.kind is not None
        found.append(matrix.kind.itemsize)
    if problem.epilogue is not None:
        nest = problem.epilogue.nest
        found += [nest.operands[number].dtype.itemsize for number in problem.epilogue.extras]
    return found


def merge_batches(sizes: list[int], rows: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Drop dimensions of size 1 and merge neighbours that all operands walk as one."""
    kept = [d for d, size in enumerate(sizes) if size != 1]
    sizes, rows = [sizes[d] for d in kept], [[row[d] for d in kept] for row in rows]
    d = len(sizes) - 1
    while d > 0:
        if all(row[d - 1] == row[d] * sizes[d] for row in rows):
            sizes[d - 1] *= sizes.pop(d)
            for row in rows:
                row[d - 1] = row.pop(d)
        d -= 1
    return sizes, rows


def fold_rows(
    problem: Problem, sizes: list[int], rows: list[list[int]], tails: list[tuple[int, ...]]
) -> tuple[Problem, list[int], list[list[int]], list[tuple[int, ...]]]:
    """Turn the innermost batch dimension into rows where B is shared and rows go on."""
    while sizes:
        heads = [row[-1] for row in rows]
        steps = [problem.a.row, None, problem.c.row, *(tail[0] for tail in tails)]
        going_on = all(
            step is None or head == step * problem.m
            for head, step in zip(heads, steps, strict=True)
        )
        if heads[1] != 0 or not going_on:
            break
        problem = problem._replace(m=problem.m * sizes[-1])
        sizes, rows = sizes[:-1], [row[:-1] for row in rows]
    return problem, sizes, rows, tails
