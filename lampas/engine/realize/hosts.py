"""Host steps: reference rules run on NumPy views of a program's memory, without copies of the operands.

`schedule.kinds.HOST_REASONS` says which primitives come here and why; complex numbers do too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from lampas.engine.errors import InternalError
from lampas.engine.graph import primitives as p
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.host.elements import pair, write_elements
from lampas.engine.host.ordering import sort_index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.device.buffer import Buffer
    from lampas.engine.graph.primitives import Primitive
    from lampas.engine.realize.bind import Slots
    from lampas.engine.schedule.lower import Schedule
    from lampas.engine.schedule.steps import HostStep


def elements(function: Callable[..., object]) -> Callable[..., None]:
    """The writer of an elementwise NumPy function."""

    def write(out: np.ndarray, arrays: Sequence[np.ndarray]) -> None:
        with np.errstate(all="ignore"):
            write_elements(function, out, arrays)

    return write


# What has a quicker way than its reference rule, straight into the result's memory.
WRITERS: Final[dict[Primitive, Callable[..., None]]] = {
    p.SORT_INDEX: lambda out, arrays, dim, descending: sort_index(arrays[0], dim, descending, out),
    p.NEGATIVE: elements(np.negative),
    p.ABSOLUTE: elements(np.absolute),
    p.CONJUGATE: elements(np.conjugate),
    p.EXP: elements(np.exp),
    p.ADD: elements(np.add),
    p.SUBTRACT: elements(np.subtract),
    p.MULTIPLY: elements(np.multiply),
    p.DIVIDE: elements(np.true_divide),
    p.COMPLEX: elements(pair),
}

Source = "Callable[[Sequence[Buffer], Sequence[Any]], np.ndarray]"


@final
class HostCall:
    """One primitive computed by its reference rule."""

    def __init__(self, call: HostStep, schedule: Schedule, slots: Slots) -> None:
        home = Home(schedule, slots)
        self.entry = schedule.graph.entries[call.entry]
        self.name = f"host {self.entry.op.name}"
        self.stores = [(home.position(n), *home.place(n)) for n in call.stores]
        self.sources = [home.source(number) for number in self.entry.sources]
        self.rule = REFERENCE_RULES[self.entry.op]
        self.writer = WRITERS.get(self.entry.op)

    def run(self, memory: Sequence[Buffer], scalars: Sequence[Any]) -> None:
        """Compute and store; errors of the rule (an index out of range) pass through."""
        arrays = [source(memory, scalars) for source in self.sources]
        if self.writer is not None:
            _, slot, offset, kind, shape = self.stores[0]
            self.writer(memory[slot].array(kind, shape, offset), arrays, *self.entry.attributes)
            return
        with np.errstate(all="ignore"):
            found = self.rule(arrays, *self.entry.attributes)
        for position, slot, offset, kind, shape in self.stores:
            result = found if position < 0 else found[position]
            np.copyto(memory[slot].array(kind, shape, offset), result, casting="unsafe")


@final
class Home:
    """Where the entries of a schedule lie."""

    def __init__(self, schedule: Schedule, slots: Slots) -> None:
        self.schedule, self.slots = schedule, slots

    def position(self, number: int) -> int:
        """Which of several results an entry is."""
        entry = self.schedule.graph.entries[number]
        return entry.attributes[0] if entry.op is p.OUTPUT else -1

    def place(self, number: int) -> tuple[int, int, np.dtype[Any], tuple[int, ...]]:
        """Slot, offset, dtype and shape of a stored entry."""
        entry = self.schedule.graph.entries[number]
        slot, offset = self.slots.of_entry(number)
        return slot, offset, entry.dtype.numpy, entry.shape

    def source(self, number: int) -> Any:
        """A function from the run's memory and scalars to the array of an operand."""
        paths = self.schedule.paths
        path = paths.follow(number)
        base = paths.entries[path[0]]
        if base.op.kind == "leaf" and base.op is not p.BUFFER:
            return self.leaf(number, path[0])
        reading = paths.reading(path)
        if reading is None:
            raise InternalError("host step", "an operand has no strided reading", base)
        slot, start, kind, _ = self.place(path[0])
        shape = reading.shape
        if 0 in shape:
            return lambda memory, scalars: np.empty(shape, kind)
        if reading.is_plain:
            return lambda memory, scalars: memory[slot].array(kind, shape, start)
        count = base.numel
        steps = tuple(stride * kind.itemsize for stride in reading.strides)
        skip = reading.offset * kind.itemsize

        def strided(memory: Sequence[Buffer], scalars: Sequence[Any]) -> np.ndarray:
            whole = memory[slot].array(kind, (count,), start)
            return np.ndarray(shape, kind, buffer=whole, offset=skip, strides=steps)

        return strided

    def leaf(self, number: int, base: int) -> Any:
        """A constant, iota or scalar behind views."""
        entries = self.schedule.graph.entries
        entry, kind, chain = entries[base], entries[base].dtype.numpy, []
        while number != base:
            chain.append(entries[number])
            number = entries[number].sources[0]
        place = -1
        if entry.op is p.SCALAR:
            scalars = [n for n in self.schedule.graph.leaves if entries[n].op is p.SCALAR]
            place = scalars.index(base)

        def make(memory: Sequence[Buffer], scalars: Sequence[Any]) -> np.ndarray:
            if entry.op is p.IOTA:
                array = np.arange(entry.attributes[0], dtype=np.int64)
            else:
                array = np.asarray(scalars[place] if place >= 0 else entry.attributes[0], kind)
            for view in reversed(chain):
                array = REFERENCE_RULES[view.op]([array], *view.attributes)
            return array

        return make
