"""Convolutions of one to three spatial dimensions, their transposes, and the sliding blocks of unfold."""

from __future__ import annotations

from collections.abc import Sequence

from lampas.engine.tensor import Tensor, constant_pad_nd, neural_blocks
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_blocks import Blocks, Pair
from lampas.engine.tensor.neural_convolution import CONVOLUTION, convolution
from lampas.nn.functional.convolution_arguments import (
    CALLS_KEPT,
    KNOWN_CALLS,
    Sizes,
    call_key,
    check_bias,
    check_operands,
    check_parameters,
    check_sizes,
    expanded,
)

__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "fold", "unfold",
]  # fmt: skip


def _named_padding(
    name: str,
    input: Tensor,
    padding: str,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[Tensor, tuple[int, ...]]:
    """The input and the symmetric amounts for "valid" or "same"; uneven sides are padded at once."""
    if padding == "valid":
        return input, (0,) * len(kernel)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(step != 1 for step in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [step * (size - 1) for step, size in zip(dilation, kernel)]
    if any(total % 2 for total in totals):
        extra: list[int] = []
        for total in reversed(totals):
            extra += [0, total % 2]
        input = constant_pad_nd(input, extra, 0)
    return input, tuple(total // 2 for total in totals)


def _convolve(
    name: str,
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    call = call_key(rank, input, weight, bias, stride, padding, dilation, groups)
    known = None if call is None else KNOWN_CALLS.get(call)
    if known is not None:
        operands = (input, weight) if bias is None else (input, weight, bias)
        return record(CONVOLUTION, operands, known)
    check_operands(name, input, weight, rank)
    strides = expanded(name, "stride", stride, rank)
    dilations = expanded(name, "dilation", dilation, rank)
    if isinstance(padding, str):
        kernel = weight.shape[2:]
        input, amounts = _named_padding(name, input, padding, kernel, strides, dilations)
    else:
        amounts = expanded(name, "padding", padding, rank)
    check_parameters(name, strides, amounts, dilations, groups)
    check_sizes(input, weight, amounts, dilations, groups, rank)
    check_bias(bias, weight, weight.size(0))
    single = input.dim() == rank + 1
    batch = input.unsqueeze(0) if single else input
    zero = (0,) * rank
    result = convolution(batch, weight, bias, strides, amounts, dilations, False, zero, groups)
    if single:
        return result.squeeze(0)
    if call is not None and batch._shape == call[1]:
        if len(KNOWN_CALLS) >= CALLS_KEPT:
            KNOWN_CALLS.clear()
        KNOWN_CALLS[call] = strides, amounts, dilations, groups
    return result


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: input ([N,] C, L), weight (O, C/groups, K) -> ([N,] O, L').

    Raises RuntimeError for ranks, channels or kernel sizes that do not fit.
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: input ([N,] C, H, W), weight (O, C/groups, Kh, Kw) -> ([N,] O, H', W').

    H' = (H + 2·padding − dilation·(K − 1) − 1) // stride + 1. `padding` may be "same" or "valid".
    Raises RuntimeError for ranks, channels or kernel sizes that do not fit.
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of ([N,] C, D, H, W) with weight (O, C/groups, Kd, Kh, Kw)."""
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _transpose_convolve(
    name: str,
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    check_operands(name, input, weight, rank)
    strides = expanded(name, "stride", stride, rank)
    dilations = expanded(name, "dilation", dilation, rank)
    amounts = expanded(name, "padding", padding, rank)
    extra = expanded(name, "output_padding", output_padding, rank)
    check_parameters(name, strides, amounts, dilations, groups)
    for more, step, gap in zip(extra, strides, dilations):
        if more < 0:
            raise RuntimeError("negative output_padding is not supported")
        if more >= step and more >= gap:
            raise RuntimeError(
                "output padding must be smaller than either stride or dilation, but got "
                f"output_padding {list(extra)}, stride {list(strides)}, dilation {list(dilations)}"
            )
    channels = input.size(-rank - 1)
    if channels != weight.size(0):
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input"
            f"{list(input.shape)} to have {weight.size(0)} channels, but got {channels} "
            "channels instead"
        )
    check_bias(bias, weight, weight.size(1) * groups)
    single = input.dim() == rank + 1
    batch = input.unsqueeze(0) if single else input
    result = convolution(batch, weight, bias, strides, amounts, dilations, True, extra, groups)
    return result.squeeze(0) if single else result


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The gradient of `conv1d` as an operation: weight is (C, O/groups, K)."""
    return _transpose_convolve(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The gradient of `conv2d` as an operation: weight is (C, O/groups, Kh, Kw).

    H' = (H − 1)·stride − 2·padding + dilation·(K − 1) + output_padding + 1.
    """
    return _transpose_convolve(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The gradient of `conv3d` as an operation: weight is (C, O/groups, Kd, Kh, Kw)."""
    return _transpose_convolve(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def _block_settings(
    name: str, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> tuple[Pair, Pair, Pair, Pair]:
    """Kernel, dilation, padding and stride as pairs."""
    kernel, gaps, amounts, steps = (
        expanded(name, label, value, 2)
        for label, value in (
            ("kernel_size", kernel_size),
            ("dilation", dilation),
            ("padding", padding),
            ("stride", stride),
        )
    )
    for label, values in (("kernel size", kernel), ("dilation", gaps), ("stride", steps)):
        if any(value <= 0 for value in values):
            raise RuntimeError(f"{label} should be greater than zero, but got {list(values)}")
    if any(value < 0 for value in amounts):
        raise RuntimeError(f"padding should be non-negative, but got {list(amounts)}")
    return _pair(kernel), _pair(gaps), _pair(amounts), _pair(steps)


def _pair(values: Sequence[int]) -> Pair:
    first, second = values
    return first, second


def unfold(
    input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Sliding blocks as columns: ([N,] C, H, W) -> ([N,] C·Kh·Kw, blocks)."""
    settings = _block_settings("unfold", kernel_size, dilation, padding, stride)
    if input.dim() not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    single = input.dim() == 3
    batch = input.unsqueeze(0) if single else input
    blocks = Blocks((batch.size(2), batch.size(3)), *settings)
    counts = blocks.counts
    if any(count < 1 for count in counts):
        raise RuntimeError(
            f"Given input with spatial size {blocks.plane}, kernel_size={blocks.kernel}, "
            f"dilation={blocks.dilation}, padding={blocks.padding}, calculated shape of the array of sliding "
            f"blocks as {counts}, but its components must be at least one."
        )
    columns = neural_blocks.unfold(batch, blocks)
    return columns.squeeze(0) if single else columns


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """Sum sliding blocks back into a plane: ([N,] C·Kh·Kw, blocks) -> ([N,] C, H, W)."""
    output = _pair(expanded("fold", "output_size", output_size, 2))
    settings = _block_settings("fold", kernel_size, dilation, padding, stride)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    single = input.dim() == 2
    batch = input.unsqueeze(0) if single else input
    blocks = Blocks(output, *settings)
    counts, area = blocks.counts, blocks.kernel[0] * blocks.kernel[1]
    if batch.size(1) % area:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={batch.size(1)} and kernel_size={blocks.kernel}."
        )
    if any(count < 1 for count in counts) or counts[0] * counts[1] != batch.size(2):
        raise RuntimeError(
            f"Given output_size={output}, kernel_size={blocks.kernel}, "
            f"dilation={blocks.dilation}, padding={blocks.padding}, stride={blocks.stride}, "
            "expected size of input's dimension 2 to match the calculated number of sliding "
            f"blocks {counts[0]} * {counts[1]} = {counts[0] * counts[1]}, but got "
            f"input.size(2)={batch.size(2)}."
        )
    plane = neural_blocks.fold(batch, blocks)
    return plane.squeeze(0) if single else plane
