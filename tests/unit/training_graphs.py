"""The training step of a multilayer perceptron as a linear graph, for tests and benchmarks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from lampas.engine.dtype import float32, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node, buffer_node, scalar_node

SIZES = (784, 512, 512, 10)


def leaf(array: np.ndarray, kind: Any = float32) -> Node:
    """A leaf over an array."""
    return buffer_node(np.ascontiguousarray(array), array.shape, kind)


def training_step(
    batch: int = 64, sizes: tuple[int, ...] = SIZES, optimizer: str = "sgd", seed: int = 0
) -> list[Node]:
    """Loss and updated parameters (and moments) after forward, cross entropy and backward."""
    numbers = np.random.default_rng(seed)

    def random(*shape: int, scale: float = 1.0) -> Node:
        return leaf((numbers.standard_normal(shape) * scale).astype(np.float32))

    x = random(batch, sizes[0])
    target = leaf(numbers.integers(0, sizes[-1], batch), int64)
    layers = [(random(b, a, scale=a**-0.5), random(b, scale=0.1)) for a, b in pairwise(sizes)]
    activations, logits = forward(x, layers)
    loss, grad = cross_entropy(logits, target)
    gradients = backward(grad, activations, layers)
    flat = [parameter for layer in layers for parameter in layer]
    if optimizer == "sgd":
        return [loss, *sgd(flat, gradients)]
    squares = [np.square(numbers.standard_normal(p.shape)).astype(np.float32) for p in flat]
    moments = [(random(*s.shape, scale=0.01), leaf(s)) for s in squares]
    return [loss, *adam(flat, gradients, moments)]


def forward(x: Node, layers: list[tuple[Node, Node]]) -> tuple[list[Node], Node]:
    """The input of each layer, and the last layer's result."""
    activations = [x]
    for number, (weight, bias) in enumerate(layers):
        x = g.add(g.matmul(x, g.transpose(weight)), bias)
        if number + 1 < len(layers):
            x = g.maximum(x, g.constant(0.0, float32))
            activations.append(x)
    return activations, x


def cross_entropy(logits: Node, target: Node) -> tuple[Node, Node]:
    """The mean loss and its derivative by the logits."""
    batch, classes = logits.shape
    shifted = g.subtract(logits, g.max_dims(logits, [1]))
    log_softmax = g.subtract(shifted, g.log(g.sum_dims(g.exp(shifted), [1])))
    index = g.reshape(target, (batch, 1))
    picked = g.gather(log_softmax, 1, index)
    count = g.constant(float(batch), float32)
    total = g.reshape(g.sum_dims(g.negative(picked), [0, 1]), ())
    loss = g.divide(total, count)
    each = g.negative(g.expand(g.divide(g.constant(1.0, float32), count), (batch, 1)))
    zeros = g.full((batch, classes), 0.0, float32)
    flow = g.scatter(zeros, 1, index, each, "add")
    grad = g.subtract(flow, g.multiply(g.exp(log_softmax), g.sum_dims(flow, [1])))
    return loss, grad


def backward(grad: Node, activations: list[Node], layers: list[tuple[Node, Node]]) -> list[Node]:
    """Gradients of all weights and biases, in order."""
    found: list[Node] = []
    for number in reversed(range(len(layers))):
        weight, bias = layers[number]
        found.append(g.sum_to(grad, bias.shape))
        found.append(g.matmul(g.transpose(grad), activations[number]))
        if number:
            flow = g.matmul(grad, weight)
            positive = g.greater(activations[number], g.constant(0.0, float32))
            grad = g.where(positive, flow, g.constant(0.0, float32))
    return found[::-1]


def sgd(parameters: list[Node], gradients: list[Node]) -> list[Node]:
    rate = g.cast(scalar_node(0.1), float32)
    return [g.subtract(p, g.multiply(rate, d)) for p, d in zip(parameters, gradients, strict=True)]


def adam(
    parameters: list[Node], gradients: list[Node], moments: list[tuple[Node, Node]]
) -> list[Node]:
    """New parameters and moments; the corrections come in as scalars, as the optimizer gives them."""
    step = g.cast(scalar_node(0.01), float32)
    root = g.cast(scalar_node(0.3), float32)
    first, second, eps = (g.constant(v, float32) for v in (0.9, 0.999, 1e-8))
    rest, square = g.constant(0.1, float32), g.constant(0.001, float32)
    found: list[Node] = []
    for p, d, (m, v) in zip(parameters, gradients, moments, strict=True):
        new_m = g.add(g.multiply(m, first), g.multiply(d, rest))
        new_v = g.add(g.multiply(v, second), g.multiply(g.multiply(d, d), square))
        down = g.add(g.divide(g.sqrt(new_v), root), eps)
        found.extend((g.subtract(p, g.multiply(step, g.divide(new_m, down))), new_m, new_v))
    return found
