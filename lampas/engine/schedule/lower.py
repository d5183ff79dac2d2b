"""Lowering: from steps to calls of kernels with every size and stride known, and their memory.

    schedule                          lowered
      region [64, 10] -> %6             nest_3f… a=leaf 0 b=arena 0
      matmul %6 %1 -> %7                gemm …   a=arena 0 b=leaf 1 c=output 0

`lower` makes the calls of each step, finds where a result may take over the place of a dying operand, and
plans the arena.  It knows no addresses: `realize.program` binds places to memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from lampas.engine.errors import VerificationError
from lampas.engine.graph import primitives as p
from lampas.engine.schedule.attention import attention_call
from lampas.engine.schedule.blocks import region_calls
from lampas.engine.schedule.contract import SUM_DTYPES, GemmCall, gemm_call
from lampas.engine.schedule.convolution import convolution_call, kernel_call
from lampas.engine.schedule.delivery import deliver
from lampas.engine.schedule.depths import split_depths
from lampas.engine.schedule.draft import NestCall
from lampas.engine.schedule.fuse import fuse
from lampas.engine.schedule.guards import Guard, make_guards
from lampas.engine.schedule.image_pools import image_pool_call
from lampas.engine.schedule.masks import remake_masks
from lampas.engine.schedule.moments import find_moments
from lampas.engine.schedule.nesting import Cells, assembly_calls, copy_call
from lampas.engine.schedule.padding import padding_calls
from lampas.engine.schedule.plan_memory import Life, MemoryPlan, plan_memory, verify_plan
from lampas.engine.schedule.pooling import pool_call
from lampas.engine.schedule.reading import plain_reading
from lampas.engine.schedule.recurrent import recurrent_call
from lampas.engine.schedule.serial import SerialCall, serial_call, serial_form
from lampas.engine.schedule.settle import settle
from lampas.engine.schedule.simplify import simplify
from lampas.engine.schedule.steps import Assembly, Contraction, HostStep, Region, ScheduleStep
from lampas.engine.schedule.transposition import transposition_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.layout import Layout
    from lampas.engine.graph.linear import LinearGraph
    from lampas.engine.schedule.lay_out import Arrangement
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.plan_memory import Key

Call = NestCall | GemmCall | SerialCall | HostStep


@final
@dataclass(slots=True)
class Schedule:
    """Everything that is known of a program before it is compiled."""

    graph: LinearGraph
    steps: list[ScheduleStep]
    paths: Paths
    calls: list[list[Call]] = field(default_factory=list)
    scratch: dict[int, int] = field(default_factory=dict)
    cells: Cells = field(default_factory=Cells)
    lives: list[Life] = field(default_factory=list)
    takes_over: dict[Key, Key] = field(default_factory=dict)
    plan: MemoryPlan = field(default_factory=MemoryPlan)
    outputs: dict[int, int] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    layouts: tuple[Layout | None, ...] = ()
    donations: dict[int, int] = field(default_factory=dict)
    """Output position -> the buffer leaf whose memory it may overwrite, if nobody needs that leaf."""
    kept: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Product's entry -> the leaf of its weight, bytes of what is made of that and outlives the run."""


def make_schedule(
    arrangement: Arrangement, fused: bool = True, verified: bool = False, threads: int = 1
) -> Schedule:
    """Settle, fuse, lower and plan; `threads` bounds the scratch memory of kernels only."""
    simple = simplify(arrangement.graph)
    settled = settle(split_depths(simple) if fused else simple)
    if fused:
        settled = find_moments(remake_masks(settled))
    steps, paths = fuse(settled, fused)
    if fused:
        steps = deliver(steps, paths)
    schedule = Schedule(settled, steps, paths, layouts=arrangement.layouts)
    for place, number in enumerate(settled.outputs):
        schedule.outputs[paths.base(number)] = place
    Lowering(schedule, threads).run()
    if verified:
        verify_plan(schedule.lives, schedule.takes_over, schedule.plan)
        verify_order(schedule)
    return schedule


