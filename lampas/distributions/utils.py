"""What distributions share: broadcasting of parameters, probabilities and logits, lazy parameters.

PyTorch's `torch.distributions.utils`. Probabilities are kept one rounding away from 0 and 1 before
their logarithm is taken, as PyTorch does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from itertools import count
from numbers import Number
from typing import Any

from lampas.engine.dtype import get_default_dtype
from lampas.engine.numeric_limits import finfo
from lampas.engine.shape import Size
from lampas.engine.tensor import (
    Tensor,
    arange,
    broadcast_tensors,
    enable_grad,
    normal,
    ones,
    sigmoid,
    softmax,
    tensor,
    zeros,
)

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs",
    "probs_to_logits", "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """The values as tensors of one shape; numbers take dtype and device of the first tensor.

    Raises ValueError for a value that is neither a number nor a tensor.

    >>> broadcast_all(1.0, tensor([2.0, 3.0]))[0]
    tensor([1., 1.])
    """
    if not all(isinstance(value, (Tensor, Number)) for value in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects "
            f"implementing __torch_function__. Got {', '.join(type(value).__name__ for value in values)}"
        )
    given = next((value for value in values if isinstance(value, Tensor)), None)
    if given is None:
        options: dict[str, Any] = dict(dtype=get_default_dtype())
    else:
        options = dict(dtype=given.dtype, device=given.device)
    made = [value if isinstance(value, Tensor) else tensor(value, **options) for value in values]
    return tuple(broadcast_tensors(*made))


def is_number(*values: Any) -> bool:
    """Whether all values are plain numbers, so that a distribution has no batch shape."""
    return all(isinstance(value, Number) for value in values)


def batch_shape_of(parameter: Tensor, *given: Any) -> Size:
    """The batch shape of element-wise parameters: none where all were given as numbers."""
    return Size() if is_number(*given) else parameter.size()


def enumerated(values: Tensor, batch_shape: Size, expand: bool) -> Tensor:
    """Values (count, *event) along a first dimension before the batch's: (count, *batch, *event).

    Batch dimensions have size one unless `expand`.
    """
    sizes = batch_shape if expand else (1,) * len(batch_shape)
    shape = values.shape[:1] + (1,) * len(batch_shape) + values.shape[1:]
    return values.reshape(shape).expand(values.shape[:1] + sizes + values.shape[1:])


def standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    """Normal numbers in the way of PyTorch's `rsample`, which is drawn by `normal` of tensors."""
    options: dict[str, Any] = dict(dtype=dtype, device=device)
    return normal(zeros(shape, **options), ones(shape, **options))


def limits(values: Tensor) -> Any:
    """`finfo` of a tensor's type."""
    return finfo(values.dtype)


def sum_rightmost(value: Tensor, dims: int) -> Tensor:
    """The sum over the last `dims` dimensions.

    >>> sum_rightmost(ones(2, 3, 4), 2)
    tensor([12., 12.])
    """
    if dims == 0:
        return value
    return value.reshape(value.shape[: value.dim() - dims] + (-1,)).sum(-1)


# The names by which libraries on top of PyTorch (GPyTorch, Pyro) import these two.
_standard_normal, _sum_rightmost = standard_normal, sum_rightmost


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of log odds (binary), or of unnormalised log probabilities in the last dimension."""
    return sigmoid(logits) if is_binary else softmax(logits, dim=-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities moved into [eps, 1 - eps] of their type."""
    eps = limits(probs).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log odds (binary), or log probabilities, of probabilities that are clamped first."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def normalized_logits(logits: Tensor) -> Tensor:
    """Log probabilities that sum to one after exp, from unnormalised ones."""
    return logits - logits.logsumexp(dim=-1, keepdim=True)


def one_of_probs_and_logits(probs: Any, logits: Any) -> str:
    """ "probs" or "logits", whichever was given; ValueError unless exactly one was."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return "logits" if probs is None else "probs"


class lazy_property:
    """A method that is called when it is first read as an attribute, and then kept as one."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # pyright: ignore[reportArgumentType]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class Undefined:
    """An attribute that a class leaves to its subclasses; reading it raises NotImplementedError."""

    def __init__(self, meaning: str) -> None:
        self.__doc__ = meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise NotImplementedError(f"{type(instance)} does not implement {self.name}")


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements on and below a diagonal, row by row: (..., n, n) to (..., number of elements).

    Raises ValueError for a diagonal outside the matrix.
    """
    size = mat.shape[-1]
    if not -size <= diag < size:
        raise ValueError(f"diag ({diag}) provided is outside [{-size}, {size - 1}].")
    rows = arange(size, device=mat.device)
    return mat[..., rows < rows.view(-1, 1) + (diag + 1)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Lower triangular matrices of which `vec` holds the elements, row by row; zeros elsewhere.

    Raises ValueError for a length that no triangle has.
    """
    length = vec.shape[-1]
    size = next(each for each in count() if _elements(each, diag) >= length)
    rows = arange(size, device=vec.device)
    mask = rows < rows.view(-1, 1) + (diag + 1)
    if _elements(size, diag) != length:
        raise ValueError(
            f"The size of last dimension is {length} which cannot be expressed as the "
            "lower triangular part of a square D x D matrix."
        )
    made = zeros(vec.shape[:-1] + (size, size), dtype=vec.dtype, device=vec.device)
    made[..., mask] = vec
    return made


def _elements(size: int, diag: int) -> int:
    """How many elements of a square matrix lie on or below a diagonal."""
    return sum(max(0, min(size, row + diag + 1)) for row in range(size))
