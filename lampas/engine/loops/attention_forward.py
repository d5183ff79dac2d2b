"""Attention of one block of queries at a time: softmax(q·kᵀ·scale + bias)·v, the scores never in memory as a whole.

unit        a block of queries of one head
operands    scratch, query, key, value, result, bias (if any)
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value
from lampas.engine.loops.attention_block import (
    AttentionInteger,
    Block,
    BlockWriter,
    TileRoutine,
    across_shape,
)


@dataclass(frozen=True)
class AttentionKernel:
    """What is compiled in: the machine, the mask's kind, and how many vectors a tile of values has."""

    target: Target
    causal: bool
    bias: bool
    vectors: int

    @property
    def name(self) -> str:
        words = ("_causal" if self.causal else "") + ("_bias" if self.bias else "")
        return f"attention_forward{words}_{self.vectors}"

    def module(self) -> Module:
        """The module with the kernel."""
        module = Module()
        ForwardWriter(module, self).write()
        return module


class ForwardWriter(BlockWriter):
    """Writes the kernel's function."""

    def __init__(self, module: Module, kernel: AttentionKernel) -> None:
        super().__init__(module, kernel.name, kernel.target, kernel.causal, kernel.bias)
        shape = across_shape(kernel.target, kernel.vectors * self.shape.lanes)
        self.product = TileRoutine("product", shape, "column", adds=True)
        self.product.write(module)

    def write(self) -> None:
        self.open()
        b, i = self.b, AttentionInteger
        blocks = self.integer(i.BLOCKS)
        with b.loop(self.begin, self.end) as unit:
            self.write_block(b.divide(unit, blocks), b.remainder(unit, blocks))
        b.ret()

    def write_block(self, head: Value, block: Value) -> None:
        b, i = self.b, AttentionInteger
        first = b.multiply(block, self.rows)
        valid = b.minimum(b.subtract(self.integer(i.QUERIES), first), self.rows)
        query = self.of_head(self.operand(1), head, i.QUERY_OUTER)
        query = self.at(query, (first, self.integer(i.QUERY_ROW)))
        key = self.of_head(self.operand(2), head, i.KEY_OUTER)
        value = self.of_head(self.operand(3), head, i.VALUE_OUTER)
        bias = None
        if self.bias:
            bias = self.of_head(self.operand(5), head, i.BIAS_OUTER)
            bias = self.at(bias, (first, self.integer(i.BIAS_ROW)))
        own = Block(first, valid)
        self.write_weights(query, bias, own, key)
        operand = value, self.integer(i.VALUE_ROW)
        self.write_query_sums(self.product, self.weights, operand, self.width, own)
        row = b.add(b.multiply(head, self.integer(i.QUERIES)), first)
        self.write_rows(self.at(self.operand(4), (row, self.width)), self.width, self.factors, own)
