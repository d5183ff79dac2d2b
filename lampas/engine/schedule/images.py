"""Convolutions over channels-last images: each becomes one entry that carries its form, or three.

    out (positions, filters) = windows of image (N, …, channels) · weight blocked by filters
    grad_input               = the same with the turned weight; with a stride, one for each phase
    grad_weight, blocked     = Σ over positions

Forward products are `matmul` entries with a `ConvolutionForm`, so epilogues join them as they join any product.
`choose` weighs the direct way against Winograd's by the costs measured on one core (bench/convolution.py).  What the
kernels do not compute (half types, integers, empty values) goes the way of `windows`.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.layout import (
    Layout,
    blocked_weight,
    channels_last,
    depthwise_weight,
)
from lampas.engine.graph.linear import Entry
from lampas.engine.llvm.target import host
from lampas.engine.loops.convolution_forward import ConvolutionSizes, kernel_of
from lampas.engine.loops.convolution_geometry import Line, forward_line, phase_lines, three_lines
from lampas.engine.loops.winograd_matrices import SINGLE, TAPS, elements_of
from lampas.engine.loops.winograd_plan import WinogradSizes, blocks_of_tiles, suits_panels
from lampas.engine.schedule import windows
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype
    from lampas.engine.schedule.lay_out import Arranger

Shape = tuple[int, ...]
MOST_TAPS = 1024
LEARNING = frozenset({p.CONVOLUTION_BACKWARD_INPUT, p.CONVOLUTION_BACKWARD_WEIGHT})
FORCED = {"winograd2": 2, "winograd4": 4}

# Nanoseconds on one core of AVX-512; only their ratios matter.
MULTIPLICATION = 0.0175
TURNED = 1.3  # what turning weights makes of a direct product's time
TRANSFORMED = 8.0  # a tile of one channel, there or back
TRANSFORMED_WEIGHT = 3.0  # a filter's taps for one channel
TRANSFORMED_IN_PANELS = (
    4.0  # the same for each block of tiles, where it does not stay in the near caches
)
KEPT = 0.07  # a byte of a weight that comes from memory
TURNED_BACK = 5.0  # a filter's taps, back from the transform, for one channel
SINGLE_SHARE = 0.25  # what a filter's transform costs for images of one tile, of what it does else
NEAR_WEIGHT = 1 << 20  # bytes of a weight that stays in the second cache
FETCHED, FETCHED_AFAR = 0.03, 0.2  # an element of a weight, for a block of positions
COPIED = 0.3  # an element of an image


@final
class ConvolutionForm(NamedTuple):
    """What an entry computes, and how: `way` is 0 for the direct one, else one of winograd_matrices.py.

    With `turned` the weight lies as the forward convolution reads it.
    """

    sizes: ConvolutionSizes
    way: int = 0
    turned: bool = False

    def __str__(self) -> str:
        kernel = "×".join(str(size) for size in self.sizes.kernel)
        return f"windows {kernel}" + (f" winograd {self.way}" if self.way else "")

    @property
    def multiplications(self) -> int:
        """Those of the direct way."""
        return self.sizes.multiplications

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has one filter of its own."""
        sizes = self.sizes
        return sizes.groups > 1 and sizes.channels == sizes.filters == 1

    @property
    def winograd(self) -> WinogradSizes:
        """The sizes of Winograd's algorithm."""
        sizes = self.sizes
        _, h, w = sizes.lines
        padding = (-h.taps[0][0], -w.taps[0][0])
        return WinogradSizes(
            sizes.images,
            sizes.channels,
            sizes.filters,
            h.size,
            w.size,
            padding,
            h.positions,
            w.positions,
        )


@final
class PhasesForm(NamedTuple):
    """The derivative by the input of a convolution with a stride: the forms of the phases."""

    phases: tuple[ConvolutionForm, ...]

    @property
    def multiplications(self) -> int:
        """Of all phases."""
        return sum(phase.multiplications for phase in self.phases)

    def __str__(self) -> str:
        return f"{len(self.phases)} phases"


def is_native(a: Arranger, entry: Entry, kernel: Shape) -> bool:
    """Whether the kernels compute an entry: real floats of full precision, nothing empty."""
    sizes = [a.entries[source].numel for source in entry.sources]
    fits = entry.dtype in (float32, float64) and prod(kernel) <= MOST_TAPS
    return fits and bool(entry.numel) and all(sizes)


def lanes_of(kind: dtype) -> int:
    return host().lanes("float" if kind is float32 else "double")


# ---- operands -----------------------------------------------------------------------------------------------


def image(a: Arranger, number: int) -> int:
    """An image as channels-last memory."""
    return a.memory(a.inlay(number, channels_last(a.entries[number].shape)))


