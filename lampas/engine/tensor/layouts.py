"""Memory formats and layouts: the order in which a tensor's dimensions lie in memory.

All tensors are strided.  `channels_last` is an order of strides: N, H, W, C from the slowest to the fastest.
"""

from __future__ import annotations

from typing import Any, NoReturn, final

from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import method


@final
class memory_format:
    """An order of dimensions; `order` lists them from the slowest to the fastest, if it is fixed."""

    __slots__ = ("name", "order")

    def __new__(cls, *arguments: object) -> NoReturn:
        raise TypeError("cannot create 'torch.memory_format' instances")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    @property
    def channels_last(self) -> bool:
        """Whether the channels are the fastest dimension."""
        return self.order is not None

    def matches(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
        """Whether memory with these strides is in this order without gaps."""
        if self.order is None or len(shape) != len(self.order):
            return False
        expected = 1
        for dim in reversed(self.order):
            if shape[dim] != 1 and strides[dim] != expected:
                return False
            expected *= max(shape[dim], 1)
        return True


@final
class layout:
    """How elements are stored; everything here is `strided`."""

    __slots__ = ("name",)

    def __new__(cls, *arguments: object) -> NoReturn:
        raise TypeError("cannot create 'torch.layout' instances")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


def _format(name: str, order: tuple[int, ...] | None = None) -> memory_format:
    made: memory_format = object.__new__(memory_format)
    made.name, made.order = name, order
    return made


def _layout(name: str) -> layout:
    made: layout = object.__new__(layout)
    made.name = name
    return made


contiguous_format = _format("contiguous_format")
preserve_format = _format("preserve_format")
channels_last = _format("channels_last", (0, 2, 3, 1))
channels_last_3d = _format("channels_last_3d", (0, 2, 3, 4, 1))

strided = _layout("strided")
sparse_coo = _layout("sparse_coo")
sparse_csr = _layout("sparse_csr")
sparse_csc = _layout("sparse_csc")
sparse_bsr = _layout("sparse_bsr")
sparse_bsc = _layout("sparse_bsc")
jagged = _layout("jagged")

method("layout")(property(lambda self: strided, doc="How elements are stored."))  # type: ignore[arg-type]


def in_format(tensor: Tensor, wanted: Any) -> Tensor:
    """A copy of the tensor in a channels-last format, or the tensor itself if it is in that already."""
    order = getattr(wanted, "order", None)
    if order is None:
        return tensor
    if len(tensor._shape) != len(order):
        raise RuntimeError(
            f"required rank {len(order)} tensor to use {wanted.name} format, but got rank "
            f"{len(tensor._shape)}"
        )
    if wanted.matches(tensor._shape, tensor._layout()):
        return tensor
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return tensor.permute(*order).contiguous().permute(*inverse)  # type: ignore[attr-defined]
