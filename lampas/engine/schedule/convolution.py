"""Convolutions of float32 and float64: rewritten into products with windows, planned as kernels.

A product with windows is a `matmul` entry that carries a `WindowProduct`: its second operand is the padded
image instead of a matrix, and the kernel reads windows of it.  Epilogues join it as they join any product.

    out[n, g] = weight[g] · windows[n, g]            (N, groups, filters, places)
    grad_weight[g] = Σₙ grad[n, g] · windows[n, g]ᵀ  (groups, filters, channels·kernel)

1×1 windows without stride are the images themselves: plain products.  The derivative by the input is a
forward product over the padded gradient with the turned weight; with a stride, each residue of the positions
("phase") meets its own part of the kernel, so nothing is multiplied by zeros (the sub-pixel reading of a
transposed convolution; Shi et al., 2016).  Where it pays, 3×3 products of float32 go Winograd's way.  Other
dtypes take the way of `windows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import gcd
from typing import TYPE_CHECKING, final

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import Entry
from lampas.engine.loops.convolution_plan import Windows, plan_forward, plan_weight
from lampas.engine.loops.winograd_plan import WinogradSizes, plan_winograd
from lampas.engine.schedule import windows as views
from lampas.engine.schedule.contract import (
    GemmCall,
    inheritance,
    keeps_partial_sums,
    operand,
    write_epilogue,
)
from lampas.engine.settings import settings
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.nesting import Cells
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.rewrites import Writer
    from lampas.engine.schedule.steps import Contraction

Shape = tuple[int, ...]
FEW_POSITIONS = 50


@final
@dataclass(frozen=True, slots=True)
class WindowProduct:
    """The attribute of a matmul entry whose second operand is read through windows."""

    windows: Windows
    images: int
    filters: int
    derivative: bool
    merged: bool

    def __str__(self) -> str:
        kernel = "×".join(str(size) for size in self.windows.kernel)
        return f"windows {kernel}"


def is_native(w: Writer, entry: Entry) -> bool:
    """Whether the kernels compute an entry: real floats of full precision, nothing empty."""
    sizes = [w.entries[source].numel for source in entry.sources]
    return entry.dtype in (float32, float64) and bool(entry.numel) and all(sizes)


def plain(w: Writer, source: int, shape: Shape) -> int:
    """The source as it must lie for the kernels: row-major, in a shape of as many elements."""
    return w.emit(p.AS_STRIDED, (source,), shape, contiguous_strides(shape), 0)


def forward(
    w: Writer,
    x: int,
    margins: tuple[Shape, Shape],
    weight: int,
    stride: Shape,
    dilation: Shape,
    groups: int,
) -> int:
    """The convolution of a value padded by margins below and above."""
    made = winograd(w, x, margins, weight, stride, dilation, groups)
    if made is not None:
        return made
    x = views.padded(w, x, *margins)
    shape, (filters, channels, *taps) = w.entries[x].shape, w.entries[weight].shape
    found = Windows(groups, channels, shape[2:], tuple(taps), stride, dilation)
    count = shape[0]
    merged = is_small(found, count)
    if found.taps == channels and all(step == 1 for step in stride) and not merged:
        rows = w.emit(p.RESHAPE, (weight,), (1, groups, filters // groups, channels))
        rows = w.expand(rows, (count, *w.entries[rows].shape[1:]))
        flat = w.emit(p.RESHAPE, (x,), (count, groups, channels, found.positions))
        made = w.emit(p.MATMUL, (rows, flat))
    else:
        known = WindowProduct(found, count, filters // groups, derivative=False, merged=merged)
        sources = (plain(w, weight, (filters, found.taps)), plain(w, x, shape))
        sizes = (count, groups, filters // groups, found.positions)
        if merged:
            sizes = (groups, filters // groups, count * found.positions)
        made = w.append(Entry(p.MATMUL, (known,), sources, sizes, w.entries[x].dtype))
    if merged:
        split = w.emit(p.RESHAPE, (made,), (filters, count, found.positions))
        made = w.emit(p.PERMUTE, (split,), (1, 0, 2))
    return w.emit(p.RESHAPE, (made,), (count, filters, *found.places))


def is_small(found: Windows, images: int) -> bool:
    """Whether the images have so few positions that one product should take them all together."""
    return found.positions < FEW_POSITIONS and images > 1


def winograd(
    w: Writer,
    x: int,
    margins: tuple[Shape, Shape],
    weight: int,
    stride: Shape,
    dilation: Shape,
    groups: int,
) -> int | None:
    """The same by Winograd's algorithm, as a `convolution` entry that carries its sizes, where that is faster."""
    shape, (filters, channels, *taps) = w.entries[x].shape, w.entries[weight].shape
    fits = taps == [3, 3] and set(stride) == set(dilation) == {1} and groups == 1
    if not settings.winograd or not fits or w.entries[x].dtype is not float32:
        return None
    low, high = margins
    image = [n + a + b for n, a, b in zip(shape[2:], low, high, strict=True)]
    sizes = WinogradSizes(shape[0], channels, filters, image[0] - 2, image[1] - 2)
    if not sizes.pays():
        return None
    more = [want - n for want, n in zip(sizes.padded, image, strict=True)]
    x = views.padded(w, x, low, tuple([a + b for a, b in zip(high, more, strict=True)]))
    sources = (weight, plain(w, x, w.entries[x].shape))
    result = (shape[0], filters, sizes.height, sizes.width)
    return w.append(Entry(p.CONVOLUTION, (sizes,), sources, result, float32))


