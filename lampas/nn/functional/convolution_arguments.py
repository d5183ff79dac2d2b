"""What a convolution's arguments must be: ranks, channels, kernel sizes; with the calls that were found right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lampas.engine.tensor import Tensor

Sizes = int | Sequence[int]

# Calls that were found right, with the operation's attributes: a layer makes the same call in every step.
KNOWN_CALLS: dict[tuple[Any, ...], tuple[Any, ...]] = {}
CALLS_KEPT = 1024
_PLAIN = {int, tuple, str}


def spread(value: Sizes, rank: int) -> tuple[int, ...]:
    """One number for each of `rank` dimensions; several given ones as they are."""
    if isinstance(value, int):
        return (value,) * rank
    values = tuple(int(item) for item in value)
    return values * rank if len(values) == 1 else values


def expanded(name: str, argument: str, value: Sizes, rank: int) -> tuple[int, ...]:
    """An int for every spatial dimension, or the given ints."""
    values = spread(value, rank)
    if len(values) != rank:
        raise RuntimeError(
            f"{name}: expected {argument} to be a single integer value or a list of {rank} "
            f"values to match the convolution dimensions, but got {argument}={list(values)}"
        )
    return values


def check_operands(name: str, input: Tensor, weight: Tensor, rank: int) -> None:
    """Tensors of the right ranks and of one dtype, or TypeError, RuntimeError."""
    for position, (label, value) in enumerate((("input", input), ("weight", weight)), 1):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{label}' (position {position}) must be Tensor, "
                f"not {type(value).__name__}"
            )
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, "
            f"but got input of size: {list(input.shape)}"
        )
    if weight.dim() != rank + 2:
        raise RuntimeError(
            f"weight should have at least three dimensions: expected {rank + 2}D weight for "
            f"{rank}D convolution ({name}), but got weight of size {list(weight.shape)}"
        )
    if input.dtype != weight.dtype:
        raise RuntimeError(
            f"Input type ({input.type()}) and weight type ({weight.type()}) should be the same"
        )


def check_parameters(
    name: str, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> None:
    """No size, step or count below what makes sense, or RuntimeError."""
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(value < 0 for value in padding):
        raise RuntimeError("negative padding is not supported")
    if any(value <= 0 for value in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(value <= 0 for value in dilation):
        raise RuntimeError("dilation should be greater than zero")


def check_bias(bias: Tensor | None, weight: Tensor, outputs: int) -> None:
    """One number for each output channel, or RuntimeError."""
    if bias is not None and (bias.dim() != 1 or bias.size(0) != outputs):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
            f"{outputs} elements, but got bias of size {list(bias.shape)} instead"
        )


def check_sizes(
    input: Tensor,
    weight: Tensor,
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    rank: int,
) -> None:
    """Channels that fit the groups, and a kernel that fits into the padded input, or RuntimeError."""
    outputs, channels = weight.shape[:2]
    shape = list(input.shape)
    if outputs % groups or outputs < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size {list(weight.shape)} instead"
        )
    if input.size(-rank - 1) != channels * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input{shape} "
            f"to have {channels * groups} channels, but got {input.size(-rank - 1)} channels instead"
        )
    padded = [size + 2 * amount for size, amount in zip(shape[-rank:], padding)]
    reach = [step * (size - 1) + 1 for step, size in zip(dilation, weight.shape[2:])]
    if any(size < needed for size, needed in zip(padded, reach)):
        padded_text = " x ".join(map(str, padded))
        kernel_text = " x ".join(map(str, reach))
        raise RuntimeError(
            f"Calculated padded input size per channel: ({padded_text}). Kernel size: "
            f"({kernel_text}). Kernel size can't be greater than actual input size"
        )


def call_key(
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> tuple[Any, ...] | None:
    """What a call is checked by; None for one that has to be looked at closely."""
    options = stride, padding, dilation, groups
    if not {*map(type, options)} <= _PLAIN:
        return None
    try:
        if input._node.dtype is not weight._node.dtype:
            return None
        sizes = None if bias is None else bias._shape
        return rank, input._shape, weight._shape, sizes, *options
    except AttributeError:
        return None
