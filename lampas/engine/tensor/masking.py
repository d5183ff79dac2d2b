"""Masks and positions: masked_fill, masked_select, where, nonzero, and triangles.

What depends on the mask's values in its shape (`masked_select`, `nonzero`) looks at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, can_cast, dtype, int64
from lampas.engine.graph import build as g
from lampas.engine.host.counting import nonzero_coordinates, nonzero_places, nonzero_table
from lampas.engine.tensor.arithmetic import sum_back
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import method, public, with_out
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import check_broadcast, number, require_tensor
from lampas.engine.tensor.pointwise import choose
from lampas.engine.tensor.values import array_of, node_of, tensor_of

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]


def _masked_fill(x: Node, mask: Node, value: Node) -> Node:
    return g.where(mask, g.cast(value, x.dtype), x)


def _masked_fill_vjp(saved: Saved, ct: Node) -> Grads:
    x, mask, value = saved.inputs
    zero = g.like(ct, 0)
    return (
        g.sum_to(g.where(mask, zero, ct), x.shape) if saved.needed[0] else None,
        None,
        sum_back(g.where(mask, ct, zero), value) if saved.needed[2] else None,
    )


MASKED_FILL = Operation("masked_fill", _masked_fill, vjp=_masked_fill_vjp, saves="inputs")


def _require_mask(name: str, mask: Any) -> Tensor:
    if require_tensor(name, "mask", mask, 2)._node.dtype is not bool_:
        raise RuntimeError(
            f"{name} only supports boolean masks, but got mask with dtype {mask.dtype.title}: "
            "expected BoolTensor for mask"
        )
    return mask


@public(method=True, inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """input with `value` (a number or 0-d tensor) where the mask is true."""
    _require_mask("masked_fill", mask)
    check_broadcast("masked_fill", [input._shape, mask._shape])
    if isinstance(value, Tensor):
        if value._shape:
            raise RuntimeError(
                "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
                f"{len(value._shape)} dimension(s)."
            )
        if not can_cast(value.dtype, input.dtype) and value.dtype.is_complex:
            raise RuntimeError(
                f"value cannot be converted to type {input.dtype} without overflow: it is complex"
            )
        return record(MASKED_FILL, (input, mask, value))
    if isinstance(value, complex) and not input.dtype.is_complex:
        raise RuntimeError("value cannot be converted to type without overflow: it is complex")
    return record(MASKED_FILL, (input, mask, number(value)))


def _places(mask: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Row-major positions of the true elements of a mask broadcast to `shape`."""
    return nonzero_places(np.broadcast_to(array_of(mask), shape))


def _select(x: Node, places: Node, shape: tuple[int, ...]) -> Node:
    wide = g.expand(x, shape)
    return g.index_select(g.reshape(wide, (wide.numel,)), 0, places)


MASKED_SELECT = Operation("masked_select", _select, saves="inputs")


@public(method=True, out=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is true, in one dimension."""
    if mask._node.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = check_broadcast("masked_select", [input._shape, mask._shape])
    return record(MASKED_SELECT, (input, node_of(_places(mask, shape), int64)), (shape,))


def _masked_scatter(x: Node, places: Node, source: Node, shape: tuple[int, ...]) -> Node:
    wide = g.expand(x, shape)
    values = g.narrow(g.reshape(source, (source.numel,)), 0, 0, places.numel)
    flat = g.reshape(wide, (wide.numel,))
    return g.reshape(g.index_put(flat, (0,), [places], values), shape)


MASKED_SCATTER = Operation("masked_scatter", _masked_scatter, saves="inputs")


@public(method=True, inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of source, one after the other, where the mask is true."""
    _require_mask("masked_scatter", mask)
    if source._node.dtype is not input._node.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{input.dtype.title} and {source.dtype.title}"
        )
    shape = check_broadcast("masked_scatter", [input._shape, mask._shape])
    places = _places(mask, shape)
    if len(places) > source._node.numel:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have the same number of elements, but "
            f"the mask has {len(places)} and source {source._node.numel}: Number of elements of "
            "source < number of ones in mask"
        )
    return record(MASKED_SCATTER, (input, node_of(places, int64), source), (shape,))


