"""The matrix product: from a problem to kernel calls.

    plan = plan_gemm(float32, m, n, k, (k, 1), (n, 1), (n, 1))
    plan.scratch_bytes      how much scratch memory the calls share (64-byte aligned)
    plan.calls              what to run, in order; operands are (name, byte offset) pairs

The names are "a", "b", "c", "scratch", and "extra0", "extra1", … for the epilogue's own operands in the order of
`epilogue.extras`. A call's `address()` compiles its kernel (once) and returns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from lampas.engine.dtype import dtype, float32, float64
from lampas.engine.llvm.compiler import compile_function
from lampas.engine.llvm.target import Target, host
from lampas.engine.llvm.text import Module
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER, Integer
from lampas.engine.loops.brgemm_batch import Batched, fold_batches
from lampas.engine.loops.brgemm_dot import DotKernel
from lampas.engine.loops.brgemm_epilogue import NestEpilogue, storing_as
from lampas.engine.loops.brgemm_kernel import GemmKernel
from lampas.engine.loops.brgemm_pack import STRETCH, Mode, PackInteger, PackKernel
from lampas.engine.loops.brgemm_plan import (
    Choice,
    Cut,
    Matrix,
    Problem,
    best_choice,
    copy_mode,
    copying_mode,
    cut_of,
    element_bytes,
    estimate,
    plain_element,
    shape_for,
)
from lampas.engine.loops.brgemm_tile import MOST_WIDE_ROWS
from lampas.engine.loops.emit_types import memory_type


class Kernel(Protocol):
    """A kernel that describes itself: equal ones are the same code."""

    @property
    def name(self) -> str: ...

    def module(self) -> Module: ...


ALIGNMENT = 64


class KernelCall(NamedTuple):
    """One record to be: a kernel, its operands by name, its integers, its parallel extent."""

    kernel: Kernel
    operands: tuple[tuple[str, int], ...]
    integers: tuple[int, ...]
    extent: int
    work: int
    name: str
    grain: int = 1

    def address(self) -> int:
        """Return the kernel's address, compiled on first use."""
        return kernel_address(self.kernel)


class GemmPlan(NamedTuple):
    """What to run and how many bytes of scratch it needs.

    The first `preparing` calls only turn operand "b" into "kept", `kept_bytes` that stay right while "b" does.
    """

    calls: tuple[KernelCall, ...]
    scratch_bytes: int
    kept_bytes: int = 0
    preparing: int = 0


@lru_cache(maxsize=16)
def kernel_text(kernel: Kernel) -> str:
    return str(kernel.module())


@lru_cache(maxsize=4096)
def kernel_address(kernel: Kernel) -> int:
    """Compile a kernel for this machine and return its address."""
    return compile_function(kernel_text(kernel), kernel.name)


