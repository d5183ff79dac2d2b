"""Padding layers: constant, zero, reflecting, replicating and circular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lampas.engine.tensor import Tensor
from lampas.nn import functional as F
from lampas.nn.modules.module import Module

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d",
    "ConstantPad3d", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d",
    "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _PadNd(Module):
    rank: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        repeated = isinstance(padding, Sequence)
        self.padding = tuple(padding) if repeated else (padding,) * (2 * self.rank)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """A constant at both ends of the last dimension."""

    rank = 1


class ConstantPad2d(_ConstantPadNd):
    """A constant around the last two dimensions."""

    rank = 2


class ConstantPad3d(_ConstantPadNd):
    """A constant around the last three dimensions."""

    rank = 3


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPadNd):
    """Zeros at both ends of the last dimension."""

    rank = 1


class ZeroPad2d(_ZeroPadNd):
    """Zeros around the last two dimensions."""

    rank = 2


class ZeroPad3d(_ZeroPadNd):
    """Zeros around the last three dimensions."""

    rank = 3


class _ReflectionPadNd(_PadNd):
    mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """The edges mirrored, without repeating the edge itself."""

    rank = 1


class ReflectionPad2d(_ReflectionPadNd):
    """The edges of a plane mirrored."""

    rank = 2


class ReflectionPad3d(_ReflectionPadNd):
    """The edges of a volume mirrored."""

    rank = 3


class _ReplicationPadNd(_PadNd):
    mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """The edge values repeated."""

    rank = 1


class ReplicationPad2d(_ReplicationPadNd):
    """The edge values of a plane repeated."""

    rank = 2


class ReplicationPad3d(_ReplicationPadNd):
    """The edge values of a volume repeated."""

    rank = 3


class _CircularPadNd(_PadNd):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self.rank + 1, self.rank + 2):
            raise ValueError(
                f"expected {self.rank + 1}D or {self.rank + 2}D input (got {input.dim()}D input)"
            )
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Values from the other end."""

    rank = 1


class CircularPad2d(_CircularPadNd):
    """Values from the other side of a plane."""

    rank = 2


class CircularPad3d(_CircularPadNd):
    """Values from the other side of a volume."""

    rank = 3
