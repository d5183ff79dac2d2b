"""Entries of a graph know which operation they came from, and no key knows it."""

import lampas as torch
from lampas.engine.graph.linear import LinearGraph, linearize
from lampas.engine.schedule.settle import settle
from lampas.engine.schedule.simplify import simplify


def graph_of(*tensors: torch.Tensor) -> LinearGraph:
    return linearize([tensor._value() for tensor in tensors]).graph()


def test_calls_bear_their_operation_and_shapes() -> None:
    x, weight, bias = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4)
    graph = graph_of(torch.nn.functional.linear(x, weight, bias).relu())
    names = {entry.op.name: origin for entry, origin in zip(graph.entries, graph.origins)}
    assert names["matmul"] == ("linear", ((2, 3), (4, 3), (4,)))
    assert names["maximum"][0] == "relu"


def test_derivatives_bear_the_name_of_the_grad_node() -> None:
    x = torch.ones(3, requires_grad=True)
    (x.sigmoid() * x).sum().backward()
    assert x.grad is not None
    assert {name for name, _ in graph_of(x.grad).origins} >= {"SigmoidBackward0", "MulBackward0"}


def test_rewriting_keeps_origins() -> None:
    images, filters = torch.ones(2, 3, 8, 8), torch.ones(4, 3, 3, 3)
    found = torch.nn.functional.conv2d(images, filters, padding=1).relu().permute(0, 2, 3, 1)
    graph = settle(simplify(graph_of(found, found.exp())))
    assert len(graph.origins) == len(graph.entries)
    names = {name for name, _ in graph.origins}
    assert {"convolution", "relu", "permute", "exp"} <= names


def test_graphs_of_other_origins_are_equal() -> None:
    x = torch.ones(3)
    first, second = graph_of(x + x), graph_of(x + x)
    changed = LinearGraph(first.entries, first.leaves, first.outputs, (("other", ()),) * 2)
    assert first == second == changed