def weight_layout(shape: Shape, groups: int, kind: dtype) -> Layout | None:
    """How a weight lies for the kernels; None where filters do not fill vectors."""
    if shape[0] == groups > shape[1] == 1:
        return depthwise_weight(shape)
    lanes = lanes_of(kind)
    return blocked_weight(shape, groups, lanes) if shape[0] // groups % lanes == 0 else None


def blocked(a: Arranger, number: int, groups: int) -> int:
    """A weight (filters, channels, …) as (groups, filters/lanes, taps, channels, lanes)."""
    entry = a.entries[number]
    layout = weight_layout(entry.shape, groups, entry.dtype)
    if layout is not None:
        return a.memory(a.inlay_leaf(number, layout))
    filters, channels, *kernel = entry.shape
    shape = (groups, filters // groups, channels, prod(kernel))
    return padded_blocks(a, a.w.emit(p.RESHAPE, (a.plain(number),), shape), (0, 1, 4, 3, 2))


def padded_blocks(a: Arranger, made: int, order: Shape) -> int:
    """(groups, filters, …) with filters filled up to whole vectors and split, in an order of the five parts."""
    w = a.w
    groups, filters, *rest = w.entries[made].shape
    lanes = lanes_of(w.entries[made].dtype)
    whole = -(-filters // lanes)
    if whole * lanes != filters:
        zero = w.constant(0, w.entries[made].dtype)
        made = w.emit(p.PAD, (made, zero), (0, 0, 0, 0), (0, whole * lanes - filters, 0, 0))
    split = w.emit(p.RESHAPE, (made,), (groups, whole, lanes, *rest))
    return a.memory(w.emit(p.PERMUTE, (split,), order))


def turned(a: Arranger, number: int, groups: int) -> tuple[int, bool]:
    """A weight for the derivative by the input, and whether it lies as for the forward convolution.

    Else filters and channels are exchanged and taps come from the far end.
    """
    entry, w = a.entries[number], a.w
    filters, channels, *kernel = entry.shape
    each, lanes = filters // groups, lanes_of(entry.dtype)
    layout = weight_layout(entry.shape, groups, entry.dtype)
    if layout is not None and not layout.is_split:
        made = a.inlay_leaf(number, layout)
        return a.memory(w.emit(p.FLIP, (made,), tuple(range(len(kernel))))), False
    if layout is None or channels % lanes:
        shape = (groups, each, channels, prod(kernel))
        made = w.emit(p.FLIP, (w.emit(p.RESHAPE, (a.plain(number),), shape),), (3,))
        return padded_blocks(a, w.emit(p.PERMUTE, (made,), (0, 2, 1, 3)), (0, 1, 4, 3, 2)), False
    return a.memory(a.inlay_leaf(number, layout)), True


# ---- the three convolutions ---------------------------------------------------------------------------------


def sizes_of(
    a: Arranger, x: Shape, weight: Shape, lines: list[Line], places: Shape, groups: int
) -> ConvolutionSizes:
    """Sizes from the shapes of an image and a weight (filters, channels of a group, …)."""
    ones = (1,) * (3 - len(lines))
    d, h, w = three_lines(lines)
    kernel, spread = (*ones, *weight[2:]), (*ones, *places)
    return ConvolutionSizes(
        x[0], groups, weight[1], weight[0] // groups, (d, h, w),
        (kernel[0], kernel[1], kernel[2]), (spread[0], spread[1], spread[2]),
    )  # fmt: skip


def forward_lines(
    x: Shape, weight: Shape, places: Shape, attributes: tuple[Shape, ...]
) -> list[Line]:
    """The lines of a forward convolution."""
    each = zip(x[2:], places, weight[2:], *attributes[:3], strict=True)
    return [forward_line(*numbers) for numbers in each]


def product_entry(
    a: Arranger,
    sizes: ConvolutionSizes,
    x: int,
    weight: int,
    turns: bool = False,
    kept: bool = False,
) -> int:
    """The entry of a product with windows: (positions, filters of all groups)."""
    kind = a.w.entries[x].dtype
    shape = (sizes.images * prod(sizes.places), sizes.groups * sizes.filters)
    form = ConvolutionForm(sizes, choose(sizes, kind, kept, turns), turns)
    return a.w.append(Entry(p.MATMUL, (form,), (x, weight), shape, kind))


def convolution(a: Arranger, number: int, entry: Entry) -> bool:
    """The forward convolution."""
    x, weight = entry.sources
    shapes = a.entries[x].shape, a.entries[weight].shape
    if not is_native(a, entry, shapes[1][2:]):
        return a.fall_back(number, entry, windows.convolution)
    groups: int = entry.attributes[3]
    lines = forward_lines(*shapes, entry.shape[2:], entry.attributes)
    sizes = sizes_of(a, *shapes, lines, entry.shape[2:], groups)
    layout = channels_last(entry.shape)
    kept = not a.learns and a.entries[weight].op is p.BUFFER
    source, sizes = margined(a, image(a, x), sizes, kept)
    made = product_entry(a, sizes, source, blocked(a, weight, groups), kept=kept)
    return a.hold(number, a.w.emit(p.RESHAPE, (made,), layout.memory), layout)


def margined(
    a: Arranger, x: int, sizes: ConvolutionSizes, kept: bool
) -> tuple[int, ConvolutionSizes]:
    """A small image with zeros around it, where one class of positions is cheaper than many (`direct_cost`)."""
    kind, shape = a.w.entries[x].dtype, a.w.entries[x].shape
    dense = sizes.channels > 1 and sizes.filters > 1
    if not dense or settings.convolution in FORCED or choose(sizes, kind, kept):
        return x, sizes
    low, high = zip(*[line.margins() for line in sizes.lines], strict=True)
    d, h, w = (line.widened() for line in sizes.lines)
    wide, usual = sizes._replace(lines=(d, h, w)), nominal(sizes)
    added = wide.in_steps[0] * usual.images * COPIED
    if direct_cost(nominal(wide), kind) + added >= direct_cost(usual, kind):
        return x, sizes
    spatial = len(shape) - 2
    zero = a.w.constant(0, kind)
    low, high = (0, *low[3 - spatial :], 0), (0, *high[3 - spatial :], 0)
    return a.w.emit(p.PAD, (x, zero), low, high), wide


def convolution_backward_input(a: Arranger, number: int, entry: Entry) -> bool:
    """The derivative by the input: a convolution of the gradient with the turned weight."""
    grad, weight = entry.sources
    kernel = a.entries[weight].shape[2:]
    if not is_native(a, entry, kernel):
        return a.fall_back(number, entry, windows.convolution_backward_input)
    shape, stride, padding, dilation, groups = entry.attributes
    flow = a.entries[grad].shape
    each = zip(shape[2:], flow[2:], kernel, stride, padding, dilation, strict=True)
    listed = [phase_lines(*numbers) for numbers in each]
    filters = (shape[1], a.entries[weight].shape[0] // groups, *kernel)
    phases = [
        sizes_of(a, flow, filters, list(lines), shape[2:], groups) for lines in product(*listed)
    ]
    layout = channels_last(shape)
    x, (back, turns) = image(a, grad), turned(a, weight, groups)
    if len(phases) == 1:
        product_of_phase = product_entry(a, phases[0], x, back, turns)
        made = a.w.emit(p.RESHAPE, (product_of_phase,), layout.memory)
    else:
        forms = PhasesForm(tuple([ConvolutionForm(sizes, 0, turns) for sizes in phases]))
        made = a.w.append(Entry(entry.op, (forms,), (x, back), layout.memory, entry.dtype))
    return a.hold(number, made, layout)


def convolution_backward_weight(a: Arranger, number: int, entry: Entry) -> bool:
    """The derivative by the weight, in blocks."""
    x, grad = entry.sources
    shape, *attributes, groups = entry.attributes
    if not is_native(a, entry, shape[2:]):
        return a.fall_back(number, entry, windows.convolution_backward_weight)
    flow = a.entries[grad].shape
    lines = forward_lines(a.entries[x].shape, shape, flow[2:], tuple(attributes))
    sizes = sizes_of(a, a.entries[x].shape, shape, lines, flow[2:], groups)
    form = ConvolutionForm(sizes, choose_weight(sizes, entry.dtype))
    lanes = lanes_of(entry.dtype)
    whole = -(-sizes.filters // lanes)
    layout = weight_layout(shape, groups, entry.dtype)
    memory = layout.memory if layout else (groups, whole, sizes.taps, sizes.channels, lanes)
    operands = (image(a, x), image(a, grad))
    made = a.w.append(Entry(entry.op, (form,), operands, memory, entry.dtype))
    if layout is not None:
        return a.hold(number, made, layout)
    made = a.w.emit(p.PERMUTE, (made,), (0, 1, 4, 3, 2))
    made = a.w.emit(p.RESHAPE, (made,), (groups, whole * lanes, sizes.channels, sizes.taps))
    cut = (groups, sizes.filters, sizes.channels, sizes.taps)
    made = a.w.emit(p.SLICE, (made,), (0, 0, 0, 0), cut, (1, 1, 1, 1))
    a.numbers[number] = a.w.emit(p.RESHAPE, (made,), shape)
    return True


# ---- the choice of the way ----------------------------------------------------------------------------------


def nominal(sizes: ConvolutionSizes) -> ConvolutionSizes:
    """The sizes for which a way is chosen: images are rounded up to a power of two.

    An epoch's last, smaller batch is then computed by the kernels of the others, mostly.
    """
    return sizes._replace(images=1 << (sizes.images - 1).bit_length())


def suits_winograd(sizes: ConvolutionSizes, kind: dtype) -> bool:
    """Whether a convolution is one of 3×3 without stride, dilation and groups, in whole vectors of float32."""
    d, *plane = sizes.lines
    lanes = lanes_of(kind)
    if (
        kind is not float32
        or sizes.groups != 1
        or d.size != 1
        or d.positions != 1
        or len(d.taps) != 1
    ):
        return False
    if sizes.channels % lanes or sizes.filters % lanes or settings.convolution == "direct":
        return False
    return all(is_plain(line) for line in plane)


def is_plain(line: Line) -> bool:
    """Whether a line has three neighbouring taps, and every position follows the one before."""
    if len(line.taps) != TAPS or (line.start, line.in_step, line.out_step) != (0, 1, 1):
        return False
    first = line.taps[0][0]
    return line.taps == tuple([(first + r, r) for r in range(TAPS)])


def direct_cost(sizes: ConvolutionSizes, kind: dtype) -> float:
    """Products, rounded up to whole register tiles, and fetching the weight for each class of positions."""
    kernel = kernel_of(kind, sizes, host())
    each = sizes.channels * sizes.filters
    far = each * sizes.taps * kind.itemsize > NEAR_WEIGHT
    cost = 0.0
    for box in sizes.boxes():
        rows = sizes.images * box.positions
        blocks = -(-rows // kernel.unit_rows)
        fetched = blocks * (FETCHED_AFAR if far else FETCHED)
        cost += box.taps * each * (kernel.rounded(rows) * MULTIPLICATION + fetched)
    return cost


def choose(sizes: ConvolutionSizes, kind: dtype, kept: bool = False, turns: bool = False) -> int:
    """The cheapest way of a forward product: 0 direct, else one of Winograd's.

    A transformed weight that is `kept` from run to run costs nothing to make, but as any has to be fetched.  One that lies for
    the other direction `turns` on its way into the direct product.
    """
    if not suits_winograd(sizes, kind):
        return 0
    if settings.convolution in FORCED:
        return FORCED[settings.convolution]
    sizes = nominal(sizes)
    filters = sizes.channels * sizes.filters
    fetched = sizes.taps * filters * kind.itemsize * KEPT if kept else 0
    direct = MULTIPLICATION * (TURNED if turns else 1)
    costs = {0: sizes.multiplications * direct + fetched}
    for way in ways_of(sizes):
        winograd = ConvolutionForm(sizes, way).winograd
        costs[way] = transformed_cost(sizes, way)
        share = SINGLE_SHARE if way == SINGLE else 1
        if suits_panels(winograd, way, kind.itemsize):
            blocks = blocks_of_tiles(kind, winograd, way)
            costs[way] += filters * TRANSFORMED_IN_PANELS * share * blocks + fetched
        elif kept:
            costs[way] += elements_of(way) ** 2 * filters * kind.itemsize * KEPT
        else:
            costs[way] += filters * TRANSFORMED_WEIGHT * share
    return min(costs, key=costs.__getitem__)


def choose_weight(sizes: ConvolutionSizes, kind: dtype) -> int:
    """The cheapest way of a derivative by the weight."""
    if not suits_winograd(sizes, kind):
        return 0
    if settings.convolution in FORCED:
        return FORCED[settings.convolution]
    sizes = nominal(sizes)
    costs = {0: sizes.multiplications * MULTIPLICATION}
    for way in ways_of(sizes):
        back = sizes.channels * sizes.filters * TURNED_BACK
        back *= SINGLE_SHARE if way == SINGLE else 1
        costs[way] = transformed_cost(sizes, way) + back
    return min(costs, key=costs.__getitem__)


def ways_of(sizes: ConvolutionSizes) -> tuple[int, ...]:
    """Winograd's ways for a convolution; of equal ones the first is taken."""
    single = all(
        line.size == line.positions == 2 and line.taps[0][0] == -1 for line in sizes.lines[1:]
    )
    return (SINGLE, 4, 2) if single else (4, 2)


def transformed_cost(sizes: ConvolutionSizes, way: int) -> float:
    """Products and transforms of all tiles."""
    tiles = ConvolutionForm(sizes, way).winograd.count(way)
    elements = elements_of(way) ** 2
    product_cost = tiles * elements * sizes.channels * sizes.filters * MULTIPLICATION * 1.06
    scale = elements / 36
    return product_cost + tiles * (sizes.channels + sizes.filters) * TRANSFORMED * scale
