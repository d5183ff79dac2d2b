"""Fusion: entries become steps, each of them one kernel or one host call.

Entries are placed in topological order.  One that loops can compute joins the region of a producer if
it fits that region's space (`fits`) and no other step would have to run between (`Order`); the other
producers' regions of the same space are then merged with it.  A reduction joins the region that computes
its operand, which thereby gets reduced dimensions.  At the end, independent regions of one space that
read the same memory are merged.

    %3 add %0 %1                      region [64, 10] reduced [1]
    %4 max [1] %3                       members %3 %4 %5 %6
    %5 subtract %3 %4          =>       stores %6
    %6 exp %5

Without fusion (`fused=False`) every entry is a step of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.graph import primitives as p
from lampas.engine.schedule.guards import picked_dims
from lampas.engine.schedule.image_pools import pooled_beside
from lampas.engine.schedule.kinds import ASSEMBLED, PICKING
from lampas.engine.schedule.order import Order
from lampas.engine.schedule.paths import Paths
from lampas.engine.schedule.reading import Reading, plain_reading, reshape_reading, squeeze
from lampas.engine.schedule.steps import (
    Assembly,
    Contraction,
    HostStep,
    Region,
    ScheduleStep,
    numel,
)
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry, LinearGraph
    from lampas.engine.schedule.paths import Path

Shape = tuple[int, ...]
MOST_MEMBERS = 96
MOST_OPERANDS = 24
FEW_ROWS = 8
SMALL_SPACE = 32768
NEAR_BYTES = 1 << 18
FEW_ARRAYS = 3


@final
class Fuser:
    """Places the entries of one settled graph."""

    def __init__(self, graph: LinearGraph, fused: bool) -> None:
        self.graph = graph
        self.entries = graph.entries
        self.fused = fused
        self.paths = Paths(graph, inlining=fused)
        self.order = Order()
        self.step_of: dict[int, int] = {}

    def run(self) -> list[ScheduleStep]:
        """Place all entries; return the steps in an order in which they can run."""
        for number, entry in enumerate(self.entries):
            if entry.op.kind in ("leaf", "view") or number in self.paths.inline:
                continue
            if self.paths.looped[number]:
                self.place(number)
            elif entry.op is not p.OUTPUT and number not in self.step_of:
                self.place_alone(number)
        if self.fused:
            self.merge_siblings()
        self.mark_stores()
        self.let_readers_pass()
        return self.order.listed()

    def let_readers_pass(self) -> None:
        """A step that replaces a stored value runs after all others that read it.

        The new value may then take the old one's memory: the derivative by an input goes before the update of the weight
        in the epilogue of the derivative by it.
        """
        readers: dict[int, set[int]] = {}
        elementwise: dict[int, set[int]] = {}
        for key, step in self.order.steps.items():
            region = step.region if isinstance(step, Contraction) else step
            own = self.leaves(region.members) if isinstance(region, Region) else set()
            elementwise[key] = own
            whole = own if isinstance(step, Region) else own | self.leaves([step.entry])
            for leaf in whole:
                readers.setdefault(leaf, set()).add(key)
        outputs = set(self.graph.outputs)
        for key, step in self.order.steps.items():
            made = {self.entries[n].numel for n in step.stores if n in outputs}
            for leaf in sorted(elementwise[key]):
                others = readers[leaf] - {key}
                entry = self.entries[leaf]
                replaced = entry.op is p.BUFFER and entry.numel in made
                if replaced and others and self.order.can_follow(key, others):
                    self.order.extend(key, others)

    def leaves(self, numbers: list[int]) -> set[int]:
        """The leaves that entries read."""
        bases = {base for number in numbers for base, _ in self.paths.operands(number)}
        return {base for base in bases if self.entries[base].op.kind == "leaf"}

    # ---- single steps ---------------------------------------------------------------------------------------

    def place_alone(self, number: int) -> None:
        """A step for an entry that is no loop."""
        entry = self.entries[number]
        sources = {self.paths.base(source) for source in entry.sources}
        step = self.alone(number, entry)
        key = self.step_of[number] = self.order.add(step, self.steps_of(sources))
        for stored in step.stores:
            self.step_of[stored] = key

    def alone(self, number: int, entry: Entry) -> ScheduleStep:
        if entry.op is p.MATMUL and entry.dtype.is_floating_point:
            moments = [u for u in self.paths.users[number] if self.entries[u].op is p.OUTPUT]
            region = Region(entry.shape, (), [], {number: entry.shape})
            return Contraction(number, region, moments[0] if moments else None)
        if entry.op in ASSEMBLED and not entry.dtype.is_complex:
            found = assembly(number, entry, self.entries)
            if found is not None:
                return found
        if entry.op is p.HOST:
            return HostStep(number, list(self.paths.users[number]))
        beside = pooled_beside(self.entries, number) if self.fused else None
        if beside is None or beside in self.step_of:
            return HostStep(number, [number])
        return HostStep(number, [number, beside])

    def steps_of(self, bases: set[int]) -> set[int]:
        return {self.step_of[base] for base in bases if base in self.step_of}

    # ---- regions --------------------------------------------------------------------------------------------

    def place(self, number: int) -> None:
        """Put a loop entry into a producer's region, or into one of its own."""
        entry = self.entries[number]
        operands = self.paths.operands(number)
        needed = self.steps_of({base for base, _ in operands})
        chosen = None
        if self.fused and entry.numel:
            outside = self.steps_of({b for b, _ in operands[: self.paths.memory_operands(number)]})
            for key in sorted(needed - outside, reverse=True):
                if self.join(number, key, operands, needed):
                    chosen = key
                    break
        if chosen is None:
            self.start(number, needed)
            return
        for key in sorted(needed - {chosen}):
            self.merge(chosen, key)

    def start(self, number: int, needed: set[int]) -> None:
        """A new region for one entry."""
        entry = self.entries[number]
        region = Region(squeeze(entry.shape))
        frame = region.space
        if entry.op.kind == "reduce":
            source = self.entries[entry.sources[0]]
            region.space, region.reduced = squeeze(source.shape), reduced_places(entry, source)
            frame = region.row_frame
        region.members.append(number)
        region.frames[number] = frame
        self.step_of[number] = self.order.add(region, needed)

    def join(self, number: int, key: int, operands: list[Path], needed: set[int]) -> bool:
        """Put an entry into a region if it fits there; tell whether it did."""
        region = self.region(key)
        if region is None or len(region.members) >= MOST_MEMBERS or 0 in region.space:
            return False
        step = self.order.steps[key]
        if isinstance(step, Contraction) and not self.fits_product(step, number, operands):
            return False
        entry = self.entries[number]
        reduced = region.reduced
        if entry.op.kind == "reduce":
            source = self.entries[entry.sources[0]]
            reduced = reduced_places(entry, source)
            if squeeze(source.shape) != region.space or region.reduced not in ((), reduced):
                return False
            place, frame = region.space, frame_of(region.space, reduced)
        else:
            place = frame = fitting_frame(entry, region)
            if self.paths.memory_operands(number) and frame != squeeze(entry.shape):
                return False
        if frame is None or place is None or not self.fits(region, operands, place, number):
            return False
        if not self.order.can_follow(key, needed):
            return False
        region.reduced = reduced
        region.members.append(number)
        region.frames[number] = frame
        self.order.extend(key, needed)
        self.step_of[number] = key
        return True

    def region(self, key: int) -> Region | None:
        """The region of a step: its own, or that of a product's epilogue."""
        step = self.order.steps[key]
        if isinstance(step, Contraction):
            return step.region
        return step if isinstance(step, Region) else None

    def fits_product(self, step: Contraction, number: int, operands: list[Path]) -> bool:
        """Whether an entry can be computed while a product's elements are stored.

        Tiles walk memory in short rows, which is dear for arrays that do not lie in the second cache:
        a large product takes only operands that are repeated along rows or columns.
        """
        region = step.region
        if step.moments is not None:
            return False
        if self.entries[number].op.kind == "reduce" or self.paths.memory_operands(number):
            return False
        if any(self.entries[base].op is p.IOTA for base, _ in operands):
            return False
        if any(self.keeps_kind(m) for m in region.frames if m != number) and (
            self.entries[number].dtype not in {self.entries[m].dtype for m in region.frames}
        ):
            return False
        members = (*region.members, number)
        listed = [(base, member) for member in members for base, _ in self.paths.operands(member)]
        whole = numel(region.space)
        arrays = {
            base
            for base, _ in listed
            if base not in region.frames and self.entries[base].numel >= whole
        }
        small = whole * self.entries[number].dtype.itemsize <= NEAR_BYTES
        return len(arrays) <= (FEW_ARRAYS if small else 0)

    def keeps_kind(self, number: int) -> bool:
        """Whether an entry is a convolution, whose partial sums wait in the result: this must be of their dtype."""
        entry = self.entries[number]
        return entry.op is p.MATMUL and bool(entry.attributes)

    def fits(self, region: Region, operands: list[Path], frame: Shape, number: int) -> bool:
        """Whether every operand can be had at each point of the frame."""
        strides = None
        for base, steps in operands[self.paths.memory_operands(number) :]:
            reading = self.paths.reading((base, steps))
            found = None if reading is None else reshape_reading(reading, frame)
            if found is None:
                return False
            if base in region.frames:
                strides = contiguous_strides(region.frames[base])
                if not same_place(found, frame, region.frames[base], strides):
                    return False
        if frame != region.space or not region.reduced:
            return True
        return self.may_come_back(region, operands)

    def may_come_back(self, region: Region, operands: list[Path]) -> bool:
        """Whether values that follow a reduction may be computed along the rows again.

        With few rows that would leave threads idle, and with rows that lie across memory every row would be
        walked in steps, so then it is done for small spaces only.
        """
        after = any(
            base in region.frames and self.follows_reduction(region, base) for base, _ in operands
        )
        if not after or numel(region.space) <= SMALL_SPACE:
            return True
        return numel(region.row_frame) >= FEW_ROWS and not region.runs_across

    def follows_reduction(self, region: Region, number: int) -> bool:
        """Whether a member's value can be had only after a reduction of its region."""
        if region.frames[number] != region.space:
            return True
        bases = {base for base, _ in self.paths.operands(number)}
        return any(b in region.frames and self.follows_reduction(region, b) for b in bases)

    def merge(self, key: int, other: int) -> bool:
        """Make two regions of one space one, where the order of steps allows it."""
        a, b = self.order.steps[key], self.order.steps[other]
        if isinstance(a, Contraction) and isinstance(b, Region):
            return self.absorb(key, other)
        if not isinstance(a, Region) or not isinstance(b, Region) or a is b:
            return False
        if a.space != b.space or (a.reduced and b.reduced and a.reduced != b.reduced):
            return False
        if numel(a.space) == 0 or len(a.members) + len(b.members) > MOST_MEMBERS:
            return False
        if not self.memory_stays_outside(a, b) or not self.order.can_merge(key, other):
            return False
        members = sorted({*a.members, *b.members})
        merged = Region(a.space, a.reduced or b.reduced, members, {**a.frames, **b.frames})
        if not self.all_fit(merged):
            return False
        self.order.merge(key, other, merged)
        for member in b.members:
            self.step_of[member] = key
        return True

    def absorb(self, key: int, other: int) -> bool:
        """Make an elementwise region part of a product's epilogue."""
        product, region = self.order.steps[key], self.order.steps[other]
        assert isinstance(product, Contraction)
        assert isinstance(region, Region)
        own = product.region
        if region.reduced or region.space != squeeze(own.space) or not numel(own.space):
            return False
        if not self.factors_of(product.entry).isdisjoint(region.members):
            return False  # they must lie in memory before the product begins
        for member in region.members:
            if not self.fits_product(product, member, self.paths.operands(member)):
                return False
        if not self.order.can_merge(key, other):
            return False
        members = sorted({*own.members, *region.members})
        frames = dict.fromkeys((product.entry, *members), own.space)
        merged = Region(own.space, (), members, frames)
        if not self.all_fit(merged):
            return False
        self.order.merge(key, other, Contraction(product.entry, merged))
        for member in region.members:
            self.step_of[member] = key
        return True

    def factors_of(self, number: int) -> set[int]:
        """The entries whose memory a product reads, or those that such an entry is computed from on the way."""
        found: set[int] = set()
        for source in self.entries[number].sources:
            base = self.paths.base(source)
            inlined = base in self.paths.inline
            found |= {b for b, _ in self.paths.operands(base)} if inlined else {base}
        return found

    def memory_stays_outside(self, a: Region, b: Region) -> bool:
        """Whether no member of one picks from memory that the other computes."""
        for own, foreign in ((a, b), (b, a)):
            for member in own.members:
                count = self.paths.memory_operands(member)
                if count and any(
                    x in foreign.frames for x, _ in self.paths.operands(member)[:count]
                ):
                    return False
        return True

    def all_fit(self, region: Region) -> bool:
        """Check every member against a merged region."""
        bases: set[int] = set()
        for member in region.members:
            operands = self.paths.operands(member)
            bases.update(base for base, _ in operands)
            reduces = self.entries[member].op.kind == "reduce"
            frame = region.space if reduces else region.frames[member]
            if not self.fits(region, operands, frame, member):
                return False
        return len(bases - set(region.members)) <= MOST_OPERANDS

    def merge_siblings(self) -> None:
        """Merge independent regions of one space that read the same memory."""
        alike: dict[Shape, list[int]] = {}
        for key, step in self.order.steps.items():
            if isinstance(step, Region) and numel(step.space) > 1:
                alike.setdefault(step.space, []).append(key)
        for space, keys in alike.items():
            wholes = {key: self.wholes_read(key, numel(space)) for key in keys}
            for place, key in enumerate(keys):
                for other in keys[place + 1 :]:
                    present = key in self.order.steps and other in self.order.steps
                    if present and not wholes[key].isdisjoint(wholes[other]):
                        self.merge(key, other)
                        wholes[key] = self.wholes_read(key, numel(space))

    def wholes_read(self, key: int, count: int) -> set[Path]:
        """Arrays of at least `count` elements that a region reads from memory, and through which views.

        Two regions that read one in the same way are merged. One that reads it in another order (a transposed copy)
        would spoil the walk of both.
        """
        region = self.order.steps[key]
        assert isinstance(region, Region)
        found = {path for m in region.members for path in self.paths.operands(m)}
        entries, own = self.entries, region.frames
        return {path for path in found if path[0] not in own and entries[path[0]].numel >= count}

    def memory_read(self, region: Region) -> set[int]:
        bases = {base for m in region.members for base, _ in self.paths.operands(m)}
        return bases - set(region.frames)

    def indices_of(self, region: Region) -> set[int]:
        """The entries that members pick by: their guards read them from memory."""
        picking = [m for m in region.members if self.entries[m].op in PICKING]
        bases = {self.paths.base(i) for m in picking for i, _, _ in picked_dims(self.paths, m)}
        inlined = bases & self.paths.inline.keys()
        return (bases - inlined) | {b for i in inlined for b, _ in self.paths.operands(i)}

    def mark_stores(self) -> None:
        """Find which members other steps, or the caller, need in memory."""
        needed = set(self.paths.outputs)
        for key, step in self.order.steps.items():
            region = self.region(key)
            if region is not None:
                needed |= self.memory_read(region)
                needed |= self.indices_of(region)
            if not isinstance(step, Region):
                sources = self.entries[step.entry].sources
                needed.update(self.paths.base(source) for source in sources)
        for key in self.order.steps:
            region = self.region(key)
            if region is not None:
                region.members.sort()
                region.stores = sorted(needed & set(region.frames))


