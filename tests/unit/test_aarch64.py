"""Every kind of kernel on AArch64: programs run by an emulator, against the NumPy reference.

Skipped where the emulator is not installed (`pip install 'lampas[test]'` brings it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import lampas
from lampas import nn
from lampas.engine.graph.layout import as_row_major
from lampas.engine.graph.linear import linearize
from lampas.engine.graph.primitives import SCALAR
from lampas.engine.graph.reference import evaluate
from lampas.engine.loops import winograd_plan
from lampas.engine.realize.building import build_program
from lampas.engine.realize.realize import read
from lampas.nn import functional as F
from tests.unit.emulator import emulated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas import Tensor


def run_emulated(tensors: Sequence[Tensor], kernels: Sequence[str], tolerance: float) -> None:
    """Compare what a program for AArch64 computes with the reference; `kernels` must be among its kernels."""
    line = linearize([tensor._value() for tensor in tensors])
    leaves = [line.nodes[number] for number in line.leaves]
    arrays = [read(node) for node in leaves]
    expected = evaluate(line.graph(), arrays)
    with emulated() as machine:
        program = build_program(line.graph())
        buffers = [node.buffer for node in leaves if node.op is not SCALAR]
        results = program.run(buffers, [node.value for node in leaves if node.op is SCALAR])
    assert machine.calls
    for wanted in kernels:
        found = any(name.startswith(wanted) for name in machine.names)
        assert found, f"no {wanted} among {sorted(machine.names)}"
    for tensor, layout, buffer, wanted in zip(
        tensors, program.layouts, results, expected, strict=True
    ):
        kind = tensor.dtype.numpy
        shape = layout.memory if layout else tuple(tensor.shape)
        got = buffer.array(kind, shape)
        got = as_row_major(got, layout) if layout else got
        np.testing.assert_allclose(
            got.astype(np.float64), np.asarray(wanted, np.float64), tolerance, tolerance
        )


def derivatives(model: Callable[..., Any], *inputs: Tensor) -> list[Tensor]:
    """A model's result and the derivatives of its mean square by all inputs and parameters."""
    for tensor in inputs:
        tensor.requires_grad_()
    result = model(*inputs)
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    found = lampas.autograd.grad((result * result).mean(), [*inputs, *parameters])
    return [result.detach(), *found]


