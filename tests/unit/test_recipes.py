"""Recipes: an operation's graph is found once; what is computed does not depend on it."""

import numpy as np

import lampas
from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.derive.recipe import Recipe, ghost
from lampas.engine.dtype import float32
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.following import write_follower
from lampas.engine.graph.linear import linearize
from lampas.engine.graph.node import Node
from lampas.engine.tensor.door import record

SOFT = Operation("soft", lambda x, y: g.multiply(g.tanh(x), g.add(x, g.like(x, 1))))


def leaf(*shape: int) -> Node:
    return Node(p.BUFFER, (), (), shape, float32)


def test_a_call_is_one_node_and_is_written_out_when_compiled() -> None:
    x, y = leaf(3), leaf(3)
    (out,) = SOFT.compute((x, y), ())
    assert out.op is p.CALL
    assert out.inputs == (x,)
    line = linearize([out])
    assert [node.op for node in line.nodes] == [p.BUFFER, p.CALL]
    graph = line.graph()
    assert [entry.op.name for entry in graph.entries] == [
        "buffer",
        "tanh",
        "constant",
        "add",
        "multiply",
    ]
    assert [entry.op.name for entry in line.skeleton().entries] == ["buffer", "call"]


def test_recipes_are_found_again_by_shapes_dtypes_and_attributes() -> None:
    scaled = Operation("scaled", lambda x, by: g.multiply(g.exp(x), g.like(x, by)))
    first = scaled.recipe((leaf(3),), (2,))
    assert scaled.recipe((leaf(3),), (2,)) is first
    for inputs, attributes in (((leaf(4),), (2,)), ((leaf(3),), (2.0,)), ((leaf(3),), (3,))):
        assert scaled.recipe(inputs, attributes) is not first
    assert scaled.recipe((leaf(3),), (0.0,)) is not scaled.recipe((leaf(3),), (-0.0,))


def test_a_single_primitive_is_no_call() -> None:
    doubled = Operation("doubled", lambda x: g.add(x, x))
    (out,) = doubled.compute((leaf(3),), ())
    assert out.op is p.ADD


def test_derivatives_say_what_they_read() -> None:
    product = Operation("product", g.multiply)
    x, y, ct = leaf(3), leaf(3), leaf(3)
    saved = Saved((x, y), (leaf(3),), (), (True, False))
    recipe = product.derivative(saved, (ct,))
    assert [recipe.uses(place) for place in range(4)] == [False, True, False, True]
    exponential = Operation("exponential", g.exp)
    saved = Saved((x,), (leaf(3),), (), (True,))
    recipe = exponential.derivative(saved, (ct,))
    assert [recipe.uses(place) for place in range(3)] == [False, True, True]


def test_inputs_may_be_results() -> None:
    x, y = ghost(leaf(2)), ghost(leaf(2))
    recipe = Recipe((x, y), (y, None, g.exp(x)))
    a, b = leaf(2), leaf(2)
    made = recipe.make((a, b))
    assert made[0] is b
    assert made[1] is None
    assert made[2] is not None
    assert recipe.sources() == [frozenset({1}), frozenset(), frozenset({0})]


def test_equal_inputs_are_not_confused() -> None:
    x = lampas.tensor([1.0, 2.0], requires_grad=True)
    y = x.detach()
    (x * y + x.tanh() * y.exp()).sum().backward()
    expected = np.array([1.0, 2.0]) + np.exp([1.0, 2.0]) / np.cosh([1.0, 2.0]) ** 2
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_several_results() -> None:
    both = Operation("both", lambda x: (g.exp(g.add(x, x)), g.sin(x), x), multiple=True)
    x = lampas.tensor([0.5])
    one, two, three = record(both, (x,))
    assert abs(one.item() - np.exp(1.0)) < 1e-6
    assert abs(two.item() - np.sin(0.5)) < 1e-6
    assert three.item() == 0.5


def test_a_known_structure_is_followed_and_another_is_not() -> None:
    def product(same: bool, size: int = 3) -> Node:
        x = leaf(size)
        return g.add(g.multiply(x, x if same else leaf(size)), g.like(x, 1))

    line = linearize([product(False)])
    steps = tuple(
        (entry.op, entry.attributes, entry.sources, entry.shape, entry.dtype)
        for entry in line.skeleton().entries
    )
    follow = write_follower(steps, line.outputs)
    again = product(False)
    nodes = follow([again])
    assert nodes is not None
    assert nodes[line.outputs[0]] is again
    assert nodes == linearize([again]).nodes
    for other in (product(True), product(False, 4), g.exp(leaf(3))):
        assert follow([other]) is None
    assert follow([again, again]) is None


def test_a_structure_with_repeated_operands_is_followed() -> None:
    def graph() -> list[Node]:
        x, y = leaf(3), leaf(3)
        total = g.add(g.multiply(x, y), x)
        return [g.subtract(total, g.multiply(total, y)), total]

    line = linearize(graph())
    steps = [
        (entry.op, entry.attributes, entry.sources, entry.shape, entry.dtype)
        for entry in line.skeleton().entries
    ]
    again = graph()
    assert write_follower(steps, line.outputs)(again) == linearize(again).nodes
