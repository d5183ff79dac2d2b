"""Dropout's product as one operation: x · mask / (1 − p), the mask a byte an element.

The mask is drawn by its caller, in PyTorch's order. It is all that the derivative keeps: 1 / (1 − p) is an
argument of the run, so that a rate that changes compiles nothing, and the product is fused with its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import accumulation_dtype, number

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node
    from lampas.engine.tensor.core import Tensor


def _keep(x: Node, mask: Node, rate: Node) -> Node:
    """Infinities and NaN that are dropped become NaN, as in a product with 0."""
    wide = accumulation_dtype(x.dtype)
    scale = g.cast(g.divide(g.constant(1, wide), g.cast(rate, wide)), x.dtype)
    return g.multiply(x, g.where(mask, scale, g.like(x, 0)))


# PyTorch's tape says "mul".
KEEP = Operation("mul", _keep, saves="inputs")


def keep_elements(input: Tensor, mask: Tensor, rate: float) -> Tensor:
    """input / rate where the mask (bool, broadcast) is true, input · 0 elsewhere."""
    return record(KEEP, (input, mask, number(rate)))
