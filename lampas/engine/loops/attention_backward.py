"""The derivatives of attention by query, key and value, head by head; weights are made again, block by block.

With P = softmax(q·kᵀ·scale + bias), flow the result's cotangent and dP = flow·vᵀ:

    dS = P∘(dP − Σ P∘dP),   dq = dS·k·scale,   dk = dSᵀ·q·scale,   dv = Pᵀ·flow

    unit        a head
    operands    scratch, query, key, value, result, flow, bias (if any)

Each of dq, dk and dv has its own place and strides in C.  What keys and values get is summed in the thread's memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.text import Module, Value, constant
from lampas.engine.loops.attention_block import (
    ELEMENT,
    AttentionInteger,
    Block,
    BlockWriter,
    MaskedKernel,
    TileRoutine,
    across_shape,
)


@dataclass(frozen=True)
class AttentionBackwardKernel(MaskedKernel):
    """What is compiled in: the machine, the mask's kind, vectors of a tile of query and of value."""

    query_vectors: int
    value_vectors: int

    @property
    def name(self) -> str:
        return f"attention_backward{self.masks}_{self.query_vectors}_{self.value_vectors}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        BackwardWriter(module, self).write()
        return module


class BackwardWriter(BlockWriter):
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: AttentionBackwardKernel) -> None:
        super().__init__(module, kernel)
        lanes = self.shape.lanes
        query = across_shape(kernel.target, kernel.query_vectors * lanes)
        value = across_shape(kernel.target, kernel.value_vectors * lanes)
        self.to_query = TileRoutine("to_query", query, "column", adds=True)
        self.to_key = TileRoutine("to_key", query, "row", adds=True)
        self.to_value = TileRoutine("to_value", value, "row", adds=True)
        for routine in (self.to_query, self.to_key, self.to_value):
            routine.write(module)

    def write(self) -> None:
        self.open()
        b = self.b
        tall = b.add(self.keys, self.height)
        self.flow_packed = self.take(b.multiply(self.width, self.rows))
        self.flows = self.take(b.multiply(tall, self.stride))
        self.key_sums = self.take(b.multiply(tall, self.depth))
        self.value_sums = self.take(b.multiply(tall, self.width))
        with b.loop(self.begin, self.end) as head:
            self.write_head(head)
        b.ret()

    def write_head(self, head: Value) -> None:
        b, i = self.b, AttentionInteger
        self.gather_head(head)
        self.query = self.of_head(self.operand(1), head, i.QUERY_OUTER)
        self.flow = self.of_head(self.operand(5), head, i.FLOW_OUTER)
        bias = self.of_head(self.operand(6), head, i.BIAS_OUTER) if self.bias else None
        self.fill(self.key_sums, self.depth)
        self.fill(self.value_sums, self.width)
        queries = self.integer(i.QUERIES)
        with b.loop(0, queries, self.rows) as first:
            valid = b.minimum(b.subtract(queries, first), self.rows)
            self.write_block(bias, Block(first, valid), self.result(head, i.RESULT))
        self.copy(
            self.key_sums, self.result(head, i.KEY_RESULT), i.KEY_RESULT_ROW, self.depth, self.scale
        )
        one = constant(1.0, ELEMENT)
        self.copy(
            self.value_sums, self.result(head, i.VALUE_RESULT), i.VALUE_RESULT_ROW, self.width, one
        )

    def fill(self, target: Value, size: Value) -> None:
        """Zeros for a matrix with a row for each key."""
        b, lanes = self.b, self.shape.lanes
        with b.loop(0, b.multiply(self.keys, size), lanes) as place:
            b.store(constant(0, self.shape.kind), b.element_pointer(target, place, ELEMENT))

    def copy(
        self, source: Value, target: Value, row: AttentionInteger, size: Value, factor: Value
    ) -> None:
        """The sums of all keys by a factor, to rows of C."""
        b, kind, stride = self.b, self.shape.kind, self.integer(row)
        spread = b.splat(factor, kind)
        with b.loop(0, self.keys) as key:
            sums, line = self.at(source, (key, size)), self.at(target, (key, stride))
            with b.loop(0, size, self.shape.lanes) as column:
                value = b.load_element(kind, sums, column)
                b.store(b.multiply(value, spread), b.element_pointer(line, column, ELEMENT))

    def write_block(self, bias: Value | None, block: Block, result: Value) -> None:
        b, i = self.b, AttentionInteger
        query = self.at(self.query, (block.first, self.integer(i.QUERY_ROW)))
        row = self.integer(i.FLOW_ROW)
        flow = self.at(self.flow, (block.first, row))
        if bias is not None:
            bias = self.at(bias, (block.first, self.integer(i.BIAS_ROW)))
        self.write_weights(query, bias, block)
        self.pack_block(flow, row, self.width, self.flow_packed, block)
        self.write_scores(self.value, self.flow_packed, self.width, self.flows, block)
        with b.loop(0, block.valid, self.columns) as group:
            self.write_score_flow(group, self.group_limit(block.first, group))
        self.write_query_sums(self.to_query, self.flows, self.key, self.depth, block)
        self.write_rows(result, self.depth, None, block)
        self.write_key_sums(self.to_key, self.flows, (query, self.integer(i.QUERY_ROW)), block)
        self.write_key_sums(self.to_value, self.weights, (flow, row), block)

    def write_score_flow(self, group: Value, limit: Value) -> None:
        """P in place of the powers, dS in place of dP."""
        b, kind = self.b, self.kind
        panel, flows = (
            b.element_pointer(base, group, ELEMENT) for base in (self.weights, self.flows)
        )
        inverse = b.load_element(kind, self.factors, group)
        with b.carrying_loop(0, limit, 1, [constant(0, kind)]) as loop:
            place = self.line(panel, loop.index)
            weight = b.multiply(b.load(kind, place), inverse)
            b.store(weight, place)
            flow = b.load(kind, self.line(flows, loop.index))
            loop.carry([b.multiply_add(weight, flow, loop.values[0])])
        with b.loop(0, limit) as key:
            place = self.line(flows, key)
            rest = b.subtract(b.load(kind, place), loop.results[0])
            b.store(b.multiply(b.load(kind, self.line(panel, key)), rest), place)
        if self.causal:
            self.clear_next_keys(flows, limit)

    def write_key_sums(
        self, routine: TileRoutine, left: Value, operand: tuple[Value, Value], block: Block
    ) -> None:
        """Sums over a block's queries, a tile of keys at a time; earlier queries than its first key see none of them."""
        b = self.b
        right, row = operand
        known = routine is self.to_key
        size, sums = (self.depth, self.key_sums) if known else (self.width, self.value_sums)
        limit = self.key_limit(b.add(block.first, block.valid))
        with b.loop(0, limit, self.height) as key:
            skipped = b.value(0)
            if self.causal:
                skipped = b.maximum(b.subtract(key, block.first), 0)
            rows = self.at(right, (skipped, row))
            start = b.element_pointer(self.line(left, key), skipped, ELEMENT)
            with b.loop(0, size, routine.shape.columns) as column:
                values = [
                    start, b.value(self.stride), b.element_pointer(rows, column, ELEMENT), row,
                    b.subtract(block.valid, skipped), b.element_pointer(self.at(sums, (key, size)), column, ELEMENT),
                    size,
                ]  # fmt: skip
                b.call(routine.name, "void", values)
