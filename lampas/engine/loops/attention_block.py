"""Parts that both attention kernels are made of: register tiles, packed queries, scores and their softmax.

Scores lie turned over, keys × queries: lanes run along the queries, so that a softmax needs no sum across lanes, and
keys and values are only brought together, never turned.  A block has up to `block_rows` queries; its scores against all keys stay in the
thread's own memory, the whole matrix never exists (the idea of Dao et al., "FlashAttention", 2022; as a row of scores
fits the second cache, its softmax is the plain one).

Under a causal mask a group of queries meets only the keys up to its last query.  Zeros stand in the rows that follow, as
many as a tile is high: tiles of the products that come after do not end where groups of lanes do.

Operands and integers are named by `AttentionInteger`; strides are in elements.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from lampas.engine.dtype import float32
from lampas.engine.llvm.target import Target
from lampas.engine.llvm.text import Module, Value, constant, vector
from lampas.engine.llvm.vector_math_exponential import LOG2_E, exp2_negative
from lampas.engine.loops.brgemm_arguments import KERNEL_PARAMETERS
from lampas.engine.loops.brgemm_pack import PackKernel, StretchWriter
from lampas.engine.loops.brgemm_tile import (
    Access,
    Panel,
    TileShape,
    tile_product,
    tile_shape,
    zero_accumulators,
)

ELEMENT = "float"
LEAST_BLOCK = 48  # queries: enough to share what is read of keys and values
CHUNK, LEAST_CHUNK = 4096, 16  # elements of keys or values that stay in the first cache; keys
ROUND = 16  # elements: regions of scratch memory begin at cache lines


class AttentionInteger(IntEnum):
    """Places of the integers.  SCALE holds the bits of a double; a result's offset in C is followed by its strides."""

    # fmt: off
    (QUERIES, KEYS, DEPTH, WIDTH, UNITS, UNIT_ROWS, HEADS, SCALE, SCRATCH_STRIDE,
     QUERY_OUTER, QUERY_INNER, QUERY_ROW, KEY_OUTER, KEY_INNER, KEY_ROW,
     VALUE_OUTER, VALUE_INNER, VALUE_ROW, FLOW_OUTER, FLOW_INNER, FLOW_ROW,
     BIAS_OUTER, BIAS_INNER, BIAS_ROW, RESULT, RESULT_OUTER, RESULT_INNER, RESULT_ROW,
     KEY_RESULT, KEY_RESULT_OUTER, KEY_RESULT_INNER, KEY_RESULT_ROW,
     VALUE_RESULT, VALUE_RESULT_OUTER, VALUE_RESULT_INNER, VALUE_RESULT_ROW) = range(36)
    # fmt: on


def score_shape(target: Target) -> TileShape:
    """The register tile of the scores; as all heights are whole ones, few rows suit where lanes are many."""
    shape = tile_shape(target, ELEMENT)
    return shape._replace(rows=min(shape.rows, 12))


