"""Nesting: from the steps of a schedule to calls of loop nests.

A region becomes one nest.  One that reduces much to little is cut into blocks of a length that follows
from the sizes alone (never from the threads), so that all threads have work: a first nest writes a
partial result for each block, a second one combines them and computes what follows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lampas.engine.dtype import bool_, int64
from lampas.engine.graph import primitives as p
from lampas.engine.schedule.draft import Draft, DraftOperand, NestCall
from lampas.engine.schedule.kinds import PICKING
from lampas.engine.schedule.reading import Reading, Step, reshape_reading, squeeze
from lampas.engine.schedule.steps import Assembly, Region, numel
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype
    from lampas.engine.schedule.paths import Paths

Shape = tuple[int, ...]


BAKED = frozenset({0, 1, -1, 2, 0.5})


@final
class Cells:
    """Numbers that kernels read from memory because they must not be part of their structure.

    A mean's divisor changes with the batch, a stride with the shape: baked in, they would make every size
    a kernel of its own.  Each cell has 8 bytes.
    """

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.numbers: dict[tuple[dtype, bytes], int] = {}

    def place(self, value: Any, kind: dtype = int64) -> int:
        """The place of a number in the table."""
        data = np.asarray(value, kind.numpy).tobytes().ljust(8, b"\0")
        number = self.numbers.get((kind, data))
        if number is None:
            number = self.numbers[kind, data] = len(self.values)
            self.values.append(data)
        return number

    def table(self) -> np.ndarray:
        """All cells in one array."""
        return np.frombuffer(b"".join(self.values) or bytes(8), np.int64).copy()


@final
class RegionWriter:
    """Writes the draft of one region."""

    def __init__(self, region: Region, paths: Paths, cells: Cells) -> None:
        self.region = region
        self.paths = paths
        self.entries = paths.entries
        self.cells = cells
        self.draft = Draft(region.space, region.reduced)
        self.values: dict[int, int] = {}

    def write(self) -> Draft:
        """The draft of all members and stores."""
        for member in self.region.members:
            self.values[member] = self.member(member)
        for member in self.region.stores:
            self.store(member)
        return self.draft

    def member(self, number: int) -> int:
        """The instruction that computes a member."""
        entry = self.entries[number]
        frame = self.region.frames[number]
        if entry.op.kind == "reduce":
            base, steps = self.paths.steps_in(number)[0]
            value = self.value(base, steps, self.region.space)
            return self.draft.reduce(entry.op.name, value, entry.dtype)
        return self.compute(number, (), frame)

    def store(self, number: int) -> None:
        """Store a member's value row-major."""
        frame = self.region.frames[number]
        strides = stepped(contiguous_strides(frame), frame)
        kind = self.entries[number].dtype
        operand = DraftOperand(("entry", number), kind, "output", strides, 0)
        self.draft.store(operand, self.values[number])

    def value(self, base: int, steps: tuple[Step, ...], frame: Shape) -> int:
        """The instruction that gives an operand at each point of a frame."""
        if base in self.values:
            return self.values[base]
        if base in self.paths.inline:
            return self.compute(base, steps, frame)
        entry = self.entries[base]
        if entry.op is p.CONSTANT:
            return self.constant(entry.attributes[0], entry.dtype)
        reading = self.framed(self.paths.reading((base, steps)), frame)
        if entry.op is p.IOTA:
            return self.position(reading)
        return self.draft.load(self.input(base, reading))

    def input(self, base: int, reading: Reading) -> DraftOperand:
        kind = self.entries[base].dtype
        strides = stepped(reading.strides, reading.shape)
        return DraftOperand(("entry", base), kind, "input", strides, reading.offset)

    def framed(self, reading: Reading | None, frame: Shape) -> Reading:
        found = None if reading is None else reshape_reading(reading, frame)
        assert found is not None, "fusion placed an entry where an operand cannot be read"
        return found

    def compute(self, number: int, steps: tuple[Step, ...], frame: Shape) -> int:
        """Apply an entry's operation; an inlined entry is seen through `steps`."""
        entry = self.entries[number]
        if entry.op in PICKING:
            return self.pick(number, frame)
        if entry.op is p.PAD:
            return self.pad(number, frame)
        arguments = tuple(
            self.value(base, inner + steps, frame) for base, inner in self.paths.steps_in(number)
        )
        if entry.op is p.CAST and self.entries[entry.sources[0]].dtype is entry.dtype:
            return arguments[0]
        return self.draft.apply(entry.op.name, arguments, entry.dtype)

    def position(self, reading: Reading) -> int:
        """The number that iota holds where a reading looks."""
        draft = self.draft
        total = draft.constant(reading.offset, int64)
        for dim, (size, stride) in enumerate(zip(reading.shape, reading.strides, strict=True)):
            if size == 1 or stride == 0:
                continue
            step = draft.index(dim)
            if stride != 1:
                step = draft.integer("multiply", step, self.cell(stride))
            total = draft.integer("add", total, step) if draft_value(draft, total) else step
        return total

    def constant(self, value: Any, kind: dtype) -> int:
        """A number in its dtype: part of the structure if it is one of a few, else read from memory."""
        value = np.asarray(value, kind.numpy).item()
        if kind is bool_ or value in BAKED or not math.isfinite(value):
            return self.draft.constant(value, kind)
        return self.cell(value, kind)

    def cell(self, value: Any, kind: dtype = int64) -> int:
        """A number read from the program's table."""
        place = ("cell", self.cells.place(value, kind))
        none = (0,) * len(self.draft.space)
        return self.draft.load(DraftOperand(place, kind, "input", none, 0))

    # ---- picking --------------------------------------------------------------------------------------------

    def pick(self, number: int, frame: Shape) -> int:
        """An element of memory at computed places; an index out of range gives 0."""
        entry, draft = self.entries[number], self.draft
        base, views = self.paths.follow(entry.sources[0])
        source = self.paths.reading((base, views))
        assert source is not None
        dims = entry.attributes[0] if entry.op is p.INDEX else (entry.attributes[0],)
        strides = picked_strides(entry, source, dims)
        reading = self.framed(Reading(entry.shape, strides, source.offset), frame)
        offset = valid = None
        for dim, (index, steps) in zip(dims, self.paths.steps_in(number)[1:], strict=True):
            value = self.wide(self.value(index, steps, frame), index)
            size = self.cell(source.shape[dim])
            zero = draft.constant(0, int64)
            wrapped = draft.integer("add", value, size)
            value = draft.append("where", (draft.truth("less", value, zero), wrapped, value), int64)
            inside = draft.append(
                "bitwise_and",
                (draft.truth("greater_equal", value, zero), draft.truth("less", value, size)),
                bool_,
            )
            moved = draft.integer("multiply", value, self.cell(source.strides[dim]))
            offset = moved if offset is None else draft.integer("add", offset, moved)
            valid = inside if valid is None else draft.append("bitwise_and", (valid, inside), bool_)
        assert offset is not None
        assert valid is not None
        operand = self.draft.operand(self.input(base, reading))
        return draft.append("gather", (offset, valid), entry.dtype, operand)

    def wide(self, value: int, index: int) -> int:
        kind = self.entries[index].dtype
        return value if kind is int64 else self.draft.append("cast", (value,), int64)

    def pad(self, number: int, frame: Shape) -> int:
        """The inside read where it is, the fill elsewhere."""
        entry, draft = self.entries[number], self.draft
        low, high = entry.attributes
        base, views = self.paths.follow(entry.sources[0])
        source = self.paths.reading((base, views))
        assert source is not None
        start = source.offset - sum(a * s for a, s in zip(low, source.strides, strict=True))
        reading = self.framed(Reading(entry.shape, source.strides, start), frame)
        fill_base, fill_steps = self.paths.steps_in(number)[1]
        fill = self.value(fill_base, fill_steps, frame)
        valid = self.inside(entry.shape, source.shape, low, high)
        operand = draft.operand(self.input(base, reading))
        zero = draft.constant(0, int64)
        taken = draft.append("gather", (zero, valid), entry.dtype, operand)
        return draft.append("where", (valid, taken, fill), entry.dtype)

    def inside(self, shape: Shape, inner: Shape, low: Shape, high: Shape) -> int:
        """Whether a point of a padded value is one of the inside."""
        draft = self.draft
        places = iter(range(len(self.region.space)))
        valid = draft.constant(True, bool_)
        for size, own, below, above in zip(shape, inner, low, high, strict=True):
            dim = next(places) if size != 1 else -1
            if below <= 0 and above <= 0 and own:
                continue
            at = draft.index(dim) if dim >= 0 else draft.constant(0, int64)
            begin, end = self.cell(below), self.cell(below + own)
            for truth in (draft.truth("greater_equal", at, begin), draft.truth("less", at, end)):
                valid = draft.append("bitwise_and", (valid, truth), bool_)
        return valid


