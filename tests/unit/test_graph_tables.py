"""Every primitive has its row in each table, and each derivative agrees with finite differences."""

import numpy as np
import pytest

from lampas.engine.derive.pullback import pull_back
from lampas.engine.derive.rules import VJP_RULES
from lampas.engine.device.buffer import Buffer
from lampas.engine.dtype import float64
from lampas.engine.errors import InternalError
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.linear import linearize
from lampas.engine.graph.node import Node, buffer_node, scalar_node, sort_topologically
from lampas.engine.graph.reference import REFERENCE_RULES, evaluate
from lampas.engine.graph.shapes import SHAPE_RULES

# Leaves have values of their own; calls are written out before anything is computed.
LEAVES_WITHOUT_REFERENCE = {p.BUFFER, p.SCALAR, p.CONSTANT, p.CALL}


def leaf(array: np.ndarray) -> Node:
    return buffer_node(Buffer.from_array(np.ascontiguousarray(array)), array.shape, float64)


def value(node: Node) -> np.ndarray:
    line = linearize([node])
    leaves = [line.nodes[place] for place in line.leaves]
    arrays = [
        np.asarray(each.value)
        if each.buffer is None
        else each.buffer.array(float64.numpy, each.shape)
        for each in leaves
    ]
    return evaluate(line.graph(), arrays)[0]


def test_every_primitive_has_a_row_in_each_table() -> None:
    everything = set(p.PRIMITIVES.values())
    assert set(SHAPE_RULES) == everything
    assert set(VJP_RULES) == everything
    assert set(REFERENCE_RULES) == everything - LEAVES_WITHOUT_REFERENCE


