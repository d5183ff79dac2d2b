"""`make_tensor`: random tensors for tests, the same values as PyTorch's for the same seed."""

import math
from collections.abc import Sequence
from typing import Any

import lampas
from lampas.engine.tensor.core import Tensor


def make_tensor(
    *shape: int | Sequence[int],
    dtype: Any,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random values from [low, high).

    The bounds are [-9, 9) for floating and complex dtypes, [-9, 10) for signed integers, [0, 10) for
    uint8 and [0, 2) for bool, and never reach beyond what the dtype holds. `noncontiguous` gives
    gaps between the elements, `exclude_zero` replaces zeros by the smallest positive value (1 for
    integers). ValueError for empty or NaN bounds, for contradicting options, and for a gradient of
    integers; TypeError for what is no dtype.

    >>> make_tensor((2, 3), dtype=lampas.int8, device="cpu").shape
    torch.Size([2, 3])
    """
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"noncontiguous={noncontiguous} and memory_format={memory_format}"
        )
    if not isinstance(dtype, lampas.dtype):
        raise TypeError(
            f"The requested dtype '{dtype}' is not supported by torch.testing.make_tensor()."
        )
    fractional = dtype.is_floating_point or dtype.is_complex
    if requires_grad and not fractional:
        raise ValueError(
            "`requires_grad=True` is not supported for boolean and integral dtypes, but got "
            f"dtype={dtype}"
        )
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    bounds = _bounds(dtype, low, high)
    result = _drawn(sizes, dtype, device, bounds)
    if noncontiguous and result.numel() > 1:
        result = result.repeat_interleave(2, dim=-1)[..., ::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero:
        smallest = lampas.finfo(dtype).tiny if fractional else 1
        result[result == 0] = smallest
    return result.requires_grad_() if requires_grad else result


def _bounds(dtype: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """The range to draw from, within the dtype's own."""
    fractional = dtype.is_floating_point or dtype.is_complex
    if dtype is lampas.bool:
        default, limits = (0, 2), (0, 2)
    elif fractional:
        facts = lampas.finfo(dtype)
        default, limits = (-9, 9), (facts.min, facts.max)
    else:
        facts = lampas.iinfo(dtype)
        default = (-9, 10) if dtype.is_signed else (0, 10)
        limits = (facts.min, facts.max if dtype is lampas.int64 else facts.max + 1)
    low = default[0] if low is None else low
    high = default[1] if high is None else high
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if low > high or (low == high and not fractional):
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    low, high = (min(max(bound, limits[0]), limits[1]) for bound in (low, high))
    if fractional:
        return low, high
    low, high = math.ceil(low), math.ceil(high)
    if low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    return low, high


def _drawn(sizes: Any, dtype: Any, device: Any, bounds: tuple[Any, Any]) -> Tensor:
    low, high = bounds
    if not (dtype.is_floating_point or dtype.is_complex):
        return lampas.randint(low, high, sizes, dtype=dtype, device=device)
    result = lampas.empty(sizes, dtype=dtype, device=device)
    parts = lampas.view_as_real(result) if dtype.is_complex else result
    if high - low > lampas.finfo(dtype).max:  # uniform_ takes no range wider than the dtype's
        parts.uniform_(low / 2, high / 2).mul_(2)
    else:
        parts.uniform_(low, high)
    return result
