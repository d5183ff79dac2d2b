"""Half types and Python numbers: which of them PyTorch rounds to the half type before it computes.

Products and quotients take the number in float32, sums round it; a number over a tensor is a product with the
rounded reciprocal, in float32 too.
"""

import numpy
import pytest

import lampas

torch = pytest.importorskip("torch")

VALUES = numpy.random.default_rng(5).standard_normal((7, 300)).astype(numpy.float32)
PROGRAMS = {
    "x + 0.7": lambda t, x: x + 0.7,
    "x - 0.7": lambda t, x: x - 0.7,
    "0.7 - x": lambda t, x: 0.7 - x,
    "x * 0.7": lambda t, x: x * 0.7,
    "0.7 * x": lambda t, x: 0.7 * x,
    "x / 0.7": lambda t, x: x / 0.7,
    "0.7 / x": lambda t, x: 0.7 / x,
    "x // 0.7": lambda t, x: x.detach() // 0.7 + x,
    "x % 0.7": lambda t, x: x % 0.7,
    "x * scalar tensor": lambda t, x: x * t.tensor(0.7, dtype=t.float64),
    "scalar tensor * x": lambda t, x: t.tensor(0.7, dtype=t.float64) * x,
    "x / scalar tensor": lambda t, x: x / t.tensor(0.7, dtype=t.float64),
    "scalar tensor / x": lambda t, x: t.tensor(0.7, dtype=t.float64) / x,
    "hardshrink": lambda t, x: t.nn.functional.hardshrink(x, 0.7),
    "dropout": lambda t, x: t.nn.functional.dropout(x, 0.3),
    "mul_": lambda t, x: x.clone().mul_(0.7),
    "div_": lambda t, x: x.clone().div_(0.7),
}  # fmt: skip
# Where PyTorch fuses a product with a sum, or has another power function, the last bit may differ.
NEARLY = {
    "x.abs() ** 0.7": lambda t, x: x.abs() ** 0.7,
    "x.add(x, alpha=0.7)": lambda t, x: x.add(x, alpha=0.7),
    "x.sub(x, alpha=0.7)": lambda t, x: x.sub(x, alpha=0.7),
    "x.lerp(2 * x, 0.7)": lambda t, x: x.lerp(2 * x, 0.7),
}
KINDS = ["float16", "bfloat16", "float32", "float64"]


def result(library, program, kind: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    library.manual_seed(3)
    x = library.from_numpy(VALUES.copy()).to(getattr(library, kind)).requires_grad_()
    y = program(library, x)
    flow = library.from_numpy(VALUES[::-1].copy()).to(y.dtype)
    y.backward(flow)
    assert y.dtype == x.dtype
    return y.detach().double().numpy(), x.grad.double().numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_agrees_to_the_last_bit(name: str, kind: str) -> None:
    theirs, their_slope = result(torch, PROGRAMS[name], kind)
    for _ in range(3):  # interpreted, then compiled
        ours, our_slope = result(lampas, PROGRAMS[name], kind)
        numpy.testing.assert_array_equal(ours, theirs)
        numpy.testing.assert_array_equal(our_slope, their_slope)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NEARLY)
def test_agrees_but_for_the_last_bit(name: str, kind: str) -> None:
    theirs = result(torch, NEARLY[name], kind)
    bound = 2 * lampas.finfo(getattr(lampas, kind)).eps
    for _ in range(3):
        for ours, expected in zip(result(lampas, NEARLY[name], kind), theirs, strict=True):
            numpy.testing.assert_allclose(ours, expected, rtol=bound, atol=bound)
