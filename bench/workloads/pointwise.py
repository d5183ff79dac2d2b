"""Pointwise functions and normalisations without a network around them."""

from __future__ import annotations

from typing import Any

from bench.workloads.registry import Program, workload


@workload("elementwise-chain", batch=1000)
def elementwise_chain(lib: Any) -> Program:
    """A chain of pointwise functions over a million numbers, summed."""

    def chain(x: Any, y: Any) -> Any:
        z = (x * y + x.sigmoid()).tanh() * 0.5 + y.exp().log1p()
        return z.sum()

    return Program(chain, lambda rows, _: (lib.randn(rows, 1000), lib.randn(rows, 1000)))


@workload("softmax-norm", batch=4096)
def softmax_norm(lib: Any) -> Program:
    """Layer norm, then softmax, over 4096 rows of 256."""
    functional = lib.nn.functional

    def normalise(x: Any) -> Any:
        return functional.softmax(functional.layer_norm(x, (256,)), -1)

    return Program(normalise, lambda rows, _: (lib.randn(rows, 256),))
