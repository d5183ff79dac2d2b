"""Reading and writing at given indices: gather, scatter, index_select, take, put and kin.

Indices are int64 (int32 where PyTorch takes it).  Indices whose values are at hand are checked at the call;
those still to be computed are checked when they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, int32, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.reference import extreme_value
from lampas.engine.tensor.arithmetic import sum_back
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.dimensions import one_dim
from lampas.engine.tensor.door import record
from lampas.engine.tensor.joining import at_least
from lampas.engine.tensor.operands import number, require_tensor
from lampas.engine.tensor.values import stored_bounds

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node, Shape

Scalar = bool | int | float | complex
Grads = tuple["Node | None", ...]


def check_index(name: str, index: Tensor, size: int, dim: int, *, negative: bool = False) -> None:
    """TypeErrors and bounds of an index tensor, as far as its values are known."""
    kind = index._node.dtype
    if 0 in index._shape:
        return
    if kind is not int64 and kind is not int32:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index, but got {kind.title}")
    if index._value().buffer is None:
        return
    low, high = stored_bounds(index)
    if high >= size or low < (-size if negative else 0):
        bad = high if high >= size else low
        kind_of_error = IndexError if name.startswith(("index_", "take")) else RuntimeError
        raise kind_of_error(
            f"index {bad} is out of bounds for dimension {dim} with size {size}: index out of "
            f"range in self (in {name}())"
        )


def _whole(index: Node) -> Node:
    return g.cast(index, int64)


def _row(x: Node) -> Node:
    """0-d tensors count as tensors of one element."""
    return x if x.shape else g.reshape(x, (1,))


# Gather and scatter -------------------------------------------------------------------------------


def _gather(x: Node, index: Node, dim: int) -> Node:
    if 0 in index.shape:
        return g.full(index.shape, 0, x.dtype)
    found = g.gather(_row(x), dim, _row(_whole(index)))
    return g.reshape(found, index.shape)


def _gather_vjp(saved: Saved, ct: Node) -> Grads:
    x, index = saved.inputs
    zeros = g.full(_row(x).shape, 0, ct.dtype)
    if 0 in index.shape:
        return g.reshape(zeros, x.shape), None
    flow = g.scatter(zeros, saved.attributes[0], _row(_whole(index)), _row(ct), "add")
    return g.reshape(flow, x.shape), None


GATHER = Operation("gather", _gather, vjp=_gather_vjp, saves="inputs")


def _check_shapes(name: str, a: Shape, index: Shape, dim: int, what: str) -> None:
    if max(len(a), 1) != max(len(index), 1):
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as {what} tensor: {name}() got "
            f"{len(index)} and {len(a)}"
        )
    for d, (n, m) in enumerate(zip(index, a, strict=False)):
        if n > m and d != dim:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index)} to be no "
                f"larger than {what} {list(a)} apart from dimension {dim} (in {name}())"
            )


@public(method=True, out=True)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on; shape of index.

    >>> gather(tensor([[1, 2], [3, 4]]), 1, tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    place = one_dim("gather", dim, len(input._shape))
    require_tensor("gather", "index", index, 3)
    if 0 not in index._shape:
        _check_shapes("gather", input._shape, index._shape, place, "input")
    check_index("gather", index, (input._shape or (1,))[place], place)
    return record(GATHER, (input, index), (place,))


def _scatter(x: Node, index: Node, source: Node, dim: int, mode: str) -> Node:
    source = g.cast(source, x.dtype)
    index = _row(_whole(index))
    if not source.shape:
        source = g.expand(source, index.shape)
    result = g.scatter(_row(x), dim, index, _row(source), mode)
    return g.reshape(result, x.shape)


SCATTER = Operation("scatter", _scatter, saves="inputs")
SCATTER_ADD = Operation("scatter_add", _scatter, saves="inputs")
SCATTER_REDUCE = Operation("scatter_reduce", _scatter, saves="inputs")
_MODES = {"add": "add", "multiply": "multiply"}


def _scattered(
    operation: Operation, input: Tensor, dim: int, index: Tensor, source: Any, mode: str
) -> Tensor:
    name = operation.name
    place = one_dim(name, dim, len(input._shape))
    require_tensor(name, "index", index, 3)
    if 0 in index._shape:
        return input.clone()  # type: ignore[attr-defined]
    _check_shapes(name, input._shape, index._shape, place, "self")
    if isinstance(source, Tensor):
        if source._node.dtype is not input._node.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
        _check_shapes(name, source._shape, index._shape, -1, "src")
        values: Any = source
    else:
        values = number(source)
    check_index(name, index, (input._shape or (1,))[place], place)
    return record(operation, (input, index, values), (place, mode))


@public(method=True, inplace=True, out=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """input with src (a tensor or a number) written, added or multiplied at index along `dim`."""
    if reduce is not None and reduce not in _MODES:
        raise RuntimeError("reduce argument must be either add or multiply.")
    source = value if src is None else src
    if source is None:
        raise TypeError('scatter() missing 1 required positional arguments: "src"')
    if isinstance(source, Tensor) and not source._shape and index._shape and src is None:
        source = source.item()  # type: ignore[attr-defined]
    return _scattered(SCATTER, input, dim, index, source, _MODES.get(reduce or "", "set"))


@public(method=True, inplace=True, out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src added at index along `dim`; equal indices add up."""
    require_tensor("scatter_add", "src", src, 4)
    return _scattered(SCATTER_ADD, input, dim, index, src, "add")


