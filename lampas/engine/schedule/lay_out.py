"""Laying out: which values lie in memory other than row-major, chosen once for the whole graph.

Convolutions and pooling read and write images with the channels innermost, and weights in blocks of filters; so do the
gradients.  What is computed elementwise from such a value is computed in its layout, and so are reductions, slices and
joins of it.  A value is turned back only where something else needs it row-major.  Leaves may already lie in a layout (a
parameter that an earlier program updated), and outputs may be left in one.

    %2 convolution %0 %1                %3 matmul windows 3×3 (%0 as channels-last, %1 in blocks)
    %3 maximum %2 0            =>       %4 maximum %3 0
    %4 reshape %3                       %5 reshape (permute %4)

`held[n]` is the number of entry n in its layout, `numbers[n]` that of its row-major reading, made on demand.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple, final

from lampas.engine.graph import primitives as p
from lampas.engine.graph.layout import Layout
from lampas.engine.graph.linear import Entry, LinearGraph
from lampas.engine.schedule import image_pools, images, windows
from lampas.engine.schedule.kinds import is_elementwise
from lampas.engine.schedule.simplify import Rewriter, simplify
from lampas.engine.shape import contiguous_strides

Shape = tuple[int, ...]
BARE = frozenset({p.CONSTANT, p.IOTA})


@final
class Arranger:
    """Writes the entries again, some of them in layouts."""

    def __init__(self, graph: LinearGraph) -> None:
        self.entries, self.origins = graph.entries, graph.origins
        self.outputs = graph.outputs
        self.learns = any(entry.op in images.LEARNING for entry in graph.entries)
        self.w = Rewriter()
        self.numbers: dict[int, int] = {}
        self.held: dict[int, tuple[int, Layout]] = {}
        self.wanted: dict[int, Layout] = {}
        self.pools: dict[int, tuple[int, int, image_pools.PoolForm]] = {}

    # ---- readings -------------------------------------------------------------------------------------------

    def plain(self, number: int) -> int:
        """The row-major reading of an entry."""
        found = self.numbers.get(number)
        if found is None:
            made, layout = self.held[number]
            found = self.numbers[number] = self.turned_back(made, layout)
        return found

    def turned_back(self, made: int, layout: Layout) -> int:
        """The row-major reading of something that lies in a layout."""
        split = self.w.emit(p.PERMUTE, (made,), layout.back)
        return self.w.emit(p.RESHAPE, (split,), layout.shape)

    def inlay(self, number: int, layout: Layout) -> int:
        """An entry as it lies in a layout; one that lies otherwise is copied in one go."""
        held = self.held.get(number)
        if held is not None and held[1] == layout:
            return held[0]
        split = self.w.emit(p.RESHAPE, (self.plain(number),), layout.split)
        made = self.w.emit(p.PERMUTE, (split,), layout.order)
        return self.memory(made) if self.jumps(made) else made

    def inlay_leaf(self, number: int, layout: Layout) -> int:
        """The same for a weight: a leaf had better lie so already."""
        if self.entries[number].op is p.BUFFER and number not in self.held:
            self.wanted[number] = layout
        return self.inlay(number, layout)

    def broadcast(self, number: int, layout: Layout) -> int:
        """An operand that is smaller than the layout's shape, in a form that broadcasts to its memory."""
        shape = self.entries[number].shape
        shape = (1,) * (len(layout.groups) - len(shape)) + shape
        groups = tuple(
            [(1,) * len(g) if n == 1 else g for g, n in zip(layout.groups, shape, strict=True)]
        )
        own = Layout(groups, layout.order)
        held = self.held.get(number)
        if held is not None and held[1] == own:
            return held[0]
        split = self.w.emit(p.RESHAPE, (self.plain(number),), own.split)
        return self.w.emit(p.PERMUTE, (split,), own.order)

    def jumps(self, made: int) -> bool:
        """Whether a reading walks memory out of order."""
        entry = self.w.entries[made]
        if entry.op is not p.PERMUTE:
            return False
        base = entry
        while base.op.kind == "view" and base.op is not p.EXPAND:
            base = self.w.entries[base.sources[0]]
        return base.op not in BARE and base.op is not p.EXPAND and base.numel == entry.numel

    def memory(self, made: int) -> int:
        """A reading as row-major memory: kernels take it so, and copies of it are made once."""
        entry = self.w.entries[made]
        if entry.op.kind != "view" and entry.op not in BARE:
            return made
        attributes = (entry.shape, contiguous_strides(entry.shape), 0)
        if entry.op is p.AS_STRIDED and entry.attributes == attributes:
            return made
        return self.w.emit(p.AS_STRIDED, (made,), *attributes)

    # ---- placing --------------------------------------------------------------------------------------------

    def run(self) -> tuple[LinearGraph, tuple[Layout | None, ...]]:
        """The new graph, and the layout of each output that is left in one."""
        leaves: dict[int, int] = {}
        for number, entry in enumerate(self.entries):
            self.w.origin = self.origins[number]
            if entry.op is p.BUFFER or entry.op is p.SCALAR:
                leaves[number] = self.leaf(number, entry)
                continue
            rule = RULES.get(entry.op) or (elementwise if is_elementwise(entry) else None)
            if rule is None or not rule(self, number, entry):
                self.copy(number, entry)
        layouts: list[Layout | None] = []
        outputs: list[int] = []
        for number in self.outputs:
            held = self.held.get(number)
            layouts.append(None if held is None else held[1])
            outputs.append(self.plain(number) if held is None else held[0])
        entries, origins = tuple(self.w.entries), tuple(self.w.origins)
        made = LinearGraph(entries, tuple(leaves.values()), tuple(outputs), origins)
        return made, tuple(layouts)

    def leaf(self, number: int, entry: Entry) -> int:
        """A leaf, as it lies."""
        if not entry.attributes or entry.op is p.SCALAR:
            made = self.numbers[number] = self.w.add_leaf(entry)
            return made
        layout: Layout = entry.attributes[0]
        made = self.w.add_leaf(Entry(p.BUFFER, (), (), layout.memory, entry.dtype))
        self.held[number] = (made, layout)
        return made

    def copy(self, number: int, entry: Entry) -> None:
        """The entry over row-major operands."""
        sources = tuple([self.plain(source) for source in entry.sources])
        made = Entry(entry.op, entry.attributes, sources, entry.shape, entry.dtype)
        self.numbers[number] = self.w.write(made)

    def fall_back(self, number: int, entry: Entry, rule: windows.Rule) -> bool:
        """A rewriting over row-major operands; where that does not lead, the entry is the host's."""
        sources = tuple([self.plain(source) for source in entry.sources])
        moved = Entry(entry.op, entry.attributes, sources, entry.shape, entry.dtype)
        made = rule(self.w, moved)
        self.numbers[number] = self.w.append(moved) if made is None else made
        return True

    def hold(self, number: int, made: int, layout: Layout) -> bool:
        """Note that an entry lies in a layout."""
        self.held[number] = (made, layout)
        return True

    def layout_of(self, number: int, unsplit: bool = False) -> Layout | None:
        """The layout that an entry lies in, if any."""
        held = self.held.get(number)
        return None if held is None or (unsplit and held[1].is_split) else held[1]


