"""Dropout in its kinds. The mask is drawn as PyTorch's CPU does: Bernoulli(1 − p), then scaled."""

from __future__ import annotations

import math
import warnings

from lampas.engine.dtype import bool_, dtype
from lampas.engine.tensor import Tensor, empty
from lampas.engine.tensor.neural_dropout import keep_elements
from lampas.engine.tensor.random_fill import is_row_major, memory_order

__all__ = [
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
]  # fmt: skip

SELU_LIMIT = 1.7580993408473766


def _check_probability(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _noise(input: Tensor, p: float, by_channel: bool, kind: dtype) -> Tensor:
    """Bernoulli(1 − p) of the input's shape, drawn in the order of its memory, or one draw for each channel.

    The numbers do not depend on `kind`.
    """
    shape = tuple(input.shape)
    if by_channel:
        if input.dim() < 2:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
        shape = shape[:2] + (1,) * (len(shape) - 2)
    elif not is_row_major(input) and not any(
        stride == 0 < size - 1 for stride, size in zip(input.stride(), shape)
    ):
        order = memory_order(input)
        drawn = empty([shape[dim] for dim in order], dtype=kind).bernoulli_(1 - p)
        return drawn.permute([order.index(dim) for dim in range(len(order))])
    return empty(shape, dtype=kind).bernoulli_(1 - p)


def _dropped(input: Tensor, p: float, training: bool, inplace: bool, by_channel: bool) -> Tensor:
    if not training or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    if inplace or not input.dtype.is_floating_point:
        noise = _noise(input, p, by_channel, input.dtype) / (1 - p)
        return input.mul_(noise) if inplace else input * noise
    return keep_elements(input, _noise(input, p, by_channel, bool_), 1 - p)


def _alpha_dropped(
    input: Tensor, p: float, training: bool, inplace: bool, by_channel: bool
) -> Tensor:
    """Dropout that keeps mean and variance of SELU units (Klambauer et al., 2017)."""
    if not training or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    noise = _noise(input, p, by_channel, input.dtype)
    scale = 1.0 / math.sqrt((SELU_LIMIT**2 * p + 1) * (1 - p))
    shift = (noise - 1) * (SELU_LIMIT * scale) + SELU_LIMIT * scale * p
    noise = noise * scale
    return input.mul_(noise).add_(shift) if inplace else input * noise + shift


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1/(1 − p).

    Raises ValueError unless 0 ≤ p ≤ 1.
    """
    _check_probability(p)
    return _dropped(input, p, training, inplace, False)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout for SELU networks: dropped units take the negative saturation value."""
    _check_probability(p)
    return _alpha_dropped(input, p, training, inplace, False)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of (C, L) or (N, C, L)."""
    _check_probability(p)
    dims = input.dim()
    if dims not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {dims}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    if dims == 2:
        return _dropped(input.unsqueeze(0), p, training, inplace, True).squeeze(0)
    return _dropped(input, p, training, inplace, True)


def drop_channels(input: Tensor, p: float, training: bool) -> Tensor:
    """Zero whole channels of an input of any rank from 2 on."""
    _check_probability(p)
    return _dropped(input, p, training, False, True)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of (N, C, H, W)."""
    _check_probability(p)
    dims = input.dim()
    if dims not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {dims}-D input to dropout2d, which is deprecated and will "
            "result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead. Note that dropout2d exists to provide "
            "channel-wise dropout on inputs with 2 spatial dimensions, a channel dimension, and "
            "an optional batch dimension (i.e. 3D or 4D inputs).",
            stacklevel=2,
        )
    return _dropped(input, p, training, inplace, True)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of (C, D, H, W) or (N, C, D, H, W)."""
    _check_probability(p)
    dims = input.dim()
    if dims not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {dims}-D input to dropout3d, which is deprecated and will "
            "result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead. Note that dropout3d exists to provide "
            "channel-wise dropout on inputs with 3 spatial dimensions, a channel dimension, and "
            "an optional batch dimension (i.e. 4D or 5D inputs).",
            stacklevel=2,
        )
    if dims == 4:
        return _dropped(input.unsqueeze(0), p, training, inplace, True).squeeze(0)
    return _dropped(input, p, training, inplace, True)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Alpha dropout of whole channels."""
    _check_probability(p)
    return _alpha_dropped(input, p, training, inplace, True)
