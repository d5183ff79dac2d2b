"""What a record costs at least: the bytes that it has to move and its arithmetic operations.

Bytes are those of distinct elements, each counted once, whatever the caches do.  A multiply-add counts as two
operations, anything else that is computed of an element as one.  Winograd's products count as the plain convolution
that they stand for, so that rates of both ways compare.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from lampas.engine.graph import primitives as p
from lampas.engine.loops.brgemm_pack import STRETCH, PackInteger, PackKernel
from lampas.engine.loops.convolution_weight import PartialSumKernel
from lampas.engine.loops.nest import MEMORY
from lampas.engine.loops.pooling import PoolInteger, PoolKernel
from lampas.engine.loops.serial import INNER_BLOCK, SerialInteger, SerialKernel
from lampas.engine.loops.winograd_filter import WinogradFilterKernel
from lampas.engine.loops.winograd_weight import WinogradTransformKernel
from lampas.engine.realize.cost import Cost
from lampas.engine.schedule.images import ConvolutionForm, PhasesForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.linear import Entry
    from lampas.engine.loops.brgemm import KernelCall
    from lampas.engine.schedule.contract import GemmCall
    from lampas.engine.schedule.draft import NestCall
    from lampas.engine.schedule.serial import SerialCall

IDLE = frozenset({"constant", "index", "cast", "bitcast"})
ATTENTION_PRODUCTS = {p.ATTENTION: (1, 1), p.ATTENTION_BACKWARD: (3, 2)}
"""Products along the size of a key and along that of a value."""
HELPERS = (PackKernel, WinogradFilterKernel, WinogradTransformKernel, PartialSumKernel)
"""Records that only bring a product's operands and results into place."""


def nest_cost(call: NestCall) -> Cost:
    """What one call of a nest moves and computes; elements read twice count once.

    Beside operations on real numbers, those on indices are not counted.
    """
    nest = call.nest
    sizes = call.sizes[1:] if nest.blocked else call.sizes
    nbytes = 0
    for operand, strides in zip(nest.operands, call.strides, strict=True):
        walked = strides[1:] if nest.blocked else strides
        reach = prod(n for n, stride in zip(sizes, walked, strict=True) if stride)
        nbytes += reach * operand.dtype.itemsize
    busy = [i for i in nest.instructions if i.op not in MEMORY and i.op not in IDLE]
    busy = [i for i in busy if i.dtype.is_floating_point] or busy
    widest = max((i.dtype.itemsize for i in busy if i.dtype.is_floating_point), default=4)
    return Cost(nbytes, len(busy) * prod(sizes), widest)


def product_costs(call: GemmCall, entries: Sequence[Entry]) -> list[Cost]:
    """What each record of a matrix product or convolution moves and computes."""
    product = entries[call.entry]
    touched = {*product.sources, *call.entries} or {call.entry}
    nbytes = sum(entries[n].numel * entries[n].dtype.itemsize for n in touched)
    parts = call.plan.calls
    working = [part for part in parts if not isinstance(part.kernel, HELPERS)] or list(parts)
    total = sum(part.work for part in working) or 1
    operations, size = product_operations(product, entries), product.dtype.itemsize
    costs: list[Cost] = []
    for part in parts:
        if part in working:
            share = part.work / total if len(working) > 1 else 1
            costs.append(Cost(round(nbytes * share), round(operations * share), size))
        else:
            costs.append(Cost(packed_bytes(part), 0, size))
    return costs


def product_operations(entry: Entry, entries: Sequence[Entry]) -> int:
    """Operations of a matrix product, plain or with windows for its second operand, or of a convolution.

    Of a convolution those of the direct way, over the taps that lie inside the image.
    """
    form = entry.attributes[0] if entry.attributes else None
    if isinstance(form, ConvolutionForm | PhasesForm):
        return 2 * form.multiplications
    if entry.op in ATTENTION_PRODUCTS:
        return attention_operations(entry, entries)
    if entry.op is p.RECURRENT or entry.op is p.RECURRENT_BACKWARD:
        times, batch, _ = entries[entry.sources[0]].shape
        weight = (2 if entry.op is p.RECURRENT else 3) + (entry.attributes[0] == "lstm")
        return 2 * times * batch * entries[entry.sources[weight]].numel
    return 2 * entries[entry.sources[0]].shape[-1] * entry.numel if entry.op is p.MATMUL else 0


def attention_operations(entry: Entry, entries: Sequence[Entry]) -> int:
    """Operations of the products that attention or its derivatives need; under a causal mask of what it shows."""
    (batch, heads, rows, depth), _, (*_, columns, width) = (
        entries[source].shape for source in entry.sources[:3]
    )
    by_depth, by_width = ATTENTION_PRODUCTS[entry.op]
    shown = rows * columns
    if entry.attributes[1]:
        least = min(rows, columns)
        shown = least * (least + 1) // 2 + (rows - least) * columns
    return 2 * batch * heads * shown * (by_depth * depth + by_width * width)


def packed_bytes(part: KernelCall) -> int:
    """What a packing record reads and writes; 0 for other helpers."""
    kernel = part.kernel
    if not isinstance(kernel, PackKernel):
        return 0
    panels = part.integers[PackInteger.PANELS]
    elements, depth = part.integers[PackInteger.ELEMENTS], part.integers[PackInteger.DEPTH]
    matrices = max(part.extent // max(panels * -(-depth // STRETCH), 1), 1)
    wide = 8 if kernel.element == "double" else 4
    return matrices * elements * depth * (kernel.source.itemsize + wide)


def serial_cost(call: SerialCall) -> Cost:
    """What a scattered write, a scan or a pooling moves and computes."""
    kernel, integers = call.kernel, call.integers
    if isinstance(kernel, PoolKernel):
        i = PoolInteger
        size = 8 if kernel.element == "double" else 4
        plane = prod(integers[place] for place in (i.SIZE_D, i.SIZE_H, i.SIZE_W))
        windows = call.extent * integers[i.PLACES]
        return Cost(call.extent * plane * size + windows * 8, windows * integers[i.TAPS], size)
    return walk_cost(call, kernel)


def walk_cost(call: SerialCall, kernel: SerialKernel) -> Cost:
    """A scan reads and writes each element; a scattered write reads index and source and changes the target."""
    i, size = SerialInteger, kernel.kind.itemsize
    blocks, inner = call.integers[i.BLOCKS], call.integers[i.INNER]
    rows = call.extent // max(blocks, 1) if blocks else call.extent
    points = rows * call.integers[i.WALKED] * (inner or INNER_BLOCK)
    if kernel.scan:
        return Cost(2 * points * size, points, size)
    indices = points if call.integers[i.INDEX_INNER] else points // max(inner, 1)
    return Cost(3 * points * size + 8 * indices, 0 if kernel.operation == "set" else points, size)