_REDUCTIONS = {
    "sum": ("add", 0),
    "mean": ("add", 0),
    "prod": ("multiply", 1),
    "amax": ("maximum", None),
    "amin": ("minimum", None),
}


def _neutral(input: Tensor, reduce: str) -> Scalar:
    value = _REDUCTIONS[reduce][1]
    if value is not None:
        return value
    kind = input.dtype
    if kind.is_floating_point:
        return float("-inf") if reduce == "amax" else float("inf")
    return extreme_value(kind.numpy, reduce == "amin").__int__()


def _reduced_at(
    name: str, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool
) -> Tensor:
    if reduce not in _REDUCTIONS:
        raise RuntimeError(
            "reduce argument must be either sum, prod, mean, amax or amin, got " + str(reduce)
        )
    if 0 in index._shape:
        return input.clone()  # type: ignore[attr-defined]
    base = input
    if not include_self:
        base = _scattered(SCATTER, input, dim, index, _neutral(input, reduce), "set")
    result = _scattered(SCATTER_REDUCE, base, dim, index, src, _REDUCTIONS[reduce][0])
    if reduce != "mean":
        return result
    ones = input.detach().new_ones(src._shape)  # type: ignore[attr-defined]
    start = ones.new_ones(input._shape) if include_self else ones.new_zeros(input._shape)
    count = _scattered(SCATTER_ADD, start, dim, index, ones, "add").clamp(min=1)  # type: ignore[attr-defined]
    if input.dtype.is_floating_point or input.dtype.is_complex:
        return result / count  # type: ignore[operator]
    return result.div(count, rounding_mode="floor")  # type: ignore[attr-defined]


@public(method=True, inplace=True, out=True)
def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """The sum, prod, mean, amax or amin of what src brings to each place (and of input's own value)."""
    require_tensor("scatter_reduce", "src", src, 4)
    return _reduced_at("scatter_reduce", input, dim, index, src, reduce, include_self)


# Rows along a dimension ---------------------------------------------------------------------------


def _index_select(x: Node, index: Node, dim: int) -> Node:
    found = g.index_select(_row(x), dim, _row(_whole(index)))
    return g.reshape(found, ()) if not x.shape else found


INDEX_SELECT = Operation("index_select", _index_select, saves="inputs")


def _index_add(x: Node, index: Node, source: Node, dim: int, alpha: Scalar) -> Node:
    source = _row(source)
    if alpha != 1:
        if x.dtype.kind == "unsigned":
            alpha = int(alpha) % (1 << 8 * x.dtype.itemsize)  # type: ignore[arg-type]
        source = g.multiply(source, g.like(source, alpha))
    return g.reshape(g.index_add(_row(x), dim, _row(_whole(index)), source), x.shape)


def _index_copy(x: Node, index: Node, source: Node, dim: int) -> Node:
    source = _row(source) if source.shape else g.reshape(source, (1,) * max(len(x.shape), 1))
    result = g.index_put(_row(x), (dim,), [_row(_whole(index))], source)
    return g.reshape(result, x.shape)


def _index_fill(x: Node, index: Node, value: Node, dim: int) -> Node:
    value = g.cast(value, x.dtype)
    return g.reshape(g.index_put(_row(x), (dim,), [_row(_whole(index))], value), x.shape)


INDEX_ADD = Operation("index_add", _index_add, saves="inputs")
INDEX_COPY = Operation("index_copy", _index_copy, saves="inputs")


def _index_fill_vjp(saved: Saved, ct: Node) -> Grads:
    x, index, value = saved.inputs
    dim = saved.attributes[0]
    shape = x.shape or (1,)
    nothing = g.full(shape, False, bool_)
    filled = g.index_put(nothing, (dim,), [_row(_whole(index))], g.constant(True, bool_))
    flow, zero = _row(ct), g.like(ct, 0)
    kept = g.reshape(g.where(filled, zero, flow), x.shape)
    taken = g.sum_to(g.where(filled, flow, zero), ()) if saved.needed[2] else None
    return kept, None, None if taken is None else sum_back(taken, value)


INDEX_FILL = Operation("index_fill", _index_fill, vjp=_index_fill_vjp, saves="inputs")


def _rows(name: str, input: Tensor, dim: int, index: Tensor, *, negative: bool = False) -> int:
    place = one_dim(name, dim, len(input._shape))
    require_tensor(name, "index", index, 3)
    if len(index._shape) > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector")
    check_index(name, index, (input._shape or (1,))[place], place, negative=negative)
    return place


