"""Comparing results and making inputs in tests: PyTorch's `torch.testing`."""

from lampas.testing.comparison import assert_close
from lampas.testing.creation import make_tensor

__all__ = ["assert_close", "make_tensor"]