class First(nn.Module):
    """The first of a layer's results."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def images(*shape: int) -> Tensor:
    return lampas.randn(*shape)


def functions() -> Sequence[Tensor]:
    x = lampas.linspace(-4, 4, 77)
    positive = x.abs() + 0.1
    names = ("exp", "tanh", "erf", "sin", "cos", "sigmoid", "expm1", "atan")
    return [
        *[getattr(lampas, name)(x) for name in names],
        *[getattr(lampas, name)(positive) for name in ("log", "sqrt", "rsqrt", "log1p")],
        F.gelu(x),
        lampas.exp(x.double()),
        positive**2.5,
    ]


def reductions() -> Sequence[Tensor]:
    x = lampas.randn(13, 37)
    return [
        x.sum(), x.sum(0), x.prod(1), x.amax(0), x.argmax(1), x.double().mean(), F.softmax(x, 1),
        F.layer_norm(x, (37,)), F.cross_entropy(x, lampas.arange(13)), lampas.cumsum(x, 1),
    ]  # fmt: skip


def halves() -> Sequence[Tensor]:
    x = lampas.randn(9, 20)
    found = [x.half() * 3, x.bfloat16() + 1]
    return [*found, x.half() @ x.half().T, x.bfloat16() @ x.bfloat16().T]


def integers() -> Sequence[Tensor]:
    x = lampas.arange(-20, 21)
    return [x // 3, x % 7, x * x, x.to(lampas.uint8), (x > 3) & (x < 9), x.float().int()]


def indexing() -> Sequence[Tensor]:
    table = lampas.randn(11, 24)
    rows = lampas.tensor([3, 0, 7, 7, 10])
    added = lampas.zeros(11, 24).index_add(0, rows, lampas.randn(5, 24))
    return [table[rows], added, *derivatives(lambda x: x[rows], table.clone())]


def products() -> Sequence[Tensor]:
    found = derivatives(nn.Linear(45, 31), lampas.randn(23, 45))
    double = lampas.randn(5, 19, 8, dtype=lampas.float64)
    return [*found, double @ double.transpose(1, 2), lampas.randn(300) @ lampas.randn(300)]


def training_step() -> Sequence[Tensor]:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip
    loss = F.cross_entropy(model(images(4, 3, 8, 8)), lampas.tensor([0, 3, 1, 4]))
    found = lampas.autograd.grad(loss, list(model.parameters()))
    stepped = [p.detach() - 0.1 * g for p, g in zip(model.parameters(), found, strict=True)]
    return [loss.detach(), *stepped]


# fmt: off
CASES: dict[str, tuple[Any, tuple[str, ...], float]] = {
    "functions": (functions, ("nest",), 2e-6),
    "reductions": (reductions, ("nest",), 1e-5),
    "half types": (halves, ("gemm",), 2e-2),
    "integers": (integers, ("nest",), 0),
    "indexing": (indexing, (), 1e-6),
    "products": (products, ("gemm",), 1e-5),
    "winograd": (lambda: derivatives(nn.Conv2d(32, 64, 3, padding=1), images(4, 32, 12, 12)), ("winograd4_float", "winograd_product", "winograd4_filter_turned"), 1e-4),
    "filters in one vector and in three": (lambda: derivatives(nn.Sequential(nn.Conv2d(5, 4, 3), nn.Conv2d(4, 12, 2)), images(2, 5, 9, 9)), ("convolution_float", "convolution_weight"), 1e-5),
    "winograd of small images": (lambda: derivatives(nn.Conv2d(64, 64, 3, padding=1), images(16, 64, 2, 2)), ("winograd1_float", "winograd1_filter"), 1e-4),
    "convolution": (lambda: derivatives(nn.Conv2d(5, 8, 3, stride=2), images(2, 5, 9, 9)), ("convolution_float", "convolution_weight"), 1e-5),
    "convolution in one dimension": (lambda: derivatives(nn.Conv1d(4, 8, 5, padding=2), images(2, 4, 20)), ("convolution",), 1e-5),
    "convolution in three": (lambda: derivatives(nn.Conv3d(3, 4, 2), images(1, 3, 4, 5, 4)), ("convolution",), 1e-5),
    "groups": (lambda: derivatives(nn.Conv2d(8, 8, 3, groups=2), images(1, 8, 6, 6)), ("convolution",), 1e-5),
    "depthwise": (lambda: derivatives(nn.Conv2d(12, 12, 3, groups=12, padding=1), images(1, 12, 7, 7)), ("depthwise",), 1e-5),
    "transposed": (lambda: derivatives(nn.ConvTranspose2d(4, 6, 3, stride=2), images(1, 4, 5, 5)), ("convolution",), 1e-5),
    "largest of windows": (lambda: derivatives(nn.MaxPool2d(3, 2, 1), images(2, 5, 9, 9)), (), 1e-6),
    "means of windows": (lambda: derivatives(nn.AvgPool2d(2), images(2, 5, 8, 8)), (), 1e-6),
    "attention": (lambda: derivatives(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *[images(1, 2, 33, 16) for _ in range(3)]), ("attention",), 1e-4),
    "long short-term memory": (lambda: derivatives(First(nn.LSTM(8, 16)), images(5, 3, 8)), ("lstm",), 1e-4),
    "gated recurrence": (lambda: derivatives(First(nn.GRU(8, 16)), images(5, 3, 8)), ("gru",), 1e-4),
    "a step of training": (training_step, ("convolution", "gemm"), 1e-4),
}
# fmt: on


@pytest.mark.parametrize("name", CASES)
def test_programs_run_on_aarch64(name: str) -> None:
    make, kernels, tolerance = CASES[name]
    lampas.manual_seed(0)
    run_emulated(make(), kernels, tolerance)


def test_the_emulator_would_find_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees one differing element."""

    def altered(graph: Any, arrays: Any) -> Any:
        found = [np.array(each) for each in original(graph, arrays)]
        found[0].flat[7] += 1
        return found

    original = evaluate
    monkeypatch.setitem(run_emulated.__globals__, "evaluate", altered)
    with pytest.raises(AssertionError, match="Mismatched elements: 1"):
        run_emulated([lampas.randn(40) * 2], ("nest",), 1e-6)


def test_winograd_of_large_weights_runs_on_aarch64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units transform the filters that they need; which weights are large is a matter of caches."""
    monkeypatch.setattr(winograd_plan, "NEAR_SPREAD", 0)
    kernels = ("winograd4_panel_forward", "winograd4_panel_turned", "winograd4_weight")
    made = derivatives(nn.Conv2d(48, 32, 3, padding=1), images(3, 48, 8, 8))
    run_emulated(made, kernels, 1e-4)
