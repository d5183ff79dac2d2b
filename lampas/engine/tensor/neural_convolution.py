"""Convolution and its transpose, whose forward is a convolution's gradient with respect to its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved, distinct_inputs
from lampas.engine.derive.pullback import pull_back
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.graph.node import Node

Sizes = tuple[int, ...]


def _with_bias(result: Node, bias: tuple[Node, ...]) -> Node:
    if not bias:
        return result
    shape = (1, result.shape[1]) + (1,) * (len(result.shape) - 2)
    return g.add(result, g.reshape(bias[0], shape))


def _convolution(x: Node, weight: Node, *rest: Any) -> Node:
    *bias, stride, padding, dilation, groups = rest
    settings = (stride, padding, dilation, groups)
    return _with_bias(g.make(p.CONVOLUTION, (x, weight), settings), tuple(bias))


def _transposed(x: Node, weight: Node, *rest: Any) -> Node:
    *bias, shape, stride, padding, dilation, groups = rest
    settings = (shape, stride, padding, dilation, groups)
    x = _filled(x, weight, shape, stride, padding, dilation)
    made = g.make(p.CONVOLUTION_BACKWARD_INPUT, (x, weight), settings)
    return _with_bias(made, tuple(bias))


def _filled(
    x: Node, weight: Node, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Node:
    """x with zeros behind, where the convolution of `shape` would have more places than x.

    That happens when the output padding is as large as the stride.
    """
    places = tuple(
        (size + 2 * amount - gap * (width - 1) - 1) // step + 1
        for size, amount, gap, width, step in zip(
            shape[2:], padding, dilation, weight.shape[2:], stride, strict=True
        )
    )
    high = tuple(n - size for n, size in zip(places, x.shape[2:], strict=True))
    return g.pad(x, (0,) * len(x.shape), (0, 0, *high), g.like(x, 0)) if any(high) else x


def _vjp(forward: Callable[..., Node]) -> Callable[[Saved, Node], tuple[Node | None, ...]]:
    """The pullback; a convolution is linear in each operand, so conjugates go in at the front."""

    def vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
        inputs = distinct_inputs(tuple(g.conjugate(node) for node in saved.inputs))
        output = forward(*inputs, *saved.attributes)
        return pull_back((output,), (ct,), inputs, saved.needed)

    return vjp


CONVOLUTION = Operation("convolution", _convolution, vjp=_vjp(_convolution), saves="inputs")
TRANSPOSED = Operation(
    "conv_transpose",
    _transposed,
    vjp=_vjp(_transposed),
    grad_name="ConvolutionBackward0",
    saves="inputs",
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