def block_rows(target: Target) -> int:
    """Queries of a block: whole groups of lanes."""
    columns = score_shape(target).columns
    return -(-LEAST_BLOCK // columns) * columns


def score_stride(target: Target) -> int:
    """Elements between the scores of one key and of the next: whole tiles of queries fit."""
    shape = score_shape(target)
    rows = -(-block_rows(target) // shape.rows) * shape.rows
    return -(-rows // ROUND) * ROUND


def across_shape(target: Target, size: int) -> TileShape:
    """The tile of products that have a head's size for columns."""
    shape = score_shape(target)
    return shape if size % shape.columns == 0 else shape._replace(vectors=1)


@dataclass(frozen=True)
class MaskedKernel:
    """What is compiled into either kernel: the machine, and the mask's kind."""

    target: Target
    causal: bool
    bias: bool

    @property
    def masks(self) -> str:
        """Words for the kernel's name."""
        return ("_causal" if self.causal else "") + ("_bias" if self.bias else "")

    @property
    def name(self) -> str:
        raise NotImplementedError("a kernel's own name")


class TileRoutine(NamedTuple):
    """A function for one register tile: ``void name(a, a_stride, b, b_stride, depth, c, c_stride)``.

    It writes the sums to C, or adds them.
    """

    name: str
    shape: TileShape
    access: Access
    adds: bool

    def write(self, module: Module) -> None:
        names = ("a", "a_stride", "b", "b_stride", "depth", "c", "c_stride")
        kinds = ("ptr", "i64", "ptr", "i64", "i64", "ptr", "i64")
        b = module.function(self.name, list(zip(kinds, names, strict=True)), internal=True)
        a, a_stride, rows, step, depth, c, c_stride = b.arguments
        shape = self.shape
        start = zero_accumulators(shape, shape.rows)
        panel = Panel(a, a_stride, rows, step, depth)
        sums = tile_product(b, shape, shape.rows, self.access, panel, start)
        for r in range(shape.rows):
            line = b.element_pointer(c, b.multiply(c_stride, r), ELEMENT)
            for v, total in enumerate(sums[r * shape.vectors : (r + 1) * shape.vectors]):
                place = b.element_pointer(line, v * shape.lanes, ELEMENT)
                if self.adds:
                    total = b.add(b.load(shape.kind, place), total)
                b.store(total, place)
        b.ret()


class Block(NamedTuple):
    """Queries: the first one's number, and how many there are."""

    first: Value
    valid: Value


class BlockWriter:
    """What the kernels share: arguments, scratch memory, packing, scores and softmax of a block of queries."""

    def __init__(self, module: Module, kernel: MaskedKernel) -> None:
        target, self.causal, self.bias = kernel.target, kernel.causal, kernel.bias
        self.shape = score_shape(target)
        self.height, self.columns = self.shape.rows, self.shape.columns
        self.rows, self.stride = block_rows(target), score_stride(target)
        self.kind = vector(ELEMENT, self.columns)
        self.scores = TileRoutine("scores", self.shape, "row", adds=False)
        self.scores.write(module)
        pack = PackKernel(target, float32, ELEMENT, self.columns, self.columns, "turn")
        self.turning = StretchWriter(module, pack, self.columns)
        self.turning.write()
        self.module = module
        self.name = kernel.name

    def open(self) -> None:
        """Begin the kernel's function, once all functions that it calls are written."""
        self.b = self.module.function(self.name, KERNEL_PARAMETERS)
        self.operands, self.integers, self.begin, self.end, self.worker = self.b.arguments
        b, i = self.b, AttentionInteger
        own = b.multiply(self.worker, self.integer(i.SCRATCH_STRIDE))
        self.free = b.element_pointer(self.operand(0), own, ELEMENT)
        bits = self.integer(i.SCALE)
        self.scale = b.cast("fptrunc", b.cast("bitcast", bits, "double"), ELEMENT)
        self.keys, self.depth = self.integer(i.KEYS), self.integer(i.DEPTH)
        self.width = self.integer(i.WIDTH)
        self.factors = self.take(b.value(self.stride))
        self.packed = self.take(b.multiply(self.depth, self.rows))
        tall = b.multiply(b.add(self.keys, self.height), self.stride)
        self.weights = self.take(tall)
        self.query_sums = self.take(b.multiply(b.maximum(self.depth, self.width), self.stride))
        self.key = self.take(b.multiply(self.keys, self.depth))
        self.value = self.take(b.multiply(self.keys, self.width))
        if self.bias:
            self.bias_room = self.take(b.multiply(self.keys, self.columns))

    def integer(self, place: int) -> Value:
        return self.b.load_element("i64", self.integers, place)

    def operand(self, place: int) -> Value:
        return self.b.load_element("ptr", self.operands, place)

    def take(self, count: Value) -> Value:
        """Room in the thread's scratch memory."""
        b = self.b
        start = self.free
        whole = b.bit_and(b.add(count, ROUND - 1), -ROUND)
        self.free = b.element_pointer(start, whole, ELEMENT)
        return start

    def at(self, base: Value, *pairs: tuple[Value, Value | int]) -> Value:
        """The address that products of indices and strides lead to."""
        b, total = self.b, self.b.value(0)
        for index, stride in pairs:
            total = b.add(total, b.multiply(index, stride))
        return b.element_pointer(base, total, ELEMENT, inside=False)

    def of_head(self, base: Value, head: Value, first: AttentionInteger) -> Value:
        """The matrix of a head; its strides stand from `first` on."""
        b, heads = self.b, self.integer(AttentionInteger.HEADS)
        outer, inner = b.divide(head, heads), b.remainder(head, heads)
        return self.at(base, (outer, self.integer(first)), (inner, self.integer(first + 1)))

    def result(self, head: Value, first: AttentionInteger) -> Value:
        """Where a head's result lies in C; its offset and strides stand from `first` on."""
        start = self.b.element_pointer(self.operand(4), self.integer(first), ELEMENT)
        return self.of_head(start, head, AttentionInteger(first + 1))

    def gather_rows(self, source: Value, row: AttentionInteger, size: Value, target: Value) -> None:
        """The rows of a head's keys or values, one after the other: far apart they meet in few sets of a cache."""
        b, kind, stride = self.b, self.shape.kind, self.integer(row)
        with b.loop(0, self.keys) as key:
            start, end = self.at(source, (key, stride)), self.at(target, (key, size))
            with b.loop(0, size, self.shape.lanes) as column:
                value = b.load_element(kind, start, column)
                b.store(value, b.element_pointer(end, column, ELEMENT))

    def gather_head(self, head: Value) -> None:
        """Keys and values of a head, where the kernel reads them."""
        i = AttentionInteger
        key = self.of_head(self.operand(2), head, i.KEY_OUTER)
        value = self.of_head(self.operand(3), head, i.VALUE_OUTER)
        self.gather_rows(key, i.KEY_ROW, self.depth, self.key)
        self.gather_rows(value, i.VALUE_ROW, self.width, self.value)

    # ---- scores ---------------------------------------------------------------------------------------------

    def pack(self, source: Value, row: Value, depth: Value, target: Value, valid: Value) -> None:
        """Turn a group of rows over: depth × columns, zeros beyond the `valid` rows."""
        b = self.b
        values = [source, row, b.value(1), target, depth, b.minimum(valid, self.columns)]
        b.call(self.turning.name, "void", values)

    def pack_block(
        self, source: Value, row: Value, depth: Value, target: Value, block: Block
    ) -> None:
        b = self.b
        with b.loop(0, block.valid, self.columns) as group:
            place, left = self.at(target, (group, depth)), b.subtract(block.valid, group)
            self.pack(self.at(source, (group, row)), row, depth, place, left)

    def key_limit(self, last: Value) -> Value:
        """Keys that queries before `last` meet."""
        b = self.b
        return b.minimum(self.keys, last) if self.causal else self.keys

    def group_limit(self, first: Value, group: Value) -> Value:
        """Keys that a group of queries meets."""
        b = self.b
        return self.key_limit(b.add(b.add(first, group), self.columns))

    def write_scores(
        self, matrix: Value, packed: Value, depth: Value, target: Value, block: Block
    ) -> None:
        """Products of packed rows with those of a matrix; the last tile reaches back.

        A few rows of the matrix meet all groups of queries in turn: both stay in the first cache.
        """
        b = self.b
        last = b.subtract(self.keys, self.height)
        with b.loop(0, self.group_limit(block.first, block.valid), self.height) as at:
            start = b.minimum(at, last)
            with b.loop(0, block.valid, self.columns) as group:
                met = b.compare("slt", at, self.group_limit(block.first, group))
                with b.when(met) if self.causal else nullcontext():
                    values = [
                        self.at(matrix, (start, depth)), depth, self.at(packed, (group, depth)), b.value(self.columns),
                        depth, b.element_pointer(self.at(target, (start, self.stride)), group, ELEMENT),
                        b.value(self.stride),
                    ]  # fmt: skip
                    b.call(self.scores.name, "void", values)

    def line(self, panel: Value, key: Value) -> Value:
        """The scores of one key with a group of queries."""
        return self.at(panel, (key, self.stride))

    def hide_later_keys(self, panel: Value, first: Value, limit: Value) -> None:
        """−inf where a key comes after the query: as a minimum, since a choice becomes a store under a mask, which is slow."""
        b = self.b
        whole = vector("i64", self.columns)
        numbers = b.module.table(f"lanes{self.columns}", "i64", range(self.columns))
        lanes = b.add(b.load(whole, numbers), b.splat(first, whole))
        bounds = [constant(float(bound), self.kind) for bound in ("inf", "-inf")]
        with b.loop(first, limit) as key:
            place = self.line(panel, key)
            seen = b.compare("sle", b.splat(key, whole), lanes)
            scores = b.load(self.kind, place)
            b.store(b.intrinsic("minnum", self.kind, [scores, b.select(seen, *bounds)]), place)

    def clear_next_keys(self, panel: Value, limit: Value) -> None:
        """Zeros for as many keys after a group's last as tiles of later products may read with it."""
        b = self.b
        with b.loop(limit, b.add(limit, self.height)) as key:
            b.store(constant(0, self.kind), self.line(panel, key))

    def add_bias(self, panel: Value, bias: Value, limit: Value, valid: Value) -> None:
        b = self.b
        row = self.integer(AttentionInteger.BIAS_ROW)
        self.pack(bias, row, limit, self.bias_room, valid)
        with b.loop(0, limit) as key:
            place = self.line(panel, key)
            extra = b.load(self.kind, self.at(self.bias_room, (key, self.columns)))
            b.store(b.multiply_add(extra, LOG2_E, b.load(self.kind, place)), place)

    def power(self, panel: Value, key: Value, largest: Value) -> Value:
        """2^(score − largest) of one key, in place of the score."""
        b, place = self.b, self.line(panel, key)
        made = exp2_negative(b, b.subtract(b.load(self.kind, place), largest))
        b.store(made, place)
        return made

    def exponentiate(self, panel: Value, limit: Value) -> Value:
        """2^(score − largest) in place; returns the reciprocal of their sum, 0 where nothing may be seen."""
        b = self.b
        lowest = constant(float("-inf"), self.kind)
        with b.carrying_loop(0, limit, 1, [lowest]) as loop:
            score = b.load(self.kind, self.line(panel, loop.index))
            bigger = b.compare("ogt", score, loop.values[0])
            loop.carry([b.select(bigger, score, loop.values[0])])
        blind = b.compare("oeq", loop.results[0], float("-inf"))
        largest = b.select(blind, constant(0, self.kind), loop.results[0])
        even = b.bit_and(limit, -2)
        with b.carrying_loop(0, even, 2, [constant(0, self.kind)] * 2) as loop:
            powers = [self.power(panel, b.add(loop.index, n), largest) for n in range(2)]
            loop.carry([b.add(x, y) for x, y in zip(loop.values, powers, strict=True)])
        total = b.add(*loop.results)
        with b.carrying_loop(even, limit, 1, [total]) as rest:
            rest.carry([b.add(rest.values[0], self.power(panel, rest.index, largest))])
        inverse = b.divide(1.0, rest.results[0])
        return b.select(blind, constant(0, self.kind), inverse)

    def write_weights(self, query: Value, bias: Value | None, block: Block) -> None:
        """exp(scores) of a block of queries, and the reciprocals of their sums as its factors.

        Queries are made longer by 1/ln 2, and so is the bias: the powers are those of two.
        """
        b, i = self.b, AttentionInteger
        row = self.integer(i.QUERY_ROW)
        factor = b.splat(b.multiply(self.scale, LOG2_E), self.kind)
        self.pack_block(query, row, self.depth, self.packed, block)
        with b.loop(0, b.multiply(self.depth, self.rows), self.columns) as place:
            spot = b.element_pointer(self.packed, place, ELEMENT)
            b.store(b.multiply(b.load(self.kind, spot), factor), spot)
        self.write_scores(self.key, self.packed, self.depth, self.weights, block)
        with b.loop(0, block.valid, self.columns) as group:
            limit = self.group_limit(block.first, group)
            panel = b.element_pointer(self.weights, group, ELEMENT)
            if bias is not None:
                left = b.subtract(block.valid, group)
                self.add_bias(panel, self.at(bias, (group, self.integer(i.BIAS_ROW))), limit, left)
            if self.causal:
                self.hide_later_keys(panel, b.add(block.first, group), limit)
            inverse = self.exponentiate(panel, limit)
            if self.causal:
                self.clear_next_keys(panel, limit)
            b.store(inverse, b.element_pointer(self.factors, group, ELEMENT))

    # ---- products of scores ---------------------------------------------------------------------------------

    def write_query_sums(
        self, routine: TileRoutine, left: Value, matrix: Value, size: Value, block: Block
    ) -> None:
        """Sums over the keys for each query: scores by a matrix, into `query_sums`.

        Chunks of keys, that many rows of both fit the first cache.
        """
        b = self.b
        with b.loop(0, b.multiply(size, self.stride), self.shape.lanes) as place:
            spot = b.element_pointer(self.query_sums, place, ELEMENT)
            b.store(constant(0, self.shape.kind), spot)
        chunk = b.maximum(b.divide(b.value(CHUNK), size), LEAST_CHUNK)
        limit = self.key_limit(b.add(b.add(block.first, block.valid), self.height))
        with b.loop(0, limit, chunk) as start:
            rows = self.at(matrix, (start, size))
            with b.loop(0, block.valid, self.height) as query:
                own = self.key_limit(b.add(b.add(block.first, query), self.height))
                depth = b.maximum(b.minimum(b.subtract(own, start), chunk), 0)
                weights = b.element_pointer(self.line(left, start), query, ELEMENT)
                sums = self.at(self.query_sums, (query, size))
                with b.loop(0, size, routine.shape.columns) as column:
                    values = [
                        weights, b.value(self.stride), b.element_pointer(rows, column, ELEMENT), size, depth,
                        b.element_pointer(sums, column, ELEMENT), size,
                    ]  # fmt: skip
                    b.call(routine.name, "void", values)

    def write_rows(self, result: Value, size: Value, factors: Value | None, block: Block) -> None:
        """The block's sums by a factor for each row, or by the scale; `result` is where the head's first row goes."""
        b, kind, row = self.b, self.shape.kind, self.integer(AttentionInteger.RESULT_ROW)
        with b.loop(0, block.valid) as query:
            factor = self.scale if factors is None else b.load_element(ELEMENT, factors, query)
            spread = b.splat(factor, kind)
            source = self.at(self.query_sums, (query, size))
            target = self.at(result, (b.add(block.first, query), row))
            with b.loop(0, size, self.shape.lanes) as column:
                total = b.load_element(kind, source, column)
                b.store(b.multiply(total, spread), b.element_pointer(target, column, ELEMENT))
