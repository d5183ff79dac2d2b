"""Constructors of nodes, one per primitive: `build.add(a, b)` is the node a + b.

Here a node gets its shape and dtype (`SHAPE_RULES`), and the few rewrites are made that would cost
more if they were found later: a reshape to the same shape, a cast to the same dtype.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from lampas.engine.graph import primitives as p
from lampas.engine.graph.node import Node, constant_node
from lampas.engine.graph.shapes import SHAPE_RULES
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.dtype import dtype
    from lampas.engine.graph.node import Number, Shape
    from lampas.engine.graph.primitives import Primitive


def make(op: Primitive, inputs: tuple[Node, ...], attributes: tuple[Any, ...] = ()) -> Node:
    """The node of `op` on `inputs`; the shape rule checks that they fit."""
    shape, result = SHAPE_RULES[op](inputs, *attributes)
    return Node(op, inputs, attributes, shape, result)


def _unary(op: Primitive) -> Callable[[Node], Node]:
    def build(x: Node) -> Node:
        return make(op, (x,))

    return build


def _binary(op: Primitive) -> Callable[[Node, Node], Node]:
    def build(a: Node, b: Node) -> Node:
        return make(op, (a, b))

    return build


negative = _unary(p.NEGATIVE)
absolute = _unary(p.ABSOLUTE)
sign = _unary(p.SIGN)
floor = _unary(p.FLOOR)
ceil = _unary(p.CEIL)
trunc = _unary(p.TRUNC)
round_half_even = _unary(p.ROUND)
exp = _unary(p.EXP)
exp2 = _unary(p.EXP2)
expm1 = _unary(p.EXPM1)
log = _unary(p.LOG)
log2 = _unary(p.LOG2)
log10 = _unary(p.LOG10)
log1p = _unary(p.LOG1P)
sqrt = _unary(p.SQRT)
rsqrt = _unary(p.RSQRT)
reciprocal = _unary(p.RECIPROCAL)
sin = _unary(p.SIN)
cos = _unary(p.COS)
tan = _unary(p.TAN)
asin = _unary(p.ASIN)
acos = _unary(p.ACOS)
atan = _unary(p.ATAN)
sinh = _unary(p.SINH)
cosh = _unary(p.COSH)
tanh = _unary(p.TANH)
asinh = _unary(p.ASINH)
acosh = _unary(p.ACOSH)
atanh = _unary(p.ATANH)
erf = _unary(p.ERF)
erfc = _unary(p.ERFC)
erfinv = _unary(p.ERFINV)
normal_area = _unary(p.NORMAL_AREA)
normal_power = _unary(p.NORMAL_POWER)
lgamma = _unary(p.LGAMMA)
digamma = _unary(p.DIGAMMA)
sigmoid = _unary(p.SIGMOID)
bitwise_not = _unary(p.BITWISE_NOT)
logical_not = _unary(p.LOGICAL_NOT)
isnan = _unary(p.ISNAN)
isinf = _unary(p.ISINF)
real = _unary(p.REAL)
imaginary = _unary(p.IMAGINARY)

add = _binary(p.ADD)
subtract = _binary(p.SUBTRACT)
multiply = _binary(p.MULTIPLY)
divide = _binary(p.DIVIDE)
floor_divide = _binary(p.FLOOR_DIVIDE)
remainder = _binary(p.REMAINDER)
fmod = _binary(p.FMOD)
power = _binary(p.POWER)
atan2 = _binary(p.ATAN2)
maximum = _binary(p.MAXIMUM)
minimum = _binary(p.MINIMUM)
copysign = _binary(p.COPYSIGN)
nextafter = _binary(p.NEXTAFTER)
complex_pair = _binary(p.COMPLEX)
bitwise_and = _binary(p.BITWISE_AND)
bitwise_or = _binary(p.BITWISE_OR)
bitwise_xor = _binary(p.BITWISE_XOR)
shift_left = _binary(p.SHIFT_LEFT)
shift_right = _binary(p.SHIFT_RIGHT)
equal = _binary(p.EQUAL)
not_equal = _binary(p.NOT_EQUAL)
less = _binary(p.LESS)
less_equal = _binary(p.LESS_EQUAL)
greater = _binary(p.GREATER)
greater_equal = _binary(p.GREATER_EQUAL)
matmul = _binary(p.MATMUL)


def constant(value: Number, dtype: dtype) -> Node:
    """A 0-d number that belongs to the structure."""
    return constant_node(value, dtype)


def like(x: Node, value: Number) -> Node:
    """A 0-d constant of x's dtype."""
    return constant_node(value, x.dtype)


