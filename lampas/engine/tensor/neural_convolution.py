"""Convolution and its transpose, whose forward is a convolution's gradient with respect to its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

Sizes = tuple[int, ...]


def _with_bias(result: Node, bias: tuple[Node, ...]) -> Node:
    if not bias:
        return result
    shape = (1, result.shape[1]) + (1,) * (len(result.shape) - 2)
    return g.add(result, g.reshape(bias[0], shape))


def _convolution(x: Node, weight: Node, *rest: object) -> Node:
    *bias, stride, padding, dilation, groups = rest
    settings = (stride, padding, dilation, groups)
    return _with_bias(g.make(p.CONVOLUTION, (x, weight), settings), tuple(bias))  # type: ignore[arg-type]


def _transposed(x: Node, weight: Node, *rest: object) -> Node:
    *bias, shape, stride, padding, dilation, groups = rest
    settings = (shape, stride, padding, dilation, groups)
    made = g.make(p.CONVOLUTION_BACKWARD_INPUT, (x, weight), settings)
    return _with_bias(made, tuple(bias))  # type: ignore[arg-type]


CONVOLUTION = Operation("convolution", _convolution, saves="inputs")
TRANSPOSED = Operation(
    "conv_transpose", _transposed, grad_name="ConvolutionBackward0", saves="inputs"
)


@public()
def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """The convolution of a batch; shapes are expected to be checked by the caller."""
    steps, amounts, gaps = tuple(stride), tuple(padding), tuple(dilation)
    operands = (input, weight) if bias is None else (input, weight, bias)
    if not transposed:
        return record(CONVOLUTION, operands, (steps, amounts, gaps, groups))
    spatial = tuple(
        (size - 1) * step - 2 * amount + gap * (width - 1) + extra + 1
        for size, step, amount, gap, width, extra in zip(
            input._shape[2:], steps, amounts, gaps, weight._shape[2:], output_padding, strict=True
        )
    )
    if any(size <= 0 for size in spatial):
        raise RuntimeError(
            f"Given input size per channel: {tuple(input._shape[2:])}. Calculated output size per "
            f"channel: {spatial}. Output size is too small"
        )
    shape = (input._shape[0], weight._shape[1] * groups, *spatial)
    return record(TRANSPOSED, operands, (shape, steps, amounts, gaps, groups))
