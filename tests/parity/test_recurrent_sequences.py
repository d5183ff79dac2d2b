"""Recurrent layers whose times are one operation: chunks of time, late times unread, second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lampas
from lampas.engine.tensor import neural_sequences

torch = pytest.importorskip("torch")


def _grads(lib: Any, kind: str, weights: list[Any], x: Any, second: bool) -> list[Any]:
    layer = getattr(lib.nn, kind)(3, 4, bidirectional=True).to(lib.float64)
    with lib.no_grad():
        for parameter, value in zip(layer.parameters(), weights, strict=True):
            parameter.copy_(lib.tensor(value))
    given = lib.tensor(x).requires_grad_()
    outputs, last = layer(given)
    last = last if kind == "LSTM" else (last,)
    loss = (outputs[:2] ** 2).sum() + (last[-1] ** 3).sum()
    wanted = [given, *layer.parameters()]
    if second:
        loss = sum((g**2).sum() for g in lib.autograd.grad(loss, wanted, create_graph=True))
    return [outputs, *last, *lib.autograd.grad(loss, wanted)]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("chunk", [2, 256])
@pytest.mark.parametrize("second", [False, True])
def test_recurrent_times_match(
    kind: str, chunk: int, second: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neural_sequences, "CHUNK", chunk)
    draw = np.random.default_rng(0).standard_normal
    shapes = [p.shape for p in getattr(torch.nn, kind)(3, 4, bidirectional=True).parameters()]
    weights = [draw(tuple(shape)) / 2 for shape in shapes]
    x = draw((5, 2, 3))
    expected = _grads(torch, kind, weights, x, second)
    for ours, theirs in zip(_grads(lampas, kind, weights, x, second), expected, strict=True):
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-10
        )
