"""Random graphs: the oracle's questions.

`random_graph(seed)` grows a graph from seeded leaves by applying randomly chosen primitives.  Every node
carries its value twice: `value` by the reference rules in its own dtype, and `shadow` with floats in
float64.  Their difference measures how badly a result is conditioned, so that comparisons can be strict
where the arithmetic is benign.  Operations that jump (rounding, comparing, counting positions) are applied
to *exact* nodes only, whose values are small multiples of a power of two, such that every order of
computation gives the same bits.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine import dtype as d
from lampas.engine.graph import build
from lampas.engine.graph import primitives as p
from lampas.engine.graph.node import Node, buffer_node, scalar_node
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.shape import contiguous_strides

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 17, 33)
MOST_ELEMENTS = 4000
FLOATS = (d.float32, d.float32, d.float32, d.float64, d.float16, d.bfloat16)
INTEGERS = (d.int64, d.int32, d.int16, d.int8, d.uint8)
SMOOTH = (
    *("exp", "sin", "cos", "tanh", "sigmoid", "erf", "atan", "sinh", "cosh", "asinh", "expm1"),
    *("erfc", "exp2", "tan", "normal_area", "normal_power"),
)
POSITIVE = ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "lgamma", "digamma")
UNIT = ("asin", "acos", "atanh", "erfinv")
JUMPING = ("floor", "ceil", "trunc", "round", "sign")
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


@dataclass
class Item:
    """A node with its value, its float64 shadow and whether its value is exact."""

    node: Node
    value: Array
    shadow: Array
    exact: bool

    @property
    def dtype(self) -> d.dtype:
        return self.node.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape


@dataclass
class RandomGraph:
    """The outputs of a random graph, and the leaves' arrays by node identity."""

    outputs: list[Item] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


def is_exact(value: Array, kind: d.dtype) -> bool:
    """Whether sums and products of a few such values are exact in any order."""
    if not kind.is_floating_point:
        return not kind.is_complex
    wide = value.astype(np.float64)
    scale, limit = {2: (1.0, 16.0)}.get(kind.itemsize, (64.0, 2.0**14))
    if not np.isfinite(wide).all():
        return False
    scaled = wide * scale
    return bool((scaled == np.rint(scaled)).all() and (np.abs(scaled) < limit).all())