@final
class Lowering:
    """Fills in the calls and the memory of a schedule."""

    def __init__(self, schedule: Schedule, threads: int = 1) -> None:
        self.schedule, self.threads = schedule, threads
        self.paths = schedule.paths
        self.entries = schedule.graph.entries
        self.reads = [self.read_by(step) for step in schedule.steps]
        self.last_read: dict[int, int] = {}
        for place, bases in enumerate(self.reads):
            for base in bases:
                self.last_read[base] = place
        self.written = {n: place for place, s in enumerate(schedule.steps) for n in s.stores}

    def run(self) -> None:
        """Make all calls, then lives and plan."""
        schedule = self.schedule
        schedule.guards = make_guards(self.paths, schedule.cells)
        self.keep_for_guards()
        for place, step in enumerate(schedule.steps):
            schedule.calls.append(self.calls_of(place, step))
        raising = any(isinstance(call, HostStep) for calls in schedule.calls for call in calls)
        if raising or not all(guard.early for guard in schedule.guards):
            schedule.donations.clear()  # a run that raises must leave its operands as they were
        self.list_lives()
        self.schedule.plan = plan_memory(self.schedule.lives, self.schedule.takes_over)

    def keep_for_guards(self) -> None:
        """What late guards read must live to the end."""
        for guard in self.schedule.guards:
            for (kind, number), _ in guard.call.places:
                if kind == "entry" and number in self.written:
                    self.last_read[number] = len(self.schedule.steps)

    def read_by(self, step: ScheduleStep) -> set[int]:
        """The stored entries that a step reads."""
        bases: set[int] = set()
        region = step.region if isinstance(step, Contraction) else step
        if isinstance(region, Region):
            own = region.frames
            bases = {b for m in region.members for b, _ in self.paths.operands(m) if b not in own}
        if not isinstance(step, Region):
            for source in self.entries[step.entry].sources:
                base = self.paths.base(source)
                inlined = base in self.paths.inline
                bases |= {b for b, _ in self.paths.operands(base)} if inlined else {base}
        return {b for b in bases if self.entries[b].op not in (p.CONSTANT, p.IOTA)}

    def calls_of(self, place: int, step: ScheduleStep) -> list[Call]:
        schedule = self.schedule
        if isinstance(step, HostStep):
            given = self.paths, step.entry, schedule.scratch, self.threads
            made = own_call(self.paths, step) or kernel_call(*given)
            made = made or attention_call(self.paths, step, schedule.scratch, self.threads)
            made = made or recurrent_call(*given)
            return [made] if made else self.serial(place, step) or [step]
        if isinstance(step, Contraction):
            return [self.product(place, step)]
        if isinstance(step, Assembly):
            entry = self.entries[step.entry]
            in_place = entry.op is p.AS_STRIDED_SCATTER and self.base_dies(
                place, step.entry, {self.paths.base(entry.sources[1])}
            )
            return list(assembly_calls(step, self.paths, schedule.cells, in_place))
        turned = transposition_call(step, self.paths)
        if turned is not None:
            return [turned]
        padded = padding_calls(step, self.paths, schedule.cells)
        if padded:
            return list(padded)
        calls = region_calls(step, self.paths, schedule.cells, schedule.scratch)
        if calls:  # of two, the first has read all that it reads when the second begins
            self.find_heirs(place, calls[-1])
        return list(calls)

    def serial(self, place: int, step: HostStep) -> list[Call]:
        """The calls of a scattered write or scan: a copy of the base unless it dies, then the walk."""
        form = serial_form(self.paths, step.entry)
        if form is None:
            return []
        calls: list[Call] = []
        if form.index is not None:
            entry = self.entries[step.entry]
            others = {self.paths.base(source) for source in entry.sources[1:]}
            if not self.base_dies(place, step.entry, others):
                whole = plain_reading(entry.shape)
                copied = copy_call(
                    self.paths, entry.sources[0], step.entry, whole, self.schedule.cells
                )
                calls.extend([copied] if copied else [])
        return [*calls, serial_call(self.paths, step.entry, form)]

    def product(self, place: int, step: Contraction) -> Call:
        """The call of a matrix product; products of integers are the host's."""
        entry = self.entries[step.entry]
        if entry.dtype not in SUM_DTYPES:
            return HostStep(step.entry, [step.entry])
        schedule = self.schedule
        make = convolution_call if entry.attributes else gemm_call
        call = make(step, self.paths, schedule.cells, schedule.scratch, self.threads)
        self.inherit_all(place, call.heirs)
        if call.plan.preparing:
            leaf = self.paths.base(entry.sources[1])
            schedule.kept[step.entry] = leaf, call.plan.kept_bytes
        return call

    # ---- taking over places ---------------------------------------------------------------------------------

    def dies_in_arena(self, number: int, place: int) -> bool:
        """Whether an entry lies in the arena and is needed for the last time at a step."""
        inside = number in self.written and number not in self.schedule.outputs
        return inside and self.last_read.get(number) == place

    def base_dies(self, place: int, number: int, others: set[int]) -> bool:
        """Whether a partial write may overwrite its base; if so, the place is taken over."""
        base = self.entries[number].sources[0]
        if number in self.schedule.outputs or base in others:
            return False
        if self.entries[base].op.kind == "view":
            return False
        if not self.dies_in_arena(base, place) or ("entry", base) in self.inherited():
            return False
        self.schedule.takes_over["entry", number] = ("entry", base)
        return True

    def inherited(self) -> set[Key]:
        return set(self.schedule.takes_over.values())

    def find_heirs(self, place: int, call: NestCall) -> None:
        """Let results of a nest take over places that it reads for the last time, point by point."""
        found: list[tuple[int, int]] = []
        for number, operand in enumerate(call.nest.operands):
            (kind, entry), _ = call.places[number]
            if operand.role == "output" and kind == "entry":
                found += [(entry, donor) for donor in self.donors(call, number)]
        self.inherit_all(place, found)

    def inherit_all(self, place: int, pairs: Sequence[tuple[int, int]]) -> None:
        """Let entries take over places; `pairs` are all (entry, donor) that are possible.

        What an entry is made of comes first, and those choose first that have the least choice: a parameter's old value
        is for its new one, neither for the gradient on the way nor for the momentum.
        """
        near: dict[int, list[int]] = {}
        for entry, donor in pairs:
            if donor in self.read_for(place, entry):
                near.setdefault(entry, []).append(donor)
        chosen = [
            (entry, donor)
            for entry, donors in sorted(near.items(), key=lambda item: len(item[1]))
            for donor in donors
        ]
        settled: set[int] = set()
        for entry, donor in (*chosen, *pairs):
            if entry not in settled and self.inherit(place, entry, donor):
                settled.add(entry)

    def read_for(self, place: int, entry: int) -> set[int]:
        """The entries that one is made of within a step, and what these read."""
        found: set[int] = set()
        stack = [entry]
        while stack:
            for source in self.entries[stack.pop()].sources:
                if source not in found:
                    found.add(source)
                    if self.written.get(source, place) == place:
                        stack.append(source)
        return found

    def inherit(self, place: int, entry: int, donor: int) -> bool:
        """Let an entry take over the place of one that dies at this step, if both have such places.

        Arena places go to arena entries; a leaf's memory to an output, should the caller donate it.
        """
        schedule = self.schedule
        new, old = ("entry", entry), ("entry", donor)
        if entry in schedule.outputs:
            position = schedule.outputs[entry]
            known = donor in schedule.donations.values() or position in schedule.donations
            leaf = self.entries[donor].op is p.BUFFER and self.last_read.get(donor) == place
            if known or not leaf:
                return False
            schedule.donations[position] = donor
            return True
        if old in self.inherited() or new in schedule.takes_over:
            return False
        if not self.dies_in_arena(donor, place):
            return False
        schedule.takes_over[new] = old
        return True

    def donors(self, call: NestCall, output: int) -> list[int]:
        """Inputs of the output's size that are walked exactly as it is, and in no other way."""
        operands, strides = call.nest.operands, call.strides
        if not is_stored_last(call, output):
            return []
        target = operands[output]
        _, own = call.places[output][0]
        good: dict[int, bool] = {}
        for number, operand in enumerate(operands):
            (kind, entry), offset = call.places[number]
            if operand.role != "input" or kind != "entry":
                continue
            same = strides[number] == strides[output] and offset == call.places[output][1]
            size = operand.dtype.itemsize == target.dtype.itemsize
            whole = self.entries[entry].numel == self.entries[own].numel
            plain = same and size and whole and number not in gathered(call)
            good[entry] = good.get(entry, True) and plain
        return [entry for entry, fine in good.items() if fine]

    # ---- lives ----------------------------------------------------------------------------------------------

    def list_lives(self) -> None:
        schedule = self.schedule
        for number, place in self.written.items():
            if number not in schedule.outputs:
                entry = self.entries[number]
                last = max(self.last_read.get(number, place), place)
                nbytes = entry.numel * entry.dtype.itemsize
                schedule.lives.append(Life(("entry", number), nbytes, place, last))
        for place, calls in enumerate(schedule.calls):
            found: set[Key] = set()
            for call in calls:
                if isinstance(call, NestCall | GemmCall):
                    listed = call.places.values() if isinstance(call, GemmCall) else call.places
                    found.update(where for where, _ in listed if where[0] == "scratch")
            for where in sorted(found):
                schedule.lives.append(Life(where, schedule.scratch[where[1]], place, place))


