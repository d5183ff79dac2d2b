"""Attention of one block of queries at a time: softmax(q·kᵀ·scale + bias)·v, the scores never in memory as a whole.

unit        some blocks of queries of one head
operands    scratch, query, key, value, result, bias (if any)
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.text import Module, Value
from lampas.engine.loops.attention_block import (
    AttentionInteger,
    Block,
    BlockWriter,
    MaskedKernel,
    TileRoutine,
    across_shape,
)


@dataclass(frozen=True)
class AttentionKernel(MaskedKernel):
    """What is compiled in: the machine, the mask's kind, and how many vectors a tile of values has."""

    vectors: int

    @property
    def name(self) -> str:
        return f"attention_forward{self.masks}_{self.vectors}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        ForwardWriter(module, self).write()
        return module


class ForwardWriter(BlockWriter):
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: AttentionKernel) -> None:
        super().__init__(module, kernel)
        shape = across_shape(kernel.target, kernel.vectors * self.shape.lanes)
        self.product = TileRoutine("product", shape, "column", adds=True)
        self.product.write(module)

    def write(self) -> None:
        self.open()
        b, i = self.b, AttentionInteger
        units, rows = self.integer(i.UNITS), self.integer(i.UNIT_ROWS)
        queries = self.integer(i.QUERIES)
        with b.loop(self.begin, self.end) as unit:
            head, first = b.divide(unit, units), b.multiply(b.remainder(unit, units), rows)
            self.gather_head(head)
            last = b.minimum(b.add(first, rows), queries)
            with b.loop(first, last, self.rows) as start:
                self.write_block(head, Block(start, b.minimum(b.subtract(last, start), self.rows)))
        b.ret()

    def write_block(self, head: Value, block: Block) -> None:
        i = AttentionInteger
        query = self.of_head(self.operand(1), head, i.QUERY_OUTER)
        query = self.at(query, (block.first, self.integer(i.QUERY_ROW)))
        bias = None
        if self.bias:
            bias = self.of_head(self.operand(5), head, i.BIAS_OUTER)
            bias = self.at(bias, (block.first, self.integer(i.BIAS_ROW)))
        self.write_weights(query, bias, block)
        self.write_query_sums(self.product, self.weights, self.value, self.width, block)
        self.write_rows(self.result(head, i.RESULT), self.width, self.factors, block)
