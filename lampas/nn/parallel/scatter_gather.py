"""Scatter and gather of nested inputs and outputs over devices, along the batch dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lampas.engine.tensor import Tensor, cat, stack


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> list[Any]:
    """One piece of `inputs` for each device: tensors are split along `dim`, containers are walked.

    Other values are handed to every device as they are.  There are fewer pieces than devices when the
    batch is too small.
    """
    if isinstance(inputs, Tensor):
        parts = inputs.chunk(len(target_gpus), dim)
        return [part.to(device) for part, device in zip(parts, target_gpus, strict=False)]
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        return [type(inputs)(*parts) for parts in _transposed(inputs, target_gpus, dim)]
    if isinstance(inputs, (tuple, list)) and inputs:
        return [type(inputs)(parts) for parts in _transposed(inputs, target_gpus, dim)]
    if isinstance(inputs, Mapping) and inputs:
        columns = _transposed(list(inputs.values()), target_gpus, dim)
        return [type(inputs)(zip(inputs, parts, strict=True)) for parts in columns]  # type: ignore[call-arg]
    return [inputs for _ in target_gpus]


def _transposed(items: Sequence[Any], devices: Sequence[Any], dim: int) -> list[tuple[Any, ...]]:
    return list(zip(*(scatter(item, devices, dim) for item in items), strict=False))


def scatter_kwargs(
    inputs: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    target_gpus: Sequence[Any],
    dim: int = 0,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """`scatter` of positional and keyword arguments; both lists get equal length."""
    positional = scatter(inputs, target_gpus, dim) if inputs else []
    keywords = scatter(kwargs, target_gpus, dim) if kwargs else []
    count = max(len(positional), len(keywords))
    positional += [()] * (count - len(positional))
    keywords += [{}] * (count - len(keywords))
    return tuple(positional), tuple(keywords)


def gather(outputs: Sequence[Any], target_device: Any, dim: int = 0) -> Any:
    """The replicas' outputs as one: tensors are joined along `dim`, containers are walked."""
    first = outputs[0]
    if isinstance(first, Tensor):
        moved = [each.to(target_device) for each in outputs]
        return cat(moved, dim) if first.dim() else stack(moved)
    if first is None:
        return None
    if isinstance(first, Mapping):
        if any(len(each) != len(first) for each in outputs):
            raise ValueError("All dicts must have the same number of keys")
        joined = [
            (key, gather([each[key] for each in outputs], target_device, dim)) for key in first
        ]
        return type(first)(joined)  # type: ignore[call-arg]
    joined = [gather(parts, target_device, dim) for parts in zip(*outputs, strict=True)]
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*joined)
    return type(first)(joined)