def draft_value(draft: Draft, number: int) -> Any:
    """The number of a constant instruction; true for any other instruction."""
    op, _, _, attribute = draft.instructions[number]
    return attribute if op == "constant" else True


def stepped(strides: Shape, shape: Shape) -> Shape:
    """Strides with 0 where there is only one place to go."""
    return tuple([0 if n == 1 else s for s, n in zip(strides, shape, strict=True)])


def picked_strides(entry: Any, source: Reading, dims: Shape) -> Shape:
    """The strides of the result's dimensions in the memory picked from; 0 for the index's own."""
    if entry.op is p.GATHER:
        return tuple([0 if d in dims else s for d, s in enumerate(source.strides)])
    rest = [s for d, s in enumerate(source.strides) if d not in dims]
    spread = len(entry.shape) - len(rest)
    adjacent = dims == tuple(range(dims[0], dims[0] + len(dims)))
    place = dims[0] if adjacent else 0
    return (*rest[:place], *((0,) * spread), *rest[place:])


def copy_call(
    paths: Paths, source: int, target: int, destination: Reading, cells: Cells
) -> NestCall | None:
    """A nest that copies a value to strided places of an entry's memory."""
    kind = paths.entries[source].dtype
    space = squeeze(destination.shape)
    if not numel(space):
        return None
    writer = RegionWriter(Region(space), paths, cells)
    base, steps = paths.follow(source)
    value = writer.value(base, steps, space)
    reading = writer.framed(destination, space)
    place = ("entry", target)
    operand = DraftOperand(place, kind, "output", stepped(reading.strides, space), reading.offset)
    writer.draft.store(operand, value)
    return writer.draft.finish((target,))


def assembly_calls(step: Assembly, paths: Paths, cells: Cells, skip_first: bool) -> list[NestCall]:
    """The nests of an assembly; `skip_first` where the base is overwritten in place."""
    calls: list[NestCall] = []
    entry = paths.entries[step.entry]
    if step.fill is not None and entry.numel:
        calls.append(fill_call(step.entry, entry.shape, step.fill, paths))
    parts = step.parts[1:] if skip_first else step.parts
    found = [copy_call(paths, source, step.entry, place, cells) for source, place in parts]
    return [*calls, *(call for call in found if call is not None)]


def fill_call(number: int, shape: Shape, value: Any, paths: Paths) -> NestCall:
    """A nest that stores one number everywhere."""
    kind = paths.entries[number].dtype
    count = numel(shape)
    draft = Draft((count,))
    operand = DraftOperand(("entry", number), kind, "output", stepped((1,), (count,)), 0)
    draft.store(operand, draft.constant(kind.numpy.type(value).item(), kind))
    return draft.finish((number,))
