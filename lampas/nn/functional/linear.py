"""Linear and bilinear maps, embeddings, one-hot vectors."""

from __future__ import annotations

import itertools

from lampas.engine.tensor import Tensor, addmm, arange, no_grad, where, zeros
from lampas.engine.tensor.declare import store_out
from lampas.engine.tensor.neural_linear import embedding as lookup
from lampas.engine.tensor.neural_linear import linear_map
from lampas.nn.functional.precision import rounded_once

__all__ = ["bilinear", "embedding", "embedding_bag", "linear", "one_hot"]


def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """x·Wᵀ + b: input (*, in), weight (out, in) or (in,), bias (out,) -> (*, out).

    Raises RuntimeError where the inner sizes differ.
    """
    if out is not None:
        return store_out("linear", linear(input, weight, bias), out)
    shape = input._shape
    if len(weight._shape) == 2 and len(shape) >= 2:
        if shape[-1] == weight._shape[1] and input._node.dtype is weight._node.dtype:
            return linear_map(input, weight, bias)
        if bias is not None and len(shape) == 2:
            return addmm(bias, input, weight.t())
    result = input.matmul(weight.t() if weight.dim() == 2 else weight)
    return result if bias is None else result + bias


@rounded_once
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Σᵢⱼ x1ᵢ·Wₒᵢⱼ·x2ⱼ + bₒ: input1 (*, in1), input2 (*, in2), weight (out, in1, in2)."""
    if input1.dim() != input2.dim():
        raise RuntimeError(
            f"bilinear(): input dimensions do not match: got {input1.dim()} and {input2.dim()}"
        )
    for place in range(input1.dim() - 1):
        if input1.size(place) != input2.size(place):
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {place}: "
                f"got {input1.size(place)} and {input2.size(place)}"
            )
    for number, (given, size) in enumerate(
        ((input1.size(-1), weight.size(1)), (input2.size(-1), weight.size(2))), 1
    ):
        if given != size:
            raise RuntimeError(
                f"bilinear(): input{number} size does not match weight size: "
                f"got {given} but expected {size}"
            )
    if bias is not None and bias.size(0) != weight.size(0):
        raise RuntimeError(
            "bilinear(): bias size does not match weight size: "
            f"got {bias.size(0)} but expected {weight.size(0)}"
        )
    lead = input1.shape[:-1]
    first = input1.reshape(-1, input1.size(-1))
    second = input2.reshape(-1, input2.size(-1))
    outputs, in1, in2 = weight.shape
    partial = first.matmul(weight.permute(1, 0, 2).reshape(in1, outputs * in2))
    result = (partial.reshape(-1, outputs, in2) * second.unsqueeze(1)).sum(-1, dtype=weight.dtype)
    result = result.reshape(*lead, outputs)
    return result if bias is None else result + bias


def _need_indices(name: str, indices: Tensor) -> None:
    if str(indices.dtype).rpartition(".")[2] not in ("int64", "int32"):
        kind = indices.type()
        raise RuntimeError(
            f"Expected tensor for argument #1 'indices' to have one of the following scalar "
            f"types: Long, Int; but got {kind} instead (while checking arguments for {name})"
        )


def _absolute_padding(padding_idx: int | None, rows: int) -> int:
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


def _renormalize(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Shrink the rows in use to `max_norm`, in place and outside the gradient."""
    with no_grad():
        rows = indices.reshape(-1).unique()
        used = weight.index_select(0, rows)
        norms = used.norm(norm_type, dim=1, keepdim=True)
        scale = where(norms > max_norm, max_norm / (norms + 1e-7), norms * 0 + 1)
        weight.index_copy_(0, rows, used * scale)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight` (rows, width) at `input` (*) -> (*, width).

    The row `padding_idx` gets no gradient; `max_norm` shrinks the rows used, in place. Raises
    IndexError for an index outside the table.
    """
    padding = _absolute_padding(padding_idx, weight.size(0))
    if weight.dim() != 2:
        raise RuntimeError("'weight' must be 2-D")
    _need_indices("embedding", input)
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    return lookup(weight, input, padding, scale_grad_by_freq)


def _bag_layout(
    input: Tensor, offsets: Tensor | None, include_last_offset: bool
) -> tuple[Tensor, list[int]]:
    """The indices in one row, and where each bag starts in it, the end included."""
    if input.dim() == 2:
        if offsets is not None:
            given = "<unknown>" if not isinstance(offsets, Tensor) else str(type(offsets))
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a "
                f"mini-batch of fixed length sequences. However, found offsets of type {given}"
            )
        rows, length = input.shape
        return input.reshape(-1), [row * length for row in range(rows + 1)]
    if input.dim() != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.dim() != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    starts = [int(value) for value in offsets.tolist()]
    if starts and starts[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start "
            f"from position 0. However, got {starts[0]}"
        )
    if starts and starts[-1] > input.size(0):
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length {input.size(0)} but got "
            f"offsets[-1] of {starts[-1]}"
        )
    if not include_last_offset:
        starts.append(input.size(0))
    return input, starts


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sum, mean or maximum of the rows in each bag of indices -> (bags, width).

    `input` is (bags, length), or one row of indices cut by `offsets`.
    """
    _check_bags(input, mode, per_sample_weights)
    padding = _absolute_padding(padding_idx, weight.size(0))
    flat, starts = _bag_layout(input, offsets, include_last_offset)
    _need_indices("embedding_bag", flat)
    if max_norm is not None:
        _renormalize(weight, flat, max_norm, norm_type)
    rows = lookup(weight, flat, -1, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    lengths = [end - start for start, end in itertools.pairwise(starts)]
    bags = _bag_numbers(lengths, flat)
    if len(flat) > len(bags):
        rows, flat = rows[: len(bags)], flat[: len(bags)]
    kept = flat != padding
    if mode == "max":
        return _bag_maximum(rows, bags, kept, lengths)
    rows = where(kept.unsqueeze(-1), rows, rows * 0)
    sums = zeros(len(lengths), weight.size(1), dtype=weight.dtype).index_add(0, bags, rows)
    if mode == "sum":
        return sums
    ones = kept.to(weight.dtype)
    counts = zeros(len(lengths), dtype=weight.dtype).index_add(0, bags, ones)
    return sums / where(counts == 0, counts + 1, counts).unsqueeze(-1)


def _check_bags(input: Tensor, mode: str, per_sample_weights: Tensor | None) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is None:
        return
    if input.size() != per_sample_weights.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(per_sample_weights.shape)}) is not "
            f"None, then it must have the same shape as the input ({list(input.shape)})"
        )
    if mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )


def _bag_numbers(lengths: list[int], like: Tensor) -> Tensor:
    counts = like.new_tensor(lengths)
    return arange(len(lengths), dtype=like.dtype).repeat_interleave(counts)


def _bag_maximum(rows: Tensor, bags: Tensor, kept: Tensor, lengths: list[int]) -> Tensor:
    """All bags at once, the shorter ones filled up with rows that do not count."""
    if not len(bags):
        return zeros(len(lengths), rows.size(1), dtype=rows.dtype) + rows.sum(0)
    longest = max(lengths)
    shape = len(lengths), longest
    if min(lengths) == longest:
        counted = kept.reshape(shape)
    else:
        places = arange(longest, dtype=bags.dtype)
        sizes = bags.new_tensor(lengths)
        table = (sizes.cumsum(0) - sizes).unsqueeze(1) + places
        inside = places < sizes.unsqueeze(1)
        table = where(inside, table, table * 0).reshape(-1)
        rows = rows.index_select(0, table)
        counted = kept.index_select(0, table).reshape(shape) & inside
    rows = rows.reshape(*shape, -1)
    rows = where(counted.unsqueeze(-1), rows, float("-inf"))
    found = rows.max(1).values
    return where(counted.any(1, keepdim=True), found, 0.0)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 (*) -> (*, num_classes) with a single 1 each; -1 takes the largest index + 1."""
    if str(tensor.dtype).rpartition(".")[2] != "int64":
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return zeros(*tensor.shape, num_classes, dtype=tensor.dtype)
    if int(tensor.min()) < 0:
        raise RuntimeError("Class values must be non-negative.")
    largest = int(tensor.max())
    if num_classes == -1:
        num_classes = largest + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif largest >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    classes = arange(num_classes, dtype=tensor.dtype)
    return (tensor.unsqueeze(-1) == classes).to(tensor.dtype)
