"""Autocast: inside its region some operations compute in bfloat16 or float16, others in float32.

The lists are those that PyTorch documents for the CPU ("Autocast op reference") and were checked against its
behaviour.  An operation on a list is wrapped where it is declared (`declare.public`, `nn.functional`);
outside a region the wrapper costs one test of a number.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, TypeVar, final

from lampas.engine.dtype import bfloat16, dtype, float16, float32, float64
from lampas.engine.tensor.core import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

# fmt: off
LOW_PRECISION = frozenset((
    "addbmm", "addmm", "baddbmm", "bmm", "chain_matmul", "conv1d", "conv2d", "conv3d", "conv_tbc",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "einsum", "linalg.multi_dot",
    "linalg.vecdot", "linear", "matmul", "mm", "prelu", "scaled_dot_product_attention",
    "tensordot",
))
FULL_PRECISION = frozenset((
    "adaptive_avg_pool3d", "avg_pool3d", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "cdist", "cosine_embedding_loss", "cross_entropy", "ctc_loss", "fft.fft", "fft.fft2",
    "fft.fftn", "fft.hfft", "fft.ifft", "fft.ifft2", "fft.ifftn", "fft.ihfft", "fft.irfft",
    "fft.irfft2", "fft.irfftn", "fft.rfft", "fft.rfft2", "fft.rfftn", "grid_sample",
    "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "linalg.cholesky", "linalg.cond",
    "linalg.eig", "linalg.eigh", "linalg.eigvals", "linalg.eigvalsh", "linalg.householder_product",
    "linalg.inv", "linalg.lstsq", "linalg.matrix_rank", "linalg.qr", "linalg.solve", "linalg.svd",
    "linalg.svdvals", "linalg.tensorinv", "linalg.tensorsolve", "margin_ranking_loss", "mse_loss",
    "multi_margin_loss", "multilabel_margin_loss", "nanquantile", "nll_loss", "poisson_nll_loss",
    "prod", "quantile", "smooth_l1_loss", "soft_margin_loss", "stft", "trace",
    "triplet_margin_loss", "view_as_complex",
))
# fmt: on


@final
class AutocastState(threading.local):
    """This thread's regions: `dtype` is None outside of all (or in one that is disabled)."""

    dtype: dtype | None = None
    default: dtype = bfloat16
    cache_enabled = True


state = AutocastState()


@final
class Regions:
    """How many regions are open in all threads; nothing is looked up while there are none."""

    open = 0


def wrap(name: str, function: F) -> F:
    """The function as autocast wants it: itself if it is on no list."""
    low = name in LOW_PRECISION
    if not low and name not in FULL_PRECISION:
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not Regions.open or state.dtype is None:
            return function(*args, **kwargs)
        target = state.dtype if low else float32
        inside = state.dtype
        state.dtype = None  # what the operation is made of computes in the dtype chosen here
        try:
            return function(*convert(args, target), **convert(kwargs, target))
        finally:
            state.dtype = inside

    return call  # type: ignore[return-value]


def convert(value: Any, target: dtype) -> Any:
    """Tensors of floating point (not float64) as `target`, inside tuples, lists and dicts too."""
    if isinstance(value, Tensor):
        kind = value._node.dtype
        if kind is target or not kind.is_floating_point or kind is float64:
            return value
        return value.to(target)
    if type(value) in (tuple, list):
        return type(value)([convert(each, target) for each in value])
    if type(value) is dict:
        return {key: convert(each, target) for key, each in value.items()}
    return value


def in_full_precision(tensor: Tensor) -> Tensor:
    """Inside a region the tensor as float32, for parts of operations that are on the list."""
    return tensor if state.dtype is None else convert(tensor, float32)


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether a region for this kind of device is open on this thread."""
    return device_type == "cpu" and state.dtype is not None


def is_autocast_cpu_enabled() -> bool:
    """Whether a region for the CPU is open on this thread."""
    return state.dtype is not None


def get_autocast_dtype(device_type: str) -> dtype:
    """The fast dtype of regions for this kind of device."""
    return (state.dtype or state.default) if device_type == "cpu" else float16


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Set the fast dtype of later regions for the CPU."""
    if device_type == "cpu":
        state.default = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether casts of weights are remembered (here the graph finds equal casts by itself)."""
    return state.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Kept for programs that set it; equal casts of a step are always made once."""
    state.cache_enabled = enabled


def clear_autocast_cache() -> None:
    """Nothing to clear: no casts are kept beyond a step."""
