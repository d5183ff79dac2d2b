"""Cross entropy of a linear layer's output in one function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lampas.engine.tensor import Tensor
from lampas.nn.functional.linear import linear
from lampas.nn.functional.loss import cross_entropy

__all__ = ["LinearCrossEntropyOptions", "linear_cross_entropy"]

POLICIES = ("accurate", "balanced", "compact", "auto")


@dataclass(frozen=True, slots=True)
class LinearCrossEntropyOptions:
    """Hints for computing in chunks; the compiler plans memory itself, so they are only checked."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in POLICIES:
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        method = self.chunking_method
        if method is None or method == "auto":
            return
        name, separator, factor = method.partition(":")
        if name != "aspect_ratio" or (separator and not (factor.isdigit() and int(factor) >= 1)):
            raise ValueError(f"invalid chunking_method: {method!r}")


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """`cross_entropy` of `linear(input, linear_weight, linear_bias)`.

    input (N, in) or (in,), linear_weight (C, *outputs, in), target classes (N, *outputs) or
    probabilities (N, C, *outputs).
    """
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input to be 1D or 2D, got {input.dim()}D")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight to be at least 2D, got {linear_weight.dim()}D")
    classes, *outputs, width = linear_weight.shape
    if input.size(-1) != width:
        raise RuntimeError(
            f"expected input with {width} features for linear_weight of shape "
            f"{tuple(linear_weight.shape)}, got {tuple(input.shape)}"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != (classes, *outputs):
        raise RuntimeError(
            f"expected linear_bias shape {(classes, *outputs)}, got {tuple(linear_bias.shape)}"
        )
    lead = tuple(input.shape[:-1])
    if outputs and not lead:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} "
            f"requires batched input, (N, {width}), got unbatched input with shape "
            f"{tuple(input.shape)}"
        )
    shape = (*lead, classes, *outputs)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    flat_weight = linear_weight.reshape(classes * math.prod(outputs), width)
    flat_bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, flat_weight, flat_bias).reshape(shape)
    return cross_entropy(
        logits,
        target,
        weight=weight,
        reduction=reduction,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )
