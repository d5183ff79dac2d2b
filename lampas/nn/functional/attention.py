"""Scaled dot-product attention and multi-head attention (Vaswani et al., 2017)."""

from __future__ import annotations

import math
from typing import Any

from lampas.engine.dtype import float32, float64
from lampas.engine.tensor import Tensor, cat, ones, where, zeros, zeros_like
from lampas.engine.tensor.neural_attention import attention
from lampas.nn.functional.dropout import dropout
from lampas.nn.functional.linear import linear
from lampas.nn.functional.padding import pad
from lampas.nn.functional.precision import rounded_once

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def _is_bool(mask: Tensor) -> bool:
    return str(mask.dtype).endswith("bool")


def _check_attention(query: Tensor, key: Tensor, value: Tensor) -> None:
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead."
        )
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got "
            f"query.dim: {query.dim()}, key.dim: {key.dim()} and value.dim: {value.dim()} instead."
        )


def _attention_bias(scores: Tensor, attn_mask: Tensor | None, is_causal: bool) -> Tensor:
    if is_causal:
        allowed = ones(scores.size(-2), scores.size(-1)).tril() > 0
        return where(allowed, scores, zeros_like(scores) + float("-inf"))
    if attn_mask is None:
        return scores
    if _is_bool(attn_mask):
        return where(attn_mask, scores, zeros_like(scores) + float("-inf"))
    return scores + attn_mask


