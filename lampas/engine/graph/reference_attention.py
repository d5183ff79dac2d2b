"""The reference of attention and its derivatives: the whole matrix of weights, in double precision."""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
Arrays = list[np.ndarray]


def _weights(q: Array, k: Array, bias: Arrays, scale: float, causal: bool) -> Array:
    scores = q @ np.swapaxes(k, -1, -2) * scale
    if bias:
        scores = scores + bias[0]
    if causal:
        rows, columns = scores.shape[-2:]
        later = np.arange(columns) > np.arange(rows)[:, None]
        scores = np.where(later, -np.inf, scores)
    largest = scores.max(-1, keepdims=True)
    blind = largest == -np.inf
    powers = np.exp(scores - np.where(blind, 0, largest))
    return np.where(blind, 0, powers / np.where(blind, 1, powers.sum(-1, keepdims=True)))


def _wide(arrays: Arrays) -> Arrays:
    return [array.astype(np.float64) for array in arrays]


def _attention(arrays: Arrays, scale: float, causal: bool) -> Array:
    q, k, v, *bias = _wide(arrays)
    with np.errstate(all="ignore"):
        return (_weights(q, k, bias, scale, causal) @ v).astype(arrays[0].dtype)


def _attention_backward(arrays: Arrays, scale: float, causal: bool) -> Array:
    q, k, v, flow, *bias = _wide(arrays)
    with np.errstate(all="ignore"):
        weights = _weights(q, k, bias, scale, causal)
        spread = flow @ np.swapaxes(v, -1, -2)
        spread = weights * (spread - (weights * spread).sum(-1, keepdims=True)) * scale
        parts = (spread @ k, np.swapaxes(spread, -1, -2) @ q, np.swapaxes(weights, -1, -2) @ flow)
    return np.concatenate([part.reshape(-1) for part in parts]).astype(arrays[0].dtype)


ATTENTION_RULES: dict[p.Primitive, Callable[..., Array]] = {
    p.ATTENTION: _attention,
    p.ATTENTION_BACKWARD: _attention_backward,
}
