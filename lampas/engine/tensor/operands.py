"""Operands of elementwise operations: tensors, Python numbers, NumPy scalars, and the dtype they meet in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.dtype import (
    bfloat16,
    dtype,
    float16,
    float32,
    get_default_dtype,
    infer_python_dtype,
    result_dtype,
)
from lampas.engine.graph.node import Node, scalar_node
from lampas.engine.shape import broadcast_shapes
from lampas.engine.tensor.core import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

NUMBERS = (int, float, complex)  # bool is an int
_INT64_LIMIT = 1 << 63


def number(value: Any) -> Node:
    """The scalar node of a Python or NumPy number."""
    kind = type(value)
    if kind is not float and kind is not int and kind is not bool and kind is not complex:
        value = plain_number(value)
        kind = type(value)
    if kind is int and not -_INT64_LIMIT <= value < 2 * _INT64_LIMIT:
        raise RuntimeError("value cannot be converted to type int64_t without overflow")
    if kind is int and value >= _INT64_LIMIT:
        value -= 2 * _INT64_LIMIT
    return scalar_node(value)


def plain_number(value: Any) -> bool | int | float | complex:
    """A NumPy scalar, or a subclass of a Python number, as the plain Python number."""
    if isinstance(value, np.generic):
        value = value.item()
    for kind in (bool, int, float, complex):
        if isinstance(value, kind):
            return kind(value)  # type: ignore[arg-type]
    raise TypeError(f"expected a number, got {type(value).__name__}")


def is_number(value: Any) -> bool:
    """Whether `value` counts as a Python number in an operation."""
    return isinstance(value, (NUMBERS, np.generic))


def require_tensor(name: str, argument: str, value: Any, position: int = 1) -> Tensor:
    """`value` if it is a tensor; else PyTorch's TypeError."""
    if isinstance(value, Tensor):
        return value
    raise TypeError(
        f"{name}(): argument '{argument}' (position {position}) must be Tensor, "
        f"not {type(value).__name__}"
    )


def operand_key(value: Any) -> tuple[dtype, bool, bool]:
    """(dtype, is 0-d, is a Python number) for the promotion rules."""
    if isinstance(value, Tensor):
        return value._node.dtype, not value._shape, False
    return infer_python_dtype(value if isinstance(value, NUMBERS) else value.item()), True, True


def common_dtype(name: str, *values: Any) -> dtype:
    """The dtype in which an operation on `values` computes."""
    first = values[0]
    if isinstance(first, Tensor):
        kind = first._node.dtype
        if all(isinstance(other, Tensor) and other._node.dtype is kind for other in values[1:]):
            return kind
    elif isinstance(first, NUMBERS) and not any(isinstance(each, Tensor) for each in values):
        require_tensor(name, "input", first)
    try:
        return result_dtype([operand_key(value) for value in values])
    except (AttributeError, KeyError, TypeError):
        for position, value in enumerate(values, 1):
            if not isinstance(value, Tensor) and not is_number(value):
                raise TypeError(
                    f"{name}(): argument '{'input' if position == 1 else 'other'}' (position "
                    f"{position}) must be Tensor or Number, not {type(value).__name__}"
                ) from None
        raise


def as_inputs(name: str, *values: Any) -> tuple[Any, ...]:
    """Tensors as they are, numbers as scalar nodes; shapes are checked to broadcast."""
    inputs = []
    shapes = []
    for position, value in enumerate(values, 1):
        if isinstance(value, Tensor):
            inputs.append(value)
            shapes.append(value._shape)
        elif is_number(value):
            inputs.append(number(value))
        else:
            require_tensor(name, "input" if position == 1 else "other", value, position)
    check_broadcast(name, shapes)
    return tuple(inputs)


def check_broadcast(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The broadcast shape; RuntimeError with PyTorch's words, the operation and the shapes if none."""
    first = shapes[0] if shapes else ()
    if all(shape == first for shape in shapes):
        return first
    try:
        return tuple(broadcast_shapes(*shapes))
    except RuntimeError as error:
        given = " and ".join(str(list(shape)) for shape in shapes)
        raise RuntimeError(f"{error} (in {name}() of shapes {given})") from None


def accumulation_dtype(kind: dtype) -> dtype:
    """The dtype in which a formula of several steps computes: float32 for half types."""
    return float32 if kind is float16 or kind is bfloat16 else kind


def float_dtype(kind: dtype) -> dtype:
    """The dtype of a floating-point function of `kind`: integers become the default dtype."""
    return kind if kind.is_floating_point or kind.is_complex else get_default_dtype()
