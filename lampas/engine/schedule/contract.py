"""Contractions: a matrix product with its epilogue becomes the kernel calls of `plan_gemm`.

Batch dimensions are walked by strides too, so neither a transposed nor a repeated operand is copied.  The
epilogue's first stored entry is the product's C; what else it reads and writes are extra operands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.dtype import bfloat16, float16, float32, float64
from lampas.engine.loops.brgemm import GemmPlan, plan_gemm
from lampas.engine.loops.brgemm_arguments import Integer
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_kernel import GemmKernel
from lampas.engine.loops.brgemm_pack import PackKernel
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, STRIDED
from lampas.engine.schedule.draft import DraftOperand
from lampas.engine.schedule.nesting import Cells, RegionWriter
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from lampas.engine.loops.nest import Nest
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.reading import Reading
    from lampas.engine.schedule.steps import Contraction

Shape = tuple[int, ...]
SUM_DTYPES = {float32: float32, float64: float64, float16: float32, bfloat16: float32}


@final
class GemmCall(NamedTuple):
    """One matrix product: (*B, M, K) by (*B, K, N).

    `places` says where the operands "a", "b", "c", "scratch", "extra0"… lie (byte offset last).  `output`
    is the extra operands that are written, by name.
    """

    entry: int
    plan: GemmPlan
    places: dict[str, tuple[Place, int]]
    heirs: tuple[tuple[int, int], ...] = ()
    entries: tuple[int, ...] = ()


def gemm_call(
    step: Contraction, paths: Paths, cells: Cells, scratch: dict[int, int], threads: int
) -> GemmCall:
    """Plan a matrix product over the memory of its operands."""
    entry = paths.entries[step.entry]
    shape = entry.shape
    a, b = (operand(paths, source) for source in entry.sources)
    batch = shape[:-2]
    strides = contiguous_strides(shape)
    kind = SUM_DTYPES[entry.dtype]
    epilogue, c, extras, arrays = None, step.entry, [], []
    if step.region.members:
        epilogue, c, arrays = write_epilogue(step, paths, cells)
        extras = arrays[1:]
    c_kind = paths.entries[c].dtype
    plan = plan_gemm(
        kind, shape[-2], shape[-1], a[1].shape[-1], pair(a[1]), pair(b[1]),
        (strides[-2], strides[-1]), batch=batch, a_batch=a[1].strides[:-2],
        b_batch=b[1].strides[:-2], c_batch=strides[:-2], epilogue=epilogue,
        extras=[extra.strides for extra in extras], a_kind=entry.dtype, b_kind=entry.dtype,
        c_kind=c_kind, threads=threads,
    )  # fmt: skip
    places: dict[str, tuple[Place, int]] = {"c": (("entry", c), 0)}
    for name, (base, reading) in (("a", a), ("b", b)):
        places[name] = (("entry", base), reading.offset * entry.dtype.itemsize)
    for number, extra in enumerate(extras):
        places[f"extra{number}"] = (extra.place, extra.offset * extra.dtype.itemsize)
    if plan.scratch_bytes:
        number = len(scratch)
        scratch[number] = plan.scratch_bytes
        places["scratch"] = (("scratch", number), 0)
    heirs = inheritance(extras if keeps_partial_sums(plan) else arrays, {a[0], b[0]}, shape)
    return GemmCall(step.entry, plan, places, heirs, tuple(step.stores))


def operand(paths: Paths, source: int) -> tuple[int, Reading]:
    """The base of a matrix and how it is read."""
    path = paths.follow(source)
    reading = paths.reading(path)
    assert reading is not None, "settling makes every view readable"
    return path[0], reading


def pair(reading: Reading) -> tuple[int, int]:
    """Row and column stride; a dimension of size 1 gets the stride that suits its neighbour."""
    rows, columns = reading.shape[-2:]
    row, column = reading.strides[-2:]
    if columns == 1 and row != 1:
        column = 1
    if rows == 1 and column != 1:
        row = 1
    return row, column


def write_epilogue(
    step: Contraction, paths: Paths, cells: Cells
) -> tuple[NestEpilogue, int, list[DraftOperand]]:
    """The nest of an epilogue, the entry that is its C, and the arrays: C, then the extra operands."""
    region = step.region
    writer = RegionWriter(region, paths, cells)
    draft = writer.draft
    strides = contiguous_strides(region.space)
    kind = paths.entries[step.entry].dtype
    sums = DraftOperand(("scratch", -1), kind, "input", strides, 0)
    writer.values[step.entry] = draft.load(sums)
    writer.write()
    c = region.stores[0]
    first = next(o for o in draft.operands if o.place == ("entry", c) and o.role == "output")
    columns = [
        CONTIGUOUS if each is sums or each is first else column_class(each.strides[-1])
        for each in draft.operands
    ]
    described = [
        (each.dtype.name, each.role, columns[n], each is sums, each is first)
        for n, each in enumerate(draft.operands)
    ]
    listed, met = draft.canonical(described, {})
    leading = [draft.operands.index(sums), draft.operands.index(first)]
    met = [*leading, *(n for n in met if n not in leading)]
    ordered = [draft.operands[n] for n in met]
    builder = NestBuilder(kept=2)
    for n in met:
        each = draft.operands[n]
        builder.operand(each.dtype, each.role, (STRIDED, columns[n]))
    draft.write(builder, listed, {number: n for n, number in enumerate(met)}, {})
    nest: Nest = builder.build()
    epilogue = NestEpilogue(nest)
    return epilogue, c, [first, *(ordered[n] for n in epilogue.extras)]


def keeps_partial_sums(plan: GemmPlan) -> bool:
    """Whether C holds partial sums before the epilogue has read its operands."""
    for call in plan.calls:
        if isinstance(call.kernel, GemmKernel):
            if call.integers[Integer.DEPTH_BLOCK] < call.integers[Integer.DEPTH]:
                return True
        elif not isinstance(call.kernel, PackKernel):
            return True
    return False


def column_class(stride: int) -> int:
    """The stride class along a row; a single column is walked as it comes."""
    return BROADCAST if stride == 0 else CONTIGUOUS if stride == 1 else STRIDED


def inheritance(
    arrays: list[DraftOperand], taken: set[int], shape: Shape
) -> tuple[tuple[int, int], ...]:
    """(output, input) pairs of arrays that may share memory: walked alike, element by element."""
    strides = stepped_plain(shape)
    found: list[tuple[int, int]] = []
    inputs: dict[int, list[DraftOperand]] = {}
    for each in arrays:
        if each.role == "input" and each.place[0] == "entry":
            inputs.setdefault(each.place[1], []).append(each)
    for each in arrays:
        if each.role != "output":
            continue
        for base, readings in inputs.items():
            alike = all(
                r.strides == strides and r.offset == 0 and r.dtype.itemsize == each.dtype.itemsize
                for r in readings
            )
            if alike and base not in taken:
                found.append((each.place[1], base))
    return tuple(found)


def stepped_plain(shape: Shape) -> Shape:
    """Row-major strides, 0 where there is only one place."""
    return tuple(0 if n == 1 else s for s, n in zip(contiguous_strides(shape), shape, strict=True))
