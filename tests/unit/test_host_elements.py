"""Complex arithmetic in shares: every layout, on one thread and on several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas.engine.host.elements import write_elements

# fmt: off
CASES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b, "negative": lambda a, b: -a, "broadcast": lambda a, b: a * b[:1],
    "transposed": lambda a, b: a.T * b.T, "scalar": lambda a, b: a * (2 - 1j), "empty": lambda a, b: a[:0] * b[:0],
}
# fmt: on


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(600, 300), (3, 5), (1, 200_000)])
def test_equals_numpy(name: str, shape: tuple[int, int], threads: int) -> None:
    generator = np.random.default_rng(17)
    parts = [generator.normal(size=(2, *shape)).astype(np.float32) for _ in range(2)]
    left, right = (pair[0] + 1j * pair[1] for pair in parts)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        tensors = [torch.complex(*map(torch.from_numpy, pair)) for pair in parts]
        found = CASES[name](*tensors).numpy()
        sizes = tensors[0].abs().numpy()
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found, CASES[name](left, right), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(sizes, np.abs(left), rtol=1e-6)


def test_one_number_is_written_as_it_is() -> None:
    out = np.zeros((), np.complex64)
    write_elements(np.multiply, out, [np.array(2 + 1j, np.complex64), np.array(1j, np.complex64)])
    assert out == -1 + 2j