def elementwise(a: Arranger, number: int, entry: Entry) -> bool:
    """An elementwise operation lies as its first operand of full size that has a layout."""
    whole = [s for s in entry.sources if a.entries[s].shape == entry.shape and s in a.held]
    if not whole:
        return False
    layout = a.held[whole[0]][1]
    sources = [
        a.inlay(s, layout) if a.entries[s].shape == entry.shape else a.broadcast(s, layout)
        for s in entry.sources
    ]
    made = Entry(entry.op, entry.attributes, tuple(sources), layout.memory, entry.dtype)
    return a.hold(number, a.w.write(made), layout)


def reduction(a: Arranger, number: int, entry: Entry) -> bool:
    """A reduction over the same elements, in another order; positions are counted along one dimension only."""
    source, dims = entry.sources[0], entry.attributes[0]
    layout = a.layout_of(source)
    if layout is None:
        return False
    positional = entry.op is p.ARGMAX or entry.op is p.ARGMIN
    if positional and (layout.is_split or len(dims) != 1):
        return False
    result = layout.resized(entry.shape)
    if result is None:
        return False
    made = a.w.emit(entry.op, (a.held[source][0],), layout.places(dims))
    return a.hold(number, made, result)


def padding(a: Arranger, number: int, entry: Entry) -> bool:
    source, fill = entry.sources
    layout = a.layout_of(source, unsplit=True)
    if layout is None:
        return False
    low, high = (tuple([amounts[d] for d in layout.order]) for amounts in entry.attributes)
    made = a.w.emit(p.PAD, (a.held[source][0], a.plain(fill)), low, high)
    return a.hold(number, made, resized(layout, entry.shape))


def slicing(a: Arranger, number: int, entry: Entry) -> bool:
    source = entry.sources[0]
    layout = a.layout_of(source, unsplit=True)
    if layout is None:
        return False
    parts = [tuple([part[d] for d in layout.order]) for part in entry.attributes]
    made = a.w.emit(p.SLICE, (a.held[source][0],), *parts)
    return a.hold(number, made, resized(layout, entry.shape))


def flipping(a: Arranger, number: int, entry: Entry) -> bool:
    source = entry.sources[0]
    layout = a.layout_of(source, unsplit=True)
    if layout is None:
        return False
    made = a.w.emit(p.FLIP, (a.held[source][0],), layout.places(entry.attributes[0]))
    return a.hold(number, made, layout)


