"""The loops of a kernel: units of the parallel index, passes over a row, vector sweeps and their tails.

Map mode:    unit = a stretch of the last kept dimension; vector sweep, tail, stores.
Row mode:    unit = one row; for each pass, scalar loops over the outer reduced dimensions around a vector sweep
             of the last one with several accumulators; then row values; at last a sweep that stores.
Column mode: unit = a stretch of a few vectors of the last kept dimension; all reduced dimensions are scalar loops (but see
             emit_streams.py).

A tail shorter than a vector is one masked step where the target masks cheaply, else a loop of single elements.
Long bodies are written once only where masks cost nothing (AVX-512): every step is masked then, and compiling takes
half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Builder, Value, bytes_of, constant
from lampas.engine.loops.emit_elements import HEAVY
from lampas.engine.loops.emit_parking import closure, early_stores, parking_of, stores_along
from lampas.engine.loops.emit_passes import ReductionPass
from lampas.engine.loops.emit_reductions import Reduction
from lampas.engine.loops.emit_scope import Plan, Scope, dependences
from lampas.engine.loops.emit_streams import STRIPS, StreamedUnit
from lampas.engine.loops.emit_types import register_type
from lampas.engine.loops.nest import BESIDE, BROADCAST, REVERSED, STRIDED, Nest

MAP_STRETCH = 4096
TRANSPOSED_STRETCH = 256  # so many cache lines of a transposed operand stay in the first cache


class KernelWriter:
    """Writes the kernel of one nest into a builder whose arguments are those of the kernel ABI."""

    def __init__(self, nest: Nest, target: Target, builder: Builder) -> None:
        self.nest, self.target, self.b = nest, target, builder
        self.plan = Plan(nest, target, nest.lane_dimension, dependences(nest))
        self.lanes = lanes_of_nest(nest, target)
        self.masked_tail = masks_tails(nest, target)
        self.copies = unroll_of(nest, target)
        self.always_masked = self.masked_tail and self.copies == 1 and target.vector_bytes == 64
        self.extents: list[Value] = []
        self.parking = parking_of(nest, self.plan.depends)
        self.early = early_stores(nest)

    @property
    def stretch(self) -> int:
        """Positions of the last kept dimension in one unit."""
        if self.nest.mode == "map":
            return TRANSPOSED_STRETCH if self.transposes else MAP_STRETCH
        return self.lanes * self.copies * (STRIPS if self.nest.streamed else 1)

    @property
    def transposes(self) -> bool:
        """Whether an operand jumps from lane to lane: then units with the same lanes follow each other, since
        the cache lines fetched for one are likely to hold the next one's elements."""
        lane = self.plan.lane
        jumps = any(operand.classes[lane] == STRIDED for operand in self.nest.operands)
        return self.nest.mode == "map" and self.nest.kept > 1 and jumps

    # ---- the frame ------------------------------------------------------------------------------------------

    def write(self) -> None:
        operands, integers, begin, end, _ = self.b.arguments
        pointers = [
            self.b.load("ptr", self.b.element_pointer(operands, n, "ptr"))
            for n in range(len(self.nest.operands))
        ]
        block = self.read_integers(integers)
        with self.b.loop(begin, end) as unit:
            self.write_unit(unit, pointers, block)
        self.b.ret()

    def read_integers(self, integers: Value) -> Value | None:
        """Load sizes, strides and block length in the signature's order."""
        count = 0

        def following() -> Value:
            nonlocal count
            count += 1
            return self.b.load("i64", self.b.element_pointer(integers, count - 1, "i64"))

        self.plan.sizes = [following() for _ in range(self.nest.rank)]
        self.extents = list(self.plan.sizes)
        for operand in self.nest.operands:
            known = {REVERSED: constant(-1, "i64")}
            self.plan.strides.append(
                [following() if c == STRIDED else known.get(c) for c in operand.classes]
            )
        return following() if self.nest.blocked else None

    def write_unit(self, unit: Value, pointers: Sequence[Value], block: Value | None) -> None:
        kept = list(range(self.nest.kept))
        start = constant(0, "i64")
        if self.nest.mode != "row":
            lane = kept.pop()
            outer, part = self.lane_part(unit, kept, lane)
            start, unit = self.b.multiply(part, self.stretch), outer
        scope = Scope(self.plan, self.b, {}, pointers, {})
        for dimension in reversed(kept):
            position = unit
            if dimension != kept[0]:
                unit, position = self.split(unit, self.plan.sizes[dimension])
            scope = scope.enter(dimension, position)
        if block is not None:
            self.limit_block(scope.positions[0], block)
        writers = {"map": self.map_unit, "row": self.row_unit, "column": self.column_unit}
        writers[self.nest.mode](scope, start)

    def lane_part(self, unit: Value, kept: Sequence[int], lane: int) -> tuple[Value, Value]:
        """Return (the unit among the outer dimensions, the number of its stretch)."""
        if not kept:
            return unit, unit
        if self.transposes:
            outer = self.plan.sizes[kept[0]]
            for dimension in kept[1:]:
                outer = self.b.multiply(outer, self.plan.sizes[dimension])
            part, rest = self.split(unit, outer)
            return rest, part
        stretches = self.b.add(self.plan.sizes[lane], self.stretch - 1)
        return self.split(unit, self.b.binary("udiv", "udiv", stretches, self.stretch))

    def split(self, unit: Value, size: Value) -> tuple[Value, Value]:
        """Return (unit / size, unit mod size)."""
        quotient = self.b.binary("udiv", "udiv", unit, size)
        return quotient, self.b.subtract(unit, self.b.multiply(quotient, size))

    def limit_block(self, number: Value, block: Value) -> None:
        """Let the first reduced dimension be what the block has of it."""
        first = self.nest.kept
        self.plan.block_start = self.b.multiply(number, block)
        left = self.b.subtract(self.plan.sizes[first], self.plan.block_start)
        self.extents[first] = self.b.minimum(left, block)

    # ---- units ----------------------------------------------------------------------------------------------

    def map_unit(self, scope: Scope, start: Value) -> None:
        size = self.plan.sizes[self.plan.lane]
        stop = self.b.minimum(self.b.add(start, self.stretch), size)
        stores = self.stores(lambda number: True)
        needed = self.closure(stores)
        scope.prepare(needed)
        self.store_sweep(scope, start, stop, stores, needed)

    def row_unit(self, scope: Scope, start: Value) -> None:
        self.plan.parked = None
        self.passes(scope, 1)
        self.row_values(scope, 1)
        stores = self.late_stores()
        if stores:
            needed = self.closure(stores)
            self.reduced_loops(
                scope,
                needed,
                lambda inner, low, high: self.store_sweep(inner, low, high, stores, needed),
            )

    def column_unit(self, scope: Scope, start: Value) -> None:
        if self.nest.streamed:
            StreamedUnit(self, self.reductions(1)).write(scope, start)
            return
        size = self.plan.sizes[self.plan.lane]
        left = self.b.subtract(size, start)
        whole = self.b.compare("sge", left, self.stretch)
        with self.b.branch(whole) as (full, part):
            with full:
                self.column_body(scope.enter(self.plan.lane, start, self.lanes), self.copies)
            with part:
                middle = self.whole_columns(scope, start, size)
                step = self.lanes if self.masked_tail else 1
                with self.b.loop(middle, size, step) as position:
                    mask = None
                    if self.masked_tail:
                        mask = self.b.lane_mask(self.lanes, self.b.subtract(size, position))
                    self.column_body(scope.enter(self.plan.lane, position, step, mask), 1)

    def whole_columns(self, scope: Scope, start: Value, size: Value) -> Value:
        """The vectors of a unit that is not whole, two together or one alone; returns where the rest begins."""
        if self.copies == 1 or self.lanes == 1:
            return start
        for copies in (2, 1) if self.copies > 2 else (1,):
            step = self.lanes * copies
            end = self.b.add(start, self.b.bit_and(self.b.subtract(size, start), -step))
            with self.b.loop(start, end, step) as position:
                self.column_body(scope.enter(self.plan.lane, position, self.lanes), copies)
            start = end
        return start

    def column_body(self, scope: Scope, copies: int) -> None:
        self.passes(scope, copies)
        self.row_values(scope, copies)
        stores = self.late_stores()
        if not stores:
            return
        needed = self.closure(stores)

        def sweep(inner: Scope, low: Value, high: Value) -> None:
            last = self.nest.rank - 1
            with self.b.loop(low, high) as position:
                self.write_stores(inner.enter(last, position), stores, copies)

        self.reduced_loops(scope, needed, sweep, copies)

    # ---- passes ---------------------------------------------------------------------------------------------

    def passes(self, scope: Scope, copies: int) -> None:
        """Write every reduction, shallow ones first; the results join the scope's values."""
        deepest = max(self.nest.depths)
        for depth in range(1, deepest + 1):
            found = self.reductions(depth)
            if found:
                parks = self.parking is not None and self.nest.depths[self.parking[0]] + 1 == depth
                stores = self.early if depth == deepest else []
                ReductionPass(self, found, scope, copies, parks, stores).write()
                if parks:
                    self.plan.parked = self.parking

    def reductions(self, depth: int) -> list[Reduction]:
        """Those of one depth."""
        instructions = self.nest.instructions
        return [
            Reduction(n, i.arguments[0], str(i.attribute), instructions[i.arguments[0]].dtype)
            for n, i in enumerate(instructions)
            if i.op == "reduce" and self.nest.depths[n] == depth
        ]

    def row_values(self, scope: Scope, copies: int) -> None:
        """Write the stores that happen once a row."""
        stores = self.stores(lambda number: not self.walks_reduced(number))
        scope.prepare(self.closure(stores), copies)
        self.write_stores(scope, stores, copies)

    def write_stores(self, scope: Scope, stores: Sequence[int], copies: int) -> None:
        instructions = [self.nest.instructions[number] for number in stores]
        for copy in range(copies):
            for instruction in instructions:
                scope.value(instruction.arguments[0], copy)
        for instruction in instructions:
            classes = self.nest.operands[int(instruction.attribute or 0)].classes
            single = classes[self.plan.lane] == BROADCAST
            for copy in range(1 if single else copies):
                scope.store(instruction, copy)

    def reduced_loops(
        self,
        scope: Scope,
        needed: Sequence[int],
        sweep: Callable[[Scope, Value, Value], None],
        copies: int = 1,
    ) -> None:
        """Write scalar loops over all reduced dimensions but the last around a sweep of that one."""
        self.loops_from(self.nest.kept, scope, needed, sweep, copies)

    def loops_from(
        self,
        dimension: int,
        scope: Scope,
        needed: Sequence[int],
        sweep: Callable[[Scope, Value, Value], None],
        copies: int,
    ) -> None:
        scope.prepare(needed, copies)
        if dimension == self.nest.rank - 1:
            sweep(scope, constant(0, "i64"), self.extents[dimension])
            return
        with self.b.loop(0, self.extents[dimension]) as position:
            self.loops_from(dimension + 1, scope.enter(dimension, position), needed, sweep, copies)

    def store_sweep(
        self, scope: Scope, start: Value, stop: Value, stores: Sequence[int], needed: Sequence[int]
    ) -> None:
        """Sweep the lane dimension and store."""
        lane, step, middle = self.plan.lane, self.lanes * self.copies, start
        if not self.always_masked:
            whole = self.b.bit_and(self.b.subtract(stop, start), -step)
            middle = self.b.add(start, whole)
            with self.b.loop(start, middle, step) as position:
                inner = scope.enter(lane, position, self.lanes)
                self.write_stores(inner, stores, self.copies)
        tail = self.lanes if self.masked_tail else 1
        with self.b.loop(middle, stop, tail) as position:
            mask = self.b.lane_mask(tail, self.b.subtract(stop, position)) if tail > 1 else None
            self.write_stores(scope.enter(lane, position, tail, mask), stores, 1)

    # ---- questions ------------------------------------------------------------------------------------------

    def walks_reduced(self, operand: int) -> bool:
        return any(self.nest.operands[operand].classes[self.nest.kept :])

    def stores(self, wanted: Callable[[int], bool]) -> list[int]:
        """Return the store instructions whose operand is wanted."""
        return [
            number
            for number, instruction in enumerate(self.nest.instructions)
            if instruction.op == "store" and wanted(int(instruction.attribute or 0))
        ]

    def late_stores(self) -> list[int]:
        """The stores along the rows that no reducing pass has done."""
        return [] if self.early else stores_along(self.nest)

    def closure(self, roots: Sequence[int]) -> list[int]:
        """Return all values that the roots need, reductions' arguments not followed, in order."""
        return closure(self.nest, roots, self.plan.parked[0] if self.plan.parked else -1)


