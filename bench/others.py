"""The workloads that are easily said in other libraries, for JAX and tinygrad where those are installed.

The same sizes and the same work a step as in `workloads`; the numbers drawn differ.  Their compilers are given the
whole step, as their users do: `jax.jit`, `TinyJit`.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

from bench.workloads import Step
from bench.workloads.registry import BATCHES

SIZES = (784, 512, 512, 10)
BATCH, RATE = 64, 0.01


def make_step(library: str, name: str) -> Step:
    """A workload's step in another library; LookupError where it is not written."""
    found = STEPS.get((library, name))
    if found is None:
        raise LookupError(f"{name} is not written for {library}")
    return found()


def jax_mlp() -> Step:
    jax, numpy = importlib.import_module("jax"), importlib.import_module("jax.numpy")
    keys = iter(jax.random.split(jax.random.key(0), 64))

    def draw_layer(before: int, after: int) -> tuple[Any, Any]:
        bound = before**-0.5
        shapes = (after, before), (after,)
        return tuple(jax.random.uniform(next(keys), s, minval=-bound, maxval=bound) for s in shapes)

    def loss(layers: Any, inputs: Any, classes: Any) -> Any:
        x = inputs
        for weight, bias in layers[:-1]:
            x = jax.nn.relu(x @ weight.T + bias)
        scores = x @ layers[-1][0].T + layers[-1][1]
        chosen = numpy.take_along_axis(jax.nn.log_softmax(scores), classes[:, None], 1)
        return -chosen.mean()

    def learn(layers: Any, inputs: Any, classes: Any) -> Any:
        value, slopes = jax.value_and_grad(loss)(layers, inputs, classes)
        return value, jax.tree.map(lambda own, slope: own - RATE * slope, layers, slopes)

    learn = jax.jit(learn, donate_argnums=0)
    layers = [draw_layer(*pair) for pair in itertools.pairwise(SIZES)]
    batches = [
        (
            jax.random.normal(next(keys), (BATCH, SIZES[0])),
            jax.random.randint(next(keys), (BATCH,), 0, SIZES[-1]),
        )
        for _ in range(BATCHES)
    ]
    turns = itertools.cycle(batches)

    def step() -> float:
        nonlocal layers
        value, layers = learn(layers, *next(turns))
        return value.item()

    return step


def jax_chain() -> Step:
    jax, numpy = importlib.import_module("jax"), importlib.import_module("jax.numpy")

    def chain(x: Any, y: Any) -> Any:
        z = numpy.tanh(x * y + jax.nn.sigmoid(x)) * 0.5 + numpy.log1p(numpy.exp(y))
        return z.sum()

    return jax_inference(chain, (1000, 1000))


def jax_gemm() -> Step:
    return jax_inference(importlib.import_module("jax.numpy").matmul, (1024, 1024))


def jax_inference(function: Callable[..., Any], shape: tuple[int, ...]) -> Step:
    """A compiled function of two arrays, its first number read."""
    jax = importlib.import_module("jax")
    keys = iter(jax.random.split(jax.random.key(0), 2 * BATCHES))
    batches = [[jax.random.normal(next(keys), shape) for _ in range(2)] for _ in range(BATCHES)]
    turns, compiled = itertools.cycle(batches), jax.jit(function)
    return lambda: compiled(*next(turns)).ravel()[0].item()


def tinygrad_mlp() -> Step:
    tinygrad, nn = importlib.import_module("tinygrad"), importlib.import_module("tinygrad.nn")
    training = importlib.import_module("tinygrad.helpers").Context
    tensor = tinygrad.Tensor
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(SIZES)]
    parameters = [part for layer in layers for part in (layer.weight, layer.bias)]
    optimizer = importlib.import_module("tinygrad.nn.optim").SGD(parameters, lr=RATE)

    @tinygrad.TinyJit
    def learn(inputs: Any, classes: Any) -> Any:
        optimizer.zero_grad()
        x = inputs
        for layer in layers[:-1]:
            x = layer(x).relu()
        loss = layers[-1](x).sparse_categorical_crossentropy(classes).backward()
        return loss.realize(*optimizer.schedule_step())

    def step() -> float:
        with training(TRAINING=1):
            return learn(*next(turns)).item()

    batches = [
        (tensor.randn(BATCH, SIZES[0]).realize(), tensor.randint(BATCH, high=SIZES[-1]).realize())
        for _ in range(BATCHES)
    ]
    turns = itertools.cycle(batches)
    return step


def tinygrad_chain() -> Step:
    return tinygrad_inference(
        lambda x, y: ((x * y + x.sigmoid()).tanh() * 0.5 + (y.exp() + 1).log()).sum(), (1000, 1000)
    )


def tinygrad_gemm() -> Step:
    return tinygrad_inference(lambda x, y: x @ y, (1024, 1024))


def tinygrad_inference(function: Callable[..., Any], shape: tuple[int, ...]) -> Step:
    """A compiled function of two arrays, its result waited for."""
    tinygrad = importlib.import_module("tinygrad")
    tensor = tinygrad.Tensor
    batches = [[tensor.randn(*shape).realize() for _ in range(2)] for _ in range(BATCHES)]
    turns = itertools.cycle(batches)
    compiled = tinygrad.TinyJit(lambda x, y: function(x, y).realize())
    return lambda: float(compiled(*next(turns)).numpy().flat[0])


STEPS: dict[tuple[str, str], Callable[[], Step]] = {
    ("jax", "mlp-sgd"): jax_mlp,
    ("jax", "elementwise-chain"): jax_chain,
    ("jax", "gemm"): jax_gemm,
    ("tinygrad", "mlp-sgd"): tinygrad_mlp,
    ("tinygrad", "elementwise-chain"): tinygrad_chain,
    ("tinygrad", "gemm"): tinygrad_gemm,
}
