"""DropBlock (arXiv:1810.12890): dropout of whole squares, or cubes, of a feature map."""

from typing import Any

import lampas
from lampas import Tensor, nn
from lampas.nn import functional as F


def _drop(input: Tensor, p: float, block: int, inplace: bool, eps: float, sides: int) -> Tensor:
    batch, channels, *sizes = input.shape
    block = min(block, *sizes)
    gamma = p / block**sides
    for size in sizes:
        gamma *= size / (size - block + 1)
    centres = [size - block + 1 for size in sizes]
    noise = lampas.empty((batch, channels, *centres), dtype=input.dtype).bernoulli_(gamma)
    noise = F.pad(noise, [block // 2] * (2 * sides), value=0)
    pool = F.max_pool2d if sides == 2 else F.max_pool3d
    kept = 1 - pool(noise, kernel_size=(block,) * sides, stride=1, padding=block // 2)
    scale = kept.numel() / (eps + kept.sum())
    return input.mul_(kept).mul_(scale) if inplace else input * kept * scale


def drop_block2d(
    input: Tensor,
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-06,
    training: bool = True,
) -> Tensor:
    """Zero squares of (N, C, H, W) so that about a part `p` of the places goes.

    Raises ValueError for a bad `p` or number of dimensions.
    """
    return _checked(input, p, block_size, inplace, eps, training, 2)


def drop_block3d(
    input: Tensor,
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-06,
    training: bool = True,
) -> Tensor:
    """Zero cubes of (N, C, D, H, W): see `drop_block2d`."""
    return _checked(input, p, block_size, inplace, eps, training, 3)


def _checked(
    input: Tensor, p: float, block: int, inplace: bool, eps: float, training: bool, sides: int
) -> Tensor:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}.")
    if input.dim() != sides + 2:
        raise ValueError(f"input should be {sides + 2} dimensional. Got {input.dim()} dimensions.")
    if not training or p == 0.0:
        return input
    return _drop(input, p, block, inplace, eps, sides)


class DropBlock2d(nn.Module):
    """See `drop_block2d`."""

    function: Any = staticmethod(drop_block2d)

    def __init__(
        self, p: float, block_size: int, inplace: bool = False, eps: float = 1e-06
    ) -> None:
        super().__init__()
        self.p, self.block_size, self.inplace, self.eps = p, block_size, inplace, eps

    def forward(self, input: Tensor) -> Tensor:
        options = (self.p, self.block_size, self.inplace, self.eps, self.training)
        return self.function(input, *options)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(p={self.p}, block_size={self.block_size}, "
            f"inplace={self.inplace})"
        )


class DropBlock3d(DropBlock2d):
    """See `drop_block3d`."""

    function: Any = staticmethod(drop_block3d)