def own_call(paths: Paths, step: HostStep) -> Call | None:
    """The call of a kernel of pooling, for an entry that is one."""
    return image_pool_call(paths, step.entry, step.stores) or pool_call(paths, step.entry)


def is_stored_last(call: NestCall, output: int) -> bool:
    """Whether nothing of a row is read any more when this output of it is stored.

    One value for a row may be stored between two walks over the row: it can replace something only
    where there is a single walk, that of one reduction whose results alone are stored.
    """
    nest, strides = call.nest, call.strides
    if not nest.reduced or any(strides[output][nest.kept :]):
        return True
    for number, operand in enumerate(nest.operands):
        if operand.role == "output" and any(strides[number][nest.kept :]):
            return False
    rows: set[int] = set()
    for number, instruction in enumerate(nest.instructions):
        after_reduction = any(source in rows for source in instruction.arguments)
        if instruction.op == "reduce" and after_reduction:
            return False
        if instruction.op == "reduce" or after_reduction:
            rows.add(number)
    return True


def gathered(call: NestCall) -> set[int]:
    """The operands that a nest reads at computed places."""
    return {
        int(i.attribute)
        for i in call.nest.instructions
        if i.op == "gather" and i.attribute is not None
    }


def verify_order(schedule: Schedule) -> None:
    """Raise VerificationError where a step reads what no step before it has written."""
    written: set[int] = set()
    lowering = Lowering(schedule)
    for step in schedule.steps:
        for base in lowering.read_by(step):
            if schedule.graph.entries[base].op.kind != "leaf" and base not in written:
                raise VerificationError("lower", f"%{base} is read before it is written")
        written.update(step.stores)
    missing = set(schedule.outputs) - written
    if missing:
        raise VerificationError("lower", f"outputs {sorted(missing)} are never written")
