"""Planning attention kernels.

    sizes = AttentionSizes(outer, heads, queries, keys, depth, width)
    plan = plan_attention(sizes, (query, key, value), scale, causal)                # C: (outer, heads, queries, width)
    plan = plan_attention_backward(sizes, (query, key, value, flow), scale, causal)

Strides are (outer, head, row) in elements, of each operand; elements of a row lie side by side.  `results` are the places in
C of what is computed, as (offset, strides): the result, or dq, dk and dv; if not told, they are row-major, one after the other.  Operands are "a" query, "b" key,
"extra0" value, "extra1" flow (backward), "extra2" bias.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.attention_backward import AttentionBackwardKernel
from lampas.engine.loops.attention_block import (
    ROUND,
    AttentionInteger,
    across_shape,
    block_rows,
    score_shape,
    score_stride,
)
from lampas.engine.loops.attention_forward import AttentionKernel
from lampas.engine.loops.brgemm import GemmPlan, KernelCall
from lampas.engine.loops.convolution_forward import FMA_NANOSECONDS

Strides = tuple[int, int, int]
Result = tuple[int, Strides]
POWER_NANOSECONDS = 0.6  # a weight's exponential, passes over its score and the like
UNITS_WANTED = 16
LEAST_KEYS = 16  # a tile is as high on any machine, or less
LEAST_QUERIES = 8
SIZE_STEP = 16  # heads' sizes that vectors of any machine divide


class AttentionSizes(NamedTuple):
    """Batch and heads, rows of queries and of keys, elements of a key and of a value."""

    outer: int
    heads: int
    queries: int
    keys: int
    depth: int
    width: int

    @property
    def products(self) -> int:
        """Multiplications of one product of queries and keys."""
        return self.outer * self.heads * self.queries * self.keys * self.depth


def suits_kernel(queries: int, keys: int, depth: int, width: int) -> bool:
    """Whether there are kernels for these sizes."""
    sized = all(size > 0 and size % SIZE_STEP == 0 for size in (depth, width))
    return sized and queries >= LEAST_QUERIES and keys >= LEAST_KEYS


def whole(count: int) -> int:
    return -(-count // ROUND) * ROUND


def side_by_side(sizes: AttentionSizes, backward: bool) -> list[Result]:
    """Row-major results, one after the other."""
    forms = [(sizes.queries, sizes.width)]
    if backward:
        forms = [(sizes.queries, sizes.depth), (sizes.keys, sizes.depth), (sizes.keys, sizes.width)]
    results: list[Result] = []
    offset = 0
    for rows, size in forms:
        results.append((offset, (sizes.heads * rows * size, rows * size, size)))
        offset += sizes.outer * sizes.heads * rows * size
    return results


class Units(NamedTuple):
    """How many units a head has, rows of queries of each, and elements of scratch memory of a thread."""

    per_head: int
    rows: int
    scratch: int


def integers_of(
    sizes: AttentionSizes,
    strides: Sequence[Strides],
    scale: float,
    units: Units,
    results: Sequence[Result],
) -> tuple[int, ...]:
    """The integers; `strides` of query, key, value, flow and bias."""
    i = AttentionInteger
    listed = [0] * len(i)
    (bits,) = struct.unpack("<q", struct.pack("<d", scale))
    for place, number in (
        (i.QUERIES, sizes.queries), (i.KEYS, sizes.keys), (i.DEPTH, sizes.depth), (i.WIDTH, sizes.width),
        (i.UNITS, units.per_head), (i.UNIT_ROWS, units.rows), (i.HEADS, sizes.heads), (i.SCALE, bits),
        (i.SCRATCH_STRIDE, units.scratch),
    ):  # fmt: skip
        listed[place] = number
    operands = (i.QUERY_OUTER, i.KEY_OUTER, i.VALUE_OUTER, i.FLOW_OUTER, i.BIAS_OUTER)
    for first, three in zip(operands, strides, strict=True):
        listed[first : first + 3] = three
    for first, (offset, three) in zip(
        (i.RESULT, i.KEY_RESULT, i.VALUE_RESULT), results, strict=False
    ):
        listed[first : first + 4] = offset, *three
    return tuple(listed)


def block_scratch(target: Target, sizes: AttentionSizes, bias: bool) -> int:
    """Elements that a thread needs for a block: factors, packed queries, scores, sums, keys, values, the bias."""
    tall = sizes.keys + score_shape(target).rows
    count = whole(score_stride(target)) + whole(sizes.depth * block_rows(target))
    count += whole(tall * score_stride(target))
    count += whole(max(sizes.depth, sizes.width) * score_stride(target))
    count += whole(sizes.keys * sizes.depth) + whole(sizes.keys * sizes.width)
    return count + (whole(sizes.keys * score_shape(target).columns) if bias else 0)


def unit_rows(sizes: AttentionSizes, target: Target) -> int:
    """Queries of a unit: whole blocks, of a whole head where there are plenty of heads."""
    each, heads = block_rows(target), sizes.outer * sizes.heads
    blocks = -(-sizes.queries // each)
    return -(-blocks // max(1, min(blocks, -(-UNITS_WANTED // heads)))) * each


NONE = (0, 0, 0)
OPERANDS = ("scratch", "a", "b", "extra0", "c")


def plan_attention(
    sizes: AttentionSizes,
    strides: Sequence[Strides],
    scale: float,
    causal: bool,
    *,
    bias: Strides | None = None,
    results: Sequence[Result] = (),
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan the forward kernel."""
    target = target or host()
    vectors = across_shape(target, sizes.width).vectors
    kernel = AttentionKernel(target, causal, bias is not None, vectors)
    rows = unit_rows(sizes, target)
    units = -(-sizes.queries // rows)
    own = block_scratch(target, sizes, bias is not None)
    found = results or side_by_side(sizes, backward=False)
    listed = (*strides, NONE, bias or NONE)
    integers = integers_of(sizes, listed, scale, Units(units, rows, own), found)
    work = work_of(sizes, causal, (sizes.depth + sizes.width) / sizes.depth)
    return planned(kernel, OPERANDS, sizes.outer * sizes.heads * units, integers, work, threads)


def plan_attention_backward(
    sizes: AttentionSizes,
    strides: Sequence[Strides],
    scale: float,
    causal: bool,
    *,
    bias: Strides | None = None,
    results: Sequence[Result] = (),
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan the kernel of all three derivatives."""
    target = target or host()
    kernel = AttentionBackwardKernel(
        target,
        causal,
        bias is not None,
        across_shape(target, sizes.depth).vectors,
        across_shape(target, sizes.width).vectors,
    )
    shape, tall = score_shape(target), sizes.keys + score_shape(target).rows
    own = block_scratch(target, sizes, bias is not None)
    own += whole(sizes.width * block_rows(target)) + whole(tall * score_stride(target))
    own += whole(tall * sizes.depth) + whole(tall * sizes.width)
    assert shape.rows <= LEAST_KEYS
    found = results or side_by_side(sizes, backward=True)
    units = Units(1, sizes.queries, own)
    integers = integers_of(sizes, (*strides, bias or NONE), scale, units, found)
    work = work_of(sizes, causal, (3 * sizes.depth + 2 * sizes.width) / sizes.depth)
    names = *OPERANDS, "extra1"
    return planned(kernel, names, sizes.outer * sizes.heads, integers, work, threads)


def planned(
    kernel: AttentionKernel | AttentionBackwardKernel,
    names: tuple[str, ...],
    extent: int,
    integers: tuple[int, ...],
    work: int,
    threads: int,
) -> GemmPlan:
    """The one call, with scratch memory for each thread; a bias is the last operand."""
    listed = (*names, "extra2") if kernel.bias else names
    operands = tuple((name, 0) for name in listed)
    call = KernelCall(kernel, operands, integers, extent, work, kernel.name)
    return GemmPlan((call,), threads * integers[AttentionInteger.SCRATCH_STRIDE] * 4)


def work_of(sizes: AttentionSizes, causal: bool, products: float) -> int:
    """Nanoseconds on one core, roughly."""
    points = sizes.products / sizes.depth
    time = sizes.products * products * FMA_NANOSECONDS + points * POWER_NANOSECONDS
    return int(time / (2 if causal else 1)) + 1000