@rounded_once
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q·kᵀ·scale + mask)·v: query (*, L, E), key (*, S, E), value (*, S, Ev) -> (*, L, Ev).

    A boolean mask says who may attend, a floating one is added; a row that may attend to nothing
    gives zeros.
    """
    _check_attention(query, key, value)
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    if enable_gqa and query.dim() >= 3:
        heads = query.size(-3)
        key = key.repeat_interleave(heads // key.size(-3), -3)
        value = value.repeat_interleave(heads // value.size(-3), -3)
    factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    if dropout_p == 0 and query.dtype in (float32, float64):
        return attention(query, key, value, attn_mask, factor, is_causal)
    scores = query.matmul(key.transpose(-2, -1)) * factor
    scores = _attention_bias(scores, attn_mask, is_causal)
    weights = scores.softmax(-1)
    if attn_mask is not None:
        blocked = (scores.detach() == float("-inf")).all(-1, keepdim=True)
        weights = where(blocked, zeros_like(weights), weights)
    if dropout_p > 0:
        weights = dropout(weights, dropout_p)
    return weights.matmul(value)


def _canonical_mask(
    mask: Tensor | None, mask_name: str, other: Tensor | None, target: Tensor, other_name: str = ""
) -> Tensor | None:
    """A boolean mask (True = hidden) as −inf to be added; a floating mask as it is."""
    if mask is None:
        return None
    if not (_is_bool(mask) or mask.is_floating_point()):
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if mask.is_floating_point():
        return mask
    blank = zeros(*mask.shape, dtype=target.dtype)
    return blank.masked_fill(mask, float("-inf"))


def _check_multihead(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether the input is a batch; AssertionError for ranks that do not belong together."""
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query "
            "tensor"
        )
    batched = query.dim() == 3
    rank = query.dim()
    if key.dim() != rank or value.dim() != rank:
        raise AssertionError(
            f"For {'batched' if batched else 'unbatched'} ({rank}-D) `query`, expected `key` and "
            f"`value` to be {rank}-D but found {key.dim()}-D and {value.dim()}-D tensors "
            "respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != rank - 1:
        raise AssertionError(
            f"For {'batched' if batched else 'unbatched'} ({rank}-D) `query`, expected "
            f"`key_padding_mask` to be `None` or {rank - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None and attn_mask.dim() not in (2, 3):
        raise AssertionError(
            f"For {'batched' if batched else 'unbatched'} ({rank}-D) `query`, expected `attn_mask` "
            f"to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None and not batched and attn_mask.dim() == 3:
        expected = (num_heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != expected:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {expected} but got {tuple(attn_mask.shape)}"
            )
    return batched


def _in_projection_packed(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Project with the rows of one (3E, E) weight; self-attention takes a single product."""
    width = query.size(-1)
    if key is value:
        if query is key:
            projected = linear(query, weight, bias)
            q, k, v = projected.split(width, -1)
            return q, k, v
        q = linear(query, weight[:width], None if bias is None else bias[:width])
        k, v = linear(key, weight[width:], None if bias is None else bias[width:]).split(width, -1)
        return q, k, v
    weights = weight.split(width)
    biases = (None, None, None) if bias is None else bias.split(width)
    return tuple(
        linear(given, part, shift)
        for given, part, shift in zip((query, key, value), weights, biases)
    )  # type: ignore[return-value]


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of several heads over (L, N, E), (S, N, E): see `nn.MultiheadAttention`."""
    batched = _check_multihead(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = _as_batch(query, key, value)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    key_padding_mask = _canonical_mask(key_padding_mask, "key_padding_mask", attn_mask, query)
    _check_widths(width, embed_dim_to_check, num_heads, is_causal and attn_mask is None)
    attn_mask = _canonical_mask(attn_mask, "attn_mask", None, query)
    if not use_separate_proj_weight and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if use_separate_proj_weight:
        q, k, v = _project_apart(
            (query, key, value), (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias
        )
    else:
        assert in_proj_weight is not None, (
            "use_separate_proj_weight is False but in_proj_weight is None"
        )
        q, k, v = _in_projection_packed(query, key, value, in_proj_weight, in_proj_bias)
    attn_mask = _expanded_mask(attn_mask, length, key.shape[0], batch * num_heads)
    if bias_k is not None and bias_v is not None:
        k = cat([k, bias_k.repeat(1, batch, 1)])
        v = cat([v, bias_v.repeat(1, batch, 1)])
        attn_mask, key_padding_mask = _widened(attn_mask), _widened(key_padding_mask)
    q = _heads(q, batch * num_heads)
    k = _heads(k, batch * num_heads) if static_k is None else static_k
    v = _heads(v, batch * num_heads) if static_v is None else static_v
    if add_zero_attn:
        blank = zeros(k.size(0), 1, k.size(2), dtype=k.dtype)
        k, v = cat([k, blank], 1), cat([v, blank], 1)
        attn_mask, key_padding_mask = _widened(attn_mask), _widened(key_padding_mask)
    mask = _merged_mask(attn_mask, key_padding_mask, batch, num_heads, k.size(1))
    return _attend(
        q, k, v, mask, (batch, num_heads, length), out_proj_weight, out_proj_bias,
        dropout_p if training else 0.0, need_weights, average_attn_weights, batched,
    )  # fmt: skip


def _project_apart(
    inputs: tuple[Tensor, ...], weights: tuple[Any, ...], bias: Tensor | None
) -> tuple[Tensor, ...]:
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return tuple(linear(given, part, shift) for given, part, shift in zip(inputs, weights, biases))


def _expanded_mask(mask: Tensor | None, length: int, keys: int, heads: int) -> Tensor | None:
    if mask is None:
        return None
    if mask.dim() == 2:
        if tuple(mask.shape) != (length, keys):
            raise RuntimeError(
                f"The shape of the 2D attn_mask is {mask.shape}, but should be {(length, keys)}."
            )
        return mask.unsqueeze(0)
    if mask.dim() == 3 and tuple(mask.shape) != (heads, length, keys):
        raise RuntimeError(
            f"The shape of the 3D attn_mask is {mask.shape}, but should be {(heads, length, keys)}."
        )
    return mask


def _heads(x: Tensor, heads: int) -> Tensor:
    """(length, N, E) -> (N·heads, length, E/heads)."""
    return x.reshape(x.size(0), heads, -1).transpose(0, 1)


def _widened(mask: Tensor | None) -> Tensor | None:
    """The mask with one more key, which everyone may see."""
    return None if mask is None else pad(mask, (0, 1))


def _as_batch(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of one; tensors that are the same one stay so, to be projected once."""
    rows = query.unsqueeze(1)
    keys = rows if key is query else key.unsqueeze(1)
    return rows, keys, (keys if value is key else value.unsqueeze(1))


def _check_widths(width: int, expected: int, num_heads: int, hint_alone: bool) -> None:
    if hint_alone:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    if width != expected:
        raise AssertionError(f"was expecting embedding dimension of {expected}, but got {width}")
    if width % num_heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")


def _merged_mask(
    attn_mask: Tensor | None,
    key_padding_mask: Tensor | None,
    batch: int,
    num_heads: int,
    keys: int,
) -> Tensor | None:
    if key_padding_mask is None:
        return attn_mask
    if tuple(key_padding_mask.shape) != (batch, keys):
        raise AssertionError(
            f"expecting key_padding_mask shape of {(batch, keys)}, but got {key_padding_mask.shape}"
        )
    wide = key_padding_mask.reshape(batch, 1, 1, keys).expand(-1, num_heads, -1, -1)
    wide = wide.reshape(batch * num_heads, 1, keys)
    return wide if attn_mask is None else attn_mask + wide


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    sizes: tuple[int, int, int],
    out_weight: Tensor,
    out_bias: Tensor | None,
    dropout_p: float,
    need_weights: bool,
    average: bool,
    batched: bool,
) -> tuple[Tensor, Tensor | None]:
    batch, num_heads, length = sizes
    width = num_heads * q.size(-1)
    scores = (q * math.sqrt(1.0 / q.size(-1))).matmul(k.transpose(-2, -1))
    if mask is not None:
        scores = scores + mask
    weights = scores.softmax(-1)
    if not need_weights and mask is not None:
        # The fused attention that PyTorch takes here gives zeros where nothing may be seen.
        blocked = (scores.detach() == float("-inf")).all(-1, keepdim=True)
        weights = where(blocked, zeros_like(weights), weights)
    if dropout_p > 0:
        weights = dropout(weights, dropout_p)
    mixed = weights.matmul(v).transpose(0, 1).reshape(length * batch, width)
    output = linear(mixed, out_weight, out_bias).reshape(length, batch, out_weight.size(0))
    output = output if batched else output.squeeze(1)
    if not need_weights:
        return output, None
    shown = weights.reshape(batch, num_heads, length, k.size(1))
    shown = shown.mean(1) if average else shown
    return output, (shown if batched else shown.squeeze(0))