UNARY = {
    "negative": (-2, 2), "absolute": (0.5, 2), "exp": (-1, 1), "exp2": (-1, 1), "expm1": (-1, 1),
    "log": (0.5, 2), "log2": (0.5, 2), "log10": (0.5, 2), "log1p": (-0.5, 2), "sqrt": (0.5, 2),
    "rsqrt": (0.5, 2), "reciprocal": (0.5, 2), "sin": (-2, 2), "cos": (-2, 2), "tan": (-1, 1),
    "asin": (-0.8, 0.8), "acos": (-0.8, 0.8), "atan": (-2, 2), "sinh": (-1, 1), "cosh": (-1, 1),
    "tanh": (-1, 1), "asinh": (-2, 2), "acosh": (1.5, 3), "atanh": (-0.8, 0.8), "erf": (-1, 1),
    "erfc": (-1, 1), "erfinv": (-0.8, 0.8), "normal_area": (-2, 2), "normal_power": (-2, 2), "lgamma": (0.5, 3), "sigmoid": (-2, 2),
}  # fmt: skip
INDEX = np.array([[2, 0, 1], [1, 1, 0]])
COMPOSED = {
    "add": lambda x, y: g.add(x, y),
    "subtract": lambda x, y: g.subtract(y, x),
    "multiply broadcast": lambda x, y: g.multiply(x, g.narrow(y, 0, 0, 1)),
    "divide": lambda x, y: g.divide(x, y),
    "remainder": lambda x, y: g.remainder(x, y),
    "fmod": lambda x, y: g.fmod(x, y),
    "power": lambda x, y: g.power(x, y),
    "atan2": lambda x, y: g.atan2(x, y),
    "maximum": lambda x, y: g.maximum(x, y),
    "minimum": lambda x, y: g.minimum(x, y),
    "copysign": lambda x, y: g.copysign(x, y),
    "where": lambda x, y: g.where(g.greater(x, y), x, g.multiply(y, y)),
    "sum": lambda x, y: g.sum_dims(g.multiply(x, y), (0,)),
    "prod": lambda x, y: g.prod_dims(g.multiply(x, y), (1,)),
    "prod all": lambda x, y: g.prod_dims(x, (0, 1)),
    "max": lambda x, y: g.max_dims(x, (1,)),
    "min": lambda x, y: g.min_dims(x, (0, 1)),
    "reshape": lambda x, y: g.multiply(g.reshape(x, (3, 2)), g.reshape(y, (3, 2))),
    "permute": lambda x, y: g.matmul(x, g.permute(y, (1, 0))),
    "expand": lambda x, y: g.multiply(g.expand(g.narrow(x, 0, 1, 1), (2, 3)), y),
    "slice": lambda x, y: g.slice_dims(g.multiply(x, y), (0, 0), (2, 2), (1, 2)),
    "flip": lambda x, y: g.multiply(g.flip(x, (1,)), y),
    "as_strided": lambda x, y: g.as_strided(g.multiply(x, y), (2, 2), (1, 2), 1),
    "as_strided_scatter": lambda x, y: g.multiply(
        x, g.as_strided_scatter(x, g.narrow(y, 1, 0, 1), (2, 1), (3, 1), 1)
    ),
    "as_strided_accumulate": lambda x, y: g.as_strided_accumulate(x, (8,), (1, 2), 0),
    "pad": lambda x, y: g.pad(x, (1, 0), (0, 2), g.sum_to(y, ())),
    "pad crop": lambda x, y: g.pad(g.multiply(x, y), (0, -1), (1, 0), g.like(x, 2)),
    "concatenate": lambda x, y: g.multiply(g.concatenate([x, y], 0), g.concatenate([y, x], 0)),
    "gather": lambda x, y: g.gather(g.multiply(x, y), 1, index_leaf(INDEX)),
    "scatter": lambda x, y: g.scatter(x, 1, index_leaf(INDEX[:, :1]), y),
    "scatter add": lambda x, y: g.scatter(x, 1, index_leaf(INDEX), y, "add"),
    "index_select": lambda x, y: g.index_select(x, 1, index_leaf(np.array([0, 0, 2, 1]))),
    "index_add": lambda x, y: g.index_add(x, 0, index_leaf(np.array([1, 1])), y),
    "index": lambda x, y: g.index(x, (1,), [index_leaf(np.array([[0, 2], [2, 1]]))]),
    "index_put": lambda x, y: g.index_put(x, (1,), [index_leaf(np.array([2, 0, 1]))], y),
    "index_put sum": lambda x, y: g.index_put(x, (0,), [index_leaf(np.array([1, 1]))], y, True),
    "cumulative sum": lambda x, y: g.multiply(g.cumulative(x, 1, "sum"), y),
    "cumulative product": lambda x, y: g.cumulative(g.multiply(x, y), 1, "product"),
    "matmul": lambda x, y: g.matmul(g.matmul(x, g.transpose(y)), y),
}  # fmt: skip


def index_leaf(array: np.ndarray) -> Node:
    from lampas.engine.dtype import int64

    return buffer_node(Buffer.from_array(np.ascontiguousarray(array)), array.shape, int64)


def value_with_index(node: Node) -> np.ndarray:
    line = linearize([node])
    leaves = [line.nodes[place] for place in line.leaves]
    return evaluate(
        line.graph(), [each.buffer.array(each.dtype.numpy, each.shape) for each in leaves]
    )[0]


def check(function, arrays: list[np.ndarray]) -> None:
    """One random direction: the change of <w, f> along d equals <vjp(w), d>."""
    generator = np.random.default_rng(1)
    inputs = [leaf(array) for array in arrays]
    out = function(*inputs)
    weight = generator.standard_normal(out.shape)
    flows = pull_back([out], [leaf(weight)], inputs, [True] * len(inputs))
    step = 1e-6
    for place, flow in enumerate(flows):
        direction = generator.standard_normal(arrays[place].shape)
        ends = []
        for sign in (1, -1):
            moved = [a + sign * step * direction if n == place else a for n, a in enumerate(arrays)]
            ends.append(float((value_with_index(function(*map(leaf, moved))) * weight).sum()))
        slope = (ends[0] - ends[1]) / (2 * step)
        found = 0.0 if flow is None else float((value_with_index(flow) * direction).sum())
        assert found == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", UNARY)
