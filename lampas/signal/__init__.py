"""Signal processing (PyTorch's `torch.signal`): window functions."""

from lampas.signal import windows

__all__ = ["windows"]
