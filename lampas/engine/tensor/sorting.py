"""Order: sort, topk, kthvalue, and searching in sorted values.  NaN counts as the largest value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, int32, int64, uint8
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.host import selection
from lampas.engine.host.counting import membership
from lampas.engine.host.searching import search
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.dimensions import check_keepdim, dropped_shape, kept_shape, one_dim
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import common_dtype, is_number, number, require_tensor
from lampas.engine.tensor.returns import return_type

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]

SORT_RESULT = return_type("sort", "values", "indices")
TOPK_RESULT = return_type("topk", "values", "indices")
KTHVALUE_RESULT = return_type("kthvalue", "values", "indices")


def scatter_back(saved: Saved, ct: Node | None, _: Node | None = None) -> Grads:
    """The cotangent goes where `indices`, the second output, took the values from.

    The operation's first attribute is the dimension.
    """
    x = saved.inputs[0]
    if ct is None or not x.shape:
        return (ct,)
    dim = saved.attributes[0]
    indices = saved.outputs[1]
    if len(indices.shape) != len(x.shape):
        kept = kept_shape(x.shape, (dim,))
        indices, ct = g.reshape(indices, kept), g.reshape(ct, kept)
    zeros = g.full(x.shape, 0, ct.dtype)
    return (g.scatter(zeros, dim, indices, ct, "add"),)


def _order(x: Node) -> Node:
    return g.cast(x, uint8) if x.dtype is bool_ else x


def _sort(x: Node, dim: int, descending: bool) -> tuple[Node, Node]:
    if not x.shape:
        return x, g.full((), 0, int64)
    indices = g.sort_index(_order(x), dim, descending)
    return g.gather(x, dim, indices), indices


@host_function("topk")
def _topk_arrays(x: np.ndarray, dim: int, k: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    return selection.top(x, dim, k, largest)


def _topk(x: Node, dim: int, k: int, largest: bool) -> tuple[Node, Node]:
    if not x.shape:
        return x, g.full((), 0, int64)
    shape = (*x.shape[:dim], k, *x.shape[dim + 1 :])
    results = ((shape, x.dtype), (shape, int64))
    values, indices = g.host("topk", (x,), results, (dim, k, largest))
    return values, indices


@host_function("kthvalue")
def _kthvalue_arrays(x: np.ndarray, dim: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return selection.kth(x, dim, k - 1)


def _kthvalue(x: Node, dim: int, k: int, keepdim: bool) -> tuple[Node, Node]:
    if not x.shape:
        return x, g.full((), 0, int64)
    kept = kept_shape(x.shape, (dim,))
    values, indices = g.host("kthvalue", (x,), ((kept, x.dtype), (kept, int64)), (dim, k))
    if keepdim:
        return values, indices
    shape = dropped_shape(x.shape, (dim,))
    return g.reshape(values, shape), g.reshape(indices, shape)


SORT = Operation("sort", _sort, vjp=scatter_back, multiple=True)
TOPK = Operation("topk", _topk, vjp=scatter_back, multiple=True)
KTHVALUE = Operation("kthvalue", _kthvalue, vjp=scatter_back, multiple=True)


def _require_order(name: str, input: Tensor) -> None:
    kind = require_tensor(name, "input", input)._node.dtype
    if kind.is_complex:
        raise RuntimeError(f"Sort does not support complex dtypes on CPU (in {name}())")


@public(method=True, out=True)
def sort(
    input: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
) -> Any:
    """(values, indices) in ascending or descending order along `dim`; equal values keep their order."""
    _require_order("sort", input)
    place = one_dim("sort", dim, len(input._shape))
    return SORT_RESULT(*record(SORT, (input,), (place, bool(descending))))


@public(method=True, out=True)
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort along `dim`."""
    return sort(input, dim, descending, stable).indices


@public(method=True, out=True)
def msort(input: Tensor) -> Tensor:
    """The values sorted along the first dimension."""
    return sort(input, 0).values


@public(method=True, out=True)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k largest (or smallest) values along `dim` and their indices."""
    _require_order("topk", input)
    place = one_dim("topk", dim, len(input._shape))
    size = input._shape[place] if input._shape else 1
    k = int(k)
    if not 0 <= k <= size:
        raise RuntimeError("selected index k out of range")
    return TOPK_RESULT(*record(TOPK, (input,), (place, k, bool(largest))))


@public(method=True, out=True)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest value along `dim` (k from 1) and its index."""
    _require_order("kthvalue", input)
    check_keepdim("kthvalue", keepdim)
    place = one_dim("kthvalue", dim, len(input._shape))
    size = input._shape[place] if input._shape else 1
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {place}")
    return KTHVALUE_RESULT(*record(KTHVALUE, (input,), (place, int(k), keepdim)))


# Searching ----------------------------------------------------------------------------------------


@host_function("searchsorted")
def _searchsorted(edges: np.ndarray, values: np.ndarray, *rest: Any) -> np.ndarray:
    *sorter, side = rest
    if sorter:
        edges = np.take_along_axis(edges, sorter[0], -1)
    return search(edges, values, side)


def _search(edges: Node, values: Node, *rest: Any) -> Node:
    *sorter, kind, side, result = rest
    wide = [g.cast(node, kind) for node in (edges, values)]
    outputs = ((values.shape, int64),)
    return g.cast(g.host("searchsorted", (*wide, *sorter), outputs, (side,))[0], result)


SEARCHSORTED = Operation("searchsorted", _search, saves="none")


def _check_side(side: str | None, right: bool) -> None:
    if side not in (None, "left", "right"):
        raise RuntimeError(
            f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}"
        )
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left "
            "while right was True"
        )


@public(out=True)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would be inserted into the sorted last dimension of `sorted_sequence`."""
    _check_side(side, right)
    edges = sorted_sequence._shape
    if isinstance(input, Tensor):
        if len(edges) != 1 and edges[:-1] != input._shape[:-1]:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
                f"dimensions of boundaries tensor and input value tensor must match, but we got "
                f"boundaries tensor {list(edges)} and input value tensor {list(input._shape)}"
            )
        values: Any = input
    elif is_number(input):
        values = number(input)
    else:
        values = require_tensor("searchsorted", "input", input, 2)
    if sorter is not None and sorter._shape != edges:
        raise RuntimeError(
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary "
            f"tensor {list(edges)} and got sorter tensor {list(sorter._shape)}"
        )
    kind = common_dtype("searchsorted", sorted_sequence, input)
    place = "right" if right or side == "right" else "left"
    inputs = (sorted_sequence, values, *(() if sorter is None else (sorter,)))
    return record(SEARCHSORTED, inputs, (kind, place, int32 if out_int32 else int64))


@public(out=True)
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The index of the interval between `boundaries` into which each value falls."""
    if len(boundaries._shape) != 1:
        raise RuntimeError(
            f"bucketize(): boundaries tensor must be 1 dimension, but got dim({len(boundaries._shape)})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@host_function("isin")
def _isin(elements: np.ndarray, tests: np.ndarray, invert: bool) -> np.ndarray:
    return membership(elements, tests, invert)


def _membership(elements: Node, tests: Node, kind: Any, invert: bool) -> Node:
    wide = (g.cast(elements, kind), g.cast(tests, kind))
    return g.host("isin", wide, ((elements.shape, bool_),), (invert,))[0]


ISIN = Operation("isin", _membership, saves="none")


@public(out=True)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among `test_elements`."""
    kind = common_dtype("isin", elements, test_elements)
    inputs = tuple(
        value if isinstance(value, Tensor) else number(value) for value in (elements, test_elements)
    )
    return record(ISIN, inputs, (kind, bool(invert)))
