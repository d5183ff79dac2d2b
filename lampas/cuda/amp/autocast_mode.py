"""`autocast` for CUDA: deprecated in favour of `amp.autocast("cuda")`, and off without a GPU."""

import functools
import warnings
from typing import Any

from lampas import amp
from lampas.engine.dtype import dtype, float16

custom_fwd = functools.partial(amp.custom_fwd, device_type="cuda")
custom_bwd = functools.partial(amp.custom_bwd, device_type="cuda")


class autocast(amp.autocast):
    """`amp.autocast("cuda", …)`."""

    def __init__(
        self, enabled: bool = True, dtype: dtype = float16, cache_enabled: bool = True
    ) -> None:
        warnings.warn(
            "`torch.cuda.amp.autocast(args...)` is deprecated. Please use "
            "`torch.amp.autocast('cuda', args...)` instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__("cuda", dtype, enabled, cache_enabled)

    def __call__(self, function: Any) -> Any:
        return super().__call__(function)
