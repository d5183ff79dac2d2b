"""Planning the kernels of LSTM and GRU.

    sizes = RecurrentSizes("lstm", times, batch, size, backwards)
    plan = plan_recurrent(sizes, strides)                   # operands: see OPERANDS
    plan = plan_recurrent_backward(sizes, strides)

`strides` has those of the operands of RecurrentInteger that are not row-major, by name of the integer; the weight's row
stride is WEIGHT_ROW.  Elements of a row lie side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lampas.engine.dtype import float32
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, KernelCall
from lampas.engine.loops.brgemm_pack import STRETCH, PackInteger, PackKernel
from lampas.engine.loops.convolution_forward import FMA_NANOSECONDS
from lampas.engine.loops.recurrent_backward import RecurrentBackwardKernel
from lampas.engine.loops.recurrent_forward import RecurrentKernel
from lampas.engine.loops.recurrent_tile import (
    ELEMENT,
    GATES,
    Cell,
    RecurrentInteger,
    tile_rows,
)

SIZE_STEP = 16  # hidden sizes that vectors of any machine divide
MOST_ROWS = 48
CELL_NANOSECONDS = 4.0  # functions of the gates of one unit
WEIGHT_ROW = "WEIGHT_ROW"
# Names of the kernels' operands after the packed weight, in order; the last ones are an LSTM's.
OPERANDS = ("projected", "state", "bias", "c", "cell")
BACKWARD_OPERANDS = ("states", "kept", "state", "flow", "last", "c", "cell", "last_cell")


class RecurrentSizes(NamedTuple):
    """Kind of cell, times, sequences, hidden size, and whether the last time comes first."""

    cell: Cell
    times: int
    batch: int
    size: int
    backwards: bool

    @property
    def gates(self) -> int:
        return GATES[self.cell]


def suits_kernel(times: int, batch: int, size: int) -> bool:
    """Whether there are kernels for these sizes."""
    return times > 0 and batch > 0 and size > 0 and size % SIZE_STEP == 0


def rows_of(sizes: RecurrentSizes, target: Target, threads: int) -> int:
    """Rows of a unit: whole tiles, a share for each thread."""
    each = tile_rows(target)
    share = -(-sizes.batch // max(1, threads))
    return min(-(-share // each), MOST_ROWS // each) * each


def integers_of(sizes: RecurrentSizes, strides: Mapping[str, int], rows: int) -> tuple[int, ...]:
    i = RecurrentInteger
    listed = [0] * len(i)
    listed[i.TIMES], listed[i.BATCH], listed[i.SIZE] = sizes.times, sizes.batch, sizes.size
    listed[i.ROWS] = rows
    listed[i.FIRST], listed[i.STEP] = (sizes.times - 1, -1) if sizes.backwards else (0, 1)
    for name, stride in strides.items():
        if name != WEIGHT_ROW:
            listed[i[name]] = stride
    return tuple(listed)


def packing(
    target: Target, elements: int, depth: int, width: int, across: int, along: int
) -> KernelCall:
    """The call that packs the weight into the scratch memory."""
    mode = "copy" if across == 1 else "turn"
    kernel = PackKernel(target, float32, ELEMENT, width, width, mode)
    i, panels = PackInteger, elements // width
    listed = [0] * len(i)
    for place, value in (
        (i.PANELS, panels), (i.TALL, panels), (i.ELEMENTS, elements), (i.DEPTH, depth), (i.ACROSS, across),
        (i.ALONG, along), (i.BATCH1, 1), (i.TARGET_BATCH, elements * depth),
    ):  # fmt: skip
        listed[place] = value
    extent = panels * -(-depth // STRETCH)
    operands = (("weight", 0), ("scratch", 0))
    return KernelCall(kernel, operands, tuple(listed), extent, elements * depth // 5, kernel.name)


def plan_recurrent(
    sizes: RecurrentSizes,
    strides: Mapping[str, int],
    *,
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan all time steps; the result is states, then what is kept."""
    target = target or host()
    lanes, wide = target.lanes(ELEMENT), sizes.gates * sizes.size
    pack = packing(target, wide, sizes.size, lanes, strides[WEIGHT_ROW], 1)
    kernel = RecurrentKernel(target, sizes.cell)
    names = OPERANDS if sizes.cell == "lstm" else OPERANDS[:4]
    return planned(sizes, strides, pack, kernel, names, target, threads)


def plan_recurrent_backward(
    sizes: RecurrentSizes,
    strides: Mapping[str, int],
    *,
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan the way back; the result is described in recurrent_tile.py."""
    target = target or host()
    lanes, wide = target.lanes(ELEMENT), sizes.gates * sizes.size
    vectors = next(count for count in (4, 2, 1) if sizes.size % (count * lanes) == 0)
    pack = packing(target, sizes.size, wide, vectors * lanes, 1, strides[WEIGHT_ROW])
    kernel = RecurrentBackwardKernel(target, sizes.cell, vectors)
    names = BACKWARD_OPERANDS if sizes.cell == "lstm" else BACKWARD_OPERANDS[:6]
    return planned(sizes, strides, pack, kernel, names, target, threads)


def planned(
    sizes: RecurrentSizes,
    strides: Mapping[str, int],
    pack: KernelCall,
    kernel: RecurrentKernel | RecurrentBackwardKernel,
    names: tuple[str, ...],
    target: Target,
    threads: int,
) -> GemmPlan:
    """The packing and the kernel's call."""
    rows = rows_of(sizes, target, threads)
    units = sizes.times * sizes.batch * sizes.size
    work = int(units * (sizes.gates * sizes.size * FMA_NANOSECONDS + CELL_NANOSECONDS)) + 1000
    operands = (("scratch", 0), *((name, 0) for name in names))
    extent = -(-sizes.batch // rows)
    integers = integers_of(sizes, strides, rows)
    call = KernelCall(kernel, operands, integers, extent, work, kernel.name)
    return GemmPlan((pack, call), sizes.gates * sizes.size**2 * 4)
