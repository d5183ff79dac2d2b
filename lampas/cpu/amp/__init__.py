"""`torch.cpu.amp`: the older names of `lampas.amp` for the processor."""

from lampas.cpu.amp.autocast_mode import autocast
from lampas.cpu.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast"]