def full(shape: Shape, value: Number, dtype: dtype) -> Node:
    """`value` everywhere."""
    return expand(constant_node(value, dtype), shape)


def iota(length: int) -> Node:
    """0, 1, … length-1 as int64."""
    return make(p.IOTA, (), (length,))


def conjugate(x: Node) -> Node:
    """The complex conjugate; real values are their own."""
    return make(p.CONJUGATE, (x,)) if x.dtype.is_complex else x


def cast(x: Node, target: dtype) -> Node:
    """The values as `target`; nothing when they are that already."""
    return x if x.dtype is target else make(p.CAST, (x,), (target,))


def bitcast(x: Node, target: dtype) -> Node:
    """The bytes read as another dtype of the same size."""
    return x if x.dtype is target else make(p.BITCAST, (x,), (target,))


def reinterpret(x: Node, target: dtype) -> Node:
    """The row-major bytes read as another dtype of any size; 1-d unless the dtype is the same."""
    if x.dtype is target:
        return x
    flat = reshape(x, (x.numel,))
    if x.dtype.itemsize == target.itemsize and not (x.dtype.is_complex or target.is_complex):
        return make(p.BITCAST, (flat,), (target,))
    count = x.numel * x.dtype.itemsize // target.itemsize
    return host("reinterpret", (flat,), (((count,), target),), (target,))[0]


def where(condition: Node, a: Node, b: Node) -> Node:
    """a where the condition holds, else b."""
    return make(p.WHERE, (condition, a, b))


def _reduction(op: Primitive) -> Callable[[Node, Sequence[int]], Node]:
    def build(x: Node, dims: Sequence[int]) -> Node:
        return make(op, (x,), (tuple(sorted(dims)),)) if dims else x

    return build


sum_dims = _reduction(p.SUM)
prod_dims = _reduction(p.PROD)
max_dims = _reduction(p.MAX)
min_dims = _reduction(p.MIN)


def argmax(x: Node, dim: int) -> Node:
    """Index of the first largest value along `dim` (kept with size 1)."""
    return make(p.ARGMAX, (x,), ((dim,),))


def argmin(x: Node, dim: int) -> Node:
    """Index of the first smallest value along `dim` (kept with size 1)."""
    return make(p.ARGMIN, (x,), ((dim,),))


def reshape(x: Node, shape: Sequence[int]) -> Node:
    """The same row-major values in another shape."""
    shape = tuple(shape)
    if shape == x.shape:
        return x
    if x.op is p.RESHAPE:
        return reshape(x.inputs[0], shape)
    return make(p.RESHAPE, (x,), (shape,))


def permute(x: Node, dims: Sequence[int]) -> Node:
    """Dimension i of the result is dimension dims[i] of x."""
    dims = tuple(dims)
    if dims == tuple(range(len(dims))):
        return x
    if x.op is p.PERMUTE:
        inner: tuple[int, ...] = x.attributes[0]
        return permute(x.inputs[0], tuple(inner[d] for d in dims))
    return make(p.PERMUTE, (x,), (dims,))


def transpose(x: Node, a: int = -2, b: int = -1) -> Node:
    """Two dimensions exchanged."""
    dims = list(range(len(x.shape)))
    dims[a], dims[b] = dims[b], dims[a]
    return permute(x, dims)


def expand(x: Node, shape: Sequence[int]) -> Node:
    """Sizes 1 repeated to `shape`; new dimensions come in front."""
    shape = tuple(shape)
    return x if shape == x.shape else make(p.EXPAND, (x,), (shape,))


def slice_dims(x: Node, starts: Shape, lengths: Shape, steps: Shape) -> Node:
    """`lengths[d]` elements of each dimension from `starts[d]` in steps of `steps[d]`."""
    if lengths == x.shape and not any(starts):
        return x
    return make(p.SLICE, (x,), (starts, lengths, steps))


def narrow(x: Node, dim: int, start: int, length: int) -> Node:
    """A contiguous range of one dimension."""
    rank = len(x.shape)
    starts = tuple(start if d == dim else 0 for d in range(rank))
    lengths = tuple(length if d == dim else n for d, n in enumerate(x.shape))
    return slice_dims(x, starts, lengths, (1,) * rank)


