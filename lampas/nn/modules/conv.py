"""Convolutions and transposed convolutions of one to three spatial dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from lampas.engine.tensor import Tensor, empty
from lampas.nn import functional as F
from lampas.nn import init
from lampas.nn.modules.module import Module
from lampas.nn.parameter import Parameter

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
]  # fmt: skip

Sizes = int | Sequence[int]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _repeated(value: Any, rank: int) -> tuple[int, ...]:
    """One number for each spatial dimension."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * rank


class _ConvNd(Module):
    """Sizes, weight and bias of a convolution; subclasses say which function is applied."""

    rank: int
    transposed: bool = False
    function: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        dilation: Sizes,
        output_padding: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        rank = self.rank
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _repeated(kernel_size, rank)
        self.stride = _repeated(stride, rank)
        self.padding = padding if isinstance(padding, str) else _repeated(padding, rank)
        self.dilation = _repeated(dilation, rank)
        self.output_padding = _repeated(output_padding, rank)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check_padding()
        self._reversed_padding_repeated_twice = self._edge_amounts()
        if self.transposed:
            shape = (in_channels, out_channels // groups, *self.kernel_size)
        else:
            shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check_padding(self) -> None:
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {self.padding!r}, should be one of {{'same', 'valid'}}"
                )
            if self.padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in PADDING_MODES:
            choices = "{'zeros', 'reflect', 'replicate', 'circular'}"
            raise ValueError(
                f"padding_mode must be one of {choices}, but got padding_mode='{self.padding_mode}'"
            )

    def _edge_amounts(self) -> list[int]:
        """What `pad` needs for the modes that the convolution itself does not know."""
        if not isinstance(self.padding, str):
            return [amount for amount in reversed(self.padding) for _ in range(2)]
        amounts = [0, 0] * len(self.kernel_size)
        if self.padding == "same":
            sizes = zip(self.dilation, self.kernel_size)
            for place, (gap, width) in enumerate(reversed(list(sizes))):
                total = gap * (width - 1)
                amounts[2 * place] = total // 2
                amounts[2 * place + 1] = total - total // 2
        return amounts

    def reset_parameters(self) -> None:
        """Draw weight and bias uniform in ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        ]
        none = (0,) * len(self.kernel_size)
        if self.padding != none:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * len(self.dilation):
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != none:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


class _Conv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        function = type(self).function
        if self.padding_mode != "zeros":
            padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            return function(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
        return function(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, *self._weight_and_bias())


class Conv1d(_Conv):
    """Cross-correlation of ([N,] C, L)."""

    rank = 1
    function = staticmethod(F.conv1d)


class Conv2d(_Conv):
    """Cross-correlation of ([N,] C, H, W): weight (out, in/groups, Kh, Kw).

    >>> Conv2d(1, 8, 3, padding=1)
    Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    rank = 2
    function = staticmethod(F.conv2d)


class Conv3d(_Conv):
    """Cross-correlation of ([N,] C, D, H, W)."""

    rank = 3
    function = staticmethod(F.conv3d)


class _ConvTranspose(_ConvNd):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """What must be added so that the result has `output_size`."""
        if output_size is None:
            return self.output_padding
        rank = self.rank
        chosen = list(output_size)
        if len(chosen) == input.dim():
            chosen = chosen[-rank:]
        if len(chosen) != rank:
            raise ValueError(
                f"ConvTranspose{rank}D: for {input.dim()}D input, output_size must have {rank} or "
                f"{input.dim()} elements (got {len(output_size)})"
            )
        extra = []
        smallest, largest = [], []
        sizes = input.shape[-rank:]
        for place in range(rank):
            low = (
                (sizes[place] - 1) * self.stride[place]
                - 2 * self.padding[place]  # type: ignore[operator]
                + self.dilation[place] * (self.kernel_size[place] - 1)
                + 1
            )
            smallest.append(low)
            largest.append(low + self.stride[place] - 1)
            extra.append(chosen[place] - low)
        for size, low, high in zip(chosen, smallest, largest):
            if not low <= size <= high:
                raise ValueError(
                    f"requested an output size of {list(output_size)}, but valid sizes range from "
                    f"{smallest} to {largest} (for an input of {list(sizes)})"
                )
        return tuple(extra)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self._output_padding(input, output_size)
        return type(self).function(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    """The transposed convolution of ([N,] C, L)."""

    rank = 1
    function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """The transposed convolution of ([N,] C, H, W): weight (in, out/groups, Kh, Kw)."""

    rank = 2
    function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """The transposed convolution of ([N,] C, D, H, W)."""

    rank = 3
    function = staticmethod(F.conv_transpose3d)
