"""The shape rules: for each primitive, the shape and dtype of its result.

`SHAPE_RULES[op](inputs, *attributes) -> (shape, dtype)`.  User errors are found before, at the door;
a rule that raises here has met a malformed node, so it raises `InternalError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.dtype import bool_, dtype, int64
from lampas.engine.errors import InternalError
from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node, Shape

Result = tuple[tuple[int, ...], dtype]


def broadcast(shapes: list[Shape]) -> Shape:
    """The common shape of operands under NumPy's rules."""
    rank = max(len(shape) for shape in shapes)
    result = [1] * rank
    for shape in shapes:
        base = rank - len(shape)
        for position, size in enumerate(shape):
            if size != 1:
                if result[base + position] not in (1, size):
                    raise InternalError("shape rule", f"{shapes} do not broadcast")
                result[base + position] = size
    return tuple(result)


def _unary(inputs: tuple[Node, ...]) -> Result:
    return inputs[0].shape, inputs[0].dtype


def _magnitude(inputs: tuple[Node, ...]) -> Result:
    return inputs[0].shape, inputs[0].dtype.to_real()


def _predicate(inputs: tuple[Node, ...]) -> Result:
    return inputs[0].shape, bool_


def _cast(inputs: tuple[Node, ...], target: dtype) -> Result:
    return inputs[0].shape, target


def _binary(inputs: tuple[Node, ...]) -> Result:
    a, b = inputs
    if a.dtype is not b.dtype:
        raise InternalError("shape rule", f"operands differ in dtype: {a}, {b}")
    shape, other = a.shape, b.shape
    if shape == other or not other:
        return shape, a.dtype
    return (broadcast([shape, other]) if shape else other), a.dtype


def _compare(inputs: tuple[Node, ...]) -> Result:
    return _binary(inputs)[0], bool_


def _complex(inputs: tuple[Node, ...]) -> Result:
    shape, real = _binary(inputs)
    return shape, real.to_complex()


def _where(inputs: tuple[Node, ...]) -> Result:
    shape, result = _binary(inputs[1:])
    return broadcast([inputs[0].shape, shape]), result


def _reduce(inputs: tuple[Node, ...], dims: tuple[int, ...]) -> Result:
    shape = inputs[0].shape
    return tuple(1 if d in dims else size for d, size in enumerate(shape)), inputs[0].dtype


def _arg_reduce(inputs: tuple[Node, ...], dims: tuple[int, ...]) -> Result:
    return _reduce(inputs, dims)[0], int64


def _reshape(inputs: tuple[Node, ...], shape: Shape) -> Result:
    count = 1
    for size in shape:
        count *= size
    if count != inputs[0].numel:
        raise InternalError("shape rule", f"reshape: {inputs[0].shape} does not fill {shape}")
    return shape, inputs[0].dtype


def _permute(inputs: tuple[Node, ...], dims: tuple[int, ...]) -> Result:
    shape = inputs[0].shape
    return tuple(shape[d] for d in dims), inputs[0].dtype


def _given_shape(inputs: tuple[Node, ...], shape: Shape, *_: Any) -> Result:
    return shape, inputs[0].dtype


def _slice(inputs: tuple[Node, ...], starts: Shape, lengths: Shape, steps: Shape) -> Result:
    for start, length, step, size in zip(starts, lengths, steps, inputs[0].shape, strict=True):
        if length and (start < 0 or start + (length - 1) * step >= size):
            raise InternalError("shape rule", f"slice: {start}:{length}:{step} leaves {size}")
    return lengths, inputs[0].dtype


def _same(inputs: tuple[Node, ...], *_: Any) -> Result:
    return inputs[0].shape, inputs[0].dtype


def _pad(inputs: tuple[Node, ...], low: Shape, high: Shape) -> Result:
    shape = inputs[0].shape
    return tuple(a + n + b for a, n, b in zip(low, shape, high, strict=True)), inputs[0].dtype


def _concatenate(inputs: tuple[Node, ...], dim: int) -> Result:
    shape = list(inputs[0].shape)
    shape[dim] = sum(node.shape[dim] for node in inputs)
    return tuple(shape), inputs[0].dtype


def _gather(inputs: tuple[Node, ...], dim: int) -> Result:
    return inputs[1].shape, inputs[0].dtype


def _index_select(inputs: tuple[Node, ...], dim: int) -> Result:
    x, index = inputs
    return (*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]), x.dtype


def _index(inputs: tuple[Node, ...], dims: tuple[int, ...]) -> Result:
    x, *indices = inputs
    picked = broadcast([index.shape for index in indices])
    rest = [size for d, size in enumerate(x.shape) if d not in dims]
    adjacent = dims == tuple(range(dims[0], dims[0] + len(dims)))
    place = dims[0] if adjacent else 0
    return (*rest[:place], *picked, *rest[place:]), x.dtype


def _sort_index(inputs: tuple[Node, ...], dim: int, descending: bool) -> Result:
    return inputs[0].shape, int64


