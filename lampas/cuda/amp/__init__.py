"""`torch.cuda.amp`: the older names of `lampas.amp`, for programs written for a GPU."""

from lampas.cuda.amp.autocast_mode import autocast, custom_bwd, custom_fwd
from lampas.cuda.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]