def _check_source(name: str, input: Tensor, place: int, index: Tensor, source: Tensor) -> None:
    count = index._shape[0] if index._shape else 1
    if source._node.dtype is not input._node.dtype:
        raise RuntimeError(
            f"{name}(): self and source expected to have the same dtype, but got (self) "
            f"{input.dtype.title} and (source) {source.dtype.title}"
        )
    wanted = tuple(count if d == place else n for d, n in enumerate(input._shape or (1,)))
    if (source._shape or (1,)) != wanted and source._shape:
        raise RuntimeError(
            f"{name}(): source tensor of shape {list(source._shape)} must match the indexed part "
            f"of self, {list(wanted)}"
        )


@public(method=True, out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The rows of input along `dim` that a vector of indices names."""
    return record(INDEX_SELECT, (input, index), (_rows("index_select", input, dim, index),))


@public(method=True, inplace=True, out=True)
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Scalar = 1
) -> Tensor:
    """input with alpha · source's rows added at index along `dim`."""
    place = _rows("index_add", input, dim, index)
    _check_source("index_add", input, place, index, source)
    return record(INDEX_ADD, (input, index, source), (place, alpha))


@public(method=True, inplace=True, out=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with source's rows written at index along `dim`."""
    place = _rows("index_copy", input, dim, index)
    _check_source("index_copy", input, place, index, source)
    return record(INDEX_COPY, (input, index, source), (place,))


@public(method=True, inplace=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input with `value` written to the rows at index along `dim`."""
    place = _rows("index_fill", input, dim, index, negative=True)
    if isinstance(value, Tensor):
        if value._shape:
            raise RuntimeError(
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{len(value._shape)} dimension(s)."
            )
        return record(INDEX_FILL, (input, index, value), (place,))
    if isinstance(value, complex) and not input.dtype.is_complex:
        raise RuntimeError(
            "index_fill_(): Converting complex Scalar to non-complex type is not supported"
        )
    return record(INDEX_FILL, (input, index, number(value)), (place,))


@public(method=True, inplace=True, out=True)
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """The prod, mean, amax or amin of the rows that source brings to each place along `dim`."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    place = _rows("index_reduce", input, dim, index)
    _check_source("index_reduce", input, place, index, source)
    rows = at_least(1, source)
    shape = [-1 if d == place else 1 for d in range(len(rows._shape))]
    wide = index.reshape(shape).expand(rows._shape)  # type: ignore[attr-defined]
    return _reduced_at("index_reduce", input, dim, wide, rows, reduce, include_self)


# Flat positions -----------------------------------------------------------------------------------


def _wrapped(index: Node, size: int) -> Node:
    index = _whole(index)
    zero, count = g.constant(0, int64), g.constant(size, int64)
    return g.where(g.less(index, zero), g.add(index, count), index)


def _take(x: Node, index: Node) -> Node:
    return g.index_select(g.reshape(x, (x.numel,)), 0, _wrapped(index, x.numel))


def _put(x: Node, index: Node, source: Node, accumulate: bool) -> Node:
    flat = g.reshape(x, (x.numel,))
    places = g.reshape(_wrapped(index, x.numel), (index.numel,))
    values = g.reshape(source, (source.numel,))
    return g.reshape(g.index_put(flat, (0,), [places], values, accumulate), x.shape)


WRAP = Operation("wrap_index", _wrapped, saves="none")
TAKE = Operation("take", _take, saves="inputs")
PUT = Operation("put", _put, saves="inputs")


@public(method=True, out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened input; shape of index."""
    if index._node.dtype is not int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype.title}")
    check_index("take", index, input.numel(), 0, negative=True)  # type: ignore[attr-defined]
    return record(TAKE, (input, index))


@public(method=True, inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """input with source's elements written (or added) at positions of the flattened input."""
    if index._node.dtype is not int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype.title}")
    if index.numel() != source.numel():  # type: ignore[attr-defined]
        raise RuntimeError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.numel()}, index.numel() = {index.numel()}"  # type: ignore[attr-defined]
        )
    if source._node.dtype is not input._node.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.dtype.title} and source.dtype = {source.dtype.title}"
        )
    check_index("take", index, input.numel(), 0, negative=True)  # type: ignore[attr-defined]
    return record(PUT, (input, index, source), (bool(accumulate),))


@public(method=True, out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with the other dimensions broadcast; the flattened input if `dim` is None."""
    if indices._node.dtype is not int64:
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.title}"
        )
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))  # type: ignore[attr-defined]
    if len(input._shape) != len(indices._shape):
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {len(input._shape)} dimensions for input, and {len(indices._shape)} "
            "dimensions for indices"
        )
    place = one_dim("take_along_dim", dim, len(input._shape))
    common = [
        max(n, m) if n and m else 0 for n, m in zip(input._shape, indices._shape, strict=True)
    ]
    source = [n if d == place else common[d] for d, n in enumerate(input._shape)]
    wanted = [n if d == place else common[d] for d, n in enumerate(indices._shape)]
    check_index("take_along_dim", indices, input._shape[place], place, negative=True)
    places = record(WRAP, (indices,), (input._shape[place],)).expand(wanted)
    return gather(input.expand(source), place, places)  # type: ignore[attr-defined]