def test_derivative_of_a_function(name: str) -> None:
    low, high = UNARY[name]
    points = np.linspace(low, high, 6).reshape(2, 3) + 0.01
    check(lambda x: g.make(p.PRIMITIVES[name], (x,)), [points.clip(low, high)])


@pytest.mark.parametrize("name", COMPOSED)
def test_derivative_of_an_operation(name: str) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(0.5, 2, (2, 2, 3))
    check(COMPOSED[name], [x, y])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_derivatives_of_convolution(groups: int, stride: int, padding: int, dilation: int) -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 4, 6, 5))
    weight = generator.standard_normal((2, 4 // groups, 3, 2))
    settings = ((stride,) * 2, (padding,) * 2, (dilation,) * 2, groups)
    check(lambda a, b: g.make(p.CONVOLUTION, (a, b), settings), [x, weight])
    shape = value(g.make(p.CONVOLUTION, (leaf(x), leaf(weight)), settings)).shape
    grad = generator.standard_normal(shape)
    check(
        lambda a, b: g.make(p.CONVOLUTION_BACKWARD_INPUT, (a, b), (x.shape, *settings)),
        [grad, weight],
    )
    check(
        lambda a, b: g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (a, b), (weight.shape, *settings)),
        [x, grad],
    )


@pytest.mark.parametrize(("causal", "biased"), [(False, False), (True, False), (False, True)])
def test_derivatives_of_attention(causal: bool, biased: bool) -> None:
    generator = np.random.default_rng(0)
    sizes = (2, 1, 3, 4), (2, 1, 5, 4), (2, 1, 5, 2), (2, 1, 3, 2)
    query, key, values, flow = (generator.standard_normal(size) for size in sizes)
    bias = [leaf(generator.standard_normal((2, 1, 3, 5)))] if biased else []
    check(lambda *parts: g.make(p.ATTENTION, (*parts, *bias), (0.5, causal)), [query, key, values])
    check(
        lambda *parts: g.make(p.ATTENTION_BACKWARD, (*parts, *bias), (0.5, causal)),
        [query, key, values, flow],
    )


def test_malformed_nodes_are_refused() -> None:
    x = leaf(np.zeros((2, 3)))
    for build in (
        lambda: g.add(x, leaf(np.zeros(4))),
        lambda: g.reshape(x, (5,)),
        lambda: g.matmul(x, x),
        lambda: g.add(x, g.constant(1, p_int64())),
        lambda: g.slice_dims(x, (0, 2), (2, 3), (1, 1)),
    ):
        with pytest.raises(InternalError):
            build()


def p_int64():
    from lampas.engine.dtype import int64

    return int64


def test_equal_structures_have_equal_keys() -> None:
    def make(number: float, rows: int) -> Node:
        x = leaf(np.ones((rows, 3)))
        return g.multiply(x, scalar_node(number))

    assert linearize([make(1.0, 2)]).key == linearize([make(5.0, 2)]).key
    assert linearize([make(1.0, 2)]).key != linearize([make(1.0, 4)]).key
    a, b = (g.like(leaf(np.ones(2)), value) for value in (0.0, -0.0))
    assert linearize([a]).key != linearize([b]).key


def test_order_is_topological_and_deep_graphs_do_not_recurse() -> None:
    node = leaf(np.zeros(1))
    for _ in range(5000):
        node = g.add(node, node)
    order = sort_topologically([node])
    place = {id(each): n for n, each in enumerate(order)}
    assert len(order) == 5001
    assert all(place[id(s)] < place[id(each)] for each in order for s in each.inputs)


def test_realised_nodes_forget_their_history() -> None:
    x = leaf(np.zeros(2))
    y = g.add(x, x)
    y.realize_as(x.buffer)
    assert y.inputs == ()
    assert y.op is p.BUFFER
