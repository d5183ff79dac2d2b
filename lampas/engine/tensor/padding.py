"""Padding with a constant; the other modes are compositions in `nn.functional`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.tensor.core import Tensor

PAD = Operation(
    "constant_pad_nd",
    lambda x, value, low, high: g.pad(x, low, high, g.cast(value, x.dtype)),
    saves="none",
)


@public()
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """`value` around the input: `pad` = (low, high) of the last dimension, then the one before, …

    Negative widths crop.  RuntimeError for an odd count, too many pairs or a negative result.
    """
    rank = len(input._shape)
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if len(pad) > 2 * rank:
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. "
            f"Pad length is {len(pad)} while the input has {rank} dimensions."
        )
    pairs = len(pad) // 2
    low = [0] * rank
    high = [0] * rank
    for place in range(pairs):
        dim = rank - 1 - place
        low[dim], high[dim] = int(pad[2 * place]), int(pad[2 * place + 1])
        size = input._shape[dim] + low[dim] + high[dim]
        if size < 0:
            raise RuntimeError(
                f"The input size {input._shape[dim]}, plus negative padding {low[dim]} and "
                f"{high[dim]}, resulted in a negative output size, which is invalid. Check "
                f"dimension {dim} of your input."
            )
    return record(PAD, (input, number(value)), (tuple(low), tuple(high)))
