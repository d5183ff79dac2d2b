"""The question in which dtype an operation would compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.dtype import result_dtype
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.operands import is_number, operand_key

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype


@public()
def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype that arithmetic on two tensors or numbers gives.

    TypeError for anything else.

    >>> result_type(1, 2.5)
    torch.float32
    """
    for each in (tensor1, tensor2):
        if not isinstance(each, Tensor) and not is_number(each):
            kinds = ", ".join(type(given).__name__ for given in (tensor1, tensor2))
            raise TypeError(
                "result_type() received an invalid combination of arguments - got "
                f"({kinds}), but expected one of: (Tensor or Number tensor, Tensor or Number other)"
            )
    return result_dtype([operand_key(tensor1), operand_key(tensor2)])