def _matmul(inputs: tuple[Node, ...]) -> Result:
    a, b = inputs
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2] or a.dtype is not b.dtype:
        raise InternalError("shape rule", f"matmul: {a} and {b} do not multiply")
    return (*a.shape[:-1], b.shape[-1]), a.dtype


def _convolution(
    inputs: tuple[Node, ...], stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Result:
    x, weight = inputs
    spatial = tuple(
        (size + 2 * pad - step * (kernel - 1) - 1) // jump + 1
        for size, kernel, jump, pad, step in zip(
            x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
        )
    )
    return (x.shape[0], weight.shape[0], *spatial), x.dtype


def _attention(inputs: tuple[Node, ...], scale: float, causal: bool) -> Result:
    query, key, value, *_ = inputs
    fits = query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2]
    if not fits or len({node.shape[:2] for node in inputs}) != 1 or len(query.shape) != 4:
        raise InternalError("shape rule", f"attention: {inputs} do not fit")
    return (*query.shape[:-1], value.shape[-1]), query.dtype


def _attention_backward(inputs: tuple[Node, ...], scale: float, causal: bool) -> Result:
    _attention(inputs, scale, causal)
    return (sum(node.numel for node in inputs[:3]),), inputs[0].dtype


def _recurrent(inputs: tuple[Node, ...], cell: str, backwards: bool) -> Result:
    times, batch, _ = inputs[0].shape
    kept = 5 if cell == "lstm" else 4
    return (times * batch * inputs[1].shape[1] * (1 + kept),), inputs[0].dtype


def _recurrent_backward(inputs: tuple[Node, ...], cell: str, backwards: bool) -> Result:
    states = inputs[0]
    times, batch, size = states.shape
    gates, more = (4, 2) if cell == "lstm" else (6, 1)
    return (times * batch * size * gates + more * batch * size,), states.dtype


def _max_pool_index(
    inputs: tuple[Node, ...],
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    output_sizes: Shape,
) -> Result:
    shape = inputs[0].shape
    return (*shape[: len(shape) - len(kernel)], *output_sizes), int64


def _output(inputs: tuple[Node, ...], position: int) -> Result:
    results: tuple[tuple[Shape, dtype], ...] = inputs[0].attributes[2]
    return results[position]


def _host(inputs: tuple[Node, ...], name: str, parameters: Any, results: Any) -> Result:
    return results[0]


def _leaf(inputs: tuple[Node, ...], *_: Any) -> Result:
    raise InternalError("shape rule", "leaves are made with their shape and dtype")


def _iota(inputs: tuple[Node, ...], length: int) -> Result:
    return (length,), int64


def _call(inputs: tuple[Node, ...], recipe: Any) -> Result:
    return recipe.kinds[0]


SHAPE_RULES: dict[p.Primitive, Callable[..., Result]] = {
    p.BUFFER: _leaf,
    p.SCALAR: _leaf,
    p.CONSTANT: _leaf,
    p.IOTA: _iota,
    **{op: _unary for op in p.PRIMITIVES.values() if op.kind == "unary"},
    p.ABSOLUTE: _magnitude,
    p.REAL: _magnitude,
    p.IMAGINARY: _magnitude,
    p.LOGICAL_NOT: _predicate,
    p.ISNAN: _predicate,
    p.ISINF: _predicate,
    p.CAST: _cast,
    p.BITCAST: _cast,
    **{op: _binary for op in p.PRIMITIVES.values() if op.kind == "binary"},
    p.COMPLEX: _complex,
    **{op: _compare for op in p.PRIMITIVES.values() if op.kind == "compare"},
    p.WHERE: _where,
    **{op: _reduce for op in p.PRIMITIVES.values() if op.kind == "reduce"},
    p.ARGMAX: _arg_reduce,
    p.ARGMIN: _arg_reduce,
    p.RESHAPE: _reshape,
    p.PERMUTE: _permute,
    p.EXPAND: _given_shape,
    p.SLICE: _slice,
    p.FLIP: _same,
    p.AS_STRIDED: _given_shape,
    p.AS_STRIDED_SCATTER: _same,
    p.AS_STRIDED_ACCUMULATE: _given_shape,
    p.PAD: _pad,
    p.CONCATENATE: _concatenate,
    p.GATHER: _gather,
    p.SCATTER: _same,
    p.INDEX_SELECT: _index_select,
    p.INDEX_ADD: _same,
    p.INDEX: _index,
    p.INDEX_PUT: _same,
    p.CUMULATIVE: _same,
    p.SORT_INDEX: _sort_index,
    p.MATMUL: _matmul,
    p.CONVOLUTION: _convolution,
    p.CONVOLUTION_BACKWARD_INPUT: _given_shape,
    p.CONVOLUTION_BACKWARD_WEIGHT: _given_shape,
    p.ATTENTION: _attention,
    p.ATTENTION_BACKWARD: _attention_backward,
    p.RECURRENT: _recurrent,
    p.RECURRENT_BACKWARD: _recurrent_backward,
    p.MAX_POOL_INDEX: _max_pool_index,
    p.HOST: _host,
    p.OUTPUT: _output,
    p.CALL: _call,
}