def plan_gemm(
    kind: dtype,
    m: int,
    n: int,
    k: int,
    a: tuple[int, int],
    b: tuple[int, int],
    c: tuple[int, int],
    *,
    batch: Sequence[int] = (),
    a_batch: Sequence[int] = (),
    b_batch: Sequence[int] = (),
    c_batch: Sequence[int] = (),
    epilogue: NestEpilogue | None = None,
    extras: Sequence[Sequence[int]] = (),
    a_kind: dtype | None = None,
    b_kind: dtype | None = None,
    c_kind: dtype | None = None,
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan C[…, m, n] = epilogue(Σ_k A[…, m, k]·B[…, k, n]).

    `kind` is the dtype of the sums, float32 or float64 (else NotImplementedError); A, B and C are of this dtype unless
    `a_kind`, `b_kind`, `c_kind` say otherwise (half types). `a`, `b`, `c` are (row, column) strides in elements,
    `batch` the sizes of the batch dimensions with a stride each in `a_batch`, `b_batch`, `c_batch` (0 repeats a
    matrix). C's rows or columns have to be contiguous. With an epilogue, `extras` has for each of its extra operands
    the strides (batch dimensions …, row, column). `threads` is the largest number of threads that may run the calls;
    only the scratch memory depends on it.
    """
    if kind not in (float32, float64):
        raise NotImplementedError(f"matrix product with sums of {kind.name}")
    target = target or host()
    if m == 0 or n == 0 or 0 in batch:
        return GemmPlan((), 0)
    c_kind = (epilogue.kind if epilogue else c_kind) or kind
    if c_kind is not kind and epilogue is None:
        epilogue = storing_as(kind, c_kind)
    element, c_element = plain_element(kind), memory_type(c_kind)
    matrices = (
        Matrix(*a, kind=a_kind or kind),
        Matrix(*b, kind=b_kind or kind),
        Matrix(*c, kind=c_kind),
    )
    walked = [tuple(a_batch), tuple(b_batch), tuple(c_batch)]
    shared = epilogue is not None and epilogue.reads_matrix(m, n, extras)
    problem = Problem(m, n, k, *matrices, (1, 1), element, c_element, epilogue, shared)
    calls: list[KernelCall] = []
    scratch = 0
    for part in fold_batches(problem, tuple(batch), walked, [tuple(extra) for extra in extras]):
        plan = build_plan(part, best_choice(part.problem, target), target, threads)
        calls.extend(plan.calls)
        scratch = max(scratch, plan.scratch_bytes)
    return GemmPlan(tuple(calls), scratch)


def build_plan(part: Batched, made: Choice, target: Target, threads: int) -> GemmPlan:
    """Turn a choice into calls."""
    return PlanBuilder(part, made, target, threads).build()


class PlanBuilder:
    """Collects the calls of one problem; A and B here are those of the turned problem if it is turned."""

    def __init__(self, part: Batched, made: Choice, target: Target, threads: int) -> None:
        self.part, self.made, self.target, self.threads = part, made, target, threads
        self.turned = part.problem.turned if made.swapped else part.problem
        self.shape = shape_for(self.turned, target)
        self.cut: Cut = cut_of(self.turned, self.shape)
        self.bytes = element_bytes(self.turned.element)
        self.names = ("b", "a") if made.swapped else ("a", "b")
        self.calls: list[KernelCall] = []
        self.scratch = 0

    def build(self) -> GemmPlan:
        made, cut, turned = self.made, self.cut, self.turned
        a, b = (self.operand(name) for name in self.names)
        a_strides, b_strides = turned.a.batch, turned.b.batch
        if made.access == "packed":
            low = max(cut.height - 1, 1)
            a, a_strides = self.pack(a, turned.a, cut.height, low, (cut.tiles, cut.tall, turned.m))
        if made.feed == "pack":
            width = self.shape.columns
            matrix = turned.b.turned
            b, b_strides = self.pack(b, matrix, width, width, (cut.panels, cut.panels, turned.n))
        own = self.reserve(self.threads * self.thread_bytes())
        integers = self.integers(a_strides, b_strides)
        extra = [(f"extra{i}", offset) for i, offset in enumerate(self.part.extra_offsets)]
        operands = (a, b, self.operand("c"), ("scratch", own), *extra)
        kernel, groups = self.kernel(), self.groups()
        work = int(estimate(self.part.problem, made, self.target))
        call = KernelCall(kernel, operands, integers, groups * turned.batches, work, kernel.name)
        return GemmPlan((*self.calls, call), self.scratch)

    def kernel(self) -> Kernel:
        turned, made = self.turned, self.made
        if made.feed == "dot":
            return DotKernel(
                self.target,
                turned.element,
                turned.m,
                made.swapped,
                turned.c_element,
                turned.epilogue,
            )
        kind, mode = self.copied()
        return GemmKernel(
            self.target, turned.element, self.cut.height, made.access, made.layout, turned.c_element,
            turned.epilogue, kind, mode, self.cut.tiles == 1, self.shape.rows <= MOST_WIDE_ROWS,
        )  # fmt: skip

    def copied(self) -> tuple[dtype, Mode]:
        """Return the dtype of B as the macro kernel sees it, and how its panels are copied."""
        turned = self.turned
        if self.made.feed == "copy" and turned.b.kind is not None:
            return turned.b.kind, copying_mode(turned.b.column, turned.b.row)
        return (float64 if turned.element == "double" else float32), "copy"

    def groups(self) -> int:
        """Return the number of units of one batch."""
        if self.made.feed == "dot":
            return -(-self.turned.n // self.made.unit_panels)
        return -(-self.cut.tiles // self.made.unit_tiles) * -(
            -self.cut.panels // self.made.unit_panels
        )

    def operand(self, name: str) -> tuple[str, int]:
        return name, self.part.offsets[name]

    def reserve(self, nbytes: int) -> int:
        """Take scratch memory; return its offset."""
        start = self.scratch
        self.scratch += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return start

    def thread_bytes(self) -> int:
        """Return the bytes of one thread's copy of a panel."""
        narrow = self.turned.n % self.shape.columns != 0
        if self.made.feed in ("pack", "dot") or (self.made.feed == "direct" and not narrow):
            return 0
        return self.made.depth_block * self.shape.columns * self.bytes

    def pack(
        self,
        source: tuple[str, int],
        matrix: Matrix,
        width: int,
        low: int,
        counts: tuple[int, int, int],
    ) -> tuple[tuple[str, int], tuple[int, int]]:
        """Add a pack call; return the packed operand and its batch strides. `matrix.row` runs across panels."""
        panels, tall, elements = counts
        depth, batch = self.turned.k, self.turned.batch
        repeated = matrix.batch == (0, 0)
        sizes = (1, 1) if repeated else batch
        each = (tall * width + (panels - tall) * low) * depth
        place = "scratch", self.reserve(each * sizes[0] * sizes[1] * self.bytes)
        mode = copying_mode(matrix.row, matrix.column)
        assert matrix.kind is not None
        kernel = PackKernel(self.target, matrix.kind, self.turned.element, width, low, mode)
        integers = [0] * len(PackInteger)
        for key, value in (
            (PackInteger.PANELS, panels), (PackInteger.TALL, tall), (PackInteger.ELEMENTS, elements),
            (PackInteger.DEPTH, depth), (PackInteger.ACROSS, matrix.row), (PackInteger.ALONG, matrix.column),
            (PackInteger.BATCH1, sizes[1]), (PackInteger.BATCH0_STRIDE, matrix.batch[0]),
            (PackInteger.BATCH1_STRIDE, matrix.batch[1]), (PackInteger.TARGET_BATCH, each),
        ):  # fmt: skip
            integers[key] = value
        extent = sizes[0] * sizes[1] * panels * -(-depth // STRETCH)
        work = each * sizes[0] * sizes[1] // 5
        self.calls.append(
            KernelCall(kernel, (source, place), tuple(integers), extent, work, kernel.name)
        )
        return place, ((0, 0) if repeated else (each * batch[1], each))

    def integers(self, a_strides: tuple[int, int], b_strides: tuple[int, int]) -> tuple[int, ...]:
        turned, made, cut, width = self.turned, self.made, self.cut, self.shape.columns
        c = turned.c
        across = made.layout == "across"
        stored = (c.row, width, c.row) if across else (1, width * c.column, c.column)
        b_panel, b_stride = {
            "pack": (width * turned.k, width),
            "dot": (turned.b.column, 1),
        }.get(made.feed, (width * turned.b.column, turned.b.row))
        if made.feed == "dot":
            stored = (c.row, 0, c.column)
        a_row, a_stride = {
            "row": (turned.a.row, turned.a.row),
            "column": (1, turned.a.column),
            "packed": (turned.k, 0),
        }[made.access]
        values = {
            Integer.TILES: cut.tiles, Integer.TALL: cut.tall, Integer.COLUMNS: turned.n,
            Integer.DEPTH: turned.k, Integer.A_ROW: a_row, Integer.A_STRIDE: a_stride,
            Integer.B_PANEL: b_panel,
            Integer.B_STRIDE: b_stride, Integer.B_ACROSS: turned.b.column,
            Integer.C_TILE_ROW: stored[0], Integer.C_PANEL: stored[1], Integer.C_STRIDE: stored[2],
            Integer.UNIT_TILES: made.unit_tiles, Integer.UNIT_PANELS: made.unit_panels,
            Integer.DEPTH_BLOCK: made.depth_block, Integer.COPY: copy_mode(made),
            Integer.SCRATCH_STRIDE: self.thread_bytes() // self.bytes,
            Integer.BATCH0: turned.batch[0], Integer.BATCH1: turned.batch[1],
            Integer.A_BATCH0: a_strides[0], Integer.A_BATCH1: a_strides[1],
            Integer.B_BATCH0: b_strides[0], Integer.B_BATCH1: b_strides[1],
            Integer.C_BATCH0: c.batch[0], Integer.C_BATCH1: c.batch[1],
        }  # fmt: skip
        listed = [0] * FIRST_INTEGER
        for key, value in values.items():
            listed[key] = value
        for extra in self.part.extras:
            listed.extend(extra)
        return tuple(listed)