def parts_of(flat: Node, shapes: Sequence[Shape]) -> tuple[Node, ...]:
    """The values of these shapes that lie one after the other in a flat one."""
    found: list[Node] = []
    start = 0
    for shape in shapes:
        found.append(reshape(narrow(flat, 0, start, prod(shape)), shape))
        start += prod(shape)
    return tuple(found)


def flip(x: Node, dims: Sequence[int]) -> Node:
    """The given dimensions backwards."""
    return make(p.FLIP, (x,), (tuple(dims),)) if dims else x


def as_strided(x: Node, shape: Shape, strides: Shape, offset: int) -> Node:
    """Element i of the result is the row-major x at offset + i·strides."""
    if offset == 0 and strides == contiguous_strides(shape):
        count = 1
        for size in shape:
            count *= size
        if count == x.numel:
            return reshape(x, shape)
    return make(p.AS_STRIDED, (x,), (shape, strides, offset))


def as_strided_scatter(base: Node, value: Node, shape: Shape, strides: Shape, offset: int) -> Node:
    """base with the strided places overwritten by value."""
    return make(p.AS_STRIDED_SCATTER, (base, value), (shape, strides, offset))


def as_strided_accumulate(value: Node, base_shape: Shape, strides: Shape, offset: int) -> Node:
    """Zeros of `base_shape` with value summed into the strided places (transpose of as_strided)."""
    return make(p.AS_STRIDED_ACCUMULATE, (value,), (base_shape, strides, offset))


def pad(x: Node, low: Shape, high: Shape, fill: Node) -> Node:
    """x surrounded by the 0-d value `fill`."""
    if not any(low) and not any(high):
        return x
    return make(p.PAD, (x, fill), (low, high))


def concatenate(nodes: Sequence[Node], dim: int) -> Node:
    """The nodes one after the other along `dim`."""
    return nodes[0] if len(nodes) == 1 else make(p.CONCATENATE, tuple(nodes), (dim,))


def gather(x: Node, dim: int, index: Node) -> Node:
    """out[i][j] = x[index[i][j]][j] for dim 0, and so on."""
    return make(p.GATHER, (x, index), (dim,))


def scatter(x: Node, dim: int, index: Node, source: Node, mode: str = "set") -> Node:
    """x with source written (or combined) at index along `dim`."""
    return make(p.SCATTER, (x, index, source), (dim, mode))


def index_select(x: Node, dim: int, index: Node) -> Node:
    """Rows of x along `dim`; an index of any rank puts its shape in place of `dim`."""
    return make(p.INDEX_SELECT, (x, index), (dim,))


def index_add(x: Node, dim: int, index: Node, source: Node) -> Node:
    """x with the rows of source added at the places `index` along `dim`."""
    return make(p.INDEX_ADD, (x, index, source), (dim,))


def index(x: Node, dims: Sequence[int], indices: Sequence[Node]) -> Node:
    """Advanced indexing of `dims` by broadcast integer nodes."""
    return make(p.INDEX, (x, *indices), (tuple(dims),))


def index_put(
    x: Node, dims: Sequence[int], indices: Sequence[Node], value: Node, accumulate: bool = False
) -> Node:
    """x with value written (or summed) where `index` would read."""
    return make(p.INDEX_PUT, (x, value, *indices), (tuple(dims), accumulate))


def cumulative(x: Node, dim: int, kind: str) -> Node:
    """Running sum, product, maximum or minimum along `dim`."""
    return make(p.CUMULATIVE, (x,), (dim, kind))


def sort_index(x: Node, dim: int, descending: bool = False) -> Node:
    """Indices that sort along `dim`; equal values keep their order."""
    return make(p.SORT_INDEX, (x,), (dim, descending))


def host(
    name: str,
    inputs: Sequence[Node],
    results: Sequence[tuple[Shape, dtype]],
    parameters: tuple[Any, ...] = (),
) -> tuple[Node, ...]:
    """The results of the named NumPy or SciPy function (`graph.host.HOST_FUNCTIONS`)."""
    call = make(p.HOST, tuple(inputs), (name, parameters, tuple(results)))
    return tuple(make(p.OUTPUT, (call,), (position,)) for position in range(len(results)))


def sum_to(x: Node, shape: Shape) -> Node:
    """Sum over the dimensions that broadcasting `shape` to x's shape has repeated."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    dims = [d for d in range(len(x.shape)) if d < lead or (shape[d - lead] == 1 != x.shape[d])]
    return reshape(sum_dims(x, dims), shape)