def convolution(w: Writer, entry: Entry) -> int | None:
    """The convolution."""
    if not is_native(w, entry):
        return views.convolution(w, entry)
    stride, padding, dilation, groups = entry.attributes
    x, weight = entry.sources
    return forward(w, x, (padding, padding), weight, stride, dilation, groups)


def convolution_backward_weight(w: Writer, entry: Entry) -> int | None:
    """The derivative by the weight."""
    if not is_native(w, entry):
        return views.convolution_backward_weight(w, entry)
    (filters, channels, *kernel), stride, padding, dilation, groups = entry.attributes
    x, grad = entry.sources
    x = views.padded(w, x, padding, padding)
    shape = w.entries[x].shape
    found = Windows(groups, channels, shape[2:], tuple(kernel), stride, dilation)
    if found.places != w.entries[grad].shape[2:]:
        return views.convolution_backward_weight(w, entry)
    merged = is_small(found, shape[0])
    known = WindowProduct(found, shape[0], filters // groups, derivative=True, merged=merged)
    lying = (shape[0], filters, found.positions)
    if merged:
        flat = w.emit(p.RESHAPE, (grad,), lying)
        grad = w.emit(p.PERMUTE, (flat,), (1, 0, 2))
        lying = (filters, shape[0], found.positions)
    sources = (plain(w, grad, lying), plain(w, x, shape))
    sizes = (groups, filters // groups, found.taps)
    made = w.append(Entry(p.MATMUL, (known,), sources, sizes, entry.dtype))
    return w.emit(p.RESHAPE, (made,), entry.shape)


# ---- the derivative by the input ----------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Phase:
    """Positions start, start + stride, … (count of them) along one dimension, and what reaches them.

    The taps are `first`, `first + every`, … (`taps` of them); read backwards they lie `gap` apart in the
    gradient, which is padded by `low` and `high`.
    """

    start: int
    count: int
    first: int
    every: int
    taps: int
    gap: int
    low: int
    high: int


def phases(
    size: int, places: int, taps: int, stride: int, padding: int, dilation: int
) -> list[Phase]:
    """The phases of one dimension: position i meets tap r where i + padding - r·dilation = q·stride."""
    every, gap = stride // gcd(stride, dilation), dilation // gcd(stride, dilation)
    found: list[Phase] = []
    for residue in range(stride):
        start = (residue - padding) % stride
        count = -(-(size - start) // stride) if start < size else 0
        if not count:
            continue
        met = [r for r in range(taps) if r * dilation % stride == residue]
        reach = (len(met) - 1) * gap
        lowest = (start + padding - residue) // stride
        nearest = (met[0] * dilation - residue) // stride if met else 0
        low = nearest + reach - lowest
        high = count + reach - low - places
        first = met[0] if met else 0
        found.append(Phase(start, count, first, every, len(met), gap, low, high))
    return found


def convolution_backward_input(w: Writer, entry: Entry) -> int | None:
    """The derivative by the input: a product for each phase, woven together."""
    if not is_native(w, entry):
        return views.convolution_backward_input(w, entry)
    _, stride, padding, dilation, groups = entry.attributes
    grad, weight = entry.sources
    places, kernel = w.entries[grad].shape[2:], w.entries[weight].shape[2:]
    each = zip(entry.shape[2:], places, kernel, stride, padding, dilation, strict=True)
    listed = [phases(*sizes) for sizes in each]
    result: int | None = None
    for chosen in product(*listed):
        if all(phase.taps for phase in chosen):
            part = phase_product(w, grad, weight, chosen, groups)
            result = woven(w, entry.shape, stride, chosen, part, result)
    if result is None:
        return w.expand(w.constant(0, entry.dtype), entry.shape)
    return result


def phase_product(w: Writer, grad: int, weight: int, chosen: tuple[Phase, ...], groups: int) -> int:
    """The forward product of one phase."""
    shape = w.entries[weight].shape
    starts = (0, 0, *(phase.first for phase in chosen))
    lengths = (*shape[:2], *(phase.taps for phase in chosen))
    steps = (1, 1, *(phase.every for phase in chosen))
    part = weight if lengths == shape else w.emit(p.SLICE, (weight,), starts, lengths, steps)
    turned = views.turned_weight(w, part, groups)
    low, high = tuple([c.low for c in chosen]), tuple([c.high for c in chosen])
    ones, gaps = (1,) * len(chosen), tuple([c.gap for c in chosen])
    return forward(w, grad, (low, high), turned, ones, gaps, groups)


def woven(
    w: Writer, shape: Shape, stride: Shape, chosen: tuple[Phase, ...], part: int, base: int | None
) -> int:
    """One phase's values put among the others."""
    if w.entries[part].shape == shape:
        return part
    steps = contiguous_strides(shape)
    strides = (*steps[:2], *(a * s for a, s in zip(steps[2:], stride, strict=True)))
    offset = sum(c.start * step for c, step in zip(chosen, steps[2:], strict=True))
    if base is None:
        return w.emit(p.AS_STRIDED_ACCUMULATE, (part,), shape, strides, offset)
    return w.emit(p.AS_STRIDED_SCATTER, (base, part), w.entries[part].shape, strides, offset)


# ---- calls --------------------------------------------------------------------------------------------------


def window_call(
    step: Contraction, paths: Paths, cells: Cells, scratch: dict[int, int], threads: int
) -> GemmCall:
    """Plan a product with windows over the memory of its operands."""
    entry = paths.entries[step.entry]
    known: WindowProduct = entry.attributes[0]
    epilogue, c, extras, arrays = None, step.entry, [], []
    if step.region.members:
        epilogue, c, arrays = write_epilogue(step, paths, cells)
        extras = arrays[1:]
    make = plan_weight if known.derivative else plan_forward
    plan = make(
        entry.dtype, known.windows, known.images, known.filters, merged=known.merged,
        epilogue=epilogue, extras=[extra.strides for extra in extras], threads=threads,
    )  # fmt: skip
    places: dict[str, tuple[Place, int]] = {"c": (("entry", c), 0)}
    bases: set[int] = set()
    for name, source in zip(("a", "b"), entry.sources, strict=True):
        base, reading = operand(paths, source)
        bases.add(base)
        places[name] = (("entry", base), reading.offset * entry.dtype.itemsize)
    for number, extra in enumerate(extras):
        places[f"extra{number}"] = (extra.place, extra.offset * extra.dtype.itemsize)
    if plan.scratch_bytes:
        number = len(scratch)
        scratch[number] = plan.scratch_bytes
        places["scratch"] = (("scratch", number), 0)
    heirs = inheritance(extras if keeps_partial_sums(plan) else arrays, bases, entry.shape)
    return GemmCall(step.entry, plan, places, heirs, tuple(step.stores))


def winograd_call(
    paths: Paths, number: int, scratch: dict[int, int], threads: int
) -> GemmCall | None:
    """Plan an entry that carries the sizes of Winograd's algorithm; None for any other."""
    entry = paths.entries[number]
    if entry.op is not p.CONVOLUTION or not isinstance(entry.attributes[0], WinogradSizes):
        return None
    strides = operand(paths, entry.sources[0])[1].strides
    plan = plan_winograd(entry.attributes[0], threads, strides=strides)
    place = len(scratch)
    scratch[place] = plan.scratch_bytes
    places: dict[str, tuple[Place, int]] = {"c": (("entry", number), 0)}
    places["scratch"] = (("scratch", place), 0)
    for name, source in zip(("a", "b"), entry.sources, strict=True):
        base, reading = operand(paths, source)
        places[name] = (("entry", base), reading.offset * entry.dtype.itemsize)
    return GemmCall(number, plan, places, (), (number,))