class Generator:
    """Grows one graph."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.items: list[Item] = []
        self.text: list[str] = []

    # ---- leaves ---------------------------------------------------------------------------------------------

    def shape(self) -> tuple[int, ...]:
        r = self.random
        if self.items and r.random() < 0.5:
            return r.choice(self.items).shape
        while True:
            sizes = [r.choice(SIZES) for _ in range(r.choice((0, 1, 1, 2, 2, 2, 3, 3, 4)))]
            if sizes and r.random() < 0.03:
                sizes[r.randrange(len(sizes))] = 0
            if r.random() < 0.06:
                sizes = [r.choice((200, 700)), *sizes[:1]]
            if int(np.prod(sizes)) <= MOST_ELEMENTS:
                return tuple(sizes)

    def kind(self) -> d.dtype:
        r = self.random.random()
        if r < 0.7:
            return self.random.choice(FLOATS)
        return self.random.choice(INTEGERS) if r < 0.92 else d.bool_

    def array(self, shape: tuple[int, ...], kind: d.dtype) -> Array:
        if kind is d.bool_:
            return self.numbers.random(shape) < 0.5
        if not kind.is_floating_point:
            low = 0 if kind is d.uint8 else -6
            return self.numbers.integers(low, 7, shape).astype(kind.numpy)
        if self.random.random() < 0.7:
            step = 1.0 if kind.itemsize == 2 else 8.0
            return (
                (self.numbers.integers(-16, 17, shape) / step / 4).round(3).astype(kind.numpy)
                if step == 8.0
                else self.numbers.integers(-3, 4, shape).astype(kind.numpy)
            )
        return self.numbers.standard_normal(shape).astype(kind.numpy)

    def leaf(self, shape: tuple[int, ...] | None = None, kind: d.dtype | None = None) -> Item:
        """A buffer, a constant, a scalar or a count."""
        r = self.random.random()
        kind = kind or self.kind()
        if shape is None:
            if r < 0.05:
                return self.keep(build.iota(self.random.choice((1, 4, 17))), None)
            if r < 0.1:
                node = scalar_node(self.random.choice((0.5, 3, True, -1.25)))
                return self.keep(node, np.asarray(node.value, node.dtype.numpy))
        shape = self.shape() if shape is None else shape
        if r < 0.2 and not shape:
            value = self.array((), kind).item()
            return self.keep(build.constant(value, kind), np.asarray(value, kind.numpy))
        array = np.ascontiguousarray(self.array(shape, kind)).reshape(shape)
        return self.keep(buffer_node(array, shape, kind), array)

    def keep(self, node: Node, value: Array | None) -> Item:
        """Remember a leaf."""
        if value is None:
            value = np.arange(node.attributes[0], dtype=np.int64)
        shadow = value.astype(np.float64) if node.dtype.is_floating_point else value
        item = Item(node, value, shadow, is_exact(value, node.dtype))
        self.items.append(item)
        self.text.append(repr(node))
        return item

    # ---- applying -------------------------------------------------------------------------------------------

    def apply(self, node: Node, *sources: Item) -> Item:
        """Evaluate a new node by its reference rule, in its dtype and in float64."""
        if node is sources[0].node:
            return sources[0]
        if [id(source) for source in node.inputs] != [id(item.node) for item in sources]:
            raise ValueError(f"{node!r} does not come from {sources}")
        rule = REFERENCE_RULES[node.op]
        with np.errstate(all="ignore"):
            value = np.asarray(rule([s.value for s in sources], *node.attributes))
            attributes: Any = node.attributes
            if node.op is p.CAST and node.dtype.is_floating_point:
                attributes = (d.float64,)
            shadow = np.asarray(rule([s.shadow for s in sources], *attributes))
        if not node.dtype.is_floating_point:
            shadow = value
        exact = is_exact(value, node.dtype) and all(s.exact for s in sources)
        item = Item(node, value, shadow, exact)
        self.items.append(item)
        numbers = [next(n for n, i in enumerate(self.items) if i is s) for s in sources]
        self.text.append(f"{node!r} {node.attributes} {numbers}")
        return item

    def pick(self, wanted: Callable[[Item], bool]) -> Item | None:
        """A random item that is wanted; recent ones more often."""
        found = [item for item in self.items if wanted(item)]
        if not found:
            return None
        return found[-1 - int(len(found) * self.random.random() ** 2)]

    def any_item(self) -> Item:
        return self.pick(lambda i: True) or self.leaf()

    def float_item(self) -> Item:
        found = self.pick(lambda i: i.dtype.is_floating_point)
        return found or self.leaf(self.shape(), self.random.choice(FLOATS))

    def exact_item(self) -> Item:
        return self.pick(lambda i: i.exact and i.dtype is not d.bool_) or self.leaf(
            self.shape(), d.int64
        )

    def partner(self, item: Item, kind: d.dtype | None = None) -> Item:
        """An item that broadcasts with another one."""
        kind = kind or item.dtype

        def fits(other: Item) -> bool:
            try:
                return (
                    other.dtype is kind
                    and int(np.prod(np.broadcast_shapes(other.shape, item.shape))) <= MOST_ELEMENTS
                )
            except ValueError:
                return False

        found = self.pick(fits) if self.random.random() < 0.7 else None
        if found is None:
            shape = [n if self.random.random() < 0.75 else 1 for n in item.shape]
            found = self.leaf(tuple(shape[self.random.randrange(len(shape) + 1) :]), kind)
        return found

    def constant(self, value: Any, kind: d.dtype) -> Item:
        return self.keep(build.constant(value, kind), np.asarray(value, kind.numpy))

    def index(self, shape: tuple[int, ...], size: int) -> Item:
        """Valid int64 positions along a dimension of some size."""
        array = np.ascontiguousarray(self.numbers.integers(0, max(size, 1), shape)).reshape(shape)
        return self.keep(buffer_node(array, shape, d.int64), array)

    def with_rank(self, least: int = 1) -> Item:
        """An item with dimensions, none of them empty."""
        found = self.pick(lambda i: len(i.shape) >= least and 0 not in i.shape)
        return found or self.leaf((3, 5, 2)[: max(least, 1)], d.float32)


# ---- growing: one function a family --------------------------------------------------------------------------


def grow_smooth(g: Generator) -> None:
    x = g.float_item()
    name = g.random.choice((*SMOOTH, *POSITIVE, *UNIT, "negative", "absolute"))
    if name in POSITIVE:
        small = g.constant(0.5, x.dtype)
        x = g.apply(build.absolute(x.node), x)
        x = g.apply(build.add(x.node, small.node), x, small)
    elif name in UNIT:
        half = g.constant(0.5, x.dtype)
        x = g.apply(build.tanh(x.node), x)
        x = g.apply(build.multiply(x.node, half.node), x, half)
    elif name not in ("negative", "absolute"):
        limit = g.constant(4.0, x.dtype)
        x = g.apply(build.minimum(x.node, limit.node), x, limit)
        low = g.constant(-1.5, x.dtype)
        x = g.apply(build.maximum(x.node, low.node), x, low)
    g.apply(build.make(p.PRIMITIVES[name], (x.node,)), x)


def grow_jump(g: Generator) -> None:
    x = g.exact_item()
    name = g.random.choice(JUMPING)
    if name != "sign" and not x.dtype.is_floating_point:
        name = "negative"
    g.apply(build.make(p.PRIMITIVES[name], (x.node,)), x)


def grow_binary(g: Generator) -> None:
    x = g.any_item()
    y = g.partner(x)
    names = ["add", "multiply", "maximum", "minimum"]
    if x.dtype is d.bool_:
        names = ["bitwise_and", "bitwise_or", "bitwise_xor", "maximum", "add", "multiply"]
    else:
        names.append("subtract")
        if x.dtype.is_floating_point:
            names.extend(("copysign", "atan2"))
        else:
            names.extend(("bitwise_and", "bitwise_or", "bitwise_xor"))
    name = g.random.choice(names)
    if name in ("copysign", "atan2") and not (x.exact and y.exact):
        name = "add"
    g.apply(build.make(p.PRIMITIVES[name], (x.node, y.node)), x, y)


def grow_divide(g: Generator) -> None:
    x = g.exact_item()
    if x.dtype is d.uint8:
        return
    y = g.apply(build.absolute(x.node), x)
    one = g.constant(1, x.dtype)
    y = g.apply(build.maximum(y.node, one.node), y, one)
    names = ["remainder", "fmod", "floor_divide", "power"]
    if x.dtype.is_floating_point:
        names = ["divide", "remainder", "fmod"]
    name = g.random.choice(names)
    if name == "power":
        two = g.constant(2, x.dtype)
        y = g.apply(build.minimum(y.node, two.node), y, two)
    g.apply(build.make(p.PRIMITIVES[name], (x.node, y.node)), x, y)


def grow_compare(g: Generator) -> None:
    x = g.exact_item()
    y = g.partner(x)
    if y.exact:
        name = g.random.choice(COMPARISONS)
        g.apply(build.make(p.PRIMITIVES[name], (x.node, y.node)), x, y)


def grow_where(g: Generator) -> None:
    x = g.any_item()
    y = g.partner(x)
    both = Item(x.node, x.value, x.shadow, False)
    c = g.partner(both, d.bool_)
    try:
        shape = np.broadcast_shapes(c.shape, x.shape, y.shape)
    except ValueError:
        return
    if int(np.prod(shape)) <= MOST_ELEMENTS:
        g.apply(build.where(c.node, x.node, y.node), c, x, y)


def grow_cast(g: Generator) -> None:
    x = g.any_item()
    target = g.kind()
    if target.is_floating_point or x.exact:
        if target is d.uint8 and x.dtype is not d.bool_:
            x = g.apply(build.absolute(x.node), x) if x.dtype is not d.uint8 else x
        g.apply(build.cast(x.node, target), x)


def grow_predicate(g: Generator) -> None:
    x = g.exact_item()
    name = g.random.choice(("logical_not", "isnan", "isinf", "bitwise_not"))
    if name == "bitwise_not" and x.dtype.is_floating_point:
        name = "logical_not"
    g.apply(build.make(p.PRIMITIVES[name], (x.node,)), x)


def grow_reduce(g: Generator) -> None:
    x = g.pick(lambda i: bool(i.shape)) or g.with_rank()
    dims = [n for n in range(len(x.shape)) if g.random.random() < 0.5] or [len(x.shape) - 1]
    names = ["max", "min"]
    if x.dtype is not d.bool_:
        names = ["sum", "sum", "sum", "max", "min"]
        if x.value.size <= 64 or not x.dtype.is_floating_point:
            names.append("prod")
    name = g.random.choice(names)
    g.apply(build.make(p.PRIMITIVES[name], (x.node,), (tuple(dims),)), x)


def grow_arg_reduce(g: Generator) -> None:
    x = g.exact_item()
    if x.shape and 0 not in x.shape:
        dim = g.random.randrange(len(x.shape))
        g.apply(g.random.choice((build.argmax, build.argmin))(x.node, dim), x)


def grow_softmax(g: Generator) -> None:
    """Max, subtract, exp, sum and divide along one dimension: a row region in itself."""
    x = g.pick(lambda i: i.dtype.is_floating_point and bool(i.shape) and 0 not in i.shape)
    if x is None:
        return
    dims = (g.random.randrange(len(x.shape)),)
    if x.shape[dims[0]] == 1:
        return
    top = g.apply(build.max_dims(x.node, dims), x)
    away = g.apply(build.subtract(x.node, top.node), x, top)
    grown = g.apply(build.exp(away.node), away)
    total = g.apply(build.sum_dims(grown.node, dims), grown)
    g.apply(build.divide(grown.node, total.node), grown, total)


def grow_reshape(g: Generator) -> None:
    x = g.any_item()
    left, shape = x.value.size, []
    if left == 0:
        return
    while left > 1 and len(shape) < 4:
        factors = [n for n in range(2, left + 1) if left % n == 0]
        shape.append(g.random.choice(factors))
        left //= shape[-1]
    shape.append(left)
    if g.random.random() < 0.3:
        shape.insert(g.random.randrange(len(shape) + 1), 1)
    g.random.shuffle(shape)
    if tuple(shape) != x.shape:
        g.apply(build.make(p.RESHAPE, (x.node,), (tuple(shape),)), x)


def grow_permute(g: Generator) -> None:
    x = g.with_rank(2)
    dims = list(range(len(x.shape)))
    g.random.shuffle(dims)
    g.apply(build.make(p.PERMUTE, (x.node,), (tuple(dims),)), x)


def grow_expand(g: Generator) -> None:
    x = g.any_item()
    shape = [g.random.choice((2, 3)) if n == 1 and g.random.random() < 0.7 else n for n in x.shape]
    if g.random.random() < 0.3:
        shape.insert(0, 2)
    if int(np.prod(shape)) <= MOST_ELEMENTS and tuple(shape) != x.shape:
        g.apply(build.expand(x.node, shape), x)


def grow_slice(g: Generator) -> None:
    x = g.with_rank()
    starts, lengths, steps = [], [], []
    for size in x.shape:
        step = g.random.choice((1, 1, 2, 3))
        start = g.random.randrange(size)
        most = (size - start + step - 1) // step
        starts.append(start)
        lengths.append(g.random.randint(1, most))
        steps.append(step)
    g.apply(build.make(p.SLICE, (x.node,), (tuple(starts), tuple(lengths), tuple(steps))), x)


def grow_flip(g: Generator) -> None:
    x = g.with_rank()
    dims = tuple(n for n in range(len(x.shape)) if g.random.random() < 0.5)
    if dims:
        g.apply(build.flip(x.node, dims), x)


def grow_as_strided(g: Generator) -> None:
    x = g.pick(lambda i: i.value.size >= 6)
    if x is None:
        return
    if g.random.random() < 0.5:
        shape, strides = (2, 3), g.random.choice(((3, 1), (1, 1), (1, 2), (2, 1), (0, 1)))
    else:
        shape, strides = (x.value.size // 2,), (2,)
    node = build.make(p.AS_STRIDED, (x.node,), (shape, strides, 0))
    g.apply(node, x)


def grow_strided_write(g: Generator) -> None:
    x = g.with_rank()
    strides = contiguous_strides(x.shape)
    lengths = tuple(g.random.randint(1, n) for n in x.shape)
    offset = sum(
        g.random.randrange(n - k + 1) * s for n, k, s in zip(x.shape, lengths, strides, strict=True)
    )
    v = g.leaf(lengths, x.dtype)
    if g.random.random() < 0.7:
        g.apply(build.as_strided_scatter(x.node, v.node, lengths, strides, offset), x, v)
    elif x.dtype is not d.bool_:
        if g.random.random() < 0.3:
            strides = (1,) * len(lengths)
            offset = 0
            if sum(n - 1 for n in lengths) >= x.value.size:
                return
        g.apply(build.as_strided_accumulate(v.node, x.shape, strides, offset), v)


def grow_pad(g: Generator) -> None:
    x = g.with_rank()
    low = tuple(g.random.choice((0, 0, 1, 2, -1 if n > 2 else 0)) for n in x.shape)
    high = tuple(g.random.choice((0, 0, 1, 3, -1 if n > 2 else 0)) for n in x.shape)
    grown = [a + n + b for a, n, b in zip(low, x.shape, high, strict=True)]
    if int(np.prod(grown)) <= MOST_ELEMENTS and (any(low) or any(high)):
        fill = g.leaf((), x.dtype)
        g.apply(build.pad(x.node, low, high, fill.node), x, fill)


def grow_concatenate(g: Generator) -> None:
    x = g.with_rank()
    dim = g.random.randrange(len(x.shape))
    shape = list(x.shape)
    shape[dim] = g.random.choice((1, 2, 5))
    y = g.leaf(tuple(shape), x.dtype)
    parts = [x, y] if g.random.random() < 0.5 else [y, x, x]
    if sum(part.value.size for part in parts) <= MOST_ELEMENTS:
        g.apply(build.concatenate([part.node for part in parts], dim), *parts)


def grow_gather(g: Generator) -> None:
    x = g.with_rank()
    dim = g.random.randrange(len(x.shape))
    shape = tuple(
        g.random.choice((1, 3)) if n == dim else g.random.randint(1, size)
        for n, size in enumerate(x.shape)
    )
    index = g.index(shape, x.shape[dim])
    g.apply(build.gather(x.node, dim, index.node), x, index)


def grow_index(g: Generator) -> None:
    x = g.with_rank()
    dim = g.random.randrange(len(x.shape))
    if g.random.random() < 0.5:
        index = g.index(g.random.choice(((), (3,), (2, 2))), x.shape[dim])
        g.apply(build.index_select(x.node, dim, index.node), x, index)
        return
    dims = tuple(n for n in range(len(x.shape)) if g.random.random() < 0.6) or (dim,)
    indices = [g.index(g.random.choice(((3,), (2, 3), (1,))), x.shape[n]) for n in dims]
    g.apply(build.index(x.node, dims, [i.node for i in indices]), x, *indices)


def grow_scatter(g: Generator) -> None:
    x = g.with_rank()
    dim = g.random.randrange(len(x.shape))
    if x.dtype is d.bool_:
        return
    kind = g.random.choice(("scatter", "one", "index_add", "index_put"))
    if kind == "scatter" or kind == "one":
        count = 1 if kind == "one" else g.random.choice((2, 5))
        shape = tuple(count if n == dim else size for n, size in enumerate(x.shape))
        index = g.index(shape, x.shape[dim])
        source = g.leaf(shape, x.dtype)
        mode = g.random.choice(("set", "add", "multiply", "maximum"))
        g.apply(build.scatter(x.node, dim, index.node, source.node, mode), x, index, source)
    elif kind == "index_add":
        index = g.index((2,), x.shape[dim])
        shape = tuple(2 if n == dim else size for n, size in enumerate(x.shape))
        source = g.leaf(shape, x.dtype)
        g.apply(build.index_add(x.node, dim, index.node, source.node), x, index, source)
    else:
        index = g.index((1,), x.shape[0])
        value = g.leaf((1, *x.shape[1:]), x.dtype)
        node = build.index_put(x.node, (0,), [index.node], value.node, g.random.random() < 0.5)
        g.apply(node, x, value, index)


def grow_scan(g: Generator) -> None:
    x = g.exact_item()
    if not x.shape or 0 in x.shape:
        return
    dim = g.random.randrange(len(x.shape))
    if g.random.random() < 0.5:
        g.apply(build.cumulative(x.node, dim, g.random.choice(("sum", "maximum"))), x)
    else:
        g.apply(build.sort_index(x.node, dim, g.random.random() < 0.5), x)


def grow_matmul(g: Generator) -> None:
    x = g.pick(lambda i: len(i.shape) >= 2 and i.dtype in (d.float32, d.float64, d.int64))
    x = x or g.leaf((5, 3), d.float32)
    columns = g.random.choice((1, 2, 5, 18))
    shape = (*x.shape[:-2], x.shape[-1], columns)
    if int(np.prod(shape)) > MOST_ELEMENTS or x.shape[-2] * columns > MOST_ELEMENTS:
        return
    if g.random.random() < 0.5:
        y = g.leaf(shape, x.dtype)
    else:
        other = g.leaf((*shape[:-2], columns, x.shape[-1]), x.dtype)
        y = g.apply(build.transpose(other.node), other)
    g.apply(build.matmul(x.node, y.node), x, y)


def grow_convolution(g: Generator) -> None:
    """A convolution, or one of its derivatives, or max pooling, of small images."""
    r = g.random
    kind = r.choice((d.float32, d.float32, d.float64))
    groups, rank = r.choice((1, 1, 2)), r.choice((1, 2, 2))
    kernel = tuple(r.choice((1, 2, 3)) for _ in range(rank))
    stride = tuple(r.choice((1, 1, 2)) for _ in range(rank))
    padding = tuple(r.choice((0, 1)) for _ in range(rank))
    dilation = tuple(r.choice((1, 1, 2)) for _ in range(rank))
    spatial = tuple(r.choice((5, 6, 9)) for _ in range(rank))
    x = g.leaf((r.choice((1, 2)), 2 * groups, *spatial), kind)
    weight = g.leaf((3 * groups, 2, *kernel), kind)
    rest = (stride, padding, dilation, groups)
    y = g.apply(build.make(p.CONVOLUTION, (x.node, weight.node), rest), x, weight)
    choice = r.choice(("forward", "input", "weight", "pool"))
    if choice == "input":
        node = build.make(p.CONVOLUTION_BACKWARD_INPUT, (y.node, weight.node), (x.shape, *rest))
        g.apply(node, y, weight)
    elif choice == "weight":
        node = build.make(p.CONVOLUTION_BACKWARD_WEIGHT, (x.node, y.node), (weight.shape, *rest))
        g.apply(node, x, y)
    elif choice == "pool" and x.exact and min(y.shape[2:]) > 1:
        sizes = tuple(n // 2 for n in x.shape[2:])
        two, none, one = (2,) * rank, (0,) * rank, (1,) * rank
        g.apply(build.make(p.MAX_POOL_INDEX, (x.node,), (two, two, none, one, sizes)), x)


FAMILIES: tuple[tuple[Callable[[Generator], None], int], ...] = (
    (grow_smooth, 8),
    (grow_jump, 2),
    (grow_binary, 12),
    (grow_divide, 2),
    (grow_compare, 4),
    (grow_where, 4),
    (grow_cast, 4),
    (grow_predicate, 1),
    (grow_reduce, 8),
    (grow_arg_reduce, 2),
    (grow_softmax, 3),
    (grow_reshape, 4),
    (grow_permute, 4),
    (grow_expand, 3),
    (grow_slice, 3),
    (grow_flip, 2),
    (grow_as_strided, 2),
    (grow_strided_write, 2),
    (grow_pad, 2),
    (grow_concatenate, 2),
    (grow_gather, 2),
    (grow_index, 2),
    (grow_scatter, 2),
    (grow_scan, 1),
    (grow_matmul, 4),
    (grow_convolution, 2),
)


def random_graph(seed: int, steps: int = 0) -> RandomGraph:
    """A graph grown from `seed`: its outputs are what nothing else uses, and a few inner nodes."""
    g = Generator(seed)
    for _ in range(g.random.choice((1, 2, 3))):
        g.leaf()
    families = [family for family, weight in FAMILIES for _ in range(weight)]
    for _ in range(steps or g.random.choice((3, 6, 12, 24, 40))):
        g.random.choice(families)(g)
    used = {id(source) for item in g.items for source in item.node.inputs}
    ends = [i for i in g.items if id(i.node) not in used and i.node.op.kind != "leaf"]
    inner = [i for i in g.items if id(i.node) in used and i.node.inputs]
    graph = RandomGraph(text=g.text)
    graph.outputs = ends[-6:] + g.random.sample(inner, min(len(inner), g.random.choice((0, 1, 2))))
    return graph
