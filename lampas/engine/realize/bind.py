"""Binding: calls of kernels become records with addresses, slots and byte offsets.

Kernels are found by their text: a nest of the same structure is the same kernel, whatever its sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.device.launch import Record
from lampas.engine.loops.nest import MEMORY
from lampas.engine.loops.serial import INNER_BLOCK, SerialInteger
from lampas.engine.realize.costs import nest_cost, product_costs, serial_cost
from lampas.engine.realize.kernels import nest_kernel, product_kernel
from lampas.engine.schedule.draft import NestCall
from lampas.engine.schedule.serial import SerialCall

if TYPE_CHECKING:
    from lampas.engine.realize.cost import Cost
    from lampas.engine.realize.kernels import AnyKernel
    from lampas.engine.schedule.contract import GemmCall
    from lampas.engine.schedule.lower import Schedule

Slot = tuple[int, int]
HEAVY = frozenset(
    """exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    erf erfc erfinv lgamma digamma sigmoid power atan2 remainder fmod floor_divide""".split()
)
NANOSECONDS_A_BYTE = 0.06
NANOSECONDS_AN_INSTRUCTION = 0.05
NANOSECONDS_A_HEAVY_ONE = 0.8


@final
class Slots:
    """The numbering of a program's pointers.

    Leaves, then outputs, arena, scalar cells, number cells, guards' flags, what is kept from run to run.
    """

    def __init__(self, schedule: Schedule) -> None:
        graph = schedule.graph
        self.plan = schedule.plan
        self.outputs = schedule.outputs
        self.leaves: dict[int, Slot] = {}
        self.formats: list[str] = []
        buffers = [n for n in graph.leaves if graph.entries[n].op.name == "buffer"]
        scalars = [n for n in graph.leaves if graph.entries[n].op.name == "scalar"]
        for place, number in enumerate(buffers):
            self.leaves[number] = (place, 0)
        self.first_output = len(buffers)
        self.arena = self.first_output + len(graph.outputs)
        self.scalar_cells, self.number_cells = self.arena + 1, self.arena + 2
        for place, number in enumerate(scalars):
            self.leaves[number] = (self.scalar_cells, 16 * place)
        self.flags = self.arena + 3
        self.kept = {number: self.arena + 4 + place for place, number in enumerate(schedule.kept)}
        self.count = self.arena + 4 + len(self.kept)

    def of_entry(self, number: int) -> Slot:
        """The slot and byte offset of a stored entry or a leaf."""
        if number in self.leaves:
            return self.leaves[number]
        if number in self.outputs:
            return self.first_output + self.outputs[number], 0
        return self.arena, self.plan.offsets["entry", number]

    def of_place(self, place: tuple[str, int]) -> Slot:
        """The slot and byte offset of an operand's place."""
        kind, number = place
        if kind == "cell":
            return self.number_cells, 8 * number
        if kind == "flag":
            return self.flags, number
        if kind == "kept":
            return self.kept[number], 0
        return (
            self.of_entry(number)
            if kind == "entry"
            else (self.arena, self.plan.offsets["scratch", number])
        )


def bind_call(
    call: NestCall | GemmCall | SerialCall, schedule: Schedule, slots: Slots
) -> tuple[list[Record], list[Cost]]:
    """The records of a call and what they cost."""
    if isinstance(call, NestCall):
        return [nest_record(call, slots)], [nest_cost(call)]
    if isinstance(call, SerialCall):
        return [serial_record(call, slots)], [serial_cost(call)]
    return gemm_records(call, slots), product_costs(call, schedule.graph.entries)


def kernels_of(call: NestCall | GemmCall | SerialCall) -> list[AnyKernel]:
    """The kernels of a call."""
    if isinstance(call, NestCall):
        return [call.nest]
    if isinstance(call, SerialCall):
        return [call.kernel]
    return [part.kernel for part in call.plan.calls]


def nest_record(call: NestCall, slots: Slots) -> Record:
    """The record of a nest's call."""
    address, signature = nest_kernel(call.nest)
    operands: list[Slot] = []
    for place, offset in call.places:
        slot, start = slots.of_place(place)
        operands.append((slot, start + offset))
    integers = signature.integers(call.sizes, call.strides, call.block)
    extent, grain = signature.extent(call.sizes), signature.grain(call.sizes, call.block)
    work = estimate(call)
    return Record(address, tuple(operands), tuple(integers), extent, grain, work, describe(call))


def serial_record(call: SerialCall, slots: Slots) -> Record:
    """The record of a scattered write or scan."""
    operands: list[Slot] = []
    for place, offset in call.places:
        slot, start = slots.of_place(place)
        operands.append((slot, start + offset))
    address = product_kernel(call.kernel)
    walked, inner = call.integers[SerialInteger.WALKED], call.integers[SerialInteger.INNER]
    work = call.extent * walked * min(inner, INNER_BLOCK)
    name = call.kernel.name
    return Record(address, tuple(operands), call.integers, call.extent, 1, work, name)


def gemm_records(call: GemmCall, slots: Slots) -> list[Record]:
    """The records of a matrix product: packing, then the product itself."""
    records: list[Record] = []
    for part in call.plan.calls:
        operands: list[Slot] = []
        for name, offset in part.operands:
            place, start = call.places.get(name, (("cell", 0), 0))
            slot, own = slots.of_place(place)
            operands.append((slot, own + start + offset))
        records.append(
            Record(
                product_kernel(part.kernel),
                tuple(operands),
                part.integers,
                part.extent,
                part.grain,
                part.work,
                part.name,
            )
        )
    return records


def estimate(call: NestCall) -> int:
    """Nanoseconds that one thread needs, roughly: bytes moved and instructions done."""
    points = 1
    for size in call.sizes[1:] if call.nest.blocked else call.sizes:
        points *= size
    total = 0.0
    for instruction in call.nest.instructions:
        if instruction.op in MEMORY:
            total += instruction.dtype.itemsize * NANOSECONDS_A_BYTE
        elif instruction.op in HEAVY:
            total += NANOSECONDS_A_HEAVY_ONE
        else:
            total += NANOSECONDS_AN_INSTRUCTION
    return int(points * total)


def describe(call: NestCall) -> str:
    """A name for profiles: what is computed, and over which sizes."""
    words = [
        str(i.attribute) if i.op == "reduce" else i.op
        for i in call.nest.instructions
        if i.op not in ("load", "store", "constant", "index", "cast")
    ]
    shown = "+".join(words[:6]) + ("+…" if len(words) > 6 else "")
    sizes = "×".join(str(size) for size in call.sizes)
    return f"{call.nest.mode} {shown or 'copy'} [{sizes}]"