# Positions ----------------------------------------------------------------------------------------


@public(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of non-zero elements: shape (count, dimensions), or a tuple of vectors."""
    array = array_of(input)
    if as_tuple:
        return tuple(tensor_of(place) for place in nonzero_coordinates(np.atleast_1d(array)))
    return tensor_of(nonzero_table(array))


method("nonzero")(nonzero)


@public(method=True)
def argwhere(input: Tensor) -> Tensor:
    """The positions of non-zero elements: shape (count, dimensions)."""
    return nonzero(input)


@public(method=True, out=True)
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` with a fixed number of rows: the rest is cut off, or filled."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    found = array_of(nonzero(input))
    result = np.full((size, len(input._shape)), fill_value, np.int64)
    result[: len(found)] = found[:size]
    return tensor_of(result)


def _where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """where(c, a, b): a where the condition holds, else b; where(c): `nonzero` as a tuple."""
    require_tensor("where", "condition", condition)
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    return choose(condition, input, other)  # type: ignore[arg-type]


_where.__name__ = "where"
where = public("where")(with_out(_where, "where"))


@method("where")
def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """self where the condition holds, else other."""
    return choose(condition, self, other)


@public()
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates of flat positions in a tensor of `shape`."""
    if isinstance(shape, Tensor):
        shape = shape.tolist()  # type: ignore[attr-defined]
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    if indices.dtype.is_floating_point or indices.dtype.is_complex or indices.dtype is bool_:
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    parts = []
    rest = indices.long()  # type: ignore[attr-defined]
    for size in reversed(shape):
        parts.append(rest.remainder(size))  # type: ignore[attr-defined]
        rest = rest.div(size, rounding_mode="floor")  # type: ignore[attr-defined]
    return tuple(reversed(parts))


# Triangles ----------------------------------------------------------------------------------------


def _triangle(lower: bool) -> Any:
    def forward(x: Node, diagonal: int) -> Node:
        rows, columns = x.shape[-2:]
        row = g.reshape(g.iota(rows), (rows, 1))
        gap = g.subtract(g.iota(columns), row)
        keep = g.less_equal if lower else g.greater_equal
        return g.where(keep(gap, g.constant(diagonal, int64)), x, g.like(x, 0))

    return forward


TRIL = Operation("tril", _triangle(True), saves="none")
TRIU = Operation("triu", _triangle(False), saves="none")


def _triangular(operation: Operation, input: Tensor, diagonal: int) -> Tensor:
    if len(require_tensor(operation.name, "input", input)._shape) < 2:
        raise RuntimeError(f"{operation.name}: input tensor must have at least 2 dimensions")
    return record(operation, (input,), (int(diagonal),))


@public(method=True, inplace=True, out=True)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros above the given diagonal."""
    return _triangular(TRIL, input, diagonal)


@public(method=True, inplace=True, out=True)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrices with zeros below the given diagonal."""
    return _triangular(TRIU, input, diagonal)


def _triangle_indices(row: int, col: int, offset: int, kind: dtype | None, lower: bool) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"row and col must be non-negative, got {row} and {col}")
    # The columns of each row are a range, so no matrix is looked through.
    bound = np.clip(np.arange(row) + offset + (1 if lower else 0), 0, col)
    starts, counts = (np.zeros_like(bound), bound) if lower else (bound, col - bound)
    rows = np.repeat(np.arange(row), counts)
    skipped = np.repeat(np.cumsum(counts) - counts - starts, counts)
    places = np.stack([rows, np.arange(len(rows)) - skipped])
    return tensor_of(places, int64 if kind is None else kind)


@public()
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: dtype | None = None, **_: Any
) -> Tensor:
    """The positions of the lower triangle of a matrix: shape (2, count)."""
    return _triangle_indices(row, col, offset, dtype, True)


@public()
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: dtype | None = None, **_: Any
) -> Tensor:
    """The positions of the upper triangle of a matrix: shape (2, count)."""
    return _triangle_indices(row, col, offset, dtype, False)
