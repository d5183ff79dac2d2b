"""`autocast` for the processor: deprecated in favour of `amp.autocast("cpu")`."""

import warnings

from lampas import amp
from lampas.engine.dtype import bfloat16, dtype


class autocast(amp.autocast):
    """`amp.autocast("cpu", …)`."""

    def __init__(
        self, enabled: bool = True, dtype: dtype = bfloat16, cache_enabled: bool = True
    ) -> None:
        warnings.warn(
            "`torch.cpu.amp.autocast(args...)` is deprecated. Please use "
            "`torch.amp.autocast('cpu', args...)` instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__("cpu", dtype, enabled, cache_enabled)