def expansion(a: Arranger, number: int, entry: Entry) -> bool:
    """Repeating along dimensions of size 1, the rank staying."""
    source = entry.sources[0]
    layout = a.layout_of(source, unsplit=True)
    if layout is None or len(entry.shape) != len(layout.groups):
        return False
    target = resized(layout, entry.shape)
    made = a.w.emit(p.EXPAND, (a.held[source][0],), target.memory)
    return a.hold(number, made, target)


def concatenation(a: Arranger, number: int, entry: Entry) -> bool:
    """A join of parts of which one has a layout."""
    known = [layout for s in entry.sources if (layout := a.layout_of(s, unsplit=True))]
    if not known:
        return False
    order = known[0]
    parts = [a.inlay(s, resized(order, a.entries[s].shape)) for s in entry.sources]
    made = a.w.emit(p.CONCATENATE, parts, order.place(entry.attributes[0]))
    return a.hold(number, made, resized(order, entry.shape))


def permutation(a: Arranger, number: int, entry: Entry) -> bool:
    """The same memory, read with its dimensions in another order."""
    source, dims = entry.sources[0], entry.attributes[0]
    layout = a.layout_of(source, unsplit=True)
    if layout is None:
        return False
    groups = tuple([layout.groups[d] for d in dims])
    order = tuple([dims.index(place) for place in layout.order])
    if order == tuple(range(len(order))):
        a.numbers[number] = a.held[source][0]
        return True
    return a.hold(number, a.held[source][0], Layout(groups, order))


def reshaping(a: Arranger, number: int, entry: Entry) -> bool:
    """Dimensions split, or joined where they follow each other in memory too."""
    source = entry.sources[0]
    layout = a.layout_of(source, unsplit=True)
    order = None if layout is None else reshaped_order(layout, entry.shape)
    if order is None:
        return False
    found = Layout(tuple([(size,) for size in entry.shape]), order)
    made = a.w.emit(p.RESHAPE, (a.held[source][0],), found.memory)
    if order == tuple(range(len(order))):
        a.numbers[number] = made
        return True
    return a.hold(number, made, found)


def reshaped_order(layout: Layout, shape: Shape) -> Shape | None:
    """The order in memory of a reshaped value's dimensions; None where a copy would be needed."""
    before, after = layout.shape, shape
    if 0 in before or layout.shape == shape:
        return None
    old = [d for d, size in enumerate(before) if size != 1]
    fresh = [d for d, size in enumerate(after) if size != 1]
    memory = [d for d in layout.order if before[d] != 1]
    while old:
        ours, theirs = [old.pop(0)], [fresh.pop(0)]
        while prod(before[d] for d in ours) != prod(after[d] for d in theirs):
            if prod(before[d] for d in ours) < prod(after[d] for d in theirs):
                ours.append(old.pop(0))
            else:
                theirs.append(fresh.pop(0))
        start = memory.index(ours[0])
        if memory[start : start + len(ours)] != ours or (len(ours) > 1 and len(theirs) > 1):
            return None
        memory[start : start + len(ours)] = [~d for d in theirs]
    moved = [~d for d in memory]
    return (*(d for d, size in enumerate(after) if size == 1), *moved)


def resized(layout: Layout, shape: Shape) -> Layout:
    """The layout of a value of another shape, where no dimension is split."""
    return Layout(tuple([(size,) for size in shape]), layout.order)


RULES: dict[p.Primitive, Callable[[Arranger, int, Entry], bool]] = {
    **{op: reduction for op in p.PRIMITIVES.values() if op.kind == "reduce"},
    p.PAD: padding,
    p.SLICE: slicing,
    p.FLIP: flipping,
    p.EXPAND: expansion,
    p.CONCATENATE: concatenation,
    p.PERMUTE: permutation,
    p.RESHAPE: reshaping,
    p.MAX_POOL_INDEX: image_pools.max_pool_index,
    p.GATHER: image_pools.gather,
    p.SCATTER: image_pools.scatter,
    p.CONVOLUTION: images.convolution,
    p.CONVOLUTION_BACKWARD_INPUT: images.convolution_backward_input,
    p.CONVOLUTION_BACKWARD_WEIGHT: images.convolution_backward_weight,
}


@final
class Arrangement(NamedTuple):
    """A simplified graph over memory, and the layout in which each of its outputs lies (None: row-major).

    `wanted` names leaves by their positions among `graph.leaves`: they lie row-major, and are read in a layout.
    """

    graph: LinearGraph
    layouts: tuple[Layout | None, ...]
    wanted: dict[int, Layout]


def arrange(graph: LinearGraph) -> Arrangement:
    """Simplify a graph and choose the layouts of its values."""
    simple = simplify(graph)
    arranger = Arranger(simple)
    arranged, layouts = arranger.run()
    place = {number: position for position, number in enumerate(simple.leaves)}
    wanted = {place[number]: layout for number, layout in arranger.wanted.items()}
    return Arrangement(arranged, layouts, wanted)
