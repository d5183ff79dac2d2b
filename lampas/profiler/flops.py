"""Floating-point operations of an operator, from the shapes of its inputs and its (first) output.

A multiply-add counts as two.  Known are products, convolutions, sums and products of elements, as in PyTorch; of
others the kernels tell (`timeline`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = tuple[int, ...]
PRODUCTS = frozenset({"linear", "mm", "matmul", "bmm", "mv", "dot", "vdot"})
ELEMENTWISE = frozenset({"add", "mul"})


def operator_flops(name: str, inputs: Sequence[Shape], output: Shape) -> int:
    """The number of operations, 0 for an operator that is not known.

    >>> operator_flops("mm", [(2, 3), (3, 5)], (2, 5)), operator_flops("exp", [(4,)], (4,))
    (60, 0)
    """
    if name in PRODUCTS and inputs and inputs[0]:
        return 2 * inputs[0][-1] * prod(output)
    if name == "convolution" and len(inputs) > 1:
        weight = inputs[1]
        return 2 * prod(output) * prod(weight[1:])
    return prod(output) if name in ELEMENTWISE else 0
