"""`autocast`: a region in which matrix products and convolutions compute in half precision.

On the CPU the fast dtype is bfloat16 unless another is named.  `autocast("cuda")` does here what PyTorch
does without a GPU: it warns and is off.
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

from lampas.engine.dtype import bfloat16, dtype, float16
from lampas.engine.tensor.autocast import Regions, convert, state

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = ("cuda", "cpu", "xpu", "mps", "hpu", "xla", "maia", "mtia", "meta", "privateuseone")


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast regions for this kind of device exist."""
    return device_type in _KINDS


class autocast:
    """A `with` region, or a decorator; regions nest, and `enabled=False` switches one off inside another.

    >>> with autocast("cpu"):
    ...     pass
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(
                f"User specified an unsupported autocast device_type '{device_type}'"
            )
        self.device = device_type
        self.fast_dtype = dtype or (state.default if device_type == "cpu" else float16)
        self._cache_enabled = state.cache_enabled if cache_enabled is None else cache_enabled
        if device_type == "cuda" and enabled:
            warnings.warn(
                "CUDA is not available or torch_xla is imported. Disabling autocast.",
                stacklevel=2,
            )
            enabled = False
        if device_type == "cpu" and enabled and self.fast_dtype not in (bfloat16, float16):
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtype of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        self._before.append(state.dtype)
        Regions.open += 1
        if self.device == "cpu":
            state.dtype = self.fast_dtype if self._enabled else None
        return self

    def __exit__(self, *error: object) -> bool:
        Regions.open -= 1
        state.dtype = self._before.pop()
        return False

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return call


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: dtype | None = None
) -> Callable[..., Any]:
    """For `Function.forward`: run it with the region's dtype, or with autocast off and inputs cast."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate(*args: Any, **kwargs: Any) -> Any:
        inside = state.dtype
        args[0]._dtype = inside
        args[0]._fwd_used_autocast = inside is not None and cast_inputs is None
        if cast_inputs is None or inside is None:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(args[0], *convert(args[1:], cast_inputs), **convert(kwargs, cast_inputs))

    return decorate


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """For `Function.backward`: run it under the autocast state of its forward."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return decorate