def fitting_frame(entry: Entry, region: Region) -> Shape | None:
    """The frame that an elementwise entry would have in a region, by its number of elements."""
    count = entry.numel
    if count == numel(region.space):
        return region.space
    if region.reduced and count == numel(region.row_frame):
        return region.row_frame
    return None


def frame_of(space: Shape, reduced: tuple[int, ...]) -> Shape:
    return tuple([1 if d in reduced else n for d, n in enumerate(space)])


def reduced_places(entry: Entry, source: Entry) -> tuple[int, ...]:
    """The reduced dimensions' places among those of the source that are not of size 1."""
    places = [d for d, size in enumerate(source.shape) if size != 1]
    dims = entry.attributes[0]
    return tuple(place for place, d in enumerate(places) if d in dims)


def same_place(reading: Reading, frame: Shape, owner: Shape, strides: Shape) -> bool:
    """Whether a reading of a member of frame `owner` finds, at each point, the value computed there."""
    if reading.offset:
        return False
    for size, stride, own, step in zip(frame, reading.strides, owner, strides, strict=True):
        if size == 1:
            if own != 1:
                return False
        elif stride != (step if own != 1 else 0):
            return False
    return True


def assembly(number: int, entry: Entry, entries: tuple[Entry, ...]) -> Assembly | None:
    """The parts of a concatenation or strided write; None where writes may collide."""
    if entry.op is p.CONCATENATE:
        return Assembly(number, concatenated(entry, entries))
    scatter = entry.op is p.AS_STRIDED_SCATTER
    strides, offset = entry.attributes[1:]
    value = entry.sources[-1]
    target = Reading(entries[value].shape, strides, offset)
    if not never_collides(target):
        return None
    if scatter:
        return Assembly(number, [(entry.sources[0], plain_reading(entry.shape)), (value, target)])
    return Assembly(number, [(value, target)], fill=0)


def concatenated(entry: Entry, entries: tuple[Entry, ...]) -> list[tuple[int, Reading]]:
    """Each source with its place in the whole."""
    dim: int = entry.attributes[0]
    strides = contiguous_strides(entry.shape)
    parts: list[tuple[int, Reading]] = []
    start = 0
    for source in entry.sources:
        shape = entries[source].shape
        parts.append((source, Reading(shape, strides, start * strides[dim])))
        start += shape[dim]
    return parts


def never_collides(target: Reading) -> bool:
    """Whether no two points share a place, seen from the strides in ascending order."""
    pairs = sorted(
        (stride, size)
        for stride, size in zip(target.strides, target.shape, strict=True)
        if size > 1
    )
    reach = 0
    for stride, size in pairs:
        if stride <= reach:
            return False
        reach += (size - 1) * stride
    return True


def fuse(graph: LinearGraph, fused: bool = True) -> tuple[list[ScheduleStep], Paths]:
    """The steps of a settled graph, in order, and the paths between its entries."""
    fuser = Fuser(graph, fused)
    return fuser.run(), fuser.paths
