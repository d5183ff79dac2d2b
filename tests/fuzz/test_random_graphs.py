"""Random graphs: the compiled tier equals the reference, fused or not, and for every number of threads."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lampas.engine.device import launch
from lampas.engine.device.pool import get_num_threads, set_num_threads
from lampas.engine.loops import signature
from tests.fuzz.compare import check_seed, run_compiled
from tests.fuzz.random_graphs import random_graph

COUNT = 1000 if os.environ.get("CI") else 60
GROUP = 20


@pytest.mark.parametrize("first", range(0, COUNT, GROUP))
def test_compiled_equals_reference(first: int) -> None:
    for seed in range(first, first + GROUP):
        check_seed(seed)


@pytest.mark.parametrize("first", range(5000, 5000 + COUNT // 5, GROUP))
def test_threads_change_no_bit(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "SERIAL_NANOSECONDS", 0)
    monkeypatch.setattr(signature, "GRAIN_ELEMENTS", 1)
    before = get_num_threads()
    try:
        for seed in range(first, first + GROUP):
            graph = random_graph(seed)
            if not graph.outputs:
                continue
            results = []
            for threads in (1, 2):
                set_num_threads(threads)
                results.append(run_compiled(graph))
            for one, two in zip(*results, strict=True):
                assert one.tobytes() == two.tobytes(), f"seed {seed}"
                assert np.shape(one) == np.shape(two)
    finally:
        set_num_threads(before)
