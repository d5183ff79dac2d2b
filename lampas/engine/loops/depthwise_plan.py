"""Planning depthwise convolutions: sizes are those of a convolution with as many groups as channels.

plan = plan_depthwise(float32, sizes)           # "a" image, "b" weight (taps, channels), "c" result
plan = plan_depthwise_weight(float32, sizes)    # "a" image, "b" gradient, "c" weight's derivative (taps, channels)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, KernelCall
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_plan import element_bytes, plain_element
from lampas.engine.loops.convolution_forward import ConvolutionSizes, first_places, runs_of
from lampas.engine.loops.convolution_weight import BlockWord, PartialSumKernel
from lampas.engine.loops.convolution_weight_plan import SUM_UNIT, blocks_of
from lampas.engine.loops.depthwise import (
    MOST_ROWS,
    ChunkWord,
    DepthwiseInteger,
    DepthwiseKernel,
    Part,
)

WIDEST = HIGHEST = 3  # of a window whose weights fit registers
LEAST_CHUNK = 256
MOST_CHUNKS = 32
TAP_NANOSECONDS = 0.05  # a multiplication and addition, bound by loads


def class_tables(
    sizes: ConvolutionSizes, first: int
) -> tuple[list[int], list[tuple[int, int, int]]]:
    """The words of all classes and their runs, and blocks of positions of each class."""
    words: list[int] = []
    blocks: list[tuple[int, int, int]] = []
    single = sizes._replace(channels=1)
    for box in sizes.boxes():
        if not box.positions:
            continue
        runs, _ = runs_of(single, box)
        table = first + len(words)
        words += [word for run in runs for word in run]
        place = first + len(words)
        across = box.stretches[2].taps
        words += [*box.sizes, *first_places(sizes, box.stretches), table, len(runs), across]
        blocks += blocks_of(place, sizes.images * box.positions, MOST_ROWS)
    return words, blocks


def kernel_for(
    kind: dtype, sizes: ConvolutionSizes, part: Part, target: Target | None
) -> DepthwiseKernel:
    """The kernel of a part; it goes by rows where windows are small and their inputs neighbours."""
    kernel = DepthwiseKernel(target or host(), plain_element(kind), part)
    depth, height, line = sizes.lines
    width, rows = len(line.taps), len(depth.taps) * len(height.taps)
    if not 1 < width <= WIDEST or not rows <= HIGHEST:
        return kernel
    offset, tap = line.taps[0]
    if line.taps != tuple([(offset + n, tap + n) for n in range(width)]):
        return kernel
    return replace(kernel, width=width, height=rows, step=line.in_step)


def head_of(sizes: ConvolutionSizes, unit_table: int) -> list[int]:
    """The fixed integers."""
    i = DepthwiseInteger
    in_steps, out_steps = sizes.in_steps, sizes.out_steps
    strides = [line.in_step * step for line, step in zip(sizes.lines, in_steps[1:], strict=True)]
    moves = [line.out_step * step for line, step in zip(sizes.lines, out_steps[1:], strict=True)]
    head = [0] * FIRST_INTEGER
    head[i.UNIT_TABLE], head[i.CHANNELS], head[i.TAPS] = unit_table, sizes.groups, sizes.taps
    for key, value in zip(
        (i.IN_IMAGE, i.IN_D, i.IN_H, i.IN_W), (in_steps[0], *strides), strict=True
    ):
        head[key] = value
    for key, value in zip(
        (i.OUT_IMAGE, i.OUT_D, i.OUT_H, i.OUT_W), (out_steps[0], *moves), strict=True
    ):
        head[key] = value
    return head


def plan_depthwise(
    kind: dtype,
    sizes: ConvolutionSizes,
    *,
    epilogue: NestEpilogue | None = None,
    extras: Sequence[Sequence[int]] = (),
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan the forward convolution, or the derivative by the input from the turned weight."""
    kernel = replace(kernel_for(kind, sizes, "forward", target), epilogue=epilogue)
    words, blocks = class_tables(sizes, kernel.first_table)
    head = head_of(sizes, kernel.first_table + len(words))
    for extra in extras:
        head += [0, 0, *extra]
    units = [word for block in blocks for word in block]
    operands = (("a", 0), ("b", 0), ("c", 0), ("c", 0))
    operands += tuple((f"extra{number}", 0) for number in range(len(extras)))
    work = int(sizes.multiplications * TAP_NANOSECONDS) + 1000
    listed = (*head, *words, *units)
    return GemmPlan((KernelCall(kernel, operands, listed, len(blocks), work, kernel.name),), 0)


def plan_depthwise_weight(
    kind: dtype, sizes: ConvolutionSizes, *, threads: int = 1, target: Target | None = None
) -> GemmPlan:
    """Plan the derivative by the weight: partial results for chunks of positions, then their sum."""
    target, element = target or host(), plain_element(kind)
    kernel = kernel_for(kind, sizes, "weight", target)
    words, blocks = class_tables(sizes, kernel.first_table)
    positions = sum(block[BlockWord.COUNT] for block in blocks)
    chunks = min(MOST_CHUNKS, max(1, positions // LEAST_CHUNK), len(blocks))
    units: list[int] = []
    each = -(-len(blocks) // chunks)
    for first in range(0, len(blocks), each):
        listed = blocks[first : first + each]
        units += [kernel.first_table + len(words), len(listed)]
        for block in listed:
            words += block
    count = len(units) // len(ChunkWord)
    head = head_of(sizes, kernel.first_table + len(words))
    elements = sizes.taps * sizes.groups
    lanes = target.lanes(element)
    whole = -(-elements // lanes) * lanes
    result = ("scratch", 0)
    work = int(sizes.multiplications * TAP_NANOSECONDS) + 1000
    integers = (*head, *words, *units)
    first_call = KernelCall(
        kernel, (("a", 0), ("b", 0), result), integers, count, work, kernel.name
    )
    adding = PartialSumKernel(target, element)
    sums = (count, elements, SUM_UNIT)
    extent = -(-elements // SUM_UNIT)
    last = KernelCall(adding, (("c", 0), result), sums, extent, elements * count // 16, adding.name)
    return GemmPlan((first_call, last), (count * elements + whole) * element_bytes(element))
