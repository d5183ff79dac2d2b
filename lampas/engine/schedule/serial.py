"""Scattered writes and scans: how they are seen as (outer, walked, inner).

`serial_form` finds this reading of an entry, or None where it must stay with the host: indices of several
dimensions, sources that strides cannot bring into the three dimensions, bool sums, complex numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.dtype import bool_, int64
from lampas.engine.graph import primitives as p
from lampas.engine.llvm.target import host
from lampas.engine.loops.serial import INNER_BLOCK, SerialInteger, SerialKernel, lanes_for
from lampas.engine.schedule.kinds import NEST_DTYPES, SERIAL
from lampas.engine.schedule.reading import Reading, apply_view, expand_reading, reshape_reading
from lampas.engine.schedule.steps import numel

if TYPE_CHECKING:
    from lampas.engine.loops.pooling import PoolKernel
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.paths import Paths

Shape = tuple[int, ...]
SCANS = {"sum": "add", "product": "multiply", "maximum": "maximum", "minimum": "minimum"}


@final
class SerialForm(NamedTuple):
    """An entry as a walk; `index` is None for a scan.  Readings are (far, near, walked, inner)."""

    operation: str
    dim: int
    size: int
    walk: Shape
    source: tuple[int, Reading]
    index: tuple[int, Reading] | None


@final
class SerialCall(NamedTuple):
    """One call of a serial kernel."""

    kernel: SerialKernel | PoolKernel
    places: tuple[tuple[Place, int], ...]
    integers: tuple[int, ...]
    extent: int
    entry: int


def serial_form(paths: Paths, number: int) -> SerialForm | None:
    """The walk that computes an entry, if there is one."""
    entry = paths.entries[number]
    if entry.op not in SERIAL or entry.dtype not in NEST_DTYPES or not entry.numel:
        return None
    if entry.op is p.CUMULATIVE:
        return scan_form(paths, number)
    x = paths.entries[entry.sources[0]]
    if entry.op is p.INDEX_PUT:
        dims, accumulate = entry.attributes
        if len(dims) != 1 or len(entry.sources) != 3:
            return None
        dim, operation = dims[0], "add" if accumulate else "set"
        source, index = entry.sources[1], entry.sources[2]
    else:
        dim = entry.attributes[0]
        operation = entry.attributes[1] if entry.op is p.SCATTER else "add"
        index, source = entry.sources[1:]
    if not x.shape or paths.entries[index].dtype is not int64:
        return None
    if entry.dtype is bool_ and operation != "set":
        return None
    found = scattered(paths, entry.op, x.shape, dim, index, source)
    if found is None:
        return None
    walk, index_path, source_path = found
    return SerialForm(operation, dim, x.shape[dim], walk, source_path, index_path)


def scan_form(paths: Paths, number: int) -> SerialForm | None:
    entry = paths.entries[number]
    dim, kind = entry.attributes
    if not entry.shape or entry.dtype is bool_:
        return None
    walk = (1, numel(entry.shape[:dim]), entry.shape[dim], numel(entry.shape[dim + 1 :]))
    base, reading = stored(paths, entry.sources[0])
    folded = reshape_reading(reading, walk)
    if folded is None:
        return None
    return SerialForm(SCANS[kind], dim, walk[2], walk, (base, folded), None)


def stored(paths: Paths, source: int) -> tuple[int, Reading]:
    """A source's base and reading."""
    path = paths.follow(source)
    reading = paths.reading(path)
    assert reading is not None, "settling makes every view readable"
    return path[0], reading


def scattered(
    paths: Paths, op: p.Primitive, shape: Shape, dim: int, index: int, source: int
) -> tuple[Shape, tuple[int, Reading], tuple[int, Reading]] | None:
    """The walk of a scattered write, and its index and source over it."""
    index_base, positions = stored(paths, index)
    source_base, values = stored(paths, source)
    if op is p.SCATTER:
        if len(positions.shape) != len(shape):
            return None
        if any(positions.shape[d] != n for d, n in enumerate(shape) if d != dim):
            return None
        rank = len(shape)
        cut = apply_view(values, p.SLICE, ((0,) * rank, positions.shape, (1,) * rank))
        walked, spots = positions.shape[dim], positions
    else:
        picked = positions.shape
        whole = (*shape[:dim], *picked, *shape[dim + 1 :])
        cut = expand_reading(values, whole) if len(values.shape) <= len(whole) else None
        walked = numel(picked)
        flat = reshape_reading(positions, (walked,))
        if flat is None:
            return None
        line = Reading((1, 1, walked, 1), (0, 0, flat.strides[0], 0), flat.offset)
        outer, inner = numel(shape[:dim]), numel(shape[dim + 1 :])
        spots = expand_reading(line, (1, outer, walked, inner))
    if cut is None or spots is None:
        return None
    for walk in walks(shape, dim, walked):
        folded, spread = reshape_reading(spots, walk), reshape_reading(cut, walk)
        if folded is not None and spread is not None:
            return walk, (index_base, folded), (source_base, spread)
    return None


def walks(shape: Shape, dim: int, walked: int) -> list[Shape]:
    """The ways to see a shape as (far, near, walked, inner), the outer dimensions split anywhere."""
    inner = numel(shape[dim + 1 :])
    return [(numel(shape[:d]), numel(shape[d:dim]), walked, inner) for d in range(max(dim, 1))]


def serial_call(paths: Paths, number: int, form: SerialForm) -> SerialCall:
    """The call of the kernel that computes an entry."""
    entry = paths.entries[number]
    target = host()
    far, near, walked, inner = form.walk
    base, reading = form.source
    strides = step_strides(reading)
    together = strides[3] == 1
    places: list[tuple[Place, int]] = [
        (("entry", number), 0),
        (("entry", base), reading.offset * entry.dtype.itemsize),
    ]
    positions = (0, 0, 0, 0)
    if form.index is not None:
        index_base, index = form.index
        positions = step_strides(index)
        together = together and positions[3] == 0
        places.append((("entry", index_base), index.offset * int64.itemsize))
    lanes = lanes_for(target, entry.dtype, inner, together, form.index is None)
    kernel = SerialKernel(target, entry.dtype, form.operation, form.index is None, lanes)
    blocks = -(-inner // INNER_BLOCK)
    integers = [0] * len(SerialInteger)
    apart = [(strides[0], *strides[2:]), (positions[0], *positions[2:])]
    integers[:] = (
        *(walked, inner, blocks, form.size, *apart[0], *apart[1]),
        *(near, strides[1], positions[1]),
    )
    return SerialCall(kernel, tuple(places), tuple(integers), far * near * blocks, number)


def step_strides(reading: Reading) -> Shape:
    """Strides with 0 where there is one place only."""
    return tuple([0 if n == 1 else s for n, s in zip(reading.shape, reading.strides, strict=True)])