def lanes_of_nest(nest: Nest, target: Target) -> int:
    """Return how many lanes vectors have: those of the widest type, but eight-byte types may take two registers."""
    sizes = {
        bytes_of(register_type(i.dtype))
        for i in nest.instructions
        if register_type(i.dtype) != "i1"
    }
    if not sizes:
        return target.vector_bytes
    return target.vector_bytes // (8 if sizes == {8} else min(4, max(sizes)))


def masks_tails(nest: Nest, target: Target) -> bool:
    """Whether a masked vector step is cheap for every access of the nest."""
    if not target.masks:
        return False
    lane = nest.lane_dimension
    walked = [o for o in nest.operands if o.classes[lane] != BROADCAST]
    if target.vector_bytes < 64 and any(o.dtype.itemsize < 4 for o in walked):
        return False
    return not any(
        o.classes[lane] not in BESIDE and (o.dtype.itemsize < 4 or o.role == "output")
        for o in walked
    )


def unroll_of(nest: Nest, target: Target) -> int:
    """Return how many vectors are worked on side by side: fewer the more there is to do for each."""
    weight = sum(
        8 if i.op in HEAVY else 1 for i in nest.instructions if i.op not in ("constant", "store")
    )
    if nest.mode == "map":
        return 2 if weight <= 6 else 1
    if nest.mode == "column":
        if nest.streamed:
            return 4 if weight <= 16 else 1
        # The wider a stretch, the more of memory is read in its order.
        return 8 if weight <= 16 else 4 if weight <= 24 else 1
    return 4 if weight <= 6 else 2 if weight <= 12 else 1
